// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include <kioto/config.hpp>
#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/base/locked_waiters.hpp>
#include <kioto/detail/base/spinlock.hpp>
#include <kioto/detail/base/sync_policy.hpp>
#include <kioto/detail/sync/message.hpp>
#include <kioto/detail/sync/turn.hpp>

namespace kioto::detail {

/// The number of messages in a block: about 1 KiB of them, but at least 4 and at most 31.
template <class M>
inline constexpr std::size_t mpsc_slots = std::clamp<std::size_t>(1024 / (sizeof(M) + 1), 4, 31);

/// The outcome of an attempt to send, to acquire room, or to receive.
enum class mpsc_outcome : std::uint8_t { done, full, closed, no_memory };

/// A channel of many senders and one receiver: a chain of blocks of messages, and the waiters.
///
/// Senders synchronise with a lock that is held for a few instructions: it protects the room, the
/// order, and the waiters. The receiver reads without it, as long as there are messages. Only plain
/// messages are copied under the lock: others get their slot under it, are moved there without it,
/// and are then published under it.
///
/// Waiters are completed by `complete(Op&)`, found by argument-dependent lookup, never under the
/// lock.
///
/// Invariants:
/// - C1 A slot belongs to the sender that reserved it until it is published, then to the receiver.
///   Publishing is the last access of a sender to a block, so the receiver may free a block when it
///   has taken all its messages: the next block is linked by then, and later senders use that.
/// - C2 The receiver waits for one position. It registers under the lock, after another check; the
///   sender that publishes that position, or the thread that ends the channel, takes the waiter
///   under the lock. So there are neither lost nor spurious wake-ups.
/// - C3 (bounded) `acquired_` counts the permits that were ever granted and not given back, `tail_`
///   the messages ever sent, `consumed_` those ever taken: `acquired_ - tail_` permits are
///   outstanding, and `acquired_ - consumed` ≤ capacity. All of them wrap; `consumed_`, which has
///   one bit less, at half the range. Only differences modulo `count_mask + 1` are used, and the
///   capacity is less than that.
/// - C4 (bounded) The lowest bit of `consumed_` is set, under the lock, before a sender waits, and
///   the count is read by the same read-modify-write. The receiver also counts with a
///   read-modify-write: so either it sees the bit, and grants room; or the sender sees the new
///   count.
/// - C5 Senders are granted room in the order in which they began to wait, and no later sender
///   overtakes them. The message of a waiting sender is moved by the thread that grants it the
///   room.
/// - C6 What is in the channel when the receiver is destroyed is destroyed by it, or by the last
///   sender that is in the middle of publishing at that time.
///
/// Memory order: publishing releases the message, and the receiver acquires it with the flag of the
/// slot; `next` likewise for a block. Everything else is ordered by the lock.
template <class Sync, class M, class Op, bool Bounded, std::size_t Slots = mpsc_slots<M>>
class basic_mpsc_core {
  template <class V>
  using atomic = typename Sync::template atomic<V>;
  static constexpr std::size_t batch = 32;

  struct block {
    block() noexcept {}
    block(const block&) = delete;
    block& operator=(const block&) = delete;
    ~block() {}

    atomic<block*> next{nullptr};
    std::array<atomic<bool>, Slots> ready{};
    union {
      std::array<M, Slots> messages;
    };
  };
  struct slot {
    block* in = nullptr;
    std::size_t index = 0;
    std::size_t position = 0;
    [[nodiscard]] M* message() const noexcept { return &in->messages[index]; }
  };

 public:
  using outcome = mpsc_outcome;

  /// A sender that waits: for room, to send or to reserve it; or until the receiver is closed.
  struct waiter : list_waiter<Op>, basic_turn<Sync> {
    using list_waiter<Op>::list_waiter;
    M* message = nullptr;            ///< sent by the thread that grants the room
    std::size_t wanted = 1;          ///< permits
    outcome result = outcome::full;  ///< when completed: `done`, or the reason
    slot reserved{};
  };

  static constexpr std::size_t max_capacity_of_all = static_cast<std::size_t>(-1) / 4;

  /// Starts with one sender and the receiver, as if `sent` messages had been sent and received, so
  /// that tests reach the overflow of the counters.
  explicit basic_mpsc_core(std::size_t capacity, std::size_t sent = 0) noexcept
      : tail_(sent),
        seen_consumed_(sent & count_mask),
        acquired_(sent),
        capacity_(capacity),
        head_(sent),
        consumed_(sent << 1) {}
  basic_mpsc_core(const basic_mpsc_core&) = delete;
  basic_mpsc_core& operator=(const basic_mpsc_core&) = delete;
  ~basic_mpsc_core() = default;

  // ---- handles: all senders together, the receiver and each weak sender own the channel ----

  void add_sender() noexcept { senders_.fetch_add(1, std::memory_order_relaxed); }
  /// The last one ends the channel.
  void drop_sender() noexcept {
    if (senders_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    lock_.lock();
    senders_gone_ = true;
    Op* const woken = take_receiver_if_ended();
    lock_.unlock();
    if (woken != nullptr) complete(*woken);
    drop_owner();
  }
  /// Makes a sender from a weak one. Returns false if all senders are gone.
  [[nodiscard]] bool try_add_sender() noexcept {
    std::size_t now = senders_.load(std::memory_order_relaxed);
    while (now != 0)
      if (senders_.compare_exchange_weak(now, now + 1, std::memory_order_relaxed,
                                         std::memory_order_relaxed))
        return true;
    return false;
  }
  void add_owner() noexcept { owners_.fetch_add(1, std::memory_order_relaxed); }
  void drop_owner() noexcept {
    if (owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
  [[nodiscard]] std::size_t senders() const noexcept {
    return senders_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::size_t weak_senders() noexcept {
    const std::lock_guard hold(lock_);
    return owners_.load(std::memory_order_relaxed) - (senders_gone_ ? 0 : 1) -
           (receiver_gone_ ? 0 : 1);
  }

  // ---- senders ----

  /// Sends without waiting. Moves from `m` only if it returns `done`. `has_permit` says that room
  /// was acquired before, which is used up.
  outcome push(M& m, bool has_permit) noexcept {
    if constexpr (is_plain<M>) {
      // The common case, without a call that would need registers to be saved.
      if (lock_.try_lock()) [[likely]] {
        const bool may = has_permit ? !receiver_gone_ : room(1) == outcome::done;
        if (may && tail_index_ != Slots) [[likely]] {
          if (Bounded && !has_permit) ++acquired_;
          Op* const woken = store(next_slot(), m);
          lock_.unlock();
          if (woken != nullptr) [[unlikely]]
            complete(*woken);
          return outcome::done;
        }
        lock_.unlock();
      }
    }
    return push_slowly(m, has_permit);
  }

  /// Acquires room for `n` messages without waiting.
  outcome try_acquire(std::size_t n) noexcept {
    const std::lock_guard hold(lock_);
    const outcome now = room(n);
    if (now == outcome::done) acquired_ += n;
    return now;
  }
  /// Gives back permits that were not used.
  void give_back(std::size_t n) noexcept {
    lock_.lock();
    acquired_ -= n;
    Op* const woken = take_receiver_if_ended();
    const bool wanted = !waiting_.empty();
    lock_.unlock();
    if (woken != nullptr) complete(*woken);
    if (wanted) grant();
  }

  /// Returns true if `w` now waits for room; its message, if it has one, must stay in place until
  /// `w` is completed. Returns false if it does not wait: `w.result` says why, or is `full` if
  /// there may be room now.
  bool wait_for_room(waiter& w) noexcept {
    std::unique_lock hold(lock_);
    w.result = outcome::closed;  // unless room is granted
    if (closed_.load(std::memory_order_relaxed)) return false;
    seen_consumed_ = consumed_.fetch_or(waiting_bit, std::memory_order_acq_rel) >> 1;
    if (waiting_.empty() && has_room(w.wanted)) {
      consumed_.fetch_and(~waiting_bit, std::memory_order_relaxed);
      w.result = outcome::full;
      return false;
    }
    const bool is_before_others = enter_line<Sync>(waiting_, w);
    hold.unlock();
    if (is_before_others) [[unlikely]]
      grant();  // it may want less than the one behind it
    return true;
  }
  /// Returns true if `w` no longer waits; false if it has been or will be completed.
  bool cancel_wait_for_room(waiter& w) noexcept {
    lock_.lock();
    const bool mine = w.is_linked();
    if (mine) {
      waiting_.erase(w);
      if (waiting_.empty()) consumed_.fetch_and(~waiting_bit, std::memory_order_relaxed);
    }
    const bool others = mine && !waiting_.empty();
    lock_.unlock();
    if (others) grant();  // it may have blocked smaller ones behind it
    return mine;
  }

  /// Returns true if `w` now waits until the receiver is closed; false if it is closed.
  bool wait_for_close(waiter& w) noexcept {
    const std::lock_guard hold(lock_);
    if (closed_.load(std::memory_order_relaxed)) return false;
    watching_.push_back(w);
    return true;
  }
  bool cancel_wait_for_close(waiter& w) noexcept {
    const std::lock_guard hold(lock_);
    if (!w.is_linked()) return false;
    watching_.erase(w);
    return true;
  }

  [[nodiscard]] bool is_closed() const noexcept { return closed_.load(std::memory_order_acquire); }
  [[nodiscard]] std::size_t max_capacity() const noexcept { return capacity_; }
  /// The number of permits that can be acquired at once.
  [[nodiscard]] std::size_t capacity() noexcept {
    const std::lock_guard hold(lock_);
    seen_consumed_ = consumed_.load(std::memory_order_acquire) >> 1;
    return waiting_.empty() ? room_left() : 0;
  }

  // ---- the receiver ----

  /// The next message, or null. It stays in the channel until `pop()`.
  [[nodiscard]] M* front() noexcept {
    if (head_index_ == Slots) {
      block* const next = following();
      if (next == nullptr) return nullptr;
      delete head_block_;
      head_block_ = next;
      head_index_ = 0;
    }
    return head_block_->ready[head_index_].load(std::memory_order_acquire)
               ? &head_block_->messages[head_index_]
               : nullptr;
  }
  /// Takes the message that `front()` returned.
  M pop() noexcept {
    M& at = head_block_->messages[head_index_];
    M taken(std::move(at));
    std::destroy_at(std::addressof(at));
    // Relaxed: the next sender that reserves this slot does so after a rewind, which the lock
    // orders.
    head_block_->ready[head_index_].store(false, std::memory_order_relaxed);
    ++head_index_;
    ++head_;
    if constexpr (Bounded) {
      if ((consumed_.fetch_add(2, std::memory_order_acq_rel) & waiting_bit) != 0) grant();
    }
    return taken;
  }
  /// To be called after `front()` returned null. Returns `done` if there is a message now, `full`
  /// if there is none but one may still come, `closed` if none will come. Spins while a sender is
  /// in the middle of storing.
  [[nodiscard]] outcome look_again() noexcept {
    for (;;) {
      {
        const std::lock_guard hold(lock_);
        if (is_front_ready()) return outcome::done;
        if (head_ == tail_) return ended() ? outcome::closed : outcome::full;
      }
      Sync::yield();
    }
  }

  /// Returns true if `op` now waits for the next message or the end of the channel; false if either
  /// is there.
  bool wait_receiver(Op& op) noexcept {
    const std::lock_guard hold(lock_);
    if (is_front_ready() || ended()) return false;
    if (head_ == tail_ && head_block_ != nullptr) {
      // All messages were taken and no sender is storing: the block can be reused from its start.
      head_index_ = 0;
      tail_index_ = 0;
    }
    receiver_ = &op;
    return true;
  }
  bool cancel_receiver() noexcept {
    const std::lock_guard hold(lock_);
    return std::exchange(receiver_, nullptr) != nullptr;
  }

  /// Grants no more room; what was sent, or is sent with a permit, still arrives.
  void close() noexcept {
    lock_.lock();
    closed_.store(true, std::memory_order_release);
    consumed_.fetch_and(~waiting_bit, std::memory_order_relaxed);
    Op* const woken = take_receiver_if_ended();
    complete_all(waiting_, lock_);
    if (woken != nullptr) complete(*woken);
    lock_.lock();
    complete_all(watching_, lock_);
  }
  /// The receiver is destroyed: what is left will not be received.
  void drop_receiver() noexcept {
    lock_.lock();
    if (receiver_ != nullptr) [[unlikely]]
      die_in_use();
    lock_.unlock();
    close();
    lock_.lock();
    receiver_gone_ = true;
    const bool quiet = in_flight_ == 0;
    lock_.unlock();
    if (quiet) destroy_messages();
    drop_owner();
  }

  [[nodiscard]] std::size_t length() noexcept {
    const std::lock_guard hold(lock_);
    return tail_ - head_;
  }
  [[nodiscard]] bool is_ended() noexcept {
    const std::lock_guard hold(lock_);
    return closed_.load(std::memory_order_relaxed) || senders_gone_;
  }

 private:
  static constexpr std::size_t waiting_bit = 1;
  static constexpr std::size_t count_mask = static_cast<std::size_t>(-1) >> 1;

  // Called with the lock held, unless stated otherwise.

  /// A lower bound, as of `seen_consumed_`.
  [[nodiscard]] std::size_t room_left() const noexcept {
    return capacity_ - ((acquired_ - seen_consumed_) & count_mask);
  }
  [[nodiscard]] bool has_room(std::size_t n) const noexcept { return n <= room_left(); }
  [[nodiscard]] outcome room(std::size_t n) noexcept {
    if (closed_.load(std::memory_order_relaxed)) return outcome::closed;
    if (n == 0) return outcome::done;  // which never waits
    if constexpr (Bounded) {
      if (!waiting_.empty()) return outcome::full;
      if (!has_room(n)) {
        seen_consumed_ = consumed_.load(std::memory_order_acquire) >> 1;
        if (!has_room(n)) return outcome::full;
      }
    }
    return outcome::done;
  }
  slot next_slot() noexcept { return {tail_block_, tail_index_++, tail_++}; }
  /// Reserves the slot of the next message. Returns false if a new block is needed; the caller then
  /// allocates one and passes it in the next call.
  bool reserve(slot& to, block*& fresh) noexcept {
    if (tail_index_ == Slots) {
      if (fresh == nullptr) return false;
      (tail_block_ == nullptr ? first_ : tail_block_->next).store(fresh, std::memory_order_release);
      tail_block_ = std::exchange(fresh, nullptr);
      tail_index_ = 0;
    }
    to = next_slot();
    return true;
  }
  /// Called without the lock.
  KIOTO_NOINLINE outcome push_slowly(M& m, bool has_permit) noexcept {
    block* fresh = nullptr;
    slot to;
    lock_.lock();
    for (;;) {
      const outcome now = has_permit ? (receiver_gone_ ? outcome::closed : outcome::done) : room(1);
      if (now != outcome::done) {
        lock_.unlock();
        delete fresh;
        return now;
      }
      if (reserve(to, fresh)) break;
      lock_.unlock();
      fresh = new (std::nothrow) block;
      if (fresh == nullptr) return outcome::no_memory;
      lock_.lock();
    }
    if (Bounded && !has_permit) ++acquired_;
    Op* woken = nullptr;
    if constexpr (is_plain<M>) {
      woken = store(to, m);
      lock_.unlock();
    } else {
      ++in_flight_;
      lock_.unlock();
      woken = store_unlocked(to, m);
    }
    delete fresh;
    if (woken != nullptr) complete(*woken);
    return outcome::done;
  }
  /// Moves the message into its slot and publishes it. Returns the receiver if it was waiting for
  /// it.
  Op* store(const slot& to, M& m) noexcept {
    ::new (static_cast<void*>(to.message())) M(std::move(m));
    return publish(to);
  }
  Op* publish(const slot& to) noexcept {
    to.in->ready[to.index].store(true, std::memory_order_release);
    return receiver_ != nullptr && head_ == to.position ? std::exchange(receiver_, nullptr)
                                                        : nullptr;
  }
  /// The same, called without the lock, because the move runs user code.
  Op* store_unlocked(const slot& to, M& m) noexcept {
    ::new (static_cast<void*>(to.message())) M(std::move(m));
    lock_.lock();
    Op* const woken = publish(to);
    const bool last = --in_flight_ == 0 && receiver_gone_;
    lock_.unlock();
    if (last) destroy_messages();
    return woken;
  }

  /// Grants room to the waiting senders, as far as there is any. Called without the lock.
  void grant() noexcept {
    block* fresh = nullptr;
    for (;;) {
      std::array<waiter*, batch> granted;  // NOLINT(*-member-init): only what is set is read
      std::size_t n = 0;
      Op* woken = nullptr;
      bool needs_block = false;
      lock_.lock();
      seen_consumed_ = consumed_.load(std::memory_order_acquire) >> 1;
      while (n != batch && !closed_.load(std::memory_order_relaxed)) {
        waiter* const w = waiting_.front();
        if (w == nullptr || !has_room(w->wanted)) break;
        if (w->message != nullptr) {
          if (!reserve(w->reserved, fresh)) {
            needs_block = true;
            break;
          }
          if constexpr (is_plain<M>) {
            if (Op* const op = store(w->reserved, *w->message)) woken = op;
          } else {
            ++in_flight_;
          }
        }
        acquired_ += w->wanted;
        w->result = outcome::done;
        waiting_.pop_front();
        granted[n++] = w;
      }
      if (waiting_.empty()) consumed_.fetch_and(~waiting_bit, std::memory_order_relaxed);
      lock_.unlock();

      if constexpr (!is_plain<M>) {
        for (std::size_t i = 0; i != n; ++i)
          if (granted[i]->message != nullptr)
            if (Op* const op = store_unlocked(granted[i]->reserved, *granted[i]->message))
              woken = op;
      }
      for (std::size_t i = 0; i != n; ++i) complete(*granted[i]->op);
      if (woken != nullptr) complete(*woken);
      if (needs_block) {
        fresh = new (std::nothrow) block;
        if (fresh == nullptr) refuse_first();
      } else if (n != batch) {
        break;
      }
    }
    delete fresh;
  }
  /// Refuses the first waiting sender, because there is no memory for its message. Called without
  /// the lock.
  void refuse_first() noexcept {
    lock_.lock();
    waiter* const w = waiting_.front();
    // The first one may have changed, or may be gone; a sender that only reserves room needs no
    // memory.
    const bool refused = w != nullptr && w->message != nullptr;
    if (refused) {
      waiting_.pop_front();
      if (waiting_.empty()) consumed_.fetch_and(~waiting_bit, std::memory_order_relaxed);
    }
    lock_.unlock();
    if (!refused) return;
    w->result = outcome::no_memory;
    complete(*w->op);
  }

  /// Returns true if there is no message and none will come.
  [[nodiscard]] bool ended() const noexcept {
    return (senders_gone_ || closed_.load(std::memory_order_relaxed)) && tail_ == head_ &&
           (!Bounded || acquired_ == tail_);
  }
  Op* take_receiver_if_ended() noexcept {
    return receiver_ != nullptr && ended() ? std::exchange(receiver_, nullptr) : nullptr;
  }
  /// Like `front()`, but without changing anything.
  [[nodiscard]] bool is_front_ready() const noexcept {
    const bool at_end = head_index_ == Slots;
    const block* const b = at_end ? following() : head_block_;
    return b != nullptr && b->ready[at_end ? 0 : head_index_].load(std::memory_order_acquire);
  }

  /// The block after that of the receiver. Called without the lock.
  [[nodiscard]] block* following() const noexcept {
    return (head_block_ == nullptr ? first_ : head_block_->next).load(std::memory_order_acquire);
  }
  /// Called, without the lock, when no thread sends or receives any more.
  void destroy_messages() noexcept {
    while (M* const at = front()) {
      [[maybe_unused]] const M last(std::move(*at));
      std::destroy_at(at);
      ++head_index_;
    }
    delete std::exchange(head_block_, nullptr);
  }

  // Counters that change together are not adjacent: g++ would increment both with one vector
  // instruction, whose wide load would stall on the preceding narrow stores.

  // The senders' part. `head_` and the rest of the receiver's part do not change while the receiver
  // waits.
  basic_spinlock<Sync> lock_;
  atomic<bool> closed_{false};  ///< set by the receiver
  bool senders_gone_ = false;
  bool receiver_gone_ = false;
  std::uint32_t in_flight_ = 0;  ///< reserved, but not published
  std::size_t tail_index_ = Slots;
  block* tail_block_ = nullptr;
  std::size_t tail_;
  std::size_t seen_consumed_;
  std::size_t acquired_;
  const std::size_t capacity_;
  Op* receiver_ = nullptr;
  intrusive_list<waiter> waiting_;   ///< for room
  intrusive_list<waiter> watching_;  ///< for the close
  atomic<std::size_t> senders_{1};
  atomic<std::size_t> owners_{2};
  atomic<block*> first_{nullptr};

  // The receiver's part, at least a cache line after what every send writes.
  std::size_t head_index_ = Slots;
  block* head_block_ = nullptr;
  std::size_t head_;
  atomic<std::size_t> consumed_;
};

}  // namespace kioto::detail
