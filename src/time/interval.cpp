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
  if (present - due <= late_from) return due;
  next_ = detail::saturating_add(present, period_);
  if (missed_ == missed_tick::skip && next_ != time_point::max())
    next_ -= (present - due) % period_;
  return due;
}

}  // namespace kioto
