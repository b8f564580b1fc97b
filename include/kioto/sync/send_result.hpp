// SPDX-License-Identifier: MIT
#pragma once

#include <cassert>
#include <optional>
#include <system_error>
#include <utility>

#include <kioto/as_result.hpp>
#include <kioto/result.hpp>

namespace kioto {
namespace sync {

/// The result of sending a value: it is in the channel, or it is returned together with the reason.
/// `or_throw`, `or_return`, `as_result` and `timeout` treat it as a `result<void>`.
///
///     auto sent = tx.try_send(std::move(job));
///     if (!sent) run_it_here(std::move(sent).rejected());
template <class T>
class [[nodiscard]] send_result {
 public:
  using value_type = void;

  /// Sent.
  send_result() noexcept = default;
  /// Not sent.
  send_result(const std::error_code& reason, T&& value) : send_result(reason) {
    rejected_.emplace(std::move(value));
  }
  /// Not sent, and the value was destroyed with the operation that held it, which was stopped or
  /// timed out.
  send_result(const std::error_code& reason) noexcept
      : reason_(reason.value()), category_(&reason.category()) {}

  [[nodiscard]] bool has_value() const noexcept { return category_ == nullptr; }
  explicit operator bool() const noexcept { return has_value(); }
  /// Why the value was not sent.
  [[nodiscard]] std::error_code error() const noexcept {
    assert(!has_value());
    return {reason_, *category_};
  }
  /// Throws `std::system_error` if the value was not sent.
  void value() const {
    if (!has_value()) kioto::detail::throw_result_error(error());
  }

  /// Returns true if the value was returned.
  [[nodiscard]] bool has_rejected() const noexcept { return rejected_.has_value(); }
  /// The returned value. Precondition: `has_rejected()`.
  [[nodiscard]] T& rejected() & noexcept {
    assert(has_rejected());
    return *rejected_;
  }
  [[nodiscard]] T&& rejected() && noexcept {
    assert(has_rejected());
    return std::move(*rejected_);
  }

 private:
  // Not an error_code: constructing one calls a function, and most values are sent.
  int reason_ = 0;
  const std::error_category* category_ = nullptr;
  std::optional<T> rejected_;
};

}  // namespace sync

namespace detail {
template <class T>
inline constexpr bool is_result<sync::send_result<T>> = true;
}  // namespace detail
}  // namespace kioto
