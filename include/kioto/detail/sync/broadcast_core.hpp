// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <kioto/detail/base/locked_waiters.hpp>
#include <kioto/detail/base/spinlock.hpp>
#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

/// The outcome of an attempt to receive.
enum class broadcast_outcome : std::uint8_t { taken, empty, closed, lagged };

/// A ring in which every receiver sees every element.
///
/// Copying an `Element` runs no user code: it is a plain value, or a `shared_value`. So receivers
/// copy it under the lock; the user's value is made from the copy without the lock, and elements
/// are destroyed without the lock, too.
///
/// Invariants:
/// - B1 The element at position p is in slot p modulo the capacity, until the one at p + capacity
///   replaces it, or until all receivers that existed when it was sent have received it or have
///   left.
/// - B2 `tail_`, the number of elements sent, and `closed_` only change under the lock. A receiver
///   registers under the lock after it has checked both again, and each change takes all waiters.
/// - B3 `closed_` is set after the last element was sent: a receiver that reads it before `tail_`
///   misses no element.
///
/// Memory order: a receiver that sees its position equal to `tail_` can only have missed what is
/// being sent concurrently. Everything else is ordered by the lock.
template <class Sync, class Element, class Op>
class basic_broadcast_core {
  template <class V>
  using atomic = typename Sync::template atomic<V>;
  static constexpr std::size_t batch = 32;

 public:
  using position = std::uint64_t;
  using waiter = list_waiter<Op>;
  using outcome = broadcast_outcome;

  /// Starts with one sender and one receiver, at position 0.
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
  /// Adds a receiver of what is sent from now on; returns its position.
  [[nodiscard]] position add_receiver() noexcept {
    add_owner();
    const std::lock_guard hold(lock_);
    receivers_.store(receivers_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return tail_.load(std::memory_order_relaxed);
  }
  /// Removes the receiver at `next`. Destroys elements that only it had still to receive.
  void drop_receiver(position next) noexcept {
    lock_.lock();
    const std::size_t left = receivers_.load(std::memory_order_relaxed) - 1;
    receivers_.store(left, std::memory_order_relaxed);
    const position end = tail_.load(std::memory_order_relaxed);
    if (end - next > mask_ + 1) next = end - (mask_ + 1);
    for (std::size_t n = 1; next != end; ++next, ++n) {
      slot& s = at(next);
      if (s.at == next && --s.remaining == 0) {
        [[maybe_unused]] const std::optional<Element> last = take_out(s);
        lock_.unlock();  // `last` is destroyed without the lock
      } else if (n % batch == 0) {
        lock_.unlock();  // lets other threads in
      } else {
        continue;
      }
      lock_.lock();
    }
    if (left == 0)
      complete_all(watching_, lock_);
    else
      lock_.unlock();
    drop_owner();
  }

  [[nodiscard]] std::size_t senders() const noexcept {
    return senders_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::size_t receivers() const noexcept {
    return receivers_.load(std::memory_order_relaxed);
  }

  // ---- senders ----

  /// Returns how many receivers will see it; 0 if there is none, and then `e` is untouched.
  std::size_t send(Element& e) noexcept {
    lock_.lock();
    const std::size_t receivers = receivers_.load(std::memory_order_relaxed);
    if (receivers == 0) {
      lock_.unlock();
      return 0;
    }
    const position p = tail_.load(std::memory_order_relaxed);
    slot& s = at(p);
    [[maybe_unused]] const std::optional<Element> replaced = take_out(s);
    s.element.emplace(std::move(e));
    s.at = p;
    s.remaining = receivers;
    tail_.store(p + 1, std::memory_order_release);
    complete_all(waiting_, lock_);
    return receivers;  // `replaced` is destroyed without the lock
  }

  /// The number of elements that some receiver has not received yet.
  [[nodiscard]] std::size_t length() noexcept {
    const std::lock_guard hold(lock_);
    const position end = tail_.load(std::memory_order_relaxed);
    position low = end > mask_ + 1 ? end - (mask_ + 1) : 0;
    position high = end;
    // Receivers take elements in order, so from some position on no element has been received by
    // all.
    while (low != high) {
      const position middle = low + (high - low) / 2;
      if (at(middle).remaining == 0)
        low = middle + 1;
      else
        high = middle;
    }
    return static_cast<std::size_t>(end - low);
  }

  /// Returns true if `w` now waits until no receiver is left; false if there is none.
  bool wait_for_end(waiter& w) noexcept {
    const std::lock_guard hold(lock_);
    if (receivers_.load(std::memory_order_relaxed) == 0) return false;
    watching_.push_back(w);
    return true;
  }

  // ---- receivers ----

  /// Returns true if there is something for a receiver at `next`, including the end.
  [[nodiscard]] bool is_ready(position next) const noexcept {
    return tail_.load(std::memory_order_acquire) != next || closed_.load(std::memory_order_acquire);
  }
  /// Takes the element at `next`, and advances `next`. If it `lagged`, skips the `missed` elements
  /// that were overwritten.
  outcome take(position& next, std::optional<Element>& e, position& missed) noexcept {
    const bool closed = closed_.load(std::memory_order_acquire);
    if (tail_.load(std::memory_order_acquire) == next)
      return closed ? outcome::closed : outcome::empty;
    const std::lock_guard hold(lock_);
    slot& s = at(next);
    if (s.at != next) {
      const position oldest = tail_.load(std::memory_order_relaxed) - (mask_ + 1);
      missed = oldest - next;
      next = oldest;
      return outcome::lagged;
    }
    ++next;
    if (--s.remaining == 0)
      e.emplace(*take_out(s));
    else
      e.emplace(*s.element);
    return outcome::taken;
  }
  /// Returns true if `w` now waits for the next element; false if there is something to receive.
  bool wait_receiver(waiter& w, position next) noexcept {
    const std::lock_guard hold(lock_);
    if (is_ready(next)) return false;
    waiting_.push_back(w);
    return true;
  }

  /// Returns true if `w` no longer waits; false if it has been or will be completed.
  bool cancel(waiter& w) noexcept {
    const std::lock_guard hold(lock_);
    if (!w.is_linked()) return false;
    waiting_.erase(w);
    return true;
  }

  [[nodiscard]] bool is_closed() const noexcept { return closed_.load(std::memory_order_acquire); }
  [[nodiscard]] std::size_t length(position next) const noexcept {
    const position behind = tail_.load(std::memory_order_acquire) - next;
    constexpr std::size_t most = static_cast<std::size_t>(-1);  // it may be far behind
    return behind < most ? static_cast<std::size_t>(behind) : most;
  }

 private:
  struct slot {
    position at = ~position{0};
    std::size_t remaining = 0;  ///< receivers that have not received it
    std::optional<Element> element;
  };

 public:
  /// The maximum capacity: the largest power of two for which the array of slots does not exceed
  /// the limit of the size of an array.
  static constexpr std::size_t max_capacity =
      std::bit_floor((static_cast<std::size_t>(-1) >> 1) / sizeof(slot));

 private:
  slot& at(position p) noexcept { return slots_[static_cast<std::size_t>(p) & mask_]; }
  static std::optional<Element> take_out(slot& s) noexcept {
    std::optional<Element> out(std::move(s.element));
    s.element.reset();  // of a moved-from element: runs no user code
    return out;
  }

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
