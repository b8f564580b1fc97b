// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <cstdint>
#include <limits>
#include <utility>

#include <kioto/as_result.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>
#include <kioto/detail/task/pausable.hpp>

namespace kioto {
namespace detail {

template <class A>
class [[nodiscard]] shield_awaiter final : private await_hook {
 public:
  static constexpr bool is_resumed_through_hooks = resumed_through_hooks<awaiter_of<A>>;

  explicit shield_awaiter(A&& awaitable) : inner_(get_awaiter(std::forward<A>(awaitable))) {}

  [[nodiscard]] static bool await_ready() noexcept { return false; }

  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
    promise_base& self = frame.promise();
    // Shields end in the reverse order of their beginning. So beyond the largest count one more
    // need not be counted: those around it last longer.
    is_counted_ = self.strand_->shields_ != std::numeric_limits<std::uint16_t>::max();
    if (is_counted_) ++self.strand_->shields_;
    push(self);
    directly_.begin(self);
    const std::coroutine_handle<> next = start_inner(inner_, frame, [this, &self]() noexcept {
      pop(self);
      if (is_counted_) --self.strand_->shields_;
    });
    if (next != frame) return next;
    pop(self);
    if (on_end(self, passage::completed) == passage::completed) return frame;
    return nothing_to_resume();
  }

  await_result<A> await_resume() {
    directly_.resumed();
    return inner_.await_resume();
  }

 private:
  // A pause requested while shielded takes effect where the shield ends: the frame is held, and
  // continues from here later. A stop is then pending, so it propagates.
  passage on_end(promise_base& frame, passage how) noexcept override {
    directly_.end();
    if (held_returning_) return passage::returning;
    if (!is_counted_ || --frame.strand_->shields_ != 0) return how;
    if (!pausing::hold_unshielded(frame, how == passage::stopped)) return how;
    if (how == passage::returning) {
      held_returning_ = true;
      push(frame);
    }
    return passage::held;
  }

  awaiter_of<A> inner_;
  [[no_unique_address]] direct_resumption<awaiter_of<A>> directly_;
  bool held_returning_ = false;
  bool is_counted_ = false;
};

}  // namespace detail

/// Lets one operation run to completion although the task is asked to stop.
///
/// - Waits for: the operation it wraps, any awaitable of the library.
/// - Result and errors: those of the operation.
/// - Cancellation: none while it runs; a stop request that arrives meanwhile takes effect at the
///   next operation that has to wait. A shutdown of the runtime waits for it: its timers go on,
///   while its I/O soon fails with `error::runtime_shutdown`.
/// - In a select: never withdrawn once it has started; it completes, and its value is in the
///   result.
/// - Lifetime: as for the operation.
/// - Thread safety: as for the operation.
///
/// `co_await shield(connection.send_goodbye());`
template <class A>
[[nodiscard]] auto shield(A&& awaitable) {
  return detail::adaptor<detail::shield_awaiter, A>(std::forward<A>(awaitable));
}

}  // namespace kioto
