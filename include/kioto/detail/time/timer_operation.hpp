// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>

#include <kioto/detail/task/strand.hpp>
#include <kioto/detail/time/tick_grid.hpp>
#include <kioto/detail/time/timer_wheel.hpp>

namespace kioto::detail {

/// Part of the operations that wait for a point in time: their `try_or_wait()` calls `wait_until`.
/// To be the base of a `leaf_awaiter`.
class timer_operation : public leaf_operation, public timer_node {
 public:
  bool cancel() noexcept override;
  bool withdraw() noexcept override { return true; }

  /// Ends the wait in progress as if the time had come. Only for whom the task of this operation
  /// cannot run meanwhile: another branch of it.
  void wake_early() noexcept {
    if (cancel()) complete(*this);
  }

  /// For the time driver.
  void fire() noexcept {
    stopped_ = cancelled_by_shutdown();
    complete(*this);
  }

 protected:
  timer_operation() noexcept = default;
  /// With a deadline that the runtime knows by its tick, and that may have passed by now.
  explicit timer_operation(std::chrono::steady_clock::time_point at, bool has_passed) noexcept
      : timer_node(tick_grid::since_beginning().tick_at_or_after(at), has_passed) {}
  timer_operation(timer_operation&& other) noexcept
      : leaf_operation(static_cast<leaf_operation&&>(other)),
        timer_node(other.deadline(), other.has_passed()) {}
  ~timer_operation() = default;

  /// As `leaf_operation::wait`. `ready`: the time has come already; `stopped` also when the runtime
  /// is shut down.
  attempt wait_until(std::chrono::steady_clock::time_point at) noexcept {
    return wait_until_tick(tick_grid::since_beginning().tick_at_or_after(at));
  }
  /// The same, until the deadline that it was made with. One that had passed then is not waited
  /// for, not even until the next tick.
  attempt wait_until_deadline() noexcept {
    if (has_passed() && is_over_here()) [[unlikely]]
      return attempt::ready;
    return wait_until_tick(deadline());
  }

 private:
  /// It was made with a deadline that had passed: whether it has by the clock of its runtime, too.
  [[nodiscard]] bool is_over_here() const noexcept;
  attempt wait_until_tick(std::uint64_t tick) noexcept;
};

}  // namespace kioto::detail
