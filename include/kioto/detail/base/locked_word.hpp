// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

/// An atomic word that carries its own lock: the state of a primitive that is nearly always changed
/// by one compare-and-swap, and now and then together with a list of waiters.
///
/// The lowest bit is the lock, the others belong to the user. `compare_exchange()` changes the word
/// while it is unlocked. Between `lock()` and `unlock()` no other thread changes it: the holder of
/// the lock works on a copy, and publishes the copy and the end of the critical section in one
/// store. The object is not touched after that store, so a thread that learns from the word that
/// the object is no longer needed may destroy it.
///
/// For critical sections of a few instructions that neither call out nor block. Not fair.
///
/// Memory order: `lock()` acquires and `unlock()` releases, which orders the critical sections;
/// `compare_exchange()` takes the order that its caller needs. A release by `compare_exchange()` is
/// passed on by a later `unlock()`, because the `lock()` before that one acquired it.
template <class Sync>
class basic_locked_word {
 public:
  using word = std::uint64_t;

  static constexpr word locked = 1;

  constexpr explicit basic_locked_word(word initial) noexcept : word_(initial) {}
  basic_locked_word(const basic_locked_word&) = delete;
  basic_locked_word& operator=(const basic_locked_word&) = delete;

  [[nodiscard]] word load(std::memory_order order) const noexcept { return word_.load(order); }

  /// `expected` must not contain the lock bit. May fail spuriously. On failure `expected` is the
  /// value that was read, with memory order `failure`, and may contain the lock bit.
  [[nodiscard]] bool compare_exchange(word& expected, word desired, std::memory_order success,
                                      std::memory_order failure) noexcept {
    return word_.compare_exchange_weak(expected, desired, success, failure);
  }

  /// Takes the lock. Returns the word, without the lock bit.
  [[nodiscard]] word lock() noexcept {
    word now = word_.load(std::memory_order_relaxed);
    for (;;) {
      if ((now & locked) != 0) now = wait_until_unlocked(std::memory_order_relaxed);
      if (word_.compare_exchange_weak(now, now | locked, std::memory_order_acquire,
                                      std::memory_order_relaxed))
        return now;
    }
  }

  /// Ends the critical section and sets the word to `next`, which must not contain the lock bit.
  void unlock(word next) noexcept { word_.store(next, std::memory_order_release); }

  /// Spins until the word is unlocked, and returns it.
  [[nodiscard]] word wait_until_unlocked(std::memory_order order) const noexcept {
    for (unsigned spins = 0;;) {
      // The holder may have been preempted: after a few hundred cycles, only yielding the processor
      // helps.
      if (++spins < spin_limit)
        Sync::pause();
      else
        Sync::yield();
      const word now = word_.load(order);
      if ((now & locked) == 0) return now;
    }
  }

 private:
  static constexpr unsigned spin_limit = 32;

  typename Sync::template atomic<word> word_;
};

}  // namespace kioto::detail
