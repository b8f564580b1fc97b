// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/base/locked_word.hpp>
#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

/// The state of a waiter of a `basic_notify_core`.
enum class notice : std::uint8_t {
  none,       ///< not queued yet
  enabled,    ///< queued, but not awaited: a notification is only recorded
  waiting,    ///< queued and awaited: fired when notified
  one_first,  ///< notified by notify_one()
  one_last,   ///< notified by notify_last()
  all,        ///< notified by notify_all()
};

struct notify_line_tag {};

/// A waiter of a `basic_notify_core`. Stays in place from `enable()` or `wait()` until `leave()`,
/// and while it waits until `fire()` was called or `give_up()` succeeded.
template <class Sync>
class basic_notify_waiter : public list_node<notify_line_tag> {
 public:
  basic_notify_waiter() = default;
  /// Takes over from one that has not been queued; it counts as existing since that one was
  /// created.
  basic_notify_waiter(basic_notify_waiter&& other) noexcept : generation_(other.generation_) {}
  basic_notify_waiter& operator=(basic_notify_waiter&&) = delete;

 protected:
  ~basic_notify_waiter() = default;

 private:
  template <class, class, std::size_t>
  friend class basic_notify_core;

  std::uint64_t generation_ = 0;
  typename Sync::template var<notice> state_{notice::none};  // guarded by the lock while queued
};

/// Wakes one waiter, or all existing ones; stores at most one notification for a later waiter.
/// `Waiter` derives from `basic_notify_waiter<Sync>` and has `fire()`, which is the last access to
/// it.
///
/// The word is `generation | stored | waiting | lock`. The generation counts the calls of
/// `notify_all()`; a waiter records it when it is created, so it detects every later call, whether
/// it is queued or not.
///
/// Invariants:
/// - N1 *waiting* is set exactly while the queue is not empty; then *stored* is not set. While it
///   is set, only the holder of the lock changes the word.
/// - N2 A waiter in state *enabled* or *waiting* is in the queue, or in the list of one
///   `notify_all()` in progress. It is only removed from there under the lock.
/// - N3 A notification of `notify_one()` is stored, or belongs to a waiter, or is passed on by
///   `leave()` of a waiter that has not observed it: it is never lost.
/// - N4 Waiters are fired without the lock, and once no waiter is left the core is not touched any
///   more.
///
/// Memory order: what happened before a notification happens before the return of the wait that
/// gets it. Every notification is a releasing read-modify-write of the word, even if one is already
/// stored; a waiter that takes it, or sees the new generation, acquires the word. For a queued
/// waiter the lock and `fire()` provide the order.
///
/// `Batch` is the number of waiters that `notify_all()` takes out of its list each time it holds
/// the lock.
///
/// The generation and the list that `notify_all()` empties in batches come from Tokio's Notify.
template <class Sync, class Waiter, std::size_t Batch = 32>
class basic_notify_core {
  using word = std::uint64_t;

 public:
  constexpr basic_notify_core() noexcept : word_(0) {}

  /// Must be called first: `w` counts as existing from now on.
  void join(Waiter& w) const noexcept {
    w.generation_ = generation(word_.load(std::memory_order_acquire));
  }

  /// Takes a notification that is already there, for a waiter that is not queued.
  [[nodiscard]] bool try_take(Waiter& w) noexcept {
    word now = word_.load(std::memory_order_acquire);
    for (;;) {
      if (generation(now) != w.generation_) {
        w.state_.set(notice::all);
        return true;
      }
      if ((now & stored) == 0) return false;
      if ((now & locked) != 0) [[unlikely]] {
        now = word_.wait_until_unlocked(std::memory_order_acquire);
      } else if (word_.compare_exchange(now, now & ~stored, std::memory_order_acquire,
                                        std::memory_order_acquire)) {
        w.state_.set(notice::one_first);
        return true;
      }
    }
  }

  /// Queues `w` without waiting; it keeps its place if it is already queued. Returns true if it has
  /// been notified.
  [[nodiscard]] bool enable(Waiter& w) noexcept { return !enter(w, notice::enabled); }

  /// Queues `w`, to be fired; it keeps its place if it is already queued. Returns false if it has
  /// been notified and will not be fired.
  [[nodiscard]] bool wait(Waiter& w) noexcept { return enter(w, notice::waiting); }

  /// Ends the wait of a waiter, which stays queued. Returns false if it has been fired, or is about
  /// to be.
  [[nodiscard]] bool give_up(Waiter& w) noexcept {
    const word now = word_.lock();
    const bool waits = w.state_.get() == notice::waiting;
    if (waits) w.state_.set(notice::enabled);
    word_.unlock(now);
    return waits;
  }

  /// Removes a waiter that does not wait; a notification that it has received goes to the next
  /// waiter.
  void leave(Waiter& w) noexcept {
    const word now = word_.lock();
    const notice last = w.state_.get();
    w.state_.set(notice::none);
    if (last != notice::enabled) {
      word_.unlock(now);
      if (last == notice::one_first) notify_one();
      if (last == notice::one_last) notify_last();
      return;
    }
    line::erase(w);
    word_.unlock(line_.empty() ? now & ~waiting : now);
  }

  /// Notifies the waiter that came first; if there is none, the next one will not have to wait.
  void notify_one() noexcept { notify(notice::one_first); }
  /// The same for the waiter that came last.
  void notify_last() noexcept { notify(notice::one_last); }

  /// Notifies all existing waiters. Stores nothing.
  void notify_all() noexcept {
    word now = word_.load(std::memory_order_relaxed);
    while ((now & (locked | waiting)) == 0) {
      if (word_.compare_exchange(now, now + one_generation, std::memory_order_release,
                                 std::memory_order_relaxed))
        return;
    }
    now = word_.lock() + one_generation;
    line due;
    due.splice_back(line_);
    now &= ~waiting;
    for (;;) {
      std::array<Waiter*, Batch> firing;
      std::size_t count = 0;
      while (count != Batch && !due.empty()) {
        Waiter* const w = due.pop_front();
        if (w->state_.get() == notice::waiting) firing[count++] = w;
        w->state_.set(notice::all);
      }
      // A waiter that is removed meanwhile leaves `due` under the lock.
      const bool last = due.empty();
      word_.unlock(now);
      for (std::size_t i = 0; i != count; ++i) firing[i]->fire();
      if (last) return;
      now = word_.lock();
    }
  }

 private:
  using line = intrusive_list<Waiter, notify_line_tag>;

  static constexpr word locked = basic_locked_word<Sync>::locked;
  static constexpr word waiting = 2;
  static constexpr word stored = 4;
  static constexpr word one_generation = 8;

  static constexpr word generation(word w) noexcept { return w & ~(one_generation - 1); }

  // Returns true if `w` is now queued, in state `as`.
  [[nodiscard]] bool enter(Waiter& w, notice as) noexcept {
    word now = word_.lock();
    bool in_line = true;
    switch (w.state_.get()) {
      case notice::enabled:
      case notice::waiting:
        // Even if it is in the list of a notify_all() in progress, which checks the state.
        w.state_.set(as);
        break;
      case notice::none:
        if (generation(now) != w.generation_) {
          w.state_.set(notice::all);
          in_line = false;
        } else if ((now & stored) != 0) {
          w.state_.set(notice::one_first);
          now &= ~stored;
          in_line = false;
        } else {
          w.state_.set(as);
          line_.push_back(w);
          now |= waiting;
        }
        break;
      default:
        in_line = false;
    }
    word_.unlock(now);
    return in_line;
  }

  void notify(notice what) noexcept {
    word now = word_.load(std::memory_order_relaxed);
    while ((now & (locked | waiting)) == 0) {
      if (word_.compare_exchange(now, now | stored, std::memory_order_release,
                                 std::memory_order_relaxed))
        return;
    }
    now = word_.lock();
    if ((now & waiting) == 0) {
      word_.unlock(now | stored);
      return;
    }
    Waiter& w = *(what == notice::one_first ? line_.pop_front() : line_.pop_back());
    const bool fires = w.state_.get() == notice::waiting;
    w.state_.set(what);
    word_.unlock(line_.empty() ? now & ~waiting : now);
    if (fires) w.fire();
  }

  basic_locked_word<Sync> word_;
  line line_;
};

}  // namespace kioto::detail
