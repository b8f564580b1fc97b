// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include <kioto/config.hpp>

namespace kioto::detail {

/// A lock for critical sections that may be long for a spinlock, but are short for most: it is
/// taken and released in line, by one read-modify-write each, and whoever has to wait sleeps. Works
/// with std::lock_guard and std::unique_lock. Not fair, not recursive.
///
/// After the third mutex of U. Drepper, "Futexes Are Tricky" (2011).
///
/// Invariants:
/// - X1 The lock is held exactly while the word is not `unlocked`. Whoever changes it from that has
///   taken the lock.
/// - X2 Whoever sleeps has seen, or made, the word `contended`, and it stays so until the holder
///   releases the lock. The holder then wakes one sleeper, which makes it `contended` again,
///   whether it gets the lock or not, because it does not know of others. So while somebody sleeps,
///   there is a holder that will wake somebody, or somebody awake who is about to see to that.
///
/// Memory order: taking the lock acquires what releasing it released. The word is only compared by
/// the sleep, which orders nothing, and needs not: the attempt after it is an exchange.
template <class Sync, unsigned SpinLimit>
class basic_mutex {
 public:
  basic_mutex() = default;
  basic_mutex(const basic_mutex&) = delete;
  basic_mutex& operator=(const basic_mutex&) = delete;

  void lock() noexcept {
    if (!try_lock()) [[unlikely]]
      lock_contended();
  }

  [[nodiscard]] bool try_lock() noexcept {
    std::uint32_t expected = unlocked;
    return word_.compare_exchange_strong(expected, locked, std::memory_order_acquire,
                                         std::memory_order_relaxed);
  }

  void unlock() noexcept {
    // The next holder may destroy the mutex: the wake-up needs nothing but the address.
    if (word_.exchange(unlocked, std::memory_order_release) == contended) [[unlikely]]
      Sync::wake_one(word_);
  }

 private:
  static constexpr std::uint32_t unlocked = 0;
  static constexpr std::uint32_t locked = 1;     // and nobody sleeps
  static constexpr std::uint32_t contended = 2;  // and somebody may

  // Looks on for a while, which only reads, because most holders are about to leave.
  KIOTO_NOINLINE void lock_contended() noexcept {
    for (unsigned spins = 0; spins != SpinLimit; ++spins) {
      if (word_.load(std::memory_order_relaxed) == unlocked && try_lock()) return;
      Sync::pause();
    }
    while (word_.exchange(contended, std::memory_order_acquire) != unlocked)
      Sync::wait(word_, contended);
  }

  typename Sync::template atomic<std::uint32_t> word_{unlocked};
};

}  // namespace kioto::detail
