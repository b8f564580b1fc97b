// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>

#include "scheduler/scheduler.hpp"

namespace kioto::detail {

/// The scheduler of the tasks that represent calls on the blocking pool.
///
/// Such a task first runs on the thread that spawns it, until it has submitted its job: so
/// submission does not wait for a worker. After that the scheduler of the runtime runs it: when the
/// callable has returned, or when a stop was requested, to withdraw the job. In a shutdown no
/// worker may be left to do so: then it ends on the thread of the pool.
class blocking_scheduler final : public scheduler {
 public:
  explicit blocking_scheduler(runtime_core& core) noexcept : scheduler(core) {}

  void schedule_remote(task_header& task) noexcept override;
  void wake_all() noexcept override;

  // It has no threads, and its tasks neither sleep nor use random numbers.
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
