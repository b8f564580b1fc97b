// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <thread>

#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

/// Waits for a moment without sleeping, for what is expected of a thread that is awake. That takes
/// a microsecond; to fall asleep and to be woken takes ten to fifty, and more of two processors
/// than this burns. False: it did not come.
template <class Predicate>
[[nodiscard]] bool wait_briefly(std::chrono::microseconds moment, Predicate&& has_come) noexcept {
  // On the only processor nothing comes as long as this thread is in the way.
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
