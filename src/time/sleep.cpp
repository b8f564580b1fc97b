// SPDX-License-Identifier: MIT
#include <kioto/time/sleep.hpp>

#include <kioto/timeout.hpp>

#include "../runtime/core.hpp"

namespace kioto {
namespace detail {

attempt sleep_operation::try_or_wait() noexcept {
  runtime_core& core = context_->task().scheduler_->core();
  timer_insert inserted = timer_insert::elapsed;
  fire = &sleep_operation::fired;
  const attempt result = wait([&]() noexcept {
    inserted = core.timers.insert(*this, deadline_);
    return inserted != timer_insert::elapsed;
  });
  // Past `wait` this object may be gone; the core is not, because a thread of it is here.
  if (inserted == timer_insert::inserted_earliest) core.home->timer_moved_up();
  if (result == attempt::ready && cancelled_by_shutdown) return attempt::stopped;
  return result;
}

bool sleep_operation::cancel() noexcept {
  return context_->task().scheduler_->core().timers.cancel(*this);
}

void sleep_operation::fired(timer_node* node) noexcept {
  auto& self = *static_cast<sleep_operation*>(node);
  self.stopped_ = self.cancelled_by_shutdown;
  complete(self);
}

void throw_timeout() { throw timeout_error(); }

}  // namespace detail

timeout_error::timeout_error()
    : std::runtime_error("kioto: the operation did not end before its deadline") {}

}  // namespace kioto
