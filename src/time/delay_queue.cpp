// SPDX-License-Identifier: MIT
#include <kioto/time/delay_queue.hpp>

#include <stdexcept>
#include <string>

namespace kioto::detail {

void throw_no_such_delay(const char* what) {
  throw std::out_of_range(std::string("kioto::delay_queue::") + what +
                          ": there is no entry with this key; it has expired or was removed");
}

void throw_too_many_delays() {
  throw std::length_error("a kioto::delay_queue has 2^32 entries: that is the most");
}

void delay_wheel::insert(timer_node& timer, std::chrono::steady_clock::time_point at,
                         bool has_passed) noexcept {
  // Those that are due by now come before one that has only just passed.
  if (has_passed || wheel_.empty()) wheel_.advance(grid_.tick_at_or_before(now()), due_);
  const std::uint64_t tick = has_passed ? wheel_.now() : grid_.tick_at_or_after(at);
  const bool is_due = !wheel_.insert(timer, tick);
  if (is_due) due_.push_back(timer);
  if (is_due || tick < waits_for_) wake();
}

void delay_wheel::move(timer_node& timer, std::chrono::steady_clock::time_point to,
                       bool has_passed) noexcept {
  wheel_.remove(timer);
  insert(timer, to, has_passed);
}

void delay_wheel::remove(timer_node& timer) noexcept {
  wheel_.remove(timer);  // or from `due_`
  if (empty()) wake();
}

timer_node* delay_wheel::due() noexcept {
  wheel_.advance(grid_.tick_at_or_before(now()), due_);
  return due_.front();
}

timer_node* delay_wheel::first() noexcept {
  timer_node* found = due_.front();
  return found != nullptr ? found : wheel_.earliest();
}

void delay_wheel::wake() noexcept {
  if (waiter_ != nullptr) waiter_->wake_early();
}

attempt delay_waiter::wait_for_first(delay_wheel& wheel, bool stays) noexcept {
  for (;;) {
    leave();
    if (wheel.due() != nullptr || (wheel.empty() && !stays)) return attempt::ready;
    wheel.waits_for_ = wheel.wheel_.next_expiration();  // of an empty wheel: never
    enter(wheel);
    const attempt result = wait_until(wheel.grid_.time_of(wheel.waits_for_));
    if (result == attempt::suspended) return result;  // this may be gone
    if (result == attempt::stopped) {
      leave();
      return result;
    }
  }
}

}  // namespace kioto::detail
