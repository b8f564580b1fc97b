// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/base/locked_word.hpp>
#include <kioto/detail/base/sync_policy.hpp>
#include <kioto/detail/sync/turn.hpp>

namespace kioto::detail {

/// The state of an attempt to get permits.
enum class grant : std::uint8_t {
  none,     ///< not requested yet, or there are not enough
  queued,   ///< waits in the queue
  granted,  ///< the permits belong to the waiter
  closed,   ///< the semaphore is closed
};

struct semaphore_line_tag {};

/// A waiter of a semaphore. Lives in the operation, and stays in place until `fire()` was called or
/// the wait was cancelled.
template <class Sync>
class basic_semaphore_waiter : public list_node<semaphore_line_tag>, public basic_turn<Sync> {
 public:
  explicit basic_semaphore_waiter(std::size_t wanted) noexcept : wanted_(wanted) {}

  [[nodiscard]] std::size_t wanted() const noexcept { return wanted_; }
  /// For the owner of the waiter, while it is not queued.
  [[nodiscard]] grant state() const noexcept { return state_.get(); }
  void set_state(grant now) noexcept { state_.set(now); }

 private:
  template <class, class>
  friend class basic_semaphore_core;

  std::size_t wanted_;
  typename Sync::template var<std::size_t> missing_{std::size_t{0}};  // guarded while queued
  typename Sync::template var<grant> state_{grant::none};             // guarded while queued
};

/// The counting core of semaphore, mutex, rw_lock, once_cell and set_once. Permits are granted in
/// the order of arrival: a waiter that wants many gathers them at the head of the queue, and no
/// other overtakes it, except for one that was queued before it, was cancelled, and has returned to
/// its place. `Waiter` derives from `basic_semaphore_waiter<Sync>` and has `fire()`, which is the
/// last access to it; it may run the waiter at once or on another thread.
///
/// The word is `permits | queued | closed | lock`.
///
/// Invariants:
/// - S1 *queued* is set exactly while the queue is not empty. Then there are no permits in the
///   word, because the head of the queue has gathered them, and it is not closed. So an attempt
///   that only checks the word cannot overtake the queue.
/// - S2 While *queued* is set, only the holder of the lock changes the word, because every other
///   change needs permits, or takes the lock when it sees *queued*.
/// - S3 Only the head of the queue has gathered permits. If it leaves without them, they go to the
///   next waiters, and what remains goes into the word. If another waiter is inserted in front of
///   it, they go to that one.
/// - S4 A waiter in state *queued* is in the queue, unless *closed* is set: `close()` empties the
///   queue in one step and fires the waiters afterwards. The thread that removes it, under the
///   lock, decides between granting and cancelling.
/// - S5 Waiters are fired without the lock, and the core is not touched after the first of them is
///   fired, or after the permits are in the word: the task that gets them may destroy it.
///
/// Memory order: what happened before `release()` happens before the return of the `acquire` that
/// gets the permit. Permits that pass through the word: release and acquire on it, passed on by the
/// critical sections in between. Permits that pass through the queue: critical sections are ordered
/// among each other, and `fire()` publishes the last one.
///
/// The word with the gathering head comes from Tokio's batch semaphore.
template <class Sync, class Waiter>
class basic_semaphore_core {
  using word = std::uint64_t;

 public:
  /// The maximum number of permits: three bits of the word are used for flags.
  static constexpr std::size_t max_permits = static_cast<std::size_t>(-1) >> 3;

  constexpr explicit basic_semaphore_core(std::size_t permits) noexcept
      : word_(word{permits} << shift) {
    assert(permits <= max_permits);
  }

  /// Takes `n` permits if they are available and no waiter is queued. Returns *granted*, *closed*
  /// or *none*.
  [[nodiscard]] grant try_acquire(std::size_t n) noexcept {
    word now = word_.load(std::memory_order_acquire);
    for (;;) {
      // Both answers are correct even while the lock is held: the holder has not published its
      // change yet, so this attempt comes before it.
      if ((now & closed) != 0) return grant::closed;
      if (n == 0) return grant::granted;
      if ((now >> shift) < n) return grant::none;
      if ((now & locked) != 0) [[unlikely]]
        now = word_.wait_until_unlocked(std::memory_order_acquire);
      else if (word_.compare_exchange(now, now - (word{n} << shift), std::memory_order_acquire,
                                      std::memory_order_acquire))
        return grant::granted;
    }
  }

  /// Queues the waiter: at the end, or at its former place. Returns false if it need not wait, and
  /// then its state says how the attempt ended.
  [[nodiscard]] bool enqueue(Waiter& w) noexcept {
    word now = word_.lock();
    const word wanted = w.wanted();
    const word available = now >> shift;
    if ((now & closed) != 0) {
      w.set_state(grant::closed);
    } else if ((now & queued) == 0 && available >= wanted) {
      w.set_state(grant::granted);
      now -= wanted << shift;
    } else {
      // If others are queued there is nothing to gather (S1).
      w.missing_.set(static_cast<std::size_t>(wanted - available));
      w.set_state(grant::queued);
      Waiter* const head = line_.front();
      if (!enter_line<Sync>(line_, w)) [[likely]] {
        word_.unlock(queued);
        return true;
      }
      const word gathered = head->wanted() - head->missing_.get();
      head->missing_.set(head->wanted());
      line served;  // at most the new head: the old one wants more than was gathered
      word_.unlock(hand_out(gathered, served));
      return served.pop_front() == nullptr;
    }
    word_.unlock(now);
    return false;
  }

  /// Removes a waiter from the queue; the permits that it has gathered go to the next. Returns
  /// false if it has been fired, or is about to be, and its permits belong to it.
  [[nodiscard]] bool cancel(Waiter& w) noexcept {
    const word now = word_.lock();
    // Check `closed` before the state, because after close() the state is written without the lock.
    if ((now & closed) != 0 || w.state() != grant::queued) {
      word_.unlock(now);
      return false;
    }
    line::erase(w);
    w.set_state(grant::none);
    line due;
    word_.unlock(hand_out(word{w.wanted()} - w.missing_.get(), due));
    fire(due);
    return true;
  }

  /// Gives back `n` permits, or adds them.
  void release(std::size_t n) noexcept {
    word now = word_.load(std::memory_order_relaxed);
    while ((now & (locked | queued)) == 0) {
      assert(n <= max_permits - (now >> shift) && "more permits than a semaphore can have");
      if (word_.compare_exchange(now, now + (word{n} << shift), std::memory_order_release,
                                 std::memory_order_relaxed))
        return;
    }
    release_to_line(n);
  }

  /// Removes up to `n` permits for good. Returns how many were removed.
  std::size_t forget(std::size_t n) noexcept {
    word now = word_.load(std::memory_order_relaxed);
    for (;;) {
      if ((now & locked) != 0) now = word_.wait_until_unlocked(std::memory_order_relaxed);
      const word taken = std::min<word>(now >> shift, n);
      if (taken == 0) return 0;
      // Acquire, because the caller now owns what the permits protected.
      if (word_.compare_exchange(now, now - (taken << shift), std::memory_order_acquire,
                                 std::memory_order_relaxed))
        return static_cast<std::size_t>(taken);
    }
  }

  /// From now on no permits are granted, and the waiters are fired. Permits can still be given
  /// back. Returns false if it was already closed.
  bool close() noexcept {
    const word now = word_.lock();
    if ((now & closed) != 0) {
      word_.unlock(now);
      return false;
    }
    line due;
    word next = now | closed;
    if ((now & queued) != 0) {
      const Waiter& head = *line_.front();
      next = closed | (word{head.wanted()} - head.missing_.get()) << shift;
      due.splice_back(line_);
    }
    word_.unlock(next);
    due.consume([](Waiter& w) noexcept {
      w.set_state(grant::closed);
      w.fire();
    });
    return true;
  }

  [[nodiscard]] bool is_closed() const noexcept {
    return (word_.load(std::memory_order_acquire) & closed) != 0;
  }
  /// The number of permits that are not held, excluding those that the head of the queue has
  /// gathered.
  [[nodiscard]] std::size_t available() const noexcept {
    return static_cast<std::size_t>(word_.load(std::memory_order_acquire) >> shift);
  }

 private:
  using line = intrusive_list<Waiter, semaphore_line_tag>;

  static constexpr word locked = basic_locked_word<Sync>::locked;
  static constexpr word queued = 2;
  static constexpr word closed = 4;
  static constexpr unsigned shift = 3;

  void release_to_line(std::size_t n) noexcept {
    line due;
    const word now = word_.lock();
    if ((now & queued) != 0)
      word_.unlock(hand_out(n, due));
    else
      word_.unlock(now + (word{n} << shift));
    fire(due);
  }

  // Called with the lock held and *queued* set: grants `n` permits to the queue, in order, and
  // moves the served waiters to `due`. Returns the new word.
  [[nodiscard]] word hand_out(word n, line& due) noexcept {
    Waiter* head = line_.front();
    while (head != nullptr && n != 0) {
      const word given = std::min<word>(n, head->missing_.get());
      head->missing_.set(static_cast<std::size_t>(head->missing_.get() - given));
      n -= given;
      if (head->missing_.get() != 0) break;
      head->set_state(grant::granted);
      line::erase(*head);
      due.push_back(*head);
      head = line_.front();
    }
    return head != nullptr ? queued : n << shift;
  }

  static void fire(line& due) noexcept {
    due.consume([](Waiter& w) noexcept { w.fire(); });
  }

  basic_locked_word<Sync> word_;
  line line_;
};

}  // namespace kioto::detail
