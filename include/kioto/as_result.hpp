// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>

#include <kioto/config.hpp>
#include <kioto/detail/leaf_awaiter.hpp>
#include <kioto/result.hpp>

namespace kioto {
namespace detail {

// Out of line, because g++ 12 otherwise warns of what would happen if this were the frame.
KIOTO_NOINLINE inline std::coroutine_handle<> nothing_to_resume() noexcept {
  return std::noop_coroutine();
}

/// Starts `inner` for a wrapper that put a hook on the frame. Returns the frame itself if the
/// operation completed at once, else what is to be resumed now.
template <class Inner, class Promise>
std::coroutine_handle<> start_inner(Inner& inner, std::coroutine_handle<Promise> frame) {
  if (inner.await_ready()) return frame;
  using suspended = decltype(inner.await_suspend(frame));
  if constexpr (std::is_void_v<suspended>) {
    inner.await_suspend(frame);
    return nothing_to_resume();
  } else if constexpr (std::is_same_v<suspended, bool>) {
    if (inner.await_suspend(frame)) return nothing_to_resume();
    return frame;
  } else {
    return inner.await_suspend(frame);
  }
}

template <class A>
class [[nodiscard]] as_result_awaiter final : private await_hook {
  using inner_result = await_result<A>;

 public:
  using value_type =
      std::conditional_t<is_result<inner_result>, inner_result, result<inner_result>>;

  explicit as_result_awaiter(A&& awaitable) : inner_(get_awaiter(std::forward<A>(awaitable))) {}

  [[nodiscard]] static bool await_ready() noexcept { return false; }

  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
    promise_base& self = frame.promise();
    push(self);
    const std::coroutine_handle<> next = start_inner(inner_, frame);
    // Only a wrapped operation that completed at once hands the frame itself back; otherwise it may
    // be running elsewhere by now.
    if (next == frame) pop(self);
    return next;
  }

  value_type await_resume() {
    if (stopped_) return std::make_error_code(std::errc::operation_canceled);
    if constexpr (std::is_void_v<inner_result>) {
      inner_.await_resume();
      return {};
    } else {
      return inner_.await_resume();
    }
  }

 private:
  bool on_completed(promise_base&) noexcept override { return true; }
  bool on_stopped(promise_base&) noexcept override {
    stopped_ = true;
    return true;
  }

  awaiter_of<A> inner_;
  bool stopped_ = false;
};

}  // namespace detail

/// Turns cancellation of one operation into an ordinary error.
///
/// - Waits for: the operation it wraps, any awaitable of the library.
/// - Result: a `result<T>`; a result of the operation is passed on as it is.
/// - Errors: those of the operation, and `std::errc::operation_canceled` when it was cancelled. The
///   stop request stays pending: the next operation that has to wait stops, unless it is wrapped
///   too.
/// - Lifetime: as for the operation.
template <class A>
[[nodiscard]] auto as_result(A&& awaitable) {
  return detail::adaptor<detail::as_result_awaiter, A>(std::forward<A>(awaitable));
}

}  // namespace kioto
