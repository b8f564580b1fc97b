// SPDX-License-Identifier: MIT
#include <kioto/time/pause.hpp>

#include <stdexcept>

#include <fmt/format.h>

#include "scheduler/core.hpp"

namespace kioto {
namespace detail {
namespace {

runtime_core& core_with_clock(const char* what) {
  runtime_core& core = current_scheduler(what).core();
  if (core.is_multi_thread)
    throw std::logic_error(
        fmt::format("{} was called on a multi-thread runtime, whose clock cannot be paused: test "
                    "with runtime::builder().current_thread() or build_local(), or with "
                    "kioto::testing::paused_runtime()",
                    what));
  return core;
}

}  // namespace

void check_clock_paused(const char* what) {
  if (!core_with_clock(what).clock.is_paused())
    throw std::logic_error(
        fmt::format("{} was called while the clock runs: stop it first with kioto::time::pause(), "
                    "or build the runtime with start_paused()",
                    what));
}

attempt advance_operation::try_or_wait() noexcept {
  if (advanced_) return attempt::ready;
  advanced_ = true;
  runtime_core& core = core_of(*strand_);
  core.clock.advance(by_);
  core.timers.process(core.clock.now());
  return give_way();
}

attempt idle_operation::try_or_wait() noexcept {
  since_ = now();
  scheduler& home = *core_of(*strand_).home;
  return wait([&]() noexcept {
    home.wait_for_idle(*this);
    return true;
  });
}
bool idle_operation::cancel() noexcept { return core_of(*strand_).home->stop_waiting(*this); }

}  // namespace detail

namespace time {

void pause(auto_advance by_itself) {
  detail::runtime_core& core = detail::core_with_clock("kioto::time::pause");
  core.clock.pause(by_itself);
  core.home->wake_all();  // another thread may sleep until the next timer
}

void resume() {
  detail::runtime_core& core = detail::core_with_clock("kioto::time::resume");
  core.clock.resume();
  core.home->release_idle();  // nobody moves the clock for them any more
  core.home->wake_all();
}

}  // namespace time
}  // namespace kioto
