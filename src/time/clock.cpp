// SPDX-License-Identifier: MIT
#include <kioto/time/clock.hpp>

#include "scheduler/core.hpp"

namespace kioto::detail {

std::chrono::steady_clock::time_point now_of_this_runtime() noexcept {
  const runtime_core* core = this_thread().runtime;
  return core != nullptr ? core->clock.now() : std::chrono::steady_clock::now();
}

}  // namespace kioto::detail
