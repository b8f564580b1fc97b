// SPDX-License-Identifier: MIT
#pragma once

// Time arithmetic that does not overflow for any argument.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <type_traits>

namespace kioto::detail {

/// Converts a duration to nanoseconds, rounded up. A value out of range becomes the nearest limit
/// of the range, and NaN the lowest.
template <class Rep, class Period>
constexpr std::chrono::nanoseconds saturating_nanoseconds(
    std::chrono::duration<Rep, Period> d) noexcept {
  using std::chrono::nanoseconds;
  constexpr std::uintmax_t per_second = 1'000'000'000;
  constexpr auto last = static_cast<std::uintmax_t>(nanoseconds::max().count());
  // One unit is num * per_second / den nanoseconds. std::ratio_divide would refuse units that are
  // longer than the range, and std::chrono::ceil overflows in intermediate results.
  constexpr auto num = static_cast<std::uintmax_t>(Period::num);
  constexpr auto common = std::gcd(per_second, static_cast<std::uintmax_t>(Period::den));
  constexpr std::uintmax_t times = per_second / common;
  constexpr std::uintmax_t den = static_cast<std::uintmax_t>(Period::den) / common;
  constexpr bool is_exact = std::is_integral_v<Rep> && sizeof(Rep) <= sizeof(std::uintmax_t) &&
                            num <= ~std::uintmax_t{0} / times && den <= 0xffff'ffffU;
  if constexpr (is_exact) {
    constexpr std::uintmax_t unit = num * times;
    bool is_negative = false;
    if constexpr (std::is_signed_v<Rep>) is_negative = d.count() < 0;
    const auto bits = static_cast<std::uintmax_t>(d.count());
    const std::uintmax_t count = is_negative ? 0 - bits : bits;
    // count * unit / den, in parts that fit.
    const std::uintmax_t whole = count / den;
    const std::uintmax_t rest = count % den;
    const std::uintmax_t product = rest * (unit % den);
    const bool is_rounded = !is_negative && product % den != 0;
    const std::uintmax_t part = rest * (unit / den) + product / den + (is_rounded ? 1 : 0);
    if (whole > last / unit || part > last - whole * unit)
      return is_negative ? nanoseconds::min() : nanoseconds::max();
    const auto magnitude = static_cast<nanoseconds::rep>(whole * unit + part);
    return nanoseconds(is_negative ? -magnitude : magnitude);
  } else {
    using wide = std::conditional_t<std::is_floating_point_v<Rep>, std::common_type_t<Rep, double>,
                                    long double>;
    constexpr auto end = static_cast<wide>(std::uintmax_t{1} << 63);
    const wide ns = static_cast<wide>(d.count()) *
                    (static_cast<wide>(Period::num) * static_cast<wide>(per_second) /
                     static_cast<wide>(Period::den));
    if (!(ns > -end)) return nanoseconds::min();  // also for NaN
    if (ns >= end) return nanoseconds::max();
    const nanoseconds cut(static_cast<nanoseconds::rep>(ns));
    const bool is_cut = static_cast<wide>(cut.count()) < ns && cut != nanoseconds::max();
    return is_cut ? cut + nanoseconds(1) : cut;
  }
}

/// Converts a waiting time: as `saturating_nanoseconds`, but negative durations become zero.
template <class Rep, class Period>
constexpr std::chrono::nanoseconds saturate(std::chrono::duration<Rep, Period> delay) noexcept {
  return std::max(saturating_nanoseconds(delay), std::chrono::nanoseconds::zero());
}
/// Converts a point in time of any resolution, rounded up to that of the clock.
template <class Duration>
constexpr std::chrono::steady_clock::time_point saturate(
    std::chrono::time_point<std::chrono::steady_clock, Duration> at) noexcept {
  return std::chrono::steady_clock::time_point(saturating_nanoseconds(at.time_since_epoch()));
}
/// A resolution other than that of the clock, from which a conversion could overflow.
template <class Duration>
concept other_resolution = !std::is_same_v<Duration, std::chrono::steady_clock::duration>;

constexpr std::chrono::steady_clock::time_point saturating_add(
    std::chrono::steady_clock::time_point from, std::chrono::nanoseconds delay) noexcept {
  using time_point = std::chrono::steady_clock::time_point;
  // If the sum is out of range, the limit minus the delay is not.
  if (delay > delay.zero() && from > time_point::max() - delay) return time_point::max();
  if (delay < delay.zero() && from < time_point::min() - delay) return time_point::min();
  return from + delay;
}

/// A duration in whole units that are longer than a second.
template <class Duration>
concept coarser_than_seconds = !std::is_same_v<Duration, std::chrono::seconds> &&
                               requires(Duration d) { std::chrono::seconds(d.count()); } &&
                               std::is_convertible_v<Duration, std::chrono::seconds>;
template <coarser_than_seconds Duration>
constexpr std::chrono::seconds saturating_seconds(Duration d) noexcept {
  return std::chrono::floor<std::chrono::seconds>(saturating_nanoseconds(d));
}

}  // namespace kioto::detail
