// SPDX-License-Identifier: MIT
#pragma once

#include <cassert>
#include <concepts>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <tl/expected.hpp>
#include <type_traits>
#include <utility>

#include <kioto/detail/base/is_result.hpp>

namespace kioto {

/// The portable error conditions; operating system errors compare equal to them.
using errc = std::errc;

/// Errors that kioto itself reports. They convert to `std::error_code` of `error_category()`.
/// The address ones also compare equal to `errc::invalid_argument`.
enum class error : int {
  runtime_shutdown = 1,  ///< the runtime was shut down before or while the operation ran
  unexpected_eof,        ///< the stream ended before the wanted number of bytes arrived
  write_zero,            ///< the sink accepted no byte although there was something to write
  invalid_address,       ///< the text is not a numeric IP address
  invalid_scope,         ///< the IPv6 scope id (after '%') is empty, unknown or not allowed
  missing_port,          ///< host:port expected, but there is no port
  invalid_port,          ///< the port is not a decimal number from 0 to 65535
  empty_host,            ///< host:port expected, but the host is empty
  invalid_host,          ///< no possible name: NUL or blank inside, too long, unbalanced bracket
  closed,                ///< the other side of the channel is gone, or the semaphore was closed
  full,                  ///< there is no room, or no permit, at the moment
  empty,                 ///< there is no value at the moment
  lagged,                ///< the receiver was too slow: values were overwritten before it took them
  inherited_by_fork,     ///< a child of fork() used a socket of the parent's runtime
};

/// Why a name did not resolve. They convert to `std::error_code` of `resolve_category()`.
enum class resolve_error : int {
  host_not_found = 1,    ///< no such host
  no_data,               ///< the host exists, but has no address of the wanted kind
  try_again,             ///< temporary failure of the name server (`is_transient`)
  failed,                ///< the name server answered with a permanent failure
  service_not_found,     ///< no such service name
  family_not_supported,  ///< the address family is not supported
  invalid_flags,         ///< the request was malformed
  out_of_memory,         ///< not enough memory
  other,                 ///< any failure that the platform does not name
};

/// Category of `kioto::error`.
[[nodiscard]] const std::error_category& error_category() noexcept;
/// Category of `kioto::resolve_error`; its messages are those of the system's resolver.
[[nodiscard]] const std::error_category& resolve_category() noexcept;

[[nodiscard]] inline std::error_code make_error_code(error e) noexcept {
  return {static_cast<int>(e), error_category()};
}
[[nodiscard]] inline std::error_code make_error_code(resolve_error e) noexcept {
  return {static_cast<int>(e), resolve_category()};
}

/// Returns true for an error after which the same call may succeed later without any action by the
/// caller. Intended for the loop around `accept`: a server logs, waits a little and tries again.
///
/// These are: too many open files in the process or the system (EMFILE, ENFILE), no memory or
/// buffers (ENOMEM, ENOBUFS), a connection that was closed before it was accepted (ECONNABORTED),
/// interruption (EINTR, EAGAIN), network errors that Linux passes on from the new connection
/// (EPROTO, EPERM, ENETDOWN, ENETUNREACH, EHOSTDOWN, EHOSTUNREACH, ENONET, ENOPROTOOPT), and
/// `resolve_error::try_again` and `out_of_memory`.
[[nodiscard]] bool is_transient(const std::error_code& ec) noexcept;

/// Returns true if the operation failed because its runtime was shut down.
[[nodiscard]] bool is_runtime_shutdown(const std::error_code& ec) noexcept;

}  // namespace kioto

template <>
struct std::is_error_code_enum<kioto::error> : std::true_type {};
template <>
struct std::is_error_code_enum<kioto::resolve_error> : std::true_type {};

namespace kioto {

using tl::unexpect;
using tl::unexpect_t;
using tl::unexpected;

namespace detail {

// Out of line, so that this header also compiles with -fno-exceptions.
[[noreturn]] void throw_result_error(const std::error_code& ec);

template <class T>
inline constexpr bool is_unexpected_v = false;
template <class E>
inline constexpr bool is_unexpected_v<tl::unexpected<E>> = true;

template <class E>
concept error_source = std::same_as<std::remove_cvref_t<E>, std::error_code> ||
                       std::same_as<std::remove_cvref_t<E>, std::errc> ||
                       std::is_error_code_enum_v<std::remove_cvref_t<E>>;

template <error_source E>
[[nodiscard]] std::error_code to_error_code(E&& e) noexcept {
  if constexpr (std::same_as<std::remove_cvref_t<E>, std::errc>) {
    return std::make_error_code(e);
  } else {
    return std::error_code(std::forward<E>(e));
  }
}

template <class T, class U>
concept result_value_source =
    !is_result<std::remove_cvref_t<U>> && !is_unexpected_v<std::remove_cvref_t<U>> &&
    !error_source<U> && !std::same_as<std::remove_cvref_t<U>, std::in_place_t> &&
    !std::same_as<std::remove_cvref_t<U>, unexpect_t> && std::is_constructible_v<T, U>;

template <class Result>
void store_failure(const Result& from, void* out) noexcept {
  if (!from.has_value()) *static_cast<std::optional<std::error_code>*>(out) = from.error();
}

// Shared by result<T> and result<void>: the argument and return types of monadic callables.
template <class Self, class F>
constexpr decltype(auto) invoke_on_value(Self&& self, F&& f) {
  if constexpr (std::is_void_v<typename std::remove_cvref_t<Self>::value_type>) {
    return std::invoke(std::forward<F>(f));
  } else {
    return std::invoke(std::forward<F>(f), *std::forward<Self>(self));
  }
}

template <class Self, class F>
constexpr auto result_and_then(Self&& self, F&& f) {
  using next =
      std::remove_cvref_t<decltype(invoke_on_value(std::forward<Self>(self), std::forward<F>(f)))>;
  static_assert(is_result<next>, "the callable given to and_then must return a kioto::result");
  if (!self.has_value()) return next(std::forward<Self>(self).error());
  return next(invoke_on_value(std::forward<Self>(self), std::forward<F>(f)));
}

template <class Self, class F>
constexpr auto result_transform(Self&& self, F&& f) {
  using value =
      std::remove_cvref_t<decltype(invoke_on_value(std::forward<Self>(self), std::forward<F>(f)))>;
  using next = result<value>;
  if (!self.has_value()) return next(std::forward<Self>(self).error());
  if constexpr (std::is_void_v<value>) {
    invoke_on_value(std::forward<Self>(self), std::forward<F>(f));
    return next();
  } else {
    return next(std::in_place, invoke_on_value(std::forward<Self>(self), std::forward<F>(f)));
  }
}

template <class Self, class F>
constexpr auto result_or_else(Self&& self, F&& f) {
  using same = std::remove_cvref_t<Self>;
  static_assert(std::same_as<std::remove_cvref_t<std::invoke_result_t<F, std::error_code>>, same>,
                "the callable given to or_else must return the same kioto::result");
  if (self.has_value()) return same(std::forward<Self>(self));
  return same(std::invoke(std::forward<F>(f), std::forward<Self>(self).error()));
}

template <class Self, class F>
constexpr auto result_transform_error(Self&& self, F&& f) {
  using same = std::remove_cvref_t<Self>;
  static_assert(error_source<std::invoke_result_t<F, std::error_code>>,
                "the callable given to transform_error must return an error code");
  if (self.has_value()) return same(std::forward<Self>(self));
  return same(to_error_code(std::invoke(std::forward<F>(f), std::forward<Self>(self).error())));
}

}  // namespace detail

/// A value of type `T`, or the `std::error_code` that says why there is none. The interface is that
/// of `std::expected<T, std::error_code>`.
///
/// It converts implicitly from a value, from `std::error_code`, from `errc` and from every enum
/// registered as an error code. An error code given to it must not be zero.
///
/// `value()` throws `std::system_error` if there is none. Dereferencing a result without a value,
/// or calling `error()` on one with a value, is a bug in the caller (checked by `assert`).
///
/// Lifetime: owns its value. Thread safety: as a plain value.
///
///     result<int> port = parse(text);
///     if (!port) return port.error();
///     use(*port);
template <class T>
class [[nodiscard]] result {
  static_assert(std::is_object_v<T> && !std::is_array_v<T>, "result<T> needs an object type");
  static_assert(!detail::error_source<T>, "result<T> of an error code would be ambiguous");
  static_assert(!std::is_const_v<T> && !std::is_volatile_v<T>, "result<T> needs a plain type");

 public:
  using value_type = T;
  using error_type = std::error_code;
  using unexpected_type = tl::unexpected<std::error_code>;
  template <class U>
  using rebind = result<U>;

  constexpr result()
    requires std::default_initializable<T>
  = default;

  template <class U = T>
    requires detail::result_value_source<T, U>
  constexpr explicit(!std::is_convertible_v<U, T>)
      result(U&& value) noexcept(std::is_nothrow_constructible_v<T, U>)
      : state_(tl::in_place, std::forward<U>(value)) {}

  template <detail::error_source E>
  result(E&& e) noexcept : state_(tl::unexpect, detail::to_error_code(std::forward<E>(e))) {
    assert(state_.error() && "a result needs a value or an error, zero is neither");
  }

  template <class E>
    requires detail::error_source<E>
  result(const tl::unexpected<E>& e) noexcept : result(e.value()) {}

  template <class U>
    requires(!std::same_as<T, U> && !std::is_void_v<U> && std::is_constructible_v<T, const U&>)
  constexpr explicit(!std::is_convertible_v<const U&, T>) result(const result<U>& other)
      : state_(other.has_value() ? state(tl::in_place, *other)
                                 : state(tl::unexpect, other.error())) {}

  template <class U>
    requires(!std::same_as<T, U> && !std::is_void_v<U> && std::is_constructible_v<T, U>)
  constexpr explicit(!std::is_convertible_v<U, T>) result(result<U>&& other)
      : state_(other.has_value() ? state(tl::in_place, *std::move(other))
                                 : state(tl::unexpect, other.error())) {}

  template <class... Args>
    requires std::constructible_from<T, Args...>
  constexpr explicit result(std::in_place_t, Args&&... args)
      : state_(tl::in_place, std::forward<Args>(args)...) {}

  template <class V, class... Args>
    requires std::constructible_from<T, std::initializer_list<V>&, Args...>
  constexpr explicit result(std::in_place_t, std::initializer_list<V> list, Args&&... args)
      : state_(tl::in_place, list, std::forward<Args>(args)...) {}

  template <detail::error_source E>
  explicit result(unexpect_t, E&& e) noexcept : result(std::forward<E>(e)) {}

  [[nodiscard]] constexpr bool has_value() const noexcept { return state_.has_value(); }
  [[nodiscard]] constexpr explicit operator bool() const noexcept { return state_.has_value(); }

  /// The value; throws `std::system_error` with the error if there is none.
  constexpr T& value() & { return check(), *state_; }
  constexpr const T& value() const& { return check(), *state_; }
  constexpr T&& value() && { return check(), *std::move(state_); }
  constexpr const T&& value() const&& { return check(), *std::move(state_); }

  [[nodiscard]] constexpr T& operator*() & noexcept { return assert(has_value()), *state_; }
  [[nodiscard]] constexpr const T& operator*() const& noexcept {
    return assert(has_value()), *state_;
  }
  [[nodiscard]] constexpr T&& operator*() && noexcept {
    return assert(has_value()), *std::move(state_);
  }
  [[nodiscard]] constexpr const T&& operator*() const&& noexcept {
    return assert(has_value()), *std::move(state_);
  }
  [[nodiscard]] constexpr T* operator->() noexcept {
    return assert(has_value()), std::addressof(*state_);
  }
  [[nodiscard]] constexpr const T* operator->() const noexcept {
    return assert(has_value()), std::addressof(*state_);
  }

  [[nodiscard]] constexpr std::error_code& error() & noexcept {
    return assert(!has_value()), state_.error();
  }
  [[nodiscard]] constexpr const std::error_code& error() const& noexcept {
    return assert(!has_value()), state_.error();
  }
  [[nodiscard]] constexpr std::error_code&& error() && noexcept {
    return assert(!has_value()), std::move(state_).error();
  }
  [[nodiscard]] constexpr const std::error_code&& error() const&& noexcept {
    return assert(!has_value()), std::move(state_).error();
  }

  template <class U>
  [[nodiscard]] constexpr T value_or(U&& other) const& {
    return has_value() ? *state_ : static_cast<T>(std::forward<U>(other));
  }
  template <class U>
  [[nodiscard]] constexpr T value_or(U&& other) && {
    return has_value() ? *std::move(state_) : static_cast<T>(std::forward<U>(other));
  }
  /// The error, or `other` if there is a value.
  [[nodiscard]] std::error_code error_or(std::error_code other) const noexcept {
    return has_value() ? other : state_.error();
  }

  template <class... Args>
    requires std::is_nothrow_constructible_v<T, Args...>
  constexpr T& emplace(Args&&... args) noexcept {
    state_.emplace(std::forward<Args>(args)...);
    return *state_;
  }

  /// `f(value)`, which returns a result, or the error.
  template <class F>
  constexpr auto and_then(F&& f) & {
    return detail::result_and_then(*this, std::forward<F>(f));
  }
  template <class F>
  constexpr auto and_then(F&& f) const& {
    return detail::result_and_then(*this, std::forward<F>(f));
  }
  template <class F>
  constexpr auto and_then(F&& f) && {
    return detail::result_and_then(std::move(*this), std::forward<F>(f));
  }

  /// A result of what `f(value)` returns, or the error.
  template <class F>
  constexpr auto transform(F&& f) & {
    return detail::result_transform(*this, std::forward<F>(f));
  }
  template <class F>
  constexpr auto transform(F&& f) const& {
    return detail::result_transform(*this, std::forward<F>(f));
  }
  template <class F>
  constexpr auto transform(F&& f) && {
    return detail::result_transform(std::move(*this), std::forward<F>(f));
  }

  /// The same as `transform`, by its older name.
  template <class F>
  constexpr auto map(F&& f) & {
    return detail::result_transform(*this, std::forward<F>(f));
  }
  template <class F>
  constexpr auto map(F&& f) const& {
    return detail::result_transform(*this, std::forward<F>(f));
  }
  template <class F>
  constexpr auto map(F&& f) && {
    return detail::result_transform(std::move(*this), std::forward<F>(f));
  }

  /// The value, or `f(error)`, which returns the same kind of result.
  template <class F>
  constexpr auto or_else(F&& f) const& {
    return detail::result_or_else(*this, std::forward<F>(f));
  }
  template <class F>
  constexpr auto or_else(F&& f) && {
    return detail::result_or_else(std::move(*this), std::forward<F>(f));
  }

  /// The value, or the error that `f(error)` returns.
  template <class F>
  constexpr auto transform_error(F&& f) const& {
    return detail::result_transform_error(*this, std::forward<F>(f));
  }
  template <class F>
  constexpr auto transform_error(F&& f) && {
    return detail::result_transform_error(std::move(*this), std::forward<F>(f));
  }

  template <class U>
    requires(!std::is_void_v<U>)
  [[nodiscard]] friend constexpr bool operator==(const result& a, const result<U>& b) {
    if (a.has_value() != b.has_value()) return false;
    return a.has_value() ? *a == *b : a.error() == b.error();
  }
  template <class U>
    requires(!detail::is_result<U> && !detail::is_unexpected_v<U> && !detail::error_source<U>)
  [[nodiscard]] friend constexpr bool operator==(const result& a, const U& value) {
    return a.has_value() && *a == value;
  }
  template <class E>
  [[nodiscard]] friend bool operator==(const result& a, const tl::unexpected<E>& e) {
    return !a.has_value() && a.error() == e.value();
  }

 private:
  using state = tl::expected<T, std::error_code>;

  constexpr void check() const {
    if (!state_.has_value()) detail::throw_result_error(state_.error());
  }

  state state_;
};

/// Success, or the `std::error_code` that says what failed.
template <>
class [[nodiscard]] result<void> {
 public:
  using value_type = void;
  using error_type = std::error_code;
  using unexpected_type = tl::unexpected<std::error_code>;
  template <class U>
  using rebind = result<U>;

  constexpr result() noexcept = default;
  constexpr explicit result(std::in_place_t) noexcept {}

  template <detail::error_source E>
  result(E&& e) noexcept : state_(tl::unexpect, detail::to_error_code(std::forward<E>(e))) {
    assert(state_.error() && "a result needs success or an error, zero is neither");
  }
  template <class E>
    requires detail::error_source<E>
  result(const tl::unexpected<E>& e) noexcept : result(e.value()) {}
  template <detail::error_source E>
  explicit result(unexpect_t, E&& e) noexcept : result(std::forward<E>(e)) {}

  [[nodiscard]] constexpr bool has_value() const noexcept { return state_.has_value(); }
  [[nodiscard]] constexpr explicit operator bool() const noexcept { return state_.has_value(); }

  /// Throws `std::system_error` with the error, if there is one.
  void value() const {
    if (!state_.has_value()) detail::throw_result_error(state_.error());
  }
  constexpr void operator*() const noexcept { assert(has_value()); }

  [[nodiscard]] std::error_code& error() & noexcept { return assert(!has_value()), state_.error(); }
  [[nodiscard]] const std::error_code& error() const& noexcept {
    return assert(!has_value()), state_.error();
  }
  [[nodiscard]] std::error_code&& error() && noexcept {
    return assert(!has_value()), std::move(state_).error();
  }
  [[nodiscard]] std::error_code error_or(std::error_code other) const noexcept {
    return has_value() ? other : state_.error();
  }

  /// `f()`, which returns a result, or the error.
  template <class F>
  constexpr auto and_then(F&& f) const {
    return detail::result_and_then(*this, std::forward<F>(f));
  }
  /// A result of what `f()` returns, or the error.
  template <class F>
  constexpr auto transform(F&& f) const {
    return detail::result_transform(*this, std::forward<F>(f));
  }
  /// The same as `transform`, by its older name.
  template <class F>
  constexpr auto map(F&& f) const {
    return detail::result_transform(*this, std::forward<F>(f));
  }
  /// Success, or `f(error)`, which returns a `result<void>`.
  template <class F>
  constexpr auto or_else(F&& f) const {
    return detail::result_or_else(*this, std::forward<F>(f));
  }
  /// Success, or the error that `f(error)` returns.
  template <class F>
  constexpr auto transform_error(F&& f) const {
    return detail::result_transform_error(*this, std::forward<F>(f));
  }

  [[nodiscard]] friend bool operator==(const result& a, const result& b) noexcept {
    if (a.has_value() != b.has_value()) return false;
    return a.has_value() || a.error() == b.error();
  }
  template <class E>
  [[nodiscard]] friend bool operator==(const result& a, const tl::unexpected<E>& e) {
    return !a.has_value() && a.error() == e.value();
  }

 private:
  tl::expected<void, std::error_code> state_;
};

}  // namespace kioto
