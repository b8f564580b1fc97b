// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>
#include <kioto/time/deadline.hpp>

// A clock that tests control. It belongs to a current-thread or local runtime; with several workers
// there is no moment at which it is certain that nothing more can happen.
//
// For tests, and therefore not part of <kioto/kioto.hpp>: with a using-directive for kioto, the
// namespace `time` would hide the C library function of that name.

namespace kioto {
namespace detail {

struct idle_tag {};

/// Throws std::logic_error, naming `what`, unless the clock of the current runtime is paused.
void check_clock_paused(const char* what);

class [[nodiscard]] advance_operation final : public leaf_awaiter<advance_operation> {
 public:
  explicit advance_operation(std::chrono::nanoseconds by) noexcept : by_(by) {}
  advance_operation(advance_operation&&) noexcept = default;

  attempt try_or_wait() noexcept override;
  bool cancel() noexcept override { return false; }
  static void await_resume() noexcept {}

 private:
  std::chrono::nanoseconds by_;
  bool advanced_ = false;
};

class [[nodiscard]] idle_operation final : public leaf_awaiter<idle_operation>,
                                           public list_node<idle_tag> {
 public:
  idle_operation() noexcept = default;
  idle_operation(idle_operation&& other) noexcept
      : leaf_awaiter(static_cast<leaf_awaiter&&>(other)), list_node() {}

  attempt try_or_wait() noexcept override;
  bool cancel() noexcept override;
  bool withdraw() noexcept override { return true; }
  std::chrono::nanoseconds await_resume() const noexcept { return now() - since_; }

 private:
  std::chrono::steady_clock::time_point since_;
};

}  // namespace detail

namespace time {

/// Stops the clock of the current-thread or local runtime that the calling thread is in: `now()`
/// stands still, and so does everything that depends on it. It stops at the next whole millisecond.
///
/// With `auto_advance::on` the clock jumps to the next timer whenever the runtime has nothing else
/// to do: no task is ready, no event is pending, and no `spawn_blocking` call is in progress. A
/// test of an hour of time-outs then takes no time, and always runs in the same way. With `off`
/// only `advance` and `advance_until_idle` move the clock; use that if a test waits for other
/// threads or processes, whose work the runtime cannot see.
///
/// Pausing a paused clock changes only whether it advances by itself. Sockets and other threads are
/// not affected.
///
/// Throws std::logic_error outside of a runtime and on a multi-thread runtime.
void pause(auto_advance by_itself = auto_advance::on);

/// Lets the clock continue from the time at which it stands. Does nothing if it is not paused.
/// Throws like `pause`.
void resume();

/// Moves the paused clock forward, in one step.
///
/// - Waits for: all timers that are due by then to fire, and the tasks they woke to run until they
///   have to wait. All of them see the new time.
/// - Result: none.
/// - Errors: throws std::logic_error at the call if the clock of the runtime is not paused.
/// - Cancellation: a task that is asked to stop stops here; the clock has moved nevertheless.
/// - In a select: stopped; the clock has moved nevertheless.
/// - Thread safety: any task of the runtime.
///
///     time::pause(auto_advance::off);
///     auto job = spawn(cleans_up_every_hour());
///     co_await time::advance(1h);
template <class Rep, class Period>
[[nodiscard]] detail::advance_operation advance(std::chrono::duration<Rep, Period> by) {
  detail::check_clock_paused("kioto::time::advance");
  return detail::advance_operation(detail::saturate(by));
}

/// Moves the paused clock from timer to timer, even without auto-advance, until nothing is left to
/// wait for.
///
/// - Waits for: a moment at which no task is ready, no event is pending, no blocking call is in
///   progress and no timer is set. If a task keeps setting timers that moment never comes: use
///   `advance`.
/// - Result: by how much the clock has moved meanwhile.
/// - Errors: throws std::logic_error at the call if the clock of the runtime is not paused.
/// - Cancellation: at once.
/// - In a select: withdrawn; the clock keeps the time it has reached.
/// - Thread safety: any task of the runtime; several may wait.
[[nodiscard]] inline detail::idle_operation advance_until_idle() {
  detail::check_clock_paused("kioto::time::advance_until_idle");
  return {};
}

}  // namespace time
}  // namespace kioto
