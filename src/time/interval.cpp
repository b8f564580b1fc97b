// SPDX-License-Identifier: MIT
#include <kioto/time/interval.hpp>

#include <stdexcept>

namespace kioto {

namespace {
constexpr std::chrono::milliseconds late_from{5};
}

interval::interval(time_point start, std::chrono::nanoseconds period, missed_tick missed)
    : next_(start), period_(period), missed_(missed) {
  if (period <= period.zero())
    throw std::invalid_argument("kioto::interval needs a period greater than zero");
}

interval::time_point interval::take() noexcept {
  const time_point due = next_;
  next_ = detail::saturating_add(due, period_);
  if (missed_ == missed_tick::burst) return due;
  const time_point present = now();
  if (present <= detail::saturating_add(due, late_from)) return due;
  std::chrono::nanoseconds to_next = period_;
  if (missed_ == missed_tick::skip) {
    // The distance of any two points in time fits modulo 2^64.
    const auto late = static_cast<std::uint64_t>(present.time_since_epoch().count()) -
                      static_cast<std::uint64_t>(due.time_since_epoch().count());
    const std::uint64_t since_last = late % static_cast<std::uint64_t>(period_.count());
    to_next -= std::chrono::nanoseconds(static_cast<std::int64_t>(since_last));
  }
  next_ = detail::saturating_add(present, to_next);
  return due;
}

}  // namespace kioto
