// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include <kioto/detail/base/sync_policy.hpp>
#include "base/parker.hpp"
#include "base/wake_flag.hpp"

namespace kioto::detail {

/// Detects workers that are stuck in one task: a thread that looks at them every few milliseconds,
/// and rests while all workers sleep and nothing happens.
///
/// Source: the thread `sysmon` of Go's scheduler.
///
/// Guarantee: while a worker is awake, the stall monitor looks once in a period.
///
/// Why it does not rest too long: a worker that begins first leaves the idle set, and then calls
/// `work_begins()`; the stall monitor sets its flag and then checks whether all are asleep. By
/// `basic_wake_flag` it either sees that they are not, or is woken.
template <class Sync>
class basic_stall_monitor {
 public:
  basic_stall_monitor() = default;
  basic_stall_monitor(const basic_stall_monitor&) = delete;
  basic_stall_monitor& operator=(const basic_stall_monitor&) = delete;

  /// The loop of the thread, until `end()`. `look_round()` says whether anything has happened since
  /// the last time; when nothing has several times in a row, and `all_asleep()`, it rests. A look
  /// may also come early.
  template <class LookRound, class AllAsleep>
  void run(std::chrono::nanoseconds period, LookRound&& look_round, AllAsleep&& all_asleep) {
    unsigned in_vain = 0;
    while (!ended_.load(std::memory_order_relaxed)) {
      if (in_vain == looks_before_rest) {
        in_vain = 0;
        mark_.fall_asleep();
        if (all_asleep()) parker_.park();
        mark_.wake_up();
        continue;
      }
      parker_.park_for(period);
      in_vain = look_round() ? 0 : in_vain + 1;
    }
  }

  /// Called by a worker that has left the idle set, before it runs anything.
  void work_begins() {
    if (mark_.must_wake()) parker_.unpark();
  }

  void end() {
    ended_.store(true, std::memory_order_relaxed);  // published by the wake-up
    parker_.unpark();
  }

 private:
  // So that workers that sleep only for a moment need not wake the stall monitor each time.
  static constexpr unsigned looks_before_rest = 5;

  typename Sync::template atomic<bool> ended_{false};
  basic_wake_flag<Sync> mark_;
  basic_thread_parker<Sync> parker_;
};

using stall_monitor = basic_stall_monitor<std_sync>;

}  // namespace kioto::detail
