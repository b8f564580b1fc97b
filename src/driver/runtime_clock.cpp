// SPDX-License-Identifier: MIT
#include "driver/runtime_clock.hpp"

#include <kioto/time/deadline.hpp>

namespace kioto::detail {

std::atomic<std::uint32_t> altered_clocks{0};

namespace {
constexpr auto last_whole_millisecond =
    std::chrono::floor<std::chrono::milliseconds>(runtime_clock::clock::time_point::max());
}

runtime_clock::~runtime_clock() {
  if (mode_.load(std::memory_order_relaxed) != mode::system)
    altered_clocks.fetch_sub(1, std::memory_order_relaxed);
}

runtime_clock::clock::time_point runtime_clock::now_locked() const noexcept {
  switch (mode_.load(std::memory_order_relaxed)) {
    case mode::system:
      break;
    case mode::paused:
      return stands_at_;
    case mode::shifted:
      return saturating_add(clock::now(), offset_);
  }
  return clock::now();
}

runtime_clock::clock::time_point runtime_clock::altered_now() const noexcept {
  const std::lock_guard lock(mutex_);
  return now_locked();
}

bool runtime_clock::advances_by_itself() const noexcept {
  const std::lock_guard lock(mutex_);
  return is_paused() && advances_by_itself_;
}

void runtime_clock::pause(auto_advance by_itself) noexcept {
  const std::lock_guard lock(mutex_);
  advances_by_itself_ = by_itself == auto_advance::on;
  if (is_paused()) return;
  // Stops at a whole millisecond, where the ticks are: so what a test measures does not depend on
  // the moment at which it started.
  stands_at_ = now_locked();
  if (stands_at_ <= last_whole_millisecond)
    stands_at_ = std::chrono::ceil<std::chrono::milliseconds>(stands_at_);
  if (mode_.load(std::memory_order_relaxed) == mode::system)
    altered_clocks.fetch_add(1, std::memory_order_relaxed);
  mode_.store(mode::paused, std::memory_order_relaxed);
}

void runtime_clock::resume() noexcept {
  const std::lock_guard lock(mutex_);
  if (!is_paused()) return;
  offset_ = stands_at_ - clock::now();
  mode_.store(mode::shifted, std::memory_order_relaxed);
}

bool runtime_clock::advance(std::chrono::nanoseconds by) noexcept {
  const std::lock_guard lock(mutex_);
  if (!is_paused()) return false;
  if (by > std::chrono::nanoseconds::zero()) stands_at_ = saturating_add(stands_at_, by);
  return true;
}

void runtime_clock::advance_to(clock::time_point at) noexcept {
  const std::lock_guard lock(mutex_);
  if (is_paused() && at > stands_at_) stands_at_ = at;
}

}  // namespace kioto::detail
