// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>

namespace kioto::detail {

/// Measures time in ticks of one millisecond since a start.
///
/// Arithmetic saturates: a point in time out of range never comes. All runtimes share one grid
/// (`since_beginning`), so that a deadline that was rounded for one of them is not rounded again
/// for another.
class tick_grid {
 public:
  using clock = std::chrono::steady_clock;

  explicit tick_grid(clock::time_point start) noexcept : start_(start) {}

  /// The grid that all runtimes share.
  [[nodiscard]] static tick_grid since_beginning() noexcept {
    return tick_grid(clock::time_point());
  }

  [[nodiscard]] std::uint64_t tick_at_or_after(clock::time_point t) const noexcept {
    if (t <= start_) return 0;
    const std::uint64_t ns = nanoseconds_since_start(t);
    return ns / tick_ns + (ns % tick_ns != 0 ? 1 : 0);
  }
  [[nodiscard]] std::uint64_t tick_at_or_before(clock::time_point t) const noexcept {
    return t <= start_ ? 0 : nanoseconds_since_start(t) / tick_ns;
  }
  /// The point in time at which a tick begins; the last one of the clock if it is out of range.
  [[nodiscard]] clock::time_point time_of(std::uint64_t tick) const noexcept {
    constexpr auto last = clock::time_point::max();
    if (tick > nanoseconds_since_start(last) / tick_ns) return last;
    const auto ns = static_cast<std::int64_t>(to_ns(start_) + tick * tick_ns);
    return clock::time_point(
        std::chrono::duration_cast<clock::duration>(std::chrono::nanoseconds(ns)));
  }

 private:
  static constexpr std::uint64_t tick_ns = 1'000'000;

  // Differences are computed modulo 2^64, which covers the distance of any two points in time.
  [[nodiscard]] static std::uint64_t to_ns(clock::time_point t) noexcept {
    return static_cast<std::uint64_t>(std::chrono::nanoseconds(t.time_since_epoch()).count());
  }
  [[nodiscard]] std::uint64_t nanoseconds_since_start(clock::time_point t) const noexcept {
    return to_ns(t) - to_ns(start_);
  }

  clock::time_point start_;
};

}  // namespace kioto::detail
