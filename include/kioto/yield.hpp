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
  // A yielded strand stays owned, so a stop request never calls this.
  bool cancel() noexcept override { return false; }
  static void await_resume() noexcept {}

 private:
  bool yielded_ = false;
};

class [[nodiscard]] budget_operation final : public leaf_awaiter<budget_operation> {
 public:
  budget_operation() noexcept = default;
  budget_operation(budget_operation&&) noexcept = default;

  // The base class has charged the budget; nothing else is to be done.
  attempt try_or_wait() noexcept override { return attempt::ready; }
  bool cancel() noexcept override { return false; }
  static void await_resume() noexcept {}
};

}  // namespace detail

/// Yields: the task runs again after the other ready tasks of its worker. A loop that only yields
/// still leaves the reactor and the timers their turns, see `runtime_builder::event_interval`.
///
/// - Waits for: one turn of the other ready tasks.
/// - Result: none.
/// - Errors: none.
/// - Cancellation: a task that is asked to stop stops here.
/// - In a select: the branch completes when its strand runs again; if another branch completes
///   first it is stopped.
/// - Thread safety: any task.
///
/// `co_await yield_now();`
[[nodiscard]] inline detail::yield_operation yield_now() noexcept { return {}; }

/// Charges one unit of the budget of this run, as every operation of the library does, and yields
/// if the budget is used up. For long computations made of many short steps.
///
/// - Waits for: nothing, unless the budget is used up: then as for `yield_now()`.
/// - Result and errors: none.
/// - Cancellation: a task that is asked to stop stops when it next waits.
/// - In a select: completes at once.
/// - Thread safety: any task.
[[nodiscard]] inline detail::budget_operation consume_budget() noexcept { return {}; }

}  // namespace kioto
