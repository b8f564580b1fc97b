// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>

#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

/// The run queue of one worker: a bounded ring with one producer and many stealers.
///
/// `T` is an intrusive node with a public member `T* queue_next`. The queue stores pointers and
/// never owns, allocates or locks.
///
/// The *owner* is the one thread that may call push_back, push_batch, pop, free_slots and, on this
/// queue as the destination, steal_into. Which thread that is may change, if the hand-over orders
/// the two. Any thread may call size() and is_empty().
template <class Sync, class T, std::size_t Capacity = 256>
class basic_local_queue {
  static_assert(std::has_single_bit(Capacity) && Capacity >= 2, "a power of two");
  static_assert(Capacity <= (std::size_t{1} << 14), "positions are 16 bits wide");

  // A position counts the items that went through the ring, modulo 2^16; its slot is the position
  // modulo Capacity. Three positions divide the ring:
  //
  //     steal <= real <= tail,   tail - steal <= Capacity
  //
  //   [steal, real)  claimed by the one thief at work, who is copying them out; empty if none is
  //   [real,  tail)  the items of the queue
  //   the rest       free; only the owner writes there
  //
  // steal and real share one 64-bit word, head_, because a claim must move real only if no thief
  // is at work. Every claim is a successful compare-exchange of head_, so it happens once. The word
  // also holds a version, which every change of it raises: a claim that was worked out from an old
  // head_ and an old tail_ fails. tail_ is changed by the owner alone, so it needs a store and no
  // read-modify-write.
  //
  // The owner may also take the newest item, and then moves tail_ back. Meanwhile the version is
  // odd, and thieves keep off: they would claim up to the tail_ they saw.
  //
  // Why a slot, which is plain data, is never raced for. Let p be a position:
  // 1. The owner writes slot p, then stores tail_ > p with release. A thief loads tail_ with
  //    acquire before it claims p. So the write happens before the thief's read.
  // 2. A thief reads slot p, then moves steal beyond p with release. The owner writes position
  //    p + Capacity into the slot only after it has loaded, with acquire, a head_ whose steal is
  //    beyond p. All changes of head_ by others than the owner are read-modify-writes, so whichever
  //    of them it reads from belongs to the thief's release sequence; before its own plain store
  //    in pop_newest() the owner acquires. So the read happens before the overwriting.
  // 3. An item that the owner itself claims is read and overwritten by one thread.
  //
  // Why real <= tail for who reads both: head_ is loaded first, with acquire, and the owner's
  // claims release. Hence the tail_ that the claim was based on, or a newer one, is seen. If head_
  // is stale, the distance is too large, even beyond Capacity; a claim then fails on head_.
  using position = std::uint16_t;

 public:
  basic_local_queue() = default;
  /// Begins at position `first` and an even version instead of 0, so that tests reach their ends.
  explicit basic_local_queue(std::uint16_t first, std::uint32_t version = 0)
      : head_(pack(version, first, first)), tail_(first) {}
  basic_local_queue(const basic_local_queue&) = delete;
  basic_local_queue& operator=(const basic_local_queue&) = delete;

  [[nodiscard]] static constexpr std::size_t capacity() noexcept { return Capacity; }

  /// Owner: appends `item`. Returns true if it fitted.
  ///
  /// If the ring is full, the newer half of it followed by `item` is taken out, linked through
  /// queue_next (the last one's is null), and handed over by one call
  /// `overflow(T* first, T* last, std::size_t count)`; then the result is false. While a thief is
  /// taking items out of the full ring, room is about to appear, and only `item` is handed over.
  ///
  /// For a moment during an overflow other threads see the queue as empty. Who relies on "pushed,
  /// then looked whether somebody has to be woken" therefore looks after push_back.
  template <class Overflow>
  bool push_back(T* item, Overflow&& overflow) {
    for (;;) {
      if (try_push_back(item)) [[likely]]
        return true;
      const position tail = tail_.load(std::memory_order_relaxed);
      // Relaxed: what is claimed below, the owner has put there itself; and it writes into a slot
      // in try_push_back() only, which acquires.
      std::uint64_t head = head_.load(std::memory_order_relaxed);
      if (distance(steal_of(head), tail) < Capacity) continue;  // a thief has made room
      if (steal_of(head) != real_of(head)) {
        item->queue_next = nullptr;
        overflow(item, item, std::size_t{1});
        return false;
      }
      // Full, and no thief at work: claim all of it. The older half is put back by advancing tail_
      // alone, because its new positions, Capacity further on, are in the same slots. Keeping the
      // older half keeps the order: what leaves is what would have run last.
      if (head_.compare_exchange_strong(head, pack(next_version(head), tail, tail),
                                        std::memory_order_release, std::memory_order_relaxed)) {
        constexpr std::size_t half = Capacity / 2;
        T* const first = slot(after(tail, half)).get();
        T* last = first;
        for (std::size_t i = half + 1; i != Capacity; ++i) {
          last->queue_next = slot(after(tail, i)).get();
          last = last->queue_next;
        }
        tail_.store(after(tail, half), std::memory_order_release);
        last->queue_next = item;
        item->queue_next = nullptr;
        overflow(first, item, std::size_t{Capacity - half + 1});
        return false;
      }
      // A thief was faster: look again. It is the only one who can have changed head_, so the
      // second turn never comes back here.
    }
  }

  /// Owner: appends `item` if it fits.
  [[nodiscard]] bool try_push_back(T* item) noexcept {
    const position tail = tail_.load(std::memory_order_relaxed);
    // Acquire: point 2 above.
    if (distance(steal_of(head_.load(std::memory_order_acquire)), tail) >= Capacity) return false;
    slot(tail).set(item);
    tail_.store(after(tail, 1), std::memory_order_release);
    return true;
  }

  /// Owner: how many items push_batch can take at least. Only pushing makes it smaller.
  [[nodiscard]] std::size_t free_slots() const noexcept {
    // Acquire: the caller goes on to write these slots (point 2).
    const std::uint64_t head = head_.load(std::memory_order_acquire);
    return Capacity - distance(steal_of(head), tail_.load(std::memory_order_relaxed));
  }

  /// Owner: appends `count` items linked through queue_next, beginning with `first`, and publishes
  /// them at once. `count` must not exceed free_slots(). Returns what follows the last one.
  T* push_batch(T* first, std::size_t count) noexcept {
    assert(count <= free_slots());
    const position tail = tail_.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i != count; ++i) {
      slot(after(tail, i)).set(first);
      first = first->queue_next;
    }
    tail_.store(after(tail, count), std::memory_order_release);
    return first;
  }

  /// Owner: takes the oldest item; null if there is none.
  [[nodiscard]] T* pop() noexcept {
    const position tail = tail_.load(std::memory_order_relaxed);
    // Relaxed: nothing that a thief has done is used here; push_back acquires before it reuses.
    std::uint64_t head = head_.load(std::memory_order_relaxed);
    for (;;) {
      const position real = real_of(head);
      if (real == tail) return nullptr;
      const position next = after(real, 1);
      const position steal = steal_of(head) == real ? next : steal_of(head);
      // Release: whoever sees this claim sees the tail_ it was based on.
      if (head_.compare_exchange_weak(head, pack(next_version(head), steal, next),
                                      std::memory_order_release, std::memory_order_relaxed)) {
        return slot(real).get();
      }
    }
  }

  /// Owner: takes the newest item; null if there is none, or if a thief is at work.
  [[nodiscard]] T* pop_newest() noexcept {
    const position tail = tail_.load(std::memory_order_relaxed);
    std::uint64_t head = head_.load(std::memory_order_relaxed);
    const position newest = after(tail, std::size_t{0} - 1);
    if (real_of(head) == tail || steal_of(head) != real_of(head)) return nullptr;
    // From here on the version is odd: no thief claims. One that has read head_ before fails to
    // exchange it. Acquire: see point 2.
    if (!head_.compare_exchange_strong(head, head + one_version, std::memory_order_acquire,
                                       std::memory_order_relaxed))
      return nullptr;
    tail_.store(newest, std::memory_order_relaxed);
    // Release: whoever sees an even version again sees the tail_ that belongs to it.
    head_.store(head + 2 * one_version, std::memory_order_release);
    return slot(newest).get();
  }

  /// Thief, who owns `dst`: takes the older half of this queue, rounded up. Returns the oldest
  /// item; the others are in `dst`. `stolen` tells how many they are together.
  ///
  /// Takes nothing and returns null if this queue is empty, if another thief is at work here, or if
  /// `dst` is more than half full.
  [[nodiscard]] T* steal_into(basic_local_queue& dst, std::size_t& stolen) noexcept {
    T* oldest = nullptr;
    stolen = take_into(dst, &oldest);
    return oldest;
  }

  [[nodiscard]] T* steal_into(basic_local_queue& dst) noexcept {
    std::size_t stolen = 0;
    return steal_into(dst, stolen);
  }

  /// Owner of this queue and of `dst`: moves the oldest items behind those of `dst`, in order: all
  /// of them, or as many as half of `dst` holds. False: nothing was moved, for one of the reasons
  /// that `steal_into()` has.
  [[nodiscard]] bool move_into(basic_local_queue& dst) noexcept {
    return take_into(dst, nullptr) != 0;
  }

  /// Any thread: the number of items, which may have changed already. Exact for the owner while no
  /// thief is about.
  ///
  /// What another thread pushed is counted if the push happened before the call, unless it has
  /// been taken out.
  [[nodiscard]] std::size_t size() const noexcept {
    const std::uint64_t head = head_.load(std::memory_order_acquire);
    const std::size_t count = distance(real_of(head), tail_.load(std::memory_order_acquire));
    return count < Capacity ? count : Capacity;  // a stale head_ makes it too large
  }

  /// Any thread: size() == 0.
  [[nodiscard]] bool is_empty() const noexcept { return size() == 0; }

 private:
  using slot_type = typename Sync::template var<T*>;

  // head_: the version in the upper half, then steal, then real.
  static constexpr std::uint64_t one_version = std::uint64_t{1} << 32;

  static constexpr std::uint64_t pack(std::uint64_t version, position steal,
                                      position real) noexcept {
    return version << 32 | std::uint64_t{steal} << 16 | real;
  }
  static constexpr std::uint64_t next_version(std::uint64_t head) noexcept {
    return (head >> 32) + 2;
  }
  static constexpr bool is_odd(std::uint64_t head) noexcept { return (head & one_version) != 0; }
  static constexpr position steal_of(std::uint64_t head) noexcept {
    return static_cast<position>(head >> 16);
  }
  static constexpr position real_of(std::uint64_t head) noexcept {
    return static_cast<position>(head);
  }

  static constexpr position after(position p, std::size_t by) noexcept {
    return static_cast<position>(p + by);
  }
  static constexpr std::size_t distance(position from, position to) noexcept {
    return static_cast<position>(to - from);
  }

  slot_type& slot(position p) noexcept { return slots_[p & (Capacity - 1)]; }

  // Takes the older half, of which the oldest goes to `oldest` and the others to `dst`; or, without
  // `oldest`, whatever fits into one half of `dst`. Returns how many.
  std::size_t take_into(basic_local_queue& dst, T** oldest) noexcept {
    assert(&dst != this);
    const position dst_tail = dst.tail_.load(std::memory_order_relaxed);
    // Acquire: point 2, for the slots of dst that are written below.
    const position dst_steal = steal_of(dst.head_.load(std::memory_order_acquire));
    if (distance(dst_steal, dst_tail) > Capacity / 2) return 0;

    // Acquire, on failure of the exchange as well: real <= tail.
    std::uint64_t head = head_.load(std::memory_order_acquire);
    position first = 0;
    std::size_t n = 0;
    std::uint64_t claimed = 0;
    do {
      if (steal_of(head) != real_of(head) || is_odd(head)) return 0;
      first = real_of(head);
      const std::size_t available = distance(first, tail_.load(std::memory_order_acquire));
      if (available == 0) return 0;
      n = oldest != nullptr ? available - available / 2 : std::min(available, Capacity / 2);
      claimed = pack(next_version(head), first, after(first, n));
      // A successful claim publishes nothing and learns nothing: point 1 rests on tail_. Acquire is
      // what its failure needs.
    } while (!head_.compare_exchange_weak(head, claimed, std::memory_order_acquire,
                                          std::memory_order_acquire));

    const std::size_t apart = oldest != nullptr ? 1 : 0;
    if (oldest != nullptr) *oldest = slot(first).get();
    for (std::size_t i = apart; i != n; ++i)
      dst.slot(after(dst_tail, i - apart)).set(slot(after(first, i)).get());

    // Only this thread may move steal now; real may move on under the owner's hands. Release:
    // point 2.
    head = claimed;
    while (!head_.compare_exchange_weak(head,
                                        pack(next_version(head), real_of(head), real_of(head)),
                                        std::memory_order_release, std::memory_order_relaxed)) {
    }
    if (n > apart) dst.tail_.store(after(dst_tail, n - apart), std::memory_order_release);
    return n;
  }

  alignas(cache_line) typename Sync::template atomic<std::uint64_t> head_{0};
  alignas(cache_line) typename Sync::template atomic<position> tail_{0};
  alignas(cache_line) std::array<slot_type, Capacity> slots_{};
};

template <class T>
using local_queue = basic_local_queue<std_sync, T>;

}  // namespace kioto::detail
