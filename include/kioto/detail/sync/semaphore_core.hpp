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

/// What came of the attempt to get permits.
enum class grant : std::uint8_t {
  none,     ///< not asked yet, or there are not enough
  queued,   ///< waits in line
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
  /// The owner of the waiter, while it is not in line.
  [[nodiscard]] grant state() const noexcept { return state_.get(); }
  void set_state(grant now) noexcept { state_.set(now); }

 private:
  template <class, class>
  friend class basic_semaphore_core;

  std::size_t wanted_;
  typename Sync::template var<std::size_t> missing_{std::size_t{0}};  // guarded while in line
  typename Sync::template var<grant> state_{grant::none};             // guarded while in line
};

/// The counting core of semaphore, mutex, rw_lock, once_cell and set_once. Permits are handed out
/// in the order of arrival: a waiter that wants many gathers them at the head of the line, and
/// nobody overtakes it, but for one that was there before, was cancelled, and is back. `Waiter`
/// derives from `basic_semaphore_waiter<Sync>` and has `fire()`, which is the last access to it; it
/// may run the waiter at once or on another thread.
///
/// The word is `permits | queued | closed | lock`.
///
/// Invariants:
/// - S1 *queued* is set exactly while the line is not empty. Then there are no permits in the word,
///   and it is not closed: the head of the line has gathered what there was. So an attempt that
///   does not look at the line cannot overtake it.
/// - S2 While *queued* is set, only the holder of the lock changes the word, because every other
///   change needs permits, or goes to the line when it sees *queued*.
/// - S3 Only the head of the line has gathered permits. When it leaves without them, they go to the
///   next in line, and what nobody wants goes into the word. When another one comes in front of it,
///   that has them.
/// - S4 A waiter in state *queued* is in the line, unless *closed* is set: `close()` empties the
///   line in one step and tells the waiters afterwards. Whoever takes it out, under the lock,
///   decides between the permits and the cancellation.
/// - S5 Waiters are fired without the lock, and nothing of the core is touched after the first of
///   them, or after the permits are in the word: whoever gets them may destroy it.
///
/// Memory order: what happened before `release()` happens before the return of the `acquire` that
/// gets the permit. Through the word: release and acquire on it, passed on by the critical sections
/// between. Through the line: those are ordered among each other, and `fire()` publishes the last.
///
/// The word with the gathering head comes from Tokio's batch semaphore.
template <class Sync, class Waiter>
class basic_semaphore_core {
  using word = std::uint64_t;

 public:
  /// More permits than this make no sense, and three bits are taken.
  static constexpr std::size_t max_permits = static_cast<std::size_t>(-1) >> 3;

  constexpr explicit basic_semaphore_core(std::size_t permits) noexcept
      : word_(word{permits} << shift) {
    assert(permits <= max_permits);
  }

  /// Takes `n` permits if they are there and nobody is in line: *granted*, *closed* or *none*.
  [[nodiscard]] grant try_acquire(std::size_t n) noexcept {
    word now = word_.load(std::memory_order_acquire);
    for (;;) {
      // Both answers are right also while somebody holds the lock: he has not decided yet.
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

  /// Puts the waiter in line: at its end, or where it has been before. False: that was not
  /// necessary, and the state of the waiter says how it ended.
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
      // With others in line there is nothing to gather (S1).
      w.missing_.set(static_cast<std::size_t>(wanted - available));
      w.set_state(grant::queued);
      Waiter* const head = line_.front();
      if (!enter_line<Sync>(line_, w)) [[likely]] {
        word_.unlock(queued);
        return true;
      }
      const word gathered = head->wanted() - head->missing_.get();
      head->missing_.set(head->wanted());
      line served;  // at most the new head: the one behind it wants more than there is
      word_.unlock(hand_out(gathered, served));
      return served.pop_front() == nullptr;
    }
    word_.unlock(now);
    return false;
  }

  /// Takes a waiter out of the line; what it has gathered goes on. False: it has been fired, or is
  /// about to be, and its permits belong to it.
  [[nodiscard]] bool cancel(Waiter& w) noexcept {
    const word now = word_.lock();
    // Not the state first: after close() it is written without the lock.
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

  /// Gives `n` permits back, or adds them.
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

  /// Takes up to `n` permits away for good. Returns how many there were.
  std::size_t forget(std::size_t n) noexcept {
    word now = word_.load(std::memory_order_relaxed);
    for (;;) {
      if ((now & locked) != 0) now = word_.wait_until_unlocked(std::memory_order_relaxed);
      const word taken = std::min<word>(now >> shift, n);
      if (taken == 0) return 0;
      // Acquires, because what the permits protected is the caller's now.
      if (word_.compare_exchange(now, now - (taken << shift), std::memory_order_acquire,
                                 std::memory_order_relaxed))
        return static_cast<std::size_t>(taken);
    }
  }

  /// From now on nobody gets permits; who waits is told. Permits can still be given back. False: it
  /// was closed already.
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
  /// What nobody holds, without what the head of the line has gathered.
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

  // Under the lock, and *queued* was set: gives `n` permits to the line, in order, and moves who is
  // served to `due`. Returns the word to go on with.
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
