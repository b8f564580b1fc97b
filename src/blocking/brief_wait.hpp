// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <thread>

#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

/// Spins for a moment, for something that a thread that is awake is about to do. That takes a
/// microsecond; falling asleep and being woken takes ten to fifty, and more time of two processors
/// than spinning costs. False if it did not happen.
template <class Predicate>
[[nodiscard]] bool wait_briefly(std::chrono::microseconds moment, Predicate&& has_come) noexcept {
  // On a single processor nothing can happen while this thread occupies it.
  static const bool is_alone = std::thread::hardware_concurrency() == 1;
  if (is_alone) return false;
  const auto end = std::chrono::steady_clock::now() + moment;
  do {
    for (int i = 0; i != 16; ++i) {
      if (has_come()) return true;
      std_sync::pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

}  // namespace kioto::detail
