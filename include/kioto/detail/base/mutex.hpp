// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include <kioto/config.hpp>

namespace kioto::detail {

/// A lock for critical sections that are usually short, but may be too long for a spinlock: it is
/// taken and released inline, by one read-modify-write each, and waiting threads sleep. Works with
/// std::lock_guard and std::unique_lock. Not fair, not recursive.
///
/// After the third mutex of U. Drepper, "Futexes Are Tricky" (2011).
///
/// Invariants:
/// - X1 The lock is held exactly while the word is not `unlocked`. The thread that changes it from
///   `unlocked` has taken the lock.
/// - X2 A sleeping thread has seen the word `contended`, or set it, and it stays so until the
///   holder releases the lock. The holder then wakes one sleeper, which sets the word to
///   `contended` again, whether or not it gets the lock, because it does not know whether others
///   sleep. So while a thread sleeps, there is either a holder that will wake a sleeper, or a woken
///   thread that is about to set `contended`.
///
/// Memory order: taking the lock acquires what releasing it released. The sleep only compares the
/// word and orders nothing, which is enough, because the attempt after it is an exchange with
/// acquire.
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
    // The next holder may destroy the mutex: the wake-up uses only the address.
    if (word_.exchange(unlocked, std::memory_order_release) == contended) [[unlikely]]
      Sync::wake_one(word_);
  }

 private:
  static constexpr std::uint32_t unlocked = 0;
  static constexpr std::uint32_t locked = 1;     // and no thread sleeps
  static constexpr std::uint32_t contended = 2;  // and a thread may sleep

  // First spins for a while, only reading, because most holders are about to release the lock.
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
