// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include <kioto/detail/spinlock.hpp>
#include <kioto/detail/sync_policy.hpp>
#include <kioto/detail/waiter_list.hpp>

namespace kioto::detail {

/// How an attempt to receive ended.
enum class broadcast_outcome : std::uint8_t { taken, empty, closed, lagged };

/// A ring in which every receiver sees every element.
///
/// Copying an `Element` runs no code of the user: it is a plain value, or a `shared_value`. So
/// receivers copy it under a lock; what the user sees is made of it without a lock, and elements
/// are destroyed without one, too.
///
/// Receivers on different threads read the same elements, and each of them counts: so every slot
/// has a lock of its own, and they meet only where they read the same element at the same time.
///
/// Invariants:
/// - B1 The element at position p lies in slot p modulo the capacity, until the one at p + capacity
///   replaces it, or until all receivers that existed when it was sent have had it or have left.
/// - B2 `tail_`, the number of elements sent, and `closed_` only change under the lock. A receiver
///   registers under it after it has looked at both again, and both changes take all waiters.
/// - B3 `closed_` is set after the last element: who reads it before `tail_` misses none.
/// - B4 `remaining` of a slot counts the receivers that may still come for its element. They, and a
///   sender that replaces an element which somebody may come for, hold the lock of the slot. When
///   nobody may come any more it is 0, the slot is empty, and the next sender has it for itself.
/// - B5 The lock of a slot is taken last, and for nothing longer than a copy.
///
/// Memory order: a receiver that sees its position equal to `tail_` has missed nothing but what was
/// sent meanwhile, which is no matter of order; one that sees it behind `tail_` acquires what the
/// sender wrote. The last one who comes for an element releases the slot with `remaining`, after
/// the others, who had the slot's lock before; the next sender acquires it. Everything else is
/// ordered by the locks.
template <class Sync, class Element, class Op>
class basic_broadcast_core {
  template <class V>
  using atomic = typename Sync::template atomic<V>;

 public:
  using position = std::uint64_t;
  using waiter = list_waiter<Op>;
  using outcome = broadcast_outcome;

  /// Where a receiver is. It looks at `tail_`, which senders write, only when it has had all that
  /// it has seen there: a sender at work is not held up by those that still have something to take.
  struct cursor {
    position next;         ///< that of the element to take
    position seen = next;  ///< `tail_` was here, or farther
  };

  /// Begins with one sender and one receiver, at position 0.
  explicit basic_broadcast_core(std::size_t capacity)
      : mask_(std::bit_ceil(capacity) - 1), slots_(mask_ + 1) {}
  basic_broadcast_core(const basic_broadcast_core&) = delete;
  basic_broadcast_core& operator=(const basic_broadcast_core&) = delete;
  ~basic_broadcast_core() = default;

  // ---- handles: all senders together, each receiver and each weak sender own the channel ----

  void add_sender() noexcept { senders_.fetch_add(1, std::memory_order_relaxed); }
  [[nodiscard]] bool try_add_sender() noexcept {
    std::size_t now = senders_.load(std::memory_order_relaxed);
    while (now != 0)
      if (senders_.compare_exchange_weak(now, now + 1, std::memory_order_relaxed,
                                         std::memory_order_relaxed))
        return true;
    return false;
  }
  /// The last one closes the channel.
  void drop_sender() noexcept {
    if (senders_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    lock_.lock();
    closed_.store(true, std::memory_order_release);
    complete_all(waiting_, lock_);
    drop_owner();
  }
  void add_owner() noexcept { owners_.fetch_add(1, std::memory_order_relaxed); }
  void drop_owner() noexcept {
    if (owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
  /// A receiver of what is sent from here on; returns where it is.
  [[nodiscard]] cursor add_receiver() noexcept {
    add_owner();
    const std::lock_guard hold(lock_);
    receivers_.store(receivers_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return {tail_.load(std::memory_order_relaxed)};
  }
  /// The receiver at `next` leaves. What only it had still to receive is destroyed.
  void drop_receiver(position next) noexcept {
    lock_.lock();
    const std::size_t left = receivers_.load(std::memory_order_relaxed) - 1;
    receivers_.store(left, std::memory_order_relaxed);
    const position end = tail_.load(std::memory_order_relaxed);
    lock_.unlock();
    if (end - next > mask_ + 1) next = end - (mask_ + 1);
    for (; next != end; ++next) forgo(next);
    if (left == 0) {
      lock_.lock();
      complete_all(watching_, lock_);
    }
    drop_owner();
  }

  [[nodiscard]] std::size_t senders() const noexcept {
    return senders_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::size_t receivers() const noexcept {
    return receivers_.load(std::memory_order_relaxed);
  }

  // ---- senders ----

  /// Returns how many receivers will see it; 0: there is none, and `e` is untouched.
  std::size_t send(Element& e) noexcept {
    lock_.lock();
    const std::size_t receivers = receivers_.load(std::memory_order_relaxed);
    if (receivers == 0) {
      lock_.unlock();
      return 0;
    }
    const position p = tail_.load(std::memory_order_relaxed);
    slot& s = at(p);
    const bool is_shared = s.remaining.load(std::memory_order_acquire) != 0;
    if (is_shared) [[unlikely]]
      s.lock.lock();
    [[maybe_unused]] const std::optional<Element> replaced = s.content.take();
    s.content.put(std::move(e));
    s.at.store(p, std::memory_order_relaxed);
    s.remaining.store(static_cast<count>(receivers), std::memory_order_relaxed);
    if (is_shared) [[unlikely]]
      s.lock.unlock();
    tail_.store(p + 1, std::memory_order_release);
    complete_all(waiting_, lock_);
    return receivers;  // `replaced` is destroyed without a lock
  }

  /// Elements that somebody has still to receive.
  [[nodiscard]] std::size_t length() noexcept {
    const std::lock_guard hold(lock_);
    const position end = tail_.load(std::memory_order_relaxed);
    position low = end > mask_ + 1 ? end - (mask_ + 1) : 0;
    position high = end;
    // Receivers take in order: from some position on, all have still to be received.
    while (low != high) {
      const position middle = low + (high - low) / 2;
      if (at(middle).remaining.load(std::memory_order_relaxed) == 0)
        low = middle + 1;
      else
        high = middle;
    }
    return static_cast<std::size_t>(end - low);
  }

  /// True: `w` waits until no receiver is left. False: there is none.
  bool wait_for_end(waiter& w) noexcept {
    const std::lock_guard hold(lock_);
    if (receivers_.load(std::memory_order_relaxed) == 0) return false;
    watching_.push_back(w);
    return true;
  }

  // ---- receivers ----

  /// Whether there is anything for a receiver, be it the end.
  [[nodiscard]] bool is_ready(const cursor& mine) const noexcept {
    return mine.seen != mine.next || tail_.load(std::memory_order_acquire) != mine.next ||
           closed_.load(std::memory_order_acquire);
  }
  /// The next element for a receiver, which then moves on; past what was overwritten if it
  /// `lagged`, by `missed`.
  outcome take(cursor& mine, std::optional<Element>& e, position& missed) noexcept {
    position& next = mine.next;
    if (mine.seen == next) {
      const bool closed = closed_.load(std::memory_order_acquire);
      mine.seen = tail_.load(std::memory_order_acquire);
      if (mine.seen == next) return closed ? outcome::closed : outcome::empty;
    }
    slot& s = at(next);
    __builtin_prefetch(&at(next + 3));
    const std::lock_guard hold(s.lock);
    if (const position now = s.at.load(std::memory_order_relaxed); now != next) {
      // The sender that overtook this receiver may not have moved `tail_` yet.
      const position end = std::max(now + 1, tail_.load(std::memory_order_relaxed));
      missed = end - (mask_ + 1) - next;
      next = mine.seen = end - (mask_ + 1);
      return outcome::lagged;
    }
    ++next;
    const count left = s.remaining.load(std::memory_order_relaxed) - 1;
    if (left == 0)
      e.emplace(*s.content.take());
    else
      e.emplace(s.content.element());
    s.remaining.store(left, std::memory_order_release);
    return outcome::taken;
  }
  /// True: `w` waits for what comes. False: there is something.
  bool wait_receiver(waiter& w, const cursor& mine) noexcept {
    const std::lock_guard hold(lock_);
    if (is_ready(mine)) return false;
    waiting_.push_back(w);
    return true;
  }

  /// True: `w` does not wait any more. False: it has been, or will be, completed.
  bool cancel(waiter& w) noexcept {
    const std::lock_guard hold(lock_);
    if (!w.is_linked()) return false;
    waiting_.erase(w);
    return true;
  }

  [[nodiscard]] bool is_closed() const noexcept { return closed_.load(std::memory_order_acquire); }
  [[nodiscard]] std::size_t length(position next) const noexcept {
    return static_cast<std::size_t>(tail_.load(std::memory_order_acquire) - next);
  }

 private:
  /// A `std::optional` whose flag the model checker watches.
  class place {
   public:
    place() noexcept {}  // NOLINT(*-use-equals-default): the union has no default
    place(const place&) = delete;
    place& operator=(const place&) = delete;
    ~place() { static_cast<void>(take()); }

    void put(Element&& e) noexcept {
      ::new (static_cast<void*>(&element_)) Element(std::move(e));
      full_.set(true);
    }
    [[nodiscard]] const Element& element() const noexcept { return element_; }
    /// Empties it.
    [[nodiscard]] std::optional<Element> take() noexcept {
      std::optional<Element> out;
      if (full_.get()) {
        out.emplace(std::move(element_));
        element_.~Element();  // moved from: runs no code of the user
        full_.set(false);
      }
      return out;
    }

   private:
    typename Sync::template var<bool> full_{false};
    union {
      Element element_;
    };
  };

  using count = std::uint32_t;
  struct slot {
    basic_spinlock<Sync> lock;
    atomic<count> remaining{0};  ///< receivers that have not had it; written with the lock held, or
                                 ///< by the sender that has the slot for itself
    // Relaxed: who looks for a position that it is not counted for may meet a sender that has the
    // slot for itself. Then it finds another one, whichever.
    atomic<position> at{~position{0}};
    place content;
  };

  /// A receiver that leaves does not come for the element at `p`.
  void forgo(position p) noexcept {
    slot& s = at(p);
    std::unique_lock hold(s.lock);
    if (s.at.load(std::memory_order_relaxed) != p) return;
    const count left = s.remaining.load(std::memory_order_relaxed) - 1;
    [[maybe_unused]] const std::optional<Element> last =
        left == 0 ? s.content.take() : std::optional<Element>();
    s.remaining.store(left, std::memory_order_release);
    hold.unlock();  // `last` is destroyed without it
  }

  slot& at(position p) noexcept { return slots_[static_cast<std::size_t>(p) & mask_]; }

  basic_spinlock<Sync> lock_;
  atomic<bool> closed_{false};
  atomic<position> tail_{0};
  atomic<std::size_t> receivers_{1};
  intrusive_list<waiter> waiting_;   ///< receivers
  intrusive_list<waiter> watching_;  ///< senders
  atomic<std::size_t> senders_{1};
  atomic<std::size_t> owners_{2};
  const std::size_t mask_;
  std::vector<slot> slots_;
};

}  // namespace kioto::detail
