// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

/// The word through which the two halves of a one-shot channel synchronise. It is part of the cell
/// that holds the value, which the two halves own together.
///
/// The sender leaves once: with a value (`publish`) or without one (`leave_sender`). The receiver
/// closes at most once, and leaves once. A half waits for the other one in at most one waiter at a
/// time, which is completed (by `complete(Waiter&)`, found by argument-dependent lookup) or
/// cancelled by its owner.
///
/// Invariants:
/// - O1 At most one of `value` and `closed` takes effect: the sender sets `value` only from a word
///   without `closed`, so a value that was sent before the close is received, and one that came
///   after it is returned to the sender.
/// - O2 The half that leaves second frees the cell: each leaves with a read-modify-write of the
///   word and checks whether the other one has left. The receiver omits its own if it sees that the
///   sender has left, because then it is alone.
/// - O3 A waiter is completed by the half that sets the first bit that ends its wait, and only if
///   the read-modify-write that sets it finds the bit of the waiter; an owner that clears its bit
///   and finds the wait ended knows that the completion will come.
///
/// Memory order: setting `value` releases the value, and reading it acquires; the same holds for
/// the pointers of waiters and their bits. Leaving releases what the half did with the cell, and
/// acquires what the other one did before it is freed. All happens on one word, so no order between
/// different words is needed.
template <class Sync, class Waiter>
class basic_oneshot_state {
  using word = std::uint32_t;

 public:
  basic_oneshot_state() : word_(word{0}) {}
  basic_oneshot_state(const basic_oneshot_state&) = delete;
  basic_oneshot_state& operator=(const basic_oneshot_state&) = delete;

  // The sender.

  [[nodiscard]] bool is_closed() const noexcept { return has(closed); }

  /// Called after the value is stored. Returns true if the receiver now owns it, and the sender has
  /// left. Returns false if the channel is closed; then the sender takes the value back and leaves.
  [[nodiscard]] bool publish() noexcept {
    word now = word_.load(std::memory_order_relaxed);
    do {
      if ((now & closed) != 0) return false;
    } while (!word_.compare_exchange_weak(now, now | value, std::memory_order_acq_rel,
                                          std::memory_order_relaxed));
    // The cell exists as long as the receiver waits in it.
    if ((now & receiver_waits) != 0) complete(*receiver_waiter_.get());
    return true;
  }
  /// Leaves without a value. Returns true if the caller has to free the cell.
  [[nodiscard]] bool leave_sender() noexcept {
    const word old = word_.fetch_or(sender_left, std::memory_order_acq_rel);
    if ((old & (receiver_waits | closed)) == receiver_waits) complete(*receiver_waiter_.get());
    return (old & receiver_left) != 0;
  }

  /// Returns true if `w` now waits for the close; false if the channel is closed.
  [[nodiscard]] bool link_sender(Waiter& w) noexcept {
    sender_waiter_.set(&w);
    return (word_.fetch_or(sender_waits, std::memory_order_acq_rel) & closed) == 0;
  }
  /// Returns true if the waiter no longer waits; false if it has been or will be completed.
  [[nodiscard]] bool unlink_sender() noexcept {
    return (word_.fetch_and(~sender_waits, std::memory_order_acq_rel) & closed) == 0;
  }

  // The receiver.

  [[nodiscard]] bool has_value() const noexcept { return has(value); }
  /// Returns true if there is a value, or there will never be one.
  [[nodiscard]] bool is_decided() const noexcept { return has(value | sender_left | closed); }

  /// Returns true if `w` now waits until `is_decided()`; false if it is.
  [[nodiscard]] bool link_receiver(Waiter& w) noexcept {
    receiver_waiter_.set(&w);
    return (word_.fetch_or(receiver_waits, std::memory_order_acq_rel) & decided) == 0;
  }
  /// Returns true if the waiter no longer waits; false if it has been or will be completed.
  [[nodiscard]] bool unlink_receiver() noexcept {
    return (word_.fetch_and(~receiver_waits, std::memory_order_acq_rel) & decided) == 0;
  }

  /// Accepts no value from now on. Completes the waiters of both halves.
  void close() noexcept {
    const word old = word_.fetch_or(closed, std::memory_order_acq_rel);
    if ((old & closed) != 0) return;
    wake_sender(old);
    if ((old & (receiver_waits | decided)) == receiver_waits) complete(*receiver_waiter_.get());
  }
  /// Returns true if the caller has to free the cell, and with it a value that was not taken.
  [[nodiscard]] bool leave_receiver() noexcept {
    if (has(value | sender_left)) return true;
    const word old = word_.fetch_or(closed | receiver_left, std::memory_order_acq_rel);
    if ((old & (receiver_waits | decided)) == receiver_waits) [[unlikely]]
      die_in_use();
    if ((old & (value | sender_left)) != 0) return true;
    if ((old & closed) == 0) wake_sender(old);
    return false;
  }

 private:
  static constexpr word value = 1;
  static constexpr word sender_left = 2;
  static constexpr word closed = 4;
  static constexpr word receiver_left = 8;
  static constexpr word receiver_waits = 16;
  static constexpr word sender_waits = 32;
  static constexpr word decided = value | sender_left | closed;

  [[nodiscard]] bool has(word bits) const noexcept {
    return (word_.load(std::memory_order_acquire) & bits) != 0;
  }
  // The sender cannot leave while it waits.
  void wake_sender(word old) noexcept {
    if ((old & sender_waits) != 0) complete(*sender_waiter_.get());
  }

  typename Sync::template atomic<word> word_;
  typename Sync::template var<Waiter*> receiver_waiter_{nullptr};
  typename Sync::template var<Waiter*> sender_waiter_{nullptr};
};

}  // namespace kioto::detail
