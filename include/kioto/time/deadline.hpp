// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <compare>

#include <kioto/detail/base/saturating.hpp>
#include <kioto/time/clock.hpp>

namespace kioto {
namespace detail {

/// The point in time `delay` from now, by the clock of the runtime.
inline std::chrono::steady_clock::time_point deadline_after(
    std::chrono::nanoseconds delay) noexcept {
  return saturating_add(now(), delay);
}

}  // namespace detail

/// A point in time by which something has to be done. It saturates: a duration that the clock
/// cannot represent makes a deadline that never comes, and a deadline that has passed has zero time
/// remaining.
///
/// Converts to the time point that `timeout`, `sleep_until` and the standard library take. One
/// deadline for several operations bounds them together:
///
///     const auto limit = deadline::after(5s);
///     auto head = co_await timeout(limit, read_head(stream));
///     auto body = co_await timeout(limit, read_body(stream, head));
///
/// Time is that of `kioto::now()`, so deadlines stand still with a paused clock.
class deadline {
 public:
  using clock = std::chrono::steady_clock;
  using time_point = clock::time_point;

  /// A deadline that never comes.
  constexpr deadline() noexcept = default;
  constexpr deadline(time_point at) noexcept : time_(at) {}
  template <detail::other_resolution Duration>
  constexpr deadline(std::chrono::time_point<clock, Duration> at) noexcept
      : time_(detail::saturate(at)) {}

  [[nodiscard]] static constexpr deadline never() noexcept { return {}; }
  /// `delay` from now. One that is not positive makes a deadline that has passed.
  template <class Rep, class Period>
  [[nodiscard]] static deadline after(std::chrono::duration<Rep, Period> delay) noexcept {
    return detail::deadline_after(detail::saturate(delay));
  }

  [[nodiscard]] constexpr time_point time() const noexcept { return time_; }
  constexpr operator time_point() const noexcept { return time_; }

  [[nodiscard]] constexpr bool is_never() const noexcept { return time_ == time_point::max(); }
  [[nodiscard]] bool has_passed() const noexcept { return !is_never() && now() >= time_; }
  /// Zero once it has passed; `nanoseconds::max()` if it never comes.
  [[nodiscard]] std::chrono::nanoseconds remaining() const noexcept {
    if (is_never()) return std::chrono::nanoseconds::max();
    const time_point present = now();
    if (time_ <= present) return std::chrono::nanoseconds::zero();
    const std::chrono::nanoseconds to_the_end = clock::duration::max();
    const bool fits = present >= time_point() || time_ <= present + to_the_end;
    return fits ? time_ - present : to_the_end;
  }

  friend constexpr auto operator<=>(const deadline&, const deadline&) noexcept = default;

 private:
  time_point time_ = time_point::max();
};

}  // namespace kioto
