// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>
#include <kioto/time/deadline.hpp>

// A clock that tests control. It belongs to a current-thread or local runtime; with several workers
// there is no moment at which nothing can happen any more.
//
// For tests, and therefore not part of <kioto/kioto.hpp>: with a using-directive for kioto, the
// namespace `time` would take the unqualified name from the function of the C library.

namespace kioto {
namespace detail {

struct idle_tag {};

/// Throws std::logic_error that names `what` unless the clock of the present runtime is paused.
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
/// stands still, and so does everything that counts by it. It stops at the next whole millisecond.
///
/// With `auto_advance::on` the clock jumps to the next timer whenever the runtime has nothing else
/// to do: no task is ready, no event has come, and no call of `spawn_blocking` is under way. A test
/// of an hour of time-outs then takes no time, and always takes the same course. With `off` the
/// clock moves by `advance` and `advance_until_idle` alone; take that where a test waits for other
/// threads or processes, whose work is not seen from here.
///
/// Pausing a paused clock changes only whether it advances by itself. Sockets and other threads
/// know nothing of it.
///
/// Throws std::logic_error outside of a runtime and on a multi-thread runtime.
void pause(auto_advance by_itself = auto_advance::on);

/// Lets the clock go on, from the time at which it stands. Nothing if it is not paused. Throws as
/// `pause`.
void resume();

/// Moves the paused clock forward, in one step.
///
/// - Waits for: all timers that are due by then have fired, and the tasks they woke have run until
///   they had to wait. All of them see the new time.
/// - Result: none.
/// - Errors: throws std::logic_error at the call if the clock of the runtime is not paused.
/// - Cancellation: a task that is asked to stop stops here; the clock has moved.
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

/// Moves the paused clock from timer to timer, also if it does not advance by itself, until nothing
/// is left to wait for.
///
/// - Waits for: no task is ready, no event has come, no blocking call is under way and no timer is
///   set. While a task sets one timer after the other this does not come: use `advance`.
/// - Result: by how much the clock has moved meanwhile.
/// - Errors: throws std::logic_error at the call if the clock of the runtime is not paused.
/// - Cancellation: at once.
/// - Thread safety: any task of the runtime; several may wait.
[[nodiscard]] inline detail::idle_operation advance_until_idle() {
  detail::check_clock_paused("kioto::time::advance_until_idle");
  return {};
}

}  // namespace time
}  // namespace kioto
