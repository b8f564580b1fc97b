// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <utility>

#include <kioto/detail/leaf_awaiter.hpp>
#include <kioto/detail/timer_operation.hpp>
#include <kioto/time/deadline.hpp>

namespace kioto {
namespace detail {

class [[nodiscard]] sleep_operation final : public leaf_awaiter<sleep_operation, timer_operation> {
 public:
  explicit sleep_operation(std::chrono::steady_clock::time_point deadline) noexcept
      : leaf_awaiter(std::in_place, deadline) {}
  sleep_operation(sleep_operation&&) noexcept = default;

  attempt try_or_wait() noexcept override { return wait_until_deadline(); }
  static void await_resume() noexcept {}
};

}  // namespace detail

/// Waits until `deadline`, by the clock of the runtime.
///
/// - Result: none. Never resumes early; resumes at the first millisecond tick at or after the
///   deadline at which a thread of the runtime is free.
/// - Errors: none. When the runtime shuts down the task is cancelled.
/// - Cancellation: at once; the timer is removed.
/// - Thread safety: any task.
[[nodiscard]] inline detail::sleep_operation sleep_until(
    std::chrono::steady_clock::time_point deadline) noexcept {
  return detail::sleep_operation(deadline);
}

/// Waits for a duration, counted from this call. See `sleep_until`. Durations beyond what the clock
/// can count mean "for ever".
template <class Rep, class Period>
[[nodiscard]] detail::sleep_operation sleep(std::chrono::duration<Rep, Period> delay) noexcept {
  return detail::sleep_operation(detail::deadline_after(detail::saturate(delay)));
}

}  // namespace kioto
