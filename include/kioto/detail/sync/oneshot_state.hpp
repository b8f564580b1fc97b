// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

/// The word on which the two halves of a one-shot channel meet. Around it lies the cell of the
/// value, which the two halves own together.
///
/// The sender leaves once: with a value (`publish`) or without one (`leave_sender`). The receiver
/// closes at most once, and leaves once. A half waits for the other one in at most one waiter at a
/// time, which is completed (by `complete(Waiter&)`, found by argument-dependent lookup) or
/// withdrawn by its owner.
///
/// Invariants:
/// - O1 At most one of `value` and `closed` gets its effect: the sender sets `value` only from a
///   word without `closed`, so a value that was sent before the close is received, and one that
///   came after it is handed back.
/// - O2 The half that leaves second frees the cell: each leaves by a read-modify-write of the word
///   and looks whether the other one has left. The receiver saves its own where it sees that the
///   sender has left, because then nobody else is there.
/// - O3 A waiter is completed by whoever sets the first bit that ends its wait, and only if the
///   read-modify-write that sets it finds the bit of the waiter; the owner that takes this bit away
///   and finds the wait ended knows that the completion comes.
///
/// Memory order: setting `value` releases the value, reading it acquires; the same holds for the
/// pointers of waiters and their bits. Leaving releases what the half did with the cell, and
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

  /// After the value is stored. True: it is the receiver's, and the sender has left. False: the
  /// receiver does not want it; the sender takes it back and leaves.
  [[nodiscard]] bool publish() noexcept {
    word now = word_.load(std::memory_order_relaxed);
    do {
      if ((now & closed) != 0) return false;
    } while (!word_.compare_exchange_weak(now, now | value, std::memory_order_acq_rel,
                                          std::memory_order_relaxed));
    // The cell is there as long as the receiver waits in it.
    if ((now & receiver_waits) != 0) complete(*receiver_waiter_.get());
    return true;
  }
  /// Without a value. True: the caller frees the cell.
  [[nodiscard]] bool leave_sender() noexcept {
    const word old = word_.fetch_or(sender_left, std::memory_order_acq_rel);
    if ((old & (receiver_waits | closed)) == receiver_waits) complete(*receiver_waiter_.get());
    return (old & receiver_left) != 0;
  }

  /// True: `w` waits for the close. False: the channel is closed.
  [[nodiscard]] bool link_sender(Waiter& w) noexcept {
    sender_waiter_.set(&w);
    return (word_.fetch_or(sender_waits, std::memory_order_acq_rel) & closed) == 0;
  }
  /// True: the waiter is withdrawn. False: it has been, or will be, completed.
  [[nodiscard]] bool unlink_sender() noexcept {
    return (word_.fetch_and(~sender_waits, std::memory_order_acq_rel) & closed) == 0;
  }

  // The receiver.

  [[nodiscard]] bool has_value() const noexcept { return has(value); }
  /// There is a value, or there will never be one.
  [[nodiscard]] bool is_decided() const noexcept { return has(value | sender_left | closed); }

  /// True: `w` waits until this is decided. False: it is.
  [[nodiscard]] bool link_receiver(Waiter& w) noexcept {
    receiver_waiter_.set(&w);
    return (word_.fetch_or(receiver_waits, std::memory_order_acq_rel) & decided) == 0;
  }
  /// True: the waiter is withdrawn. False: it has been, or will be, completed.
  [[nodiscard]] bool unlink_receiver() noexcept {
    return (word_.fetch_and(~receiver_waits, std::memory_order_acq_rel) & decided) == 0;
  }

  /// No value will be accepted from here on. Wakes whoever waits for that, on either side.
  void close() noexcept {
    const word old = word_.fetch_or(closed, std::memory_order_acq_rel);
    if ((old & closed) != 0) return;
    wake_sender(old);
    if ((old & (receiver_waits | decided)) == receiver_waits) complete(*receiver_waiter_.get());
  }
  /// True: the caller frees the cell, and with it a value that nobody took.
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
  // The sender stays while it waits.
  void wake_sender(word old) noexcept {
    if ((old & sender_waits) != 0) complete(*sender_waiter_.get());
  }

  typename Sync::template atomic<word> word_;
  typename Sync::template var<Waiter*> receiver_waiter_{nullptr};
  typename Sync::template var<Waiter*> sender_waiter_{nullptr};
};

}  // namespace kioto::detail
