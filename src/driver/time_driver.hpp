// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>

#include <kioto/detail/base/sync_policy.hpp>
#include <kioto/detail/time/tick_grid.hpp>
#include <kioto/detail/time/timer_wheel.hpp>

namespace kioto::detail {

/// Fires timers at their deadlines.
///
/// Time is counted in ticks, see `tick_grid`. Deadlines round up to a tick and the clock rounds
/// down, so that no timer is early, whatever the clock's resolution.
///
/// Invariants:
/// - T1 A timer that was inserted is either cancelled, by a `cancel` that returns true, or fires,
///   once. Which of the two is decided under the lock, by whoever unlinks it.
/// - T2 Callbacks run without the lock, in batches: they may insert, cancel and destroy any timers.
/// - T3 `next_` is not later than the first deadline. An `insert` that lowers it says so by its
///   result.
///
/// `Timer` is derived from `timer_node` and has `void fire() noexcept`: called once for each
/// insertion that is not cancelled, as the last access to the timer.
///
/// Thread safety: all members, from any thread.
template <class Sync, class Timer>
class basic_time_driver {
 public:
  using clock = std::chrono::steady_clock;
  static constexpr std::uint64_t never = timer_wheel::never;
  static constexpr std::size_t batch_size = 32;

  /// The grid is that of the runtimes.
  basic_time_driver() noexcept
      : grid_(tick_grid::since_beginning()), wheel_(grid_.tick_at_or_before(clock::now())) {}
  /// Ticks count from `start`.
  explicit basic_time_driver(clock::time_point start) noexcept : grid_(start) {}
  basic_time_driver(const basic_time_driver&) = delete;
  basic_time_driver& operator=(const basic_time_driver&) = delete;
  /// No timer may be inserted any more; see `shutdown`.
  ~basic_time_driver() = default;

  /// Inserts a timer that is not inserted. Unless this returns `elapsed`, the timer may have fired,
  /// and be gone, before the call returns.
  timer_insert insert(Timer& timer, std::uint64_t tick) noexcept {
    std::lock_guard lock(mutex_);
    timer.set_cancelled_by_shutdown(closed_);
    if (closed_ || !wheel_.insert(timer, tick)) return timer_insert::elapsed;
    if (tick >= next_.load(std::memory_order_relaxed)) return timer_insert::inserted;
    next_.store(tick, std::memory_order_relaxed);
    return timer_insert::inserted_earliest;
  }
  timer_insert insert(Timer& timer, clock::time_point deadline) noexcept {
    return insert(timer, tick_at_or_after(deadline));
  }

  /// True if the timer was removed and will not fire. False if it is not inserted, or its callback
  /// has been called or is about to be; the caller keeps the timer alive until then.
  [[nodiscard]] bool cancel(Timer& timer) noexcept {
    std::lock_guard lock(mutex_);
    if (!timer.is_linked()) return false;
    // `next_` stays as it is: at worst the driver wakes once for nothing. Otherwise, of timeouts
    // that are set and cancelled again and again, each would look like the earliest and wake the
    // driver.
    wheel_.remove(timer);
    return true;
  }

  /// When to call `process` next, `never` if there is no timer. Does not lock.
  ///
  /// Relaxed, because a value that is too late does not matter: the insertion that lowers it
  /// unparks the driver afterwards, and the parker orders that with this read.
  [[nodiscard]] std::uint64_t next_tick() const noexcept {
    return next_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::optional<clock::time_point> next_deadline() const noexcept {
    const std::uint64_t tick = next_tick();
    if (tick == never) return std::nullopt;
    return time_of(tick);
  }

  /// The exact first deadline; `next_deadline` may be that of a cancelled timer, or a step on the
  /// way to a distant one. None if there is no timer, or none with a deadline that will come. Not
  /// for hot paths.
  [[nodiscard]] std::optional<clock::time_point> earliest_deadline() noexcept {
    const std::lock_guard lock(mutex_);
    const timer_node* first = wheel_.earliest();
    if (first == nullptr || first->deadline() >= tick_at_or_after(clock::time_point::max()))
      return std::nullopt;
    return time_of(first->deadline());
  }

  /// Fires the timers whose deadline is not after `now`, in the order of their deadlines. Returns
  /// how many. Does not lock when there is none.
  std::size_t process(std::uint64_t now) noexcept {
    if (now < next_tick()) return 0;
    std::unique_lock lock(mutex_);
    wheel_.advance(now, firing_);
    next_.store(wheel_.next_expiration(), std::memory_order_relaxed);
    return fire(lock);
  }
  std::size_t process(clock::time_point now) noexcept { return process(tick_at_or_before(now)); }
  std::size_t process() noexcept {
    return next_tick() == never ? 0 : process(tick_at_or_before(clock::now()));
  }

  /// Fires all timers, with `cancelled_by_shutdown()`. Later insertions are refused.
  void shutdown() noexcept {
    std::unique_lock lock(mutex_);
    closed_ = true;
    timer_list left;
    wheel_.drain(left);
    for (timer_node* t = left.front(); t != nullptr; t = left.next(*t))
      t->set_cancelled_by_shutdown(true);
    firing_.splice_back(left);
    next_.store(never, std::memory_order_relaxed);
    fire(lock);
  }

  [[nodiscard]] std::uint64_t tick_at_or_after(clock::time_point t) const noexcept {
    return grid_.tick_at_or_after(t);
  }
  [[nodiscard]] std::uint64_t tick_at_or_before(clock::time_point t) const noexcept {
    return grid_.tick_at_or_before(t);
  }
  [[nodiscard]] clock::time_point time_of(std::uint64_t tick) const noexcept {
    return grid_.time_of(tick);
  }

 private:
  // Several threads may do this at once; each batch belongs to the one that unlinked it.
  std::size_t fire(std::unique_lock<typename Sync::mutex>& lock) noexcept {
    std::size_t fired = 0;
    for (;;) {
      std::array<timer_node*, batch_size> batch;
      std::size_t count = 0;
      while (count != batch_size && !firing_.empty()) batch[count++] = firing_.pop_front();
      if (count == 0) return fired;
      const bool last = firing_.empty();
      lock.unlock();
      for (std::size_t i = 0; i != count; ++i) static_cast<Timer*>(batch[i])->fire();
      fired += count;
      if (last) return fired;
      lock.lock();
    }
  }

  const tick_grid grid_;
  typename Sync::mutex mutex_;
  typename Sync::template atomic<std::uint64_t> next_{never};  // written under the lock
  bool closed_ = false;
  timer_list firing_;  // due, not yet fired
  timer_wheel wheel_;
};

class timer_operation;  // defined where members of `time_driver` are called
using time_driver = basic_time_driver<std_sync, timer_operation>;

}  // namespace kioto::detail
