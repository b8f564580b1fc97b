// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

namespace kioto_test {

/// A flag that a task, a thread and a test share; whoever drops it last frees it.
using flag = std::shared_ptr<std::atomic<bool>>;

inline flag make_flag() { return std::make_shared<std::atomic<bool>>(false); }

/// Blocks the thread until the flag is raised; false if that does not happen.
inline bool comes_true(const std::atomic<bool>& f,
                       std::chrono::milliseconds limit = std::chrono::seconds(20)) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!f.load() && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return f.load();
}

}  // namespace kioto_test
