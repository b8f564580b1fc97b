// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include <kioto/detail/base/event_waiters.hpp>

namespace kioto::detail {

/// The number of tasks of a tracker, whether it is closed, and the waiters for "closed and empty".
///
/// Invariants:
/// - T1 One word holds the number and the flag. It becomes *closed and empty* only under the lock
///   of the waiters, which are taken in the same critical section.
/// - T2 A waiter links itself only after it has seen under that lock that the word is not *closed
///   and empty*. So it is woken the next time that the word becomes so, and never for an earlier
///   time, whose waiters are still being woken.
///
/// Memory order: `leave()` releases what the task did; the chain of read-modify-writes passes on
/// what earlier ones released; a reader that sees *closed and empty* acquires it.
template <class Sync, class Waiter>
class basic_tracker_count {
 public:
  using list = typename basic_event_waiters<Sync, Waiter>::list;

  basic_tracker_count() : word_(std::size_t{0}) {}
  basic_tracker_count(const basic_tracker_count&) = delete;
  basic_tracker_count& operator=(const basic_tracker_count&) = delete;

  void enter() noexcept { word_.fetch_add(one, std::memory_order_relaxed); }

  /// Appends to `woken` the waiters that the caller has to wake.
  void leave(list& woken) noexcept {
    std::size_t now = word_.load(std::memory_order_relaxed);
    while (now != (one | closed)) {
      if (word_.compare_exchange_weak(now, now - one, std::memory_order_acq_rel,
                                      std::memory_order_relaxed))
        return;
    }
    waiters_.take_all(woken, [this] {
      return word_.fetch_sub(one, std::memory_order_acq_rel) == (one | closed);
    });
  }
  /// Closes it, and appends to `woken` as above. Returns false if it was already closed.
  bool close(list& woken) noexcept {
    std::size_t before = 0;
    waiters_.take_all(woken, [&] {
      before = word_.fetch_or(closed, std::memory_order_acq_rel);
      return before == 0;
    });
    return (before & closed) == 0;
  }
  bool reopen() noexcept {
    return (word_.fetch_and(~closed, std::memory_order_acq_rel) & closed) != 0;
  }

  [[nodiscard]] bool add(Waiter& waiter) noexcept {
    return waiters_.add(waiter, [this] { return !is_over(); });
  }
  [[nodiscard]] bool remove(Waiter& waiter) noexcept { return waiters_.remove(waiter); }

  [[nodiscard]] bool is_over() const noexcept {
    return word_.load(std::memory_order_acquire) == closed;
  }
  [[nodiscard]] bool is_closed() const noexcept {
    return (word_.load(std::memory_order_acquire) & closed) != 0;
  }
  [[nodiscard]] std::size_t size() const noexcept {
    return word_.load(std::memory_order_acquire) / one;
  }

 private:
  static constexpr std::size_t closed = 1;
  static constexpr std::size_t one = 2;

  typename Sync::template atomic<std::size_t> word_;
  basic_event_waiters<Sync, Waiter> waiters_;
};

}  // namespace kioto::detail
