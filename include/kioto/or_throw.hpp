// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <utility>

#include <kioto/as_result.hpp>

namespace kioto {
namespace detail {

template <class A>
class [[nodiscard]] or_throw_awaiter {
  static_assert(is_result<await_result<A>>, "or_throw needs an operation that returns a result<T>");

 public:
  static constexpr bool is_resumed_through_hooks = resumed_through_hooks<awaiter_of<A>>;

  explicit or_throw_awaiter(A&& awaitable) : inner_(get_awaiter(std::forward<A>(awaitable))) {}
  or_throw_awaiter(const or_throw_awaiter&) = delete;
  or_throw_awaiter& operator=(const or_throw_awaiter&) = delete;

  [[nodiscard]] static bool await_ready() noexcept { return false; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
    return start_inner(inner_, frame);
  }
  typename await_result<A>::value_type await_resume() { return inner_.await_resume().value(); }

 private:
  awaiter_of<A> inner_;
};

}  // namespace detail

/// Turns a failed result into an exception: `auto n = co_await or_throw(socket.read(buffer));`
///
/// - Waits for: the operation it wraps, any awaitable of a `result<T>`.
/// - Result: the value.
/// - Errors: throws std::system_error with the error code of the operation.
/// - Cancellation, in a select, lifetime, thread safety: as for the operation. As a branch, it
///   fails with an exception.
template <class A>
[[nodiscard]] auto or_throw(A&& awaitable) {
  return detail::adaptor<detail::or_throw_awaiter, A>(std::forward<A>(awaitable));
}

}  // namespace kioto
