// SPDX-License-Identifier: MIT
#pragma once

#include <cassert>
#include <concepts>
#include <cstddef>
#include <ranges>
#include <string_view>
#include <type_traits>
#include <utility>

namespace kioto {

class mutable_buffer;
class const_buffer;

namespace detail {

template <class T>
concept buffer_byte =
    std::same_as<T, std::byte> || std::same_as<T, char> || std::same_as<T, unsigned char>;

template <class R>
concept byte_range =
    std::ranges::contiguous_range<R> && std::ranges::sized_range<R> &&
    buffer_byte<std::remove_cv_t<std::remove_reference_t<std::ranges::range_reference_t<R>>>>;

template <class R>
concept writable_byte_range =
    byte_range<R> && !std::is_const_v<std::remove_reference_t<std::ranges::range_reference_t<R>>>;

template <class R>
concept is_buffer = std::same_as<std::remove_cvref_t<R>, mutable_buffer> ||
                    std::same_as<std::remove_cvref_t<R>, const_buffer>;

}  // namespace detail

/// A place to read bytes into: a pointer and a size, owning nothing.
///
/// Converts from every contiguous range of mutable `std::byte`, `char` or `unsigned char`:
/// `std::span`, `std::array`, `std::vector`, `std::string`, C arrays. It does not convert from a
/// container of const bytes, nor from a temporary container (a temporary `std::span` is fine). An
/// array of `char` converts with all its elements, including a trailing NUL. A buffer is itself
/// such a range, so it converts back to a `std::span<std::byte>`.
///
/// Lifetime: the bytes must outlive every operation that was given the buffer.
class mutable_buffer {
 public:
  constexpr mutable_buffer() noexcept = default;

  constexpr mutable_buffer(std::byte* data, std::size_t size) noexcept : data_(data), size_(size) {}
  mutable_buffer(void* data, std::size_t size) noexcept
      : data_(static_cast<std::byte*>(data)), size_(size) {}

  template <class R>
    requires(!detail::is_buffer<R> && detail::writable_byte_range<R> &&
             std::ranges::borrowed_range<R>)
  constexpr mutable_buffer(R&& range) noexcept : size_(std::ranges::size(range)) {
    using element = std::remove_reference_t<std::ranges::range_reference_t<R>>;
    if constexpr (std::same_as<element, std::byte>) {
      data_ = std::ranges::data(range);
    } else {
      data_ = reinterpret_cast<std::byte*>(std::ranges::data(range));
    }
  }

  [[nodiscard]] constexpr std::byte* data() const noexcept { return data_; }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
  [[nodiscard]] constexpr std::size_t size_bytes() const noexcept { return size_; }
  [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] constexpr std::byte* begin() const noexcept { return data_; }
  [[nodiscard]] constexpr std::byte* end() const noexcept { return data_ + size_; }
  [[nodiscard]] constexpr std::byte& operator[](std::size_t i) const noexcept {
    assert(i < size_);
    return data_[i];
  }

  /// The first `count` bytes, or all if there are fewer. `last` likewise.
  [[nodiscard]] constexpr mutable_buffer first(std::size_t count) const noexcept {
    return {data_, count < size_ ? count : size_};
  }
  [[nodiscard]] constexpr mutable_buffer last(std::size_t count) const noexcept {
    const std::size_t n = count < size_ ? count : size_;
    return {data_ + (size_ - n), n};
  }
  /// All but the first `count` bytes; empty if there are fewer.
  [[nodiscard]] constexpr mutable_buffer skip(std::size_t count) const noexcept {
    const std::size_t n = count < size_ ? count : size_;
    return {data_ + n, size_ - n};
  }
  /// `skip(offset).first(count)`
  [[nodiscard]] constexpr mutable_buffer slice(std::size_t offset,
                                               std::size_t count) const noexcept {
    return skip(offset).first(count);
  }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Bytes to write: a pointer and a size, owning nothing.
///
/// Converts from every contiguous range of `std::byte`, `char` or `unsigned char`, const or not,
/// from `mutable_buffer`, and from a string literal, **without its terminating NUL**: an array of
/// `const char` whose last element is NUL converts without that element (wrap it in `std::span` to
/// include it). Every other array converts as a whole: `char line[80]` is 80 bytes. A NUL anywhere
/// else in a literal is an ordinary byte.
///
/// Converts from temporaries too, so that `co_await s.write_all(make_string())` works: the
/// temporary lives until the end of that full expression. Do not store such a buffer.
///
/// Lifetime: the bytes must outlive every operation that was given the buffer.
class const_buffer {
 public:
  constexpr const_buffer() noexcept = default;

  constexpr const_buffer(const std::byte* data, std::size_t size) noexcept
      : data_(data), size_(size) {}
  const_buffer(const void* data, std::size_t size) noexcept
      : data_(static_cast<const std::byte*>(data)), size_(size) {}

  constexpr const_buffer(mutable_buffer other) noexcept
      : data_(other.data()), size_(other.size()) {}

  template <std::size_t N>
  const_buffer(const char (&literal)[N]) noexcept
      : data_(reinterpret_cast<const std::byte*>(&literal[0])),
        size_(literal[N - 1] == '\0' ? N - 1 : N) {}

  template <class R>
    requires(!detail::is_buffer<R> && detail::byte_range<const std::remove_reference_t<R>>)
  constexpr const_buffer(R&& range) noexcept : size_(std::ranges::size(std::as_const(range))) {
    using element = std::remove_cvref_t<decltype(*std::ranges::data(std::as_const(range)))>;
    if constexpr (std::same_as<element, std::byte>) {
      data_ = std::ranges::data(std::as_const(range));
    } else {
      data_ = reinterpret_cast<const std::byte*>(std::ranges::data(std::as_const(range)));
    }
  }

  [[nodiscard]] constexpr const std::byte* data() const noexcept { return data_; }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
  [[nodiscard]] constexpr std::size_t size_bytes() const noexcept { return size_; }
  [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] constexpr const std::byte* begin() const noexcept { return data_; }
  [[nodiscard]] constexpr const std::byte* end() const noexcept { return data_ + size_; }
  [[nodiscard]] constexpr const std::byte& operator[](std::size_t i) const noexcept {
    assert(i < size_);
    return data_[i];
  }
  /// The bytes as text.
  [[nodiscard]] std::string_view as_chars() const noexcept {
    return {reinterpret_cast<const char*>(data_), size_};
  }

  /// The first `count` bytes, or all if there are fewer. `last` likewise.
  [[nodiscard]] constexpr const_buffer first(std::size_t count) const noexcept {
    return {data_, count < size_ ? count : size_};
  }
  [[nodiscard]] constexpr const_buffer last(std::size_t count) const noexcept {
    const std::size_t n = count < size_ ? count : size_;
    return {data_ + (size_ - n), n};
  }
  /// All but the first `count` bytes; empty if there are fewer.
  [[nodiscard]] constexpr const_buffer skip(std::size_t count) const noexcept {
    const std::size_t n = count < size_ ? count : size_;
    return {data_ + n, size_ - n};
  }
  /// `skip(offset).first(count)`
  [[nodiscard]] constexpr const_buffer slice(std::size_t offset, std::size_t count) const noexcept {
    return skip(offset).first(count);
  }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Anything that `mutable_buffer` converts from.
template <class T>
concept mutable_buffer_source = std::convertible_to<T, mutable_buffer>;

/// Anything that `const_buffer` converts from.
template <class T>
concept const_buffer_source = std::convertible_to<T, const_buffer>;

/// A range of things that convert to buffers, for the vectored operations.
template <class R>
concept mutable_buffer_sequence =
    std::ranges::forward_range<R> && mutable_buffer_source<std::ranges::range_reference_t<R>>;
template <class R>
concept const_buffer_sequence =
    std::ranges::forward_range<R> && const_buffer_source<std::ranges::range_reference_t<R>>;

}  // namespace kioto

template <>
inline constexpr bool std::ranges::enable_borrowed_range<kioto::mutable_buffer> = true;
template <>
inline constexpr bool std::ranges::enable_borrowed_range<kioto::const_buffer> = true;
