// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

#include <kioto/detail/context.hpp>
#include <kioto/detail/timer_wheel.hpp>

namespace kioto::detail {

/// Part of the operations that wait for a point in time: their `try_or_wait()` calls `wait_until`.
/// To be the base of a `leaf_awaiter`.
class timer_operation : public leaf_operation, private timer_node {
 public:
  bool cancel() noexcept override;

  /// Ends the wait in progress as if the time had come. Only for whom the task of this operation
  /// cannot run meanwhile: another branch of it.
  void wake_early() noexcept {
    if (cancel()) complete(*this);
  }

 protected:
  timer_operation() noexcept = default;
  timer_operation(timer_operation&& other) noexcept
      : leaf_operation(static_cast<leaf_operation&&>(other)), timer_node() {}
  ~timer_operation() = default;

  /// As `leaf_operation::wait`. `ready`: the time has come already; `stopped` also when the runtime
  /// is shut down.
  attempt wait_until(std::chrono::steady_clock::time_point at) noexcept;

 private:
  static void fired(timer_node* node) noexcept;
};

}  // namespace kioto::detail
