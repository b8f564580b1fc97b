// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>

#include "scheduler.hpp"

namespace kioto::detail {

/// The scheduler of the tasks that stand for calls on the blocking pool.
///
/// Such a task runs twice: up to the submission of its job, on the thread that spawns it; and to
/// its end, on the thread of the pool, as soon as the callable has returned. So neither waits for a
/// worker. A stop request in between is rare, and left to the scheduler of the runtime, which
/// withdraws the job or finds that it is too late.
class blocking_scheduler final : public scheduler {
 public:
  explicit blocking_scheduler(runtime_core& core) noexcept : scheduler(core) {}

  void schedule_remote(task_header& task) noexcept override;
  void wake_all() noexcept override;

  // It has no threads, and its tasks neither sleep nor draw lots.
  void timer_moved_up() noexcept override {}
  void block_until_done(task_header&) override {}
  bool drain(std::optional<std::chrono::steady_clock::time_point>) noexcept override {
    return true;
  }
  void join_threads() noexcept override {}
  [[nodiscard]] bool runs_on_this_thread() const noexcept override;
  void read_metrics(runtime_metrics&) const override {}
  [[nodiscard]] std::uint32_t random() noexcept override { return 0; }
};

}  // namespace kioto::detail
