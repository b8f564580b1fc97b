// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <system_error>

#include <kioto/result.hpp>

namespace kioto::detail {

/// The error that an operation on a descriptor ends with, or none. Smaller than a std::error_code,
/// and constructed without a function call.
class io_error {
 public:
  constexpr io_error() noexcept = default;
  /// An errno.
  constexpr explicit io_error(int number) noexcept : value_(number) {}
  constexpr explicit io_error(error which) noexcept : value_(-static_cast<int>(which)) {}
  explicit io_error(const std::error_code& code) noexcept
      : value_(code.category() == error_category() ? -code.value() : code.value()) {}

  static constexpr io_error cancelled() noexcept { return io_error(ECANCELED); }

  [[nodiscard]] constexpr explicit operator bool() const noexcept { return value_ != 0; }
  [[nodiscard]] constexpr bool is_would_block() const noexcept {
    return value_ == EAGAIN || value_ == EWOULDBLOCK;
  }
  [[nodiscard]] std::error_code code() const noexcept {
    if (value_ < 0) return make_error_code(static_cast<error>(-value_));
    return {value_, std::system_category()};
  }

 private:
  int value_ = 0;  // an errno, or a negative kioto::error
};

}  // namespace kioto::detail
