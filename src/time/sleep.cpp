// SPDX-License-Identifier: MIT
#include <kioto/time/sleep.hpp>

#include <kioto/timeout.hpp>

#include "scheduler/core.hpp"

namespace kioto {
namespace detail {

attempt timer_operation::wait_until_tick(std::uint64_t tick) noexcept {
  runtime_core& core = core_of(*strand_);
  timer_insert inserted = timer_insert::elapsed;
  const attempt result = wait([&]() noexcept {
    inserted = core.timers.insert(*this, tick);
    return inserted != timer_insert::elapsed;
  });
  // Past `wait` this object may be gone; the core is not, because a thread of it is here.
  if (inserted == timer_insert::inserted_earliest) core.home->timer_moved_up();
  if (result == attempt::ready && cancelled_by_shutdown()) return attempt::stopped;
  return result;
}

// The system's clock is the same for all, and never goes back. An altered one may be behind the one
// that the caller looked at; it is compared by its ticks.
bool timer_operation::is_over_here() const noexcept {
  const runtime_core& core = core_of(*strand_);
  return !core.clock.is_altered() || deadline() <= core.timers.tick_at_or_before(core.clock.now());
}

bool timer_operation::cancel() noexcept {
  runtime_core& core = core_of(*strand_);
  // In a child of fork(), the timers of the parent never fire, and may be locked for ever. Tasks
  // do not run there, but who has a standing wait may go. Whatever a thread that does not exist
  // there was doing to the list, its neighbours in it are there for ever.
  if (is_standing(*this) && core.process.is_inherited()) [[unlikely]] {
    if (is_linked()) timer_list::erase(*this);
    return true;
  }
  return core.timers.cancel(*this);
}

void throw_timeout() { throw timeout_error(); }

}  // namespace detail

timeout_error::timeout_error()
    : std::runtime_error("kioto: the operation did not end before its deadline") {}

}  // namespace kioto
