// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <kioto/detail/sleep_mark.hpp>
#include <kioto/detail/sync_policy.hpp>

namespace kioto::detail {

/// Which of the sleeping workers looks after those that run.
///
/// A worker that is stuck in one task does not turn the driver, nor run what it woke itself. So
/// while some workers run and others sleep, one sleeper, the *sentinel*, sleeps for a limited time
/// and then looks round. If everybody sleeps, and one of them in the driver, there is nothing to
/// look after, and the sentinel sleeps without a limit, too.
///
/// The rules for the callers:
/// 1. *Sleep*: a worker that is counted as parked calls `take()`. The one that has the role asks
///    `may_sleep()` with a test that all are asleep, and limits its sleep if that is false.
/// 2. *Pass on*: a sentinel that sleeps in the driver while another one sleeps beside it calls
///    `resign()` and unparks that one, which takes the role in its turn. So events that the driver
///    brings need not wake anybody for the sake of the role. A sentinel alone in the driver keeps
///    the role, and has a limit, whatever it was told before it got there.
/// 3. *Leave*: a worker that has left the idle set calls `resign()`, and unparks whom
///    `whom_to_wake()` names. If that is nobody, and the role is vacant, it unparks another
///    sleeper, if there is one.
///
/// Guarantee: when all calls are over, and some workers sleep while others run, one sleeper has the
/// role, and its sleep is limited.
///
/// Why the role does not get lost. Worker L resigns and then looks for a sleeper, under the mutex
/// of the idle set; sleeper S enters the idle set, under that mutex, and then tries to take the
/// role. If L's look comes first, S sees the role vacant; otherwise L sees S. If S, whom L chose,
/// leaves for a reason of its own, it takes itself out of the idle set after L's look: so it sees
/// the role vacant, and looks for another sleeper in L's stead.
///
/// Why the sleep gets its limit. A worker that leaves, leaves the idle set and the driver first,
/// and then looks at the mark; the sentinel sets the mark and then looks whether all are asleep.
/// See `basic_sleep_mark`. The role alone would not do: what a worker sees of it may be old.
template <class Sync>
class basic_sentinel {
 public:
  basic_sentinel() : role_(std::uint32_t{0}) {}
  basic_sentinel(const basic_sentinel&) = delete;
  basic_sentinel& operator=(const basic_sentinel&) = delete;

  /// True: the worker has the role. What the one before it did in it happened before.
  [[nodiscard]] bool take(std::size_t worker) noexcept {
    if (has(worker)) return true;
    std::uint32_t vacant = 0;
    return role_.compare_exchange_strong(vacant, mark_of(worker), std::memory_order_acq_rel,
                                         std::memory_order_relaxed);
  }
  /// For the worker itself this is exact.
  [[nodiscard]] bool has(std::size_t worker) const noexcept {
    return role_.load(std::memory_order_relaxed) == mark_of(worker);
  }
  /// The worker has not got the role any more. True: nobody has it.
  // Nobody but the worker itself takes its role away, so a store would do for it; an exchange,
  // because the role is handed on with what was done in it.
  bool resign(std::size_t worker) noexcept {
    const std::uint32_t now = role_.load(std::memory_order_relaxed);
    if (now == mark_of(worker)) role_.exchange(0, std::memory_order_acq_rel);
    return now == 0 || now == mark_of(worker);
  }

  /// The sentinel: whether it may sleep without a limit. Then it calls `woke_up()` after the sleep.
  template <class AllAsleep>
  [[nodiscard]] bool may_sleep(AllAsleep&& all_asleep) noexcept {
    unlimited_.fall_asleep();
    if (all_asleep()) return true;
    unlimited_.wake_up();
    return false;
  }
  void woke_up() noexcept { unlimited_.wake_up(); }

  /// The sentinel, if it sleeps without a limit and nobody else wakes it.
  [[nodiscard]] std::optional<std::size_t> whom_to_wake() noexcept {
    if (!unlimited_.must_wake()) return std::nullopt;
    const std::uint32_t now = role_.load(std::memory_order_acquire);
    if (now == 0) return std::nullopt;  // it has woken up meanwhile
    return now - 1;
  }

 private:
  static constexpr std::uint32_t mark_of(std::size_t worker) noexcept {
    return static_cast<std::uint32_t>(worker) + 1;
  }

  typename Sync::template atomic<std::uint32_t> role_;  // 0, or the worker that has it, plus 1
  basic_sleep_mark<Sync> unlimited_;
};

using sentinel = basic_sentinel<std_sync>;

}  // namespace kioto::detail
