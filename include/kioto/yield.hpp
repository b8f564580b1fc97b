// SPDX-License-Identifier: MIT
#pragma once

#include <kioto/detail/task/leaf_awaiter.hpp>

namespace kioto {
namespace detail {

class [[nodiscard]] yield_operation final : public leaf_awaiter<yield_operation> {
 public:
  yield_operation() noexcept = default;
  yield_operation(yield_operation&&) noexcept = default;

  attempt try_or_wait() noexcept override {
    if (yielded_) return attempt::ready;
    yielded_ = true;
    return give_way(strand_->frame_ != nullptr ? entry::resume : entry::retry);
  }
  // A yielded strand stays owned, so a stop request never asks for this.
  bool cancel() noexcept override { return false; }
  static void await_resume() noexcept {}

 private:
  bool yielded_ = false;
};

class [[nodiscard]] budget_operation final : public leaf_awaiter<budget_operation> {
 public:
  budget_operation() noexcept = default;
  budget_operation(budget_operation&&) noexcept = default;

  // The budget is charged by the base; that is all there is to do.
  attempt try_or_wait() noexcept override { return attempt::ready; }
  bool cancel() noexcept override { return false; }
  static void await_resume() noexcept {}
};

}  // namespace detail

/// Gives way: the task runs again after the other ready tasks of its worker. A loop that does
/// nothing but yield leaves the reactor and the timers their turns, see
/// `runtime_builder::event_interval`.
///
/// - Result: none.
/// - Cancellation: a task that is asked to stop stops here.
/// - Thread safety: any task.
[[nodiscard]] inline detail::yield_operation yield_now() noexcept { return {}; }

/// Charges one unit of the budget of this run, as every operation of the library does, and gives
/// way if it is used up. For long computations made of many short steps.
///
/// - Cancellation: a task that is asked to stop stops when it next waits.
[[nodiscard]] inline detail::budget_operation consume_budget() noexcept { return {}; }

}  // namespace kioto
