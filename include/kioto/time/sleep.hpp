// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <utility>

#include <kioto/detail/task/leaf_awaiter.hpp>
#include <kioto/detail/time/timer_operation.hpp>
#include <kioto/time/deadline.hpp>

namespace kioto {
namespace detail {

class [[nodiscard]] sleep_operation final : public leaf_awaiter<sleep_operation, timer_operation> {
 public:
  sleep_operation(std::chrono::steady_clock::time_point deadline, bool has_passed) noexcept
      : leaf_awaiter(std::in_place, deadline, has_passed) {}
  sleep_operation(sleep_operation&&) noexcept = default;

  attempt try_or_wait() noexcept override { return wait_until_deadline(); }
  static void await_resume() noexcept {}
};

}  // namespace detail

/// Waits until a point in time, by the clock of the runtime.
///
/// - Result: none. Never resumes early; resumes at the first millisecond tick at or after `at` at
///   which a thread of the runtime is free. If `at` has passed at the time of this call it does not
///   wait; it is charged to the budget of the run, so a loop of such sleeps yields from time to
///   time. The largest representable time point never comes.
/// - Errors: none. When the runtime shuts down the task is cancelled.
/// - Cancellation: at once; the timer is removed.
/// - In a select: withdrawn; the timer is removed.
/// - Thread safety: any task.
[[nodiscard]] inline detail::sleep_operation sleep_until(
    std::chrono::steady_clock::time_point at) noexcept {
  return {at, deadline(at).has_passed()};
}
/// The same for a point in time of another resolution, which is rounded up.
template <detail::other_resolution Duration>
[[nodiscard]] detail::sleep_operation sleep_until(
    std::chrono::time_point<std::chrono::steady_clock, Duration> at) noexcept {
  return sleep_until(detail::saturate(at));
}

/// Waits for a duration, counted from this call. Result, errors, cancellation, in a select: as for
/// `sleep_until`. A duration that is not positive, or NaN, does not wait; one beyond the range of
/// the clock means "for ever".
template <class Rep, class Period>
[[nodiscard]] detail::sleep_operation sleep(std::chrono::duration<Rep, Period> delay) noexcept {
  const std::chrono::nanoseconds length = detail::saturate(delay);
  if (length == length.zero()) [[unlikely]]
    return {std::chrono::steady_clock::time_point(), true};
  return {detail::deadline_after(length), false};
}

}  // namespace kioto
