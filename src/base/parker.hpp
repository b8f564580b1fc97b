// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

/// Puts one thread to sleep until another one wakes it. A wake-up that comes before the park is
/// kept: one, however many there were.
///
/// What happened before unpark() happens before the return of the park that consumes it, also if
/// several unpark() share one. Only the thread that the parker belongs to may park. unpark() may be
/// called from any thread. It touches nothing after what lets the park return: the parker may be
/// gone when it returns, if that was the only or the last one.
template <class Sync>
class basic_thread_parker {
  // state_:   empty -> parked -> notified -> empty,   empty -> notified -> empty
  //
  // unpark() exchanges notified into the word whatever its value was, with release: so each of
  // several publishes, and continues the release sequence of the one before. The consumer takes the
  // word with an acquiring exchange and thus sees all of them. The sleeper goes from empty to
  // parked, and sleeps only while the word is still that. An unpark() that finds parked changed the
  // word before it wakes: the sleeper either sees that when it compares, or is asleep and woken.
 public:
  basic_thread_parker() = default;
  basic_thread_parker(const basic_thread_parker&) = delete;
  basic_thread_parker& operator=(const basic_thread_parker&) = delete;

  /// Does not sleep. True if a wake-up has come; it is consumed.
  [[nodiscard]] bool try_park() noexcept {
    // Loads first, so that a thread that polls does not take the cache line from the others.
    return state_.load(std::memory_order_relaxed) == notified && consume();
  }

  /// Sleeps until it is notified. Never returns spuriously.
  void park() {
    if (consume() || !prepare()) return;
    do Sync::wait(state_, parked);
    while (!consume());
  }

  /// Sleeps until it is notified, or for `timeout`. True: notified.
  bool park_for(std::chrono::nanoseconds timeout) {
    if (consume()) return true;
    if (timeout <= std::chrono::nanoseconds::zero()) return false;
    if (!prepare()) return true;
    // May return early without a notification: then the caller sees a short wait.
    Sync::wait_for(state_, parked, timeout);
    return state_.exchange(empty, std::memory_order_acquire) == notified;
  }

  void unpark() {
    // Past the exchange only the address of the word is used.
    if (state_.exchange(notified, std::memory_order_release) == parked) Sync::wake_one(state_);
  }

 private:
  static constexpr std::uint32_t empty = 0;
  static constexpr std::uint32_t parked = 1;
  static constexpr std::uint32_t notified = 2;

  bool consume() noexcept {
    std::uint32_t expected = notified;
    return state_.compare_exchange_strong(expected, empty, std::memory_order_acquire,
                                          std::memory_order_relaxed);
  }

  // False if a notification has come meanwhile; it is consumed. The failed compare-exchange would
  // synchronise with one notification only; the exchange takes the word as it is now, with all of
  // them.
  bool prepare() noexcept {
    std::uint32_t expected = empty;
    if (state_.compare_exchange_strong(expected, parked, std::memory_order_relaxed,
                                       std::memory_order_relaxed))
      return true;
    state_.exchange(empty, std::memory_order_acquire);
    return false;
  }

  typename Sync::template atomic<std::uint32_t> state_{empty};
};

using thread_parker = basic_thread_parker<std_sync>;

/// The parker of a worker: sleeps in the driver if that is free, else by itself.
///
/// The workers share one driver, which offers
/// - `bool try_lock()` and `void unlock()`: whoever holds the lock may turn it;
/// - `void turn(std::optional<std::chrono::nanoseconds> timeout)`: waits for events, at most for
///   `timeout`, without an end if there is none, and dispatches them. It may come back early;
/// - `void poll(limit...)`: dispatches what is there, and does not wait;
/// - `void unpark()`, from any thread: ends the turn in progress, or the next one if none is. What
///   happened before it happens before the end of that turn.
///
/// A worker that sleeps by itself does not notice that the driver has become free. A worker that
/// leaves the driver and will not come back soon has to unpark another one.
///
/// Ordering and ownership are those of basic_thread_parker; the parker must outlive unpark().
template <class Sync, class Driver>
class basic_parker {
  // state_:   empty -> parked_alone | parked_driver -> notified -> empty
  //
  // As in basic_thread_parker, with one more way to sleep. The state says how to wake the worker. A
  // thread in parked_driver holds the driver's lock; an unpark() that finds this state may reach
  // the driver before the turn has begun, or after it has ended for another reason: the driver
  // keeps it, and at worst one later turn, by whichever worker, comes back early.
 public:
  basic_parker() = default;
  basic_parker(const basic_parker&) = delete;
  basic_parker& operator=(const basic_parker&) = delete;

  /// Sleeps until it is notified, the driver's turn has ended, or `timeout` is over. A notification
  /// that has come by then is consumed.
  ///
  /// Without a timeout and away from the driver it never returns spuriously.
  void park(Driver& d, std::optional<std::chrono::nanoseconds> timeout = std::nullopt) {
    if (consume()) return;
    if (d.try_lock()) {
      const driver_lock lock(d);
      park_in_driver(d, timeout);
    } else {
      park_alone(timeout);
    }
  }

  /// Polls the driver, if it is free, for everything or as `limit` says. A notification stays for
  /// the next park.
  template <class... Limit>
  bool poll(Driver& d, Limit... limit) {
    if (!d.try_lock()) return false;
    const driver_lock lock(d);
    d.poll(limit...);
    return true;
  }

  void unpark(Driver& d) {
    switch (state_.exchange(notified, std::memory_order_release)) {
      case parked_alone:
        Sync::wake_one(state_);
        break;
      case parked_driver:
        d.unpark();
        break;
      default:
        break;  // awake: it will see the state before it sleeps
    }
  }

 private:
  static constexpr std::uint32_t empty = 0;
  static constexpr std::uint32_t parked_alone = 1;
  static constexpr std::uint32_t parked_driver = 2;
  static constexpr std::uint32_t notified = 3;

  class driver_lock {
   public:
    explicit driver_lock(Driver& d) noexcept : driver_(d) {}
    driver_lock(const driver_lock&) = delete;
    driver_lock& operator=(const driver_lock&) = delete;
    ~driver_lock() { driver_.unlock(); }

   private:
    Driver& driver_;
  };

  void park_in_driver(Driver& d, std::optional<std::chrono::nanoseconds> timeout) {
    if (!prepare(parked_driver)) return;
    d.turn(timeout);
    take();
  }

  void park_alone(std::optional<std::chrono::nanoseconds> timeout) {
    if (timeout && *timeout <= std::chrono::nanoseconds::zero()) return;
    if (!prepare(parked_alone)) return;
    if (timeout) {
      Sync::wait_for(state_, parked_alone, *timeout);
      take();
      return;
    }
    do Sync::wait(state_, parked_alone);
    while (!consume());
  }

  bool consume() noexcept {
    std::uint32_t expected = notified;
    return state_.compare_exchange_strong(expected, empty, std::memory_order_acquire,
                                          std::memory_order_relaxed);
  }

  void take() noexcept { state_.exchange(empty, std::memory_order_acquire); }

  bool prepare(std::uint32_t parked) noexcept {
    std::uint32_t expected = empty;
    if (state_.compare_exchange_strong(expected, parked, std::memory_order_relaxed,
                                       std::memory_order_relaxed))
      return true;
    take();
    return false;
  }

  typename Sync::template atomic<std::uint32_t> state_{empty};
};

}  // namespace kioto::detail
