// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>

#include <kioto/detail/task/leaf_awaiter.hpp>
#include <kioto/detail/time/timer_operation.hpp>
#include <kioto/time/deadline.hpp>

namespace kioto {

class interval;

/// What an interval does about missed ticks, those that were not awaited in time.
enum class missed_tick : std::uint8_t {
  burst,  ///< completes at once for each, until it has caught up
  delay,  ///< completes for one, and counts on from then: ticks keep their distance
  skip,   ///< completes for one, then continues with the next future tick
};

namespace detail {

class [[nodiscard]] tick_operation final : public leaf_awaiter<tick_operation, timer_operation> {
 public:
  explicit tick_operation(interval& ticks) noexcept : ticks_(&ticks) {}
  tick_operation(tick_operation&&) noexcept = default;

  inline attempt try_or_wait() noexcept override;
  inline std::chrono::steady_clock::time_point await_resume() noexcept;

 private:
  interval* ticks_;
};

}  // namespace detail

/// Ticks at a fixed distance. The first one is due at once, or at the start that `interval_at` was
/// given.
///
///     interval every(1s);
///     for (;;) {
///       co_await every.tick();
///       report(read_sensor());
///     }
///
/// Thread safety: one task at a time.
class interval {
 public:
  using clock = std::chrono::steady_clock;
  using time_point = clock::time_point;

  /// Throws std::invalid_argument unless `period` is positive.
  template <class Rep, class Period>
  explicit interval(std::chrono::duration<Rep, Period> period,
                    missed_tick missed = missed_tick::burst)
      : interval(now(), detail::saturate(period), missed) {}
  interval(time_point start, std::chrono::nanoseconds period,
           missed_tick missed = missed_tick::burst);
  template <class Rep, class Period>
  interval(time_point start, std::chrono::duration<Rep, Period> period,
           missed_tick missed = missed_tick::burst)
      : interval(start, detail::saturate(period), missed) {}

  /// Waits for the next tick.
  ///
  /// - Result: the point in time at which the tick was due, which may have passed.
  /// - Errors: none. When the runtime shuts down the task is cancelled.
  /// - Cancellation: at once; the tick is not consumed.
  /// - In a select: withdrawn; the tick is not consumed.
  /// - Lifetime: the interval stays in place while a tick is awaited, and is not reset meanwhile.
  /// - Thread safety: one task at a time.
  ///
  /// A tick counts as missed if it is taken more than 5 ms after it was due: timers have a
  /// resolution of a millisecond, and a small delay should not shift the following ticks.
  [[nodiscard]] detail::tick_operation tick() noexcept { return detail::tick_operation(*this); }

  [[nodiscard]] std::chrono::nanoseconds period() const noexcept { return period_; }
  [[nodiscard]] missed_tick missed() const noexcept { return missed_; }
  void set_missed(missed_tick missed) noexcept { missed_ = missed; }
  /// When the next tick is due.
  [[nodiscard]] time_point next() const noexcept { return next_; }

  /// Makes the next tick due one period from now.
  void reset() noexcept { reset_after(period_); }
  void reset_immediately() noexcept { next_ = now(); }
  template <class Rep, class Period>
  void reset_after(std::chrono::duration<Rep, Period> delay) noexcept {
    next_ = detail::deadline_after(detail::saturate(delay));
  }
  void reset_at(time_point at) noexcept { next_ = at; }
  template <detail::other_resolution Duration>
  void reset_at(std::chrono::time_point<clock, Duration> at) noexcept {
    next_ = detail::saturate(at);
  }

 private:
  friend class detail::tick_operation;

  /// Consumes the tick that is due.
  time_point take() noexcept;

  time_point next_;
  std::chrono::nanoseconds period_;
  missed_tick missed_;
};

/// An interval whose first tick is due at `start`. Throws like the constructor.
template <class Rep, class Period>
[[nodiscard]] interval interval_at(std::chrono::steady_clock::time_point start,
                                   std::chrono::duration<Rep, Period> period,
                                   missed_tick missed = missed_tick::burst) {
  return {start, detail::saturate(period), missed};
}
template <detail::other_resolution Duration, class Rep, class Period>
[[nodiscard]] interval interval_at(
    std::chrono::time_point<std::chrono::steady_clock, Duration> start,
    std::chrono::duration<Rep, Period> period, missed_tick missed = missed_tick::burst) {
  return {detail::saturate(start), detail::saturate(period), missed};
}

namespace detail {

inline attempt tick_operation::try_or_wait() noexcept {
  // Timers round up to a millisecond; a tick that is already due need not wait for that.
  return kioto::deadline(ticks_->next_).has_passed() ? attempt::ready : wait_until(ticks_->next_);
}
inline std::chrono::steady_clock::time_point tick_operation::await_resume() noexcept {
  return ticks_->take();
}

}  // namespace detail
}  // namespace kioto
