// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>

#include <kioto/config.hpp>
#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

/// A one-byte lock for critical sections of a few instructions that neither call other code nor
/// block. Works with std::lock_guard and std::unique_lock. Not fair, not recursive.
template <class Sync>
class basic_spinlock {
 public:
  basic_spinlock() = default;
  basic_spinlock(const basic_spinlock&) = delete;
  basic_spinlock& operator=(const basic_spinlock&) = delete;

  // Acquire here and release in unlock() order the critical sections.
  void lock() noexcept {
    if (locked_.exchange(true, std::memory_order_acquire)) [[unlikely]]
      lock_contended();
  }

  [[nodiscard]] bool try_lock() noexcept {
    return !locked_.load(std::memory_order_relaxed) &&
           !locked_.exchange(true, std::memory_order_acquire);
  }

  void unlock() noexcept { locked_.store(false, std::memory_order_release); }

 private:
  static constexpr unsigned spin_limit = 32;

  // Out of line, so that the callers stay small. The inner loop only reads, so that waiters share
  // the cache line until another attempt is worthwhile; its loads are relaxed, because only the
  // exchange that takes the lock has to acquire.
  KIOTO_NOINLINE void lock_contended() noexcept {
    do {
      unsigned spins = 0;
      while (locked_.load(std::memory_order_relaxed)) {
        // The holder may have been preempted: after a few hundred cycles, only yielding the
        // processor helps.
        if (++spins < spin_limit)
          Sync::pause();
        else
          Sync::yield();
      }
    } while (locked_.exchange(true, std::memory_order_acquire));
  }

  typename Sync::template atomic<bool> locked_{false};
};

using spinlock = basic_spinlock<std_sync>;

}  // namespace kioto::detail
