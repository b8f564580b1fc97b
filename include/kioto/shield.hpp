// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <utility>

#include <kioto/as_result.hpp>
#include <kioto/detail/leaf_awaiter.hpp>
#include <kioto/detail/pausable.hpp>

namespace kioto {
namespace detail {

template <class A>
class [[nodiscard]] shield_awaiter final : private await_hook {
 public:
  explicit shield_awaiter(A&& awaitable) : inner_(get_awaiter(std::forward<A>(awaitable))) {}

  [[nodiscard]] static bool await_ready() noexcept { return false; }

  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
    promise_base& self = frame.promise();
    ++self.context_->shields_;
    push(self);
    const std::coroutine_handle<> next = start_inner(inner_, frame);
    if (next != frame) return next;
    pop(self);
    if (on_completed(self)) return frame;
    return nothing_to_resume();
  }

  await_result<A> await_resume() { return inner_.await_resume(); }

 private:
  // What pauses around the shield takes effect where the shield ends.
  bool on_completed(promise_base& frame) noexcept override {
    const bool stopped = std::exchange(stopped_, false);
    if (!stopped) --frame.context_->shields_;
    return frame.context_->shields_ != 0 || !pausing::hold_unshielded(frame, stopped);
  }
  bool on_stopped(promise_base& frame) noexcept override {
    if (--frame.context_->shields_ != 0 || !pausing::is_held(frame)) return false;
    stopped_ = true;
    push(frame);  // held in on_completed(); the stop travels on afterwards
    return true;
  }

  awaiter_of<A> inner_;
  bool stopped_ = false;
};

}  // namespace detail

/// Lets one operation run to its end although the task is asked to stop.
///
/// - Waits for: the operation it wraps, any awaitable of the library.
/// - Result and errors: those of the operation.
/// - Cancellation: none while it runs; a stop request that came meanwhile takes effect at the next
///   operation that has to wait. Only the shutdown of the runtime goes through a shield: sleeping
///   and I/O end then.
/// - Lifetime: as for the operation.
template <class A>
[[nodiscard]] auto shield(A&& awaitable) {
  return detail::adaptor<detail::shield_awaiter, A>(std::forward<A>(awaitable));
}

}  // namespace kioto
