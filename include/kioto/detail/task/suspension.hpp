// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

/// Decides which thread may run a sequential strand of coroutines: the atomic word behind every
/// suspended operation.
///
/// A strand is *owned* while a thread runs it or a run queue holds it; otherwise it is *suspended*
/// in exactly one operation. Three parties access the word:
///
/// - the owner suspends it: `prepare()`, hand the operation to its backend, then `arm()`;
/// - the backend completes the operation, from any thread: `complete()`;
/// - any thread asks the strand to stop: `request_stop()`.
///
/// Invariants:
/// - I1 Exactly one party takes the strand out of the suspended state: every transition to `owned`
///   is a read-modify-write, and only the one that saw the bit clear may schedule.
/// - I2 The owner observes a completion that came before `arm()` (`arm_result::fired`) and a stop
///   that came before it (`arm_result::stop`), because `arm()` fails if either bit is set.
/// - I3 Two completion bits alternate, so that the bit of the previous operation need not be
///   cleared by a read-modify-write of its own; `arm()` clears it. This is what keeps a suspended
///   operation at two read-modify-writes.
/// - I4 `stop` is sticky.
///
/// Memory order: `complete()` and `request_stop()` release what their caller wrote (the value), and
/// acquire what the owner wrote before `arm()` (the operation, the frame). `arm()` releases the
/// frame to the thread that runs the strand next. All of them are read-modify-writes of one word,
/// so each reads the newest value in its modification order; no store-load ordering is needed.
///
/// A strand that runs the branches of a combinator stays owned; see `basic_branch_queue`.
template <class Sync>
class basic_suspension {
 public:
  using word = std::uint32_t;

  static constexpr word owned = 1;
  static constexpr word fired_a = 2;
  static constexpr word fired_b = 4;
  static constexpr word stop = 8;

  /// Passed from `prepare()` to `arm()`: the word that `arm()` expects, and the bit of this
  /// operation.
  struct ticket {
    word expected;
    word fired;
  };

  enum class arm_result : std::uint8_t { suspended, fired, stop };

  basic_suspension() : word_(word{owned}) {}
  basic_suspension(const basic_suspension&) = delete;
  basic_suspension& operator=(const basic_suspension&) = delete;

  /// Called by the owner before it hands the operation to the backend.
  ticket prepare() noexcept {
    // Completion bits are only written for the operation that the owner waits for, so a relaxed
    // load of them is exact here.
    const word now = word_.load(std::memory_order_relaxed) & static_cast<word>(~stop);
    if (now == (owned | fired_a | fired_b)) [[unlikely]] {
      word_.fetch_and(static_cast<word>(~fired_a), std::memory_order_relaxed);
      return {owned | fired_b, fired_a};
    }
    static_assert(fired_b == 2 * fired_a);
    return {now, fired_a + (now & fired_a)};  // the one that is clear
  }

  /// The fast path of `arm()`. Returns true for `suspended`; false if a completion or a stop came
  /// first, and then `arm()` tells which.
  [[nodiscard]] bool try_arm(ticket t) noexcept {
    word expected = t.expected;
    return word_.compare_exchange_strong(expected, word{0}, std::memory_order_acq_rel,
                                         std::memory_order_relaxed);
  }

  /// Called by the owner after it has handed the operation to the backend. On `suspended` the
  /// caller no longer owns the strand and must not touch it. `fired`: the operation has completed.
  /// `stop`: stop was requested, the operation is still with the backend and the caller still owns
  /// the strand. With `ignore_stop` the result is never `stop`.
  arm_result arm(ticket t, bool ignore_stop) noexcept {
    word expected = t.expected;
    for (;;) {
      if ((expected & t.fired) != 0) return arm_result::fired;
      if ((expected & stop) != 0 && !ignore_stop) return arm_result::stop;
      if (word_.compare_exchange_strong(expected, static_cast<word>(expected & stop),
                                        std::memory_order_acq_rel, std::memory_order_acquire))
        return arm_result::suspended;
    }
  }

  /// Called by the backend on any thread, once per operation, after its last access to the
  /// operation. Returns true if the caller now owns the strand and must schedule it.
  [[nodiscard]] bool complete(word fired) noexcept {
    // The common case, in which nothing else has happened: a compare-and-swap with known values is
    // shorter.
    word suspended = 0;
    if (word_.compare_exchange_strong(suspended, static_cast<word>(owned | fired),
                                      std::memory_order_acq_rel, std::memory_order_relaxed))
        [[likely]]
      return true;
    return (word_.fetch_or(static_cast<word>(owned | fired), std::memory_order_acq_rel) & owned) ==
           0;
  }

  /// Any thread. Returns true if the caller now owns the strand and must schedule it, so that it
  /// can stop.
  [[nodiscard]] bool request_stop() noexcept {
    return (word_.fetch_or(static_cast<word>(owned | stop), std::memory_order_acq_rel) & owned) ==
           0;
  }

  /// Called by the owner before the strand is visible to any other thread: requests a stop.
  void begin_stopped() noexcept {
    word_.store(static_cast<word>(owned | stop), std::memory_order_relaxed);
  }

  [[nodiscard]] bool stop_requested() const noexcept {
    return (word_.load(std::memory_order_acquire) & stop) != 0;
  }
  /// Called by the owner: returns true if the operation with this completion bit has completed.
  [[nodiscard]] bool has_fired(word fired) const noexcept {
    return (word_.load(std::memory_order_acquire) & fired) != 0;
  }

  /// Any thread: takes ownership of a suspended strand in order to inspect it. If it returns true,
  /// the caller owns the strand and gives it back with `unborrow()`.
  [[nodiscard]] bool try_borrow(word& seen) noexcept {
    seen = word_.load(std::memory_order_relaxed);
    while ((seen & owned) == 0) {
      if (word_.compare_exchange_strong(seen, static_cast<word>(seen | owned),
                                        std::memory_order_acq_rel, std::memory_order_relaxed))
        return true;
    }
    return false;
  }
  /// Returns false if a completion or a stop came while the strand was borrowed; then the caller
  /// still owns it and must schedule it.
  [[nodiscard]] bool unborrow(word seen) noexcept {
    word expected = seen | owned;
    return word_.compare_exchange_strong(expected, seen, std::memory_order_acq_rel,
                                         std::memory_order_acquire);
  }

 private:
  typename Sync::template atomic<word> word_;
};

using suspension = basic_suspension<std_sync>;

}  // namespace kioto::detail
