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

/// Where a waiter of a `basic_notify_core` stands.
enum class notice : std::uint8_t {
  none,       ///< has not asked yet
  enabled,    ///< in line, and nobody waits: a notice is only recorded
  waiting,    ///< in line, and is fired with its notice
  one_first,  ///< got the notice of notify_one()
  one_last,   ///< got the notice of notify_last()
  all,        ///< was there at a notify_all()
};

struct notify_line_tag {};

/// A waiter of a `basic_notify_core`. Stays in place from `enable()` or `wait()` until `leave()`,
/// and while it waits until `fire()` was called or `give_up()` succeeded.
template <class Sync>
class basic_notify_waiter : public list_node<notify_line_tag> {
 public:
  basic_notify_waiter() = default;
  /// Takes over from one that has not been in line: it was there as long.
  basic_notify_waiter(basic_notify_waiter&& other) noexcept : generation_(other.generation_) {}
  basic_notify_waiter& operator=(basic_notify_waiter&&) = delete;

 protected:
  ~basic_notify_waiter() = default;

 private:
  template <class, class, std::size_t>
  friend class basic_notify_core;

  std::uint64_t generation_ = 0;
  typename Sync::template var<notice> state_{notice::none};  // guarded while in line
};

/// Wakes one waiter, or all who are there; keeps at most one notice for who comes later. `Waiter`
/// derives from `basic_notify_waiter<Sync>` and has `fire()`, which is the last access to it.
///
/// The word is `generation | stored | waiting | lock`. The generation counts the calls of
/// `notify_all()`; a waiter notes it when it is created, so it learns of every later call, in line
/// or not.
///
/// Invariants:
/// - N1 *waiting* is set exactly while the line is not empty; then *stored* is not set. While it is
///   set, only the holder of the lock changes the word.
/// - N2 A waiter in state *enabled* or *waiting* is in the line, or in the list of one
///   `notify_all()` in progress. Whoever takes it out of there does so under the lock.
/// - N3 A notice of `notify_one()` is stored, or belongs to a waiter, or is handed on by `leave()`
///   of one that has not used it: it is never lost.
/// - N4 Waiters are fired without the lock, and once no waiter is left nothing of the core is
///   touched any more.
///
/// Memory order: what happened before a notice happens before the return of the wait that gets it.
/// Every notice is a releasing read-modify-write of the word, also when one is stored already; who
/// takes it, or sees the new generation, acquires the word. In line: through the lock and `fire()`.
///
/// `Batch` is how many waiters one hold of the lock takes out of the line of `notify_all()`.
///
/// The generation and the list that `notify_all()` empties in batches come from Tokio's Notify.
template <class Sync, class Waiter, std::size_t Batch = 32>
class basic_notify_core {
  using word = std::uint64_t;

 public:
  constexpr basic_notify_core() noexcept : word_(0) {}

  /// Before anything else: `w` counts as being there from now on.
  void join(Waiter& w) const noexcept {
    w.generation_ = generation(word_.load(std::memory_order_acquire));
  }

  /// Takes a notice that is there already, for a waiter that is not in line.
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

  /// Puts `w` in line without waiting; it keeps its place if it is there already. True: it has its
  /// notice.
  [[nodiscard]] bool enable(Waiter& w) noexcept { return !enter(w, notice::enabled); }

  /// Puts `w` in line, to be fired; it keeps its place if it is there already. False: it has its
  /// notice and is not fired.
  [[nodiscard]] bool wait(Waiter& w) noexcept { return enter(w, notice::waiting); }

  /// A waiter stops waiting; it stays in line. False: it has been fired, or is about to be.
  [[nodiscard]] bool give_up(Waiter& w) noexcept {
    const word now = word_.lock();
    const bool waits = w.state_.get() == notice::waiting;
    if (waits) w.state_.set(notice::enabled);
    word_.unlock(now);
    return waits;
  }

  /// A waiter that does not wait goes away; a notice that was meant for it goes on.
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

  /// Wakes the waiter that came first; if there is none, the next one will not have to wait.
  void notify_one() noexcept { notify(notice::one_first); }
  /// The same for the waiter that came last.
  void notify_last() noexcept { notify(notice::one_last); }

  /// Wakes all who are there. Stores nothing.
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
      // Whoever goes away meanwhile comes out of `due`, under the lock.
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

  // True: `w` is in line, in state `as`.
  [[nodiscard]] bool enter(Waiter& w, notice as) noexcept {
    word now = word_.lock();
    bool in_line = true;
    switch (w.state_.get()) {
      case notice::enabled:
      case notice::waiting:
        // Also if a notify_all() in progress has it in its list: that looks at the state.
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
