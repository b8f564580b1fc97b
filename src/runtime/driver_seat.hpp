// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <optional>

#include <kioto/detail/io_driver.hpp>
#include <kioto/detail/time_driver.hpp>

namespace kioto::detail {

/// The reactor and the timers of a runtime, as one thing that a thread can sleep in. Whoever holds
/// the lock may turn it; `unpark()` and `timer_moved_up()` are for everybody.
class driver_seat {
 public:
  driver_seat(io_driver& io, time_driver& timers) noexcept : io_(io), timers_(timers) {}
  driver_seat(const driver_seat&) = delete;
  driver_seat& operator=(const driver_seat&) = delete;

  [[nodiscard]] bool try_lock() noexcept {
    return !locked_.load(std::memory_order_relaxed) &&
           !locked_.exchange(true, std::memory_order_acquire);
  }
  void unlock() noexcept { locked_.store(false, std::memory_order_release); }

  /// Zero polls; anything else sleeps until an event, the next timer, an unpark, or that long.
  void turn(std::optional<std::chrono::nanoseconds> timeout) noexcept {
    turn_for(timeout, !timeout || *timeout != std::chrono::nanoseconds::zero());
  }
  /// Sleeps like `turn(nullopt)`, but not beyond `deadline`.
  void turn_until(std::chrono::steady_clock::time_point deadline) noexcept {
    const auto now = std::chrono::steady_clock::now();
    turn_for(deadline > now ? std::chrono::nanoseconds(deadline - now)
                            : std::chrono::nanoseconds::zero(),
             true);
  }

  /// Ends the turn in progress, or the next one.
  void unpark() noexcept { io_.unpark(); }

  /// A timer is due before all others: a sleeper has to come back and look.
  void timer_moved_up() noexcept {
    if (sleeping_.fetch_or(0, std::memory_order_acq_rel) != 0) io_.unpark();
  }

  /// True while a thread sleeps in the driver.
  [[nodiscard]] bool is_sleeping() const noexcept {
    return sleeping_.load(std::memory_order_acquire) != 0;
  }

 private:
  void turn_for(std::optional<std::chrono::nanoseconds> limit, bool sleeps) noexcept {
    if (sleeps) {
      // A thread that moves a timer up looks at `sleeping_` with a read-modify-write, after the
      // timer is in. Either it sees 1, and unparks this turn; or this exchange comes later in the
      // modification order, acquires, and next_deadline() sees the timer.
      sleeping_.exchange(1, std::memory_order_acq_rel);
      if (const auto next = timers_.next_deadline()) {
        const auto now = std::chrono::steady_clock::now();
        const auto until =
            *next > now ? std::chrono::nanoseconds(*next - now) : std::chrono::nanoseconds::zero();
        if (!limit || until < *limit) limit = until;
      }
    }
    io_.turn(limit);
    if (sleeps) sleeping_.exchange(0, std::memory_order_acq_rel);
    timers_.process(std::chrono::steady_clock::now());
  }

  io_driver& io_;
  time_driver& timers_;
  std::atomic<bool> locked_{false};
  std::atomic<unsigned> sleeping_{0};
};

}  // namespace kioto::detail
