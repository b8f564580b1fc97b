// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <utility>

#include <kioto/detail/leaf_awaiter.hpp>
#include <kioto/detail/timer_wheel.hpp>

namespace kioto {
namespace detail {

/// A point in time that saturates instead of overflowing.
inline std::chrono::steady_clock::time_point deadline_after(
    std::chrono::nanoseconds delay) noexcept {
  const auto now = std::chrono::steady_clock::now();
  if (delay > std::chrono::steady_clock::time_point::max() - now)
    return std::chrono::steady_clock::time_point::max();
  return now + delay;
}
template <class Rep, class Period>
std::chrono::nanoseconds saturate(std::chrono::duration<Rep, Period> delay) noexcept {
  using wide = std::chrono::duration<long double, std::nano>;
  if (wide(delay) >= wide(std::chrono::nanoseconds::max())) return std::chrono::nanoseconds::max();
  if (wide(delay) <= wide(std::chrono::nanoseconds::zero()))
    return std::chrono::nanoseconds::zero();
  return std::chrono::ceil<std::chrono::nanoseconds>(delay);
}
inline std::chrono::nanoseconds saturate(std::chrono::nanoseconds delay) noexcept { return delay; }

class [[nodiscard]] sleep_operation final : public leaf_awaiter<sleep_operation>,
                                            private timer_node {
 public:
  explicit sleep_operation(std::chrono::steady_clock::time_point deadline) noexcept
      : deadline_(deadline) {}
  sleep_operation(sleep_operation&& other) noexcept
      : leaf_awaiter(static_cast<leaf_awaiter&&>(other)), deadline_(other.deadline_) {}

  attempt try_or_wait() noexcept override;
  bool cancel() noexcept override;
  static void await_resume() noexcept {}

 private:
  static void fired(timer_node* node) noexcept;

  std::chrono::steady_clock::time_point deadline_;
};

}  // namespace detail

/// Waits until `deadline`.
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
