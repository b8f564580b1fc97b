// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>

#include <kioto/detail/task/strand.hpp>
#include <kioto/detail/time/tick_grid.hpp>
#include <kioto/detail/time/timer_wheel.hpp>

namespace kioto::detail {

/// The common part of the operations that wait for a point in time: their `try_or_wait()` calls
/// `wait_until`. To be used as the base of a `leaf_awaiter`.
class timer_operation : public leaf_operation, public timer_node {
 public:
  bool cancel() noexcept override;
  bool withdraw() noexcept override { return true; }

  /// Ends the wait in progress as if the time had come. Only for a caller during whose call the
  /// task of this operation cannot run: another branch of the same task.
  void wake_early() noexcept {
    if (cancel()) complete(*this);
  }

  /// Called by the timer driver.
  void fire() noexcept {
    stopped_ = cancelled_by_shutdown();
    complete(*this);
  }

 protected:
  timer_operation() noexcept = default;
  /// With a deadline, which is rounded up to a tick; `has_passed` says whether it had already
  /// passed.
  explicit timer_operation(std::chrono::steady_clock::time_point at, bool has_passed) noexcept
      : timer_node(tick_grid::since_beginning().tick_at_or_after(at), has_passed) {}
  timer_operation(timer_operation&& other) noexcept
      : leaf_operation(static_cast<leaf_operation&&>(other)),
        timer_node(other.deadline(), other.has_passed()) {}
  ~timer_operation() = default;

  /// Like `leaf_operation::wait`. Returns `ready` if the time has already come; also `stopped` if
  /// the runtime is shut down.
  attempt wait_until(std::chrono::steady_clock::time_point at) noexcept {
    return wait_until_tick(tick_grid::since_beginning().tick_at_or_after(at));
  }
  /// The same, until the deadline it was constructed with. If that had already passed, it does not
  /// wait, not even until the next tick.
  attempt wait_until_deadline() noexcept {
    if (has_passed() && is_over_here()) [[unlikely]]
      return attempt::ready;
    return wait_until_tick(deadline());
  }

 private:
  /// For a deadline that had passed at construction: whether it has passed by the clock of its
  /// runtime, too.
  [[nodiscard]] bool is_over_here() const noexcept;
  attempt wait_until_tick(std::uint64_t tick) noexcept;
};

}  // namespace kioto::detail
