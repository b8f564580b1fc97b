// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include <kioto/detail/base/sync_policy.hpp>
#include <kioto/detail/net/reactor.hpp>
#include <kioto/detail/time/timer_operation.hpp>

#include "driver/runtime_clock.hpp"
#include "driver/time_driver.hpp"

namespace kioto::detail {

/// The reactor and the timers of a runtime, as one object that a thread can sleep in. Whoever holds
/// the lock may turn it; `unpark()` and `timer_moved_up()` may be called by any thread.
///
/// `Io` has `turn(std::optional<nanoseconds>)` and `unpark()`, see `basic_parker`; `Timers` is a
/// `basic_time_driver`; `Clock` has `now()`.
template <class Sync, class Io, class Timers, class Clock>
class basic_driver {
 public:
  basic_driver(Io& io, Timers& timers, const Clock& clock) noexcept
      : io_(io), timers_(timers), clock_(clock) {}
  basic_driver(const basic_driver&) = delete;
  basic_driver& operator=(const basic_driver&) = delete;

  [[nodiscard]] bool try_lock() noexcept {
    return !locked_.load(std::memory_order_relaxed) &&
           !locked_.exchange(true, std::memory_order_acquire);
  }
  void unlock() noexcept { locked_.store(false, std::memory_order_release); }
  /// Whether a thread holds the lock; this may have changed already.
  [[nodiscard]] bool is_locked() const noexcept { return locked_.load(std::memory_order_relaxed); }
  /// How many turns have begun.
  [[nodiscard]] std::uint64_t turns() const noexcept {
    return turns_.load(std::memory_order_relaxed);
  }

  /// Zero polls; anything else sleeps until an event, the next timer, an unpark, or that long.
  void turn(std::optional<std::chrono::nanoseconds> timeout) noexcept {
    if (timeout && *timeout == std::chrono::nanoseconds::zero())
      poll();
    else
      sleep(timeout);
  }
  /// Dispatches what is ready, all of it or at most `limit` events, and fires the timers that are
  /// due.
  template <class... Limit>
  void poll(Limit... limit) noexcept {
    count_turn();
    io_.turn(std::chrono::nanoseconds::zero(), limit...);
    timers_.process(clock_.now());
  }

  /// For a paused clock: sleeps until an event or an unpark, but not for timers. `may_sleep()` is
  /// called first; a timer that becomes the earliest after that ends the sleep.
  template <class Predicate>
  void turn_beside_timers(std::optional<std::chrono::nanoseconds> limit,
                          Predicate&& may_sleep) noexcept {
    sleeping_.exchange(1, std::memory_order_acq_rel);  // as in sleep()
    if (may_sleep()) io_.turn(limit);
    sleeping_.exchange(0, std::memory_order_acq_rel);
    timers_.process(clock_.now());
  }

  /// Ends the turn in progress, or the next one.
  void unpark() noexcept { io_.unpark(); }

  /// A timer was set that is due before all others: a sleeping turn has to end, to see it.
  void timer_moved_up() noexcept {
    if (sleeping_.fetch_or(0, std::memory_order_acq_rel) != 0) io_.unpark();
  }

 private:
  void count_turn() noexcept { turns_.store(turns() + 1, std::memory_order_relaxed); }

  void sleep(std::optional<std::chrono::nanoseconds> limit) noexcept {
    count_turn();
    // A thread that moves a timer up looks at `sleeping_` with a read-modify-write, after the timer
    // is in. Either it sees 1, and unparks this turn; or this exchange comes later in the
    // modification order, acquires, and next_deadline() sees the timer.
    sleeping_.exchange(1, std::memory_order_acq_rel);
    if (const auto next = timers_.next_deadline()) {
      const auto now = clock_.now();
      const auto until =
          *next > now ? std::chrono::nanoseconds(*next - now) : std::chrono::nanoseconds::zero();
      if (!limit || until < *limit) limit = until;
    }
    io_.turn(limit);
    sleeping_.exchange(0, std::memory_order_acq_rel);
    timers_.process(clock_.now());
  }

  Io& io_;
  Timers& timers_;
  const Clock& clock_;
  typename Sync::template atomic<bool> locked_{false};
  typename Sync::template atomic<unsigned> sleeping_{0};
  typename Sync::template atomic<std::uint64_t> turns_{0};  // written with the lock held
};

using driver = basic_driver<std_sync, reactor, time_driver, runtime_clock>;

}  // namespace kioto::detail
