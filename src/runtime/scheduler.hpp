// SPDX-License-Identifier: MIT
// What every scheduler offers, and what a thread knows about the runtime it is in.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>

#include <kioto/config.hpp>
#include <kioto/detail/task_header.hpp>
#include <kioto/metrics.hpp>

namespace kioto::detail {

class runtime_core;

/// Where the tasks of a runtime run.
class scheduler {
 public:
  explicit scheduler(runtime_core& core) noexcept : core_(core) {}
  scheduler(const scheduler&) = delete;
  scheduler& operator=(const scheduler&) = delete;
  virtual ~scheduler() = default;

  [[nodiscard]] runtime_core& core() const noexcept { return core_; }

  /// A task became ready, on a thread that is not an executor of this scheduler.
  virtual void schedule_remote(task_header& task) noexcept = 0;
  /// A timer was set that is due before all others.
  virtual void timer_moved_up() noexcept = 0;
  /// Blocks the calling thread, which may run tasks meanwhile, until the task has ended.
  virtual void block_until_done(task_header& task) = 0;
  /// All tasks have been asked to stop: wakes every thread that runs tasks.
  virtual void wake_all() noexcept = 0;
  /// Returns when no task is left, or at the deadline (false).
  virtual bool drain(std::optional<std::chrono::steady_clock::time_point> deadline) noexcept = 0;
  /// Ends the threads after drain(); if it failed, lets them go on by themselves.
  virtual void release_threads(bool drained) noexcept = 0;
  [[nodiscard]] virtual bool runs_on_this_thread() const noexcept = 0;
  virtual void read_metrics(runtime_metrics& out) const = 0;

  /// The frame of a task is destroyed; its join handle does not know yet.
  void task_ended(task_header& task) noexcept;

 private:
  runtime_core& core_;
};

/// The part of a scheduler that the calling thread runs.
class executor {
 public:
  explicit executor(scheduler& home) noexcept : home_(&home) {}
  executor(const executor&) = delete;
  executor& operator=(const executor&) = delete;

  [[nodiscard]] scheduler* home() const noexcept { return home_; }
  /// A task became ready on this thread.
  virtual void push(task_header& task) noexcept = 0;
  /// A task gives way: it runs after the reactor had a turn.
  virtual void defer(task_header& task) noexcept = 0;
  /// A number below `bound`, which is not zero.
  virtual std::uint32_t random_below(std::uint32_t bound) noexcept = 0;

 protected:
  ~executor() = default;

 private:
  scheduler* home_;
};

/// What the calling thread is doing for a runtime.
struct thread_state {
  executor* current = nullptr;      ///< runs tasks on this thread; null inside block_in_place
  runtime_core* runtime = nullptr;  ///< entered
  task_header* running = nullptr;
  bool in_place = false;      ///< inside block_in_place: blocking is allowed
  std::uint64_t next_id = 0;  ///< task ids are handed to threads in blocks
  std::uint64_t last_id = 0;
};

/// Never inlined: the address of a thread-local must not be kept across a suspension.
KIOTO_NOINLINE thread_state& this_thread() noexcept;

/// Ids are never used twice.
std::uint64_t next_task_id() noexcept;

/// Makes a ready task run. Any thread; the caller owns the task.
void schedule_task(task_header& task) noexcept;
/// The running task gives way.
void reschedule(task_header& task) noexcept;
/// Hands an exception that nobody will see to the hook of `core`, or to stderr if it is null.
void report_unobserved(task_header& task, runtime_core* core) noexcept;
void report_exception(task_header& task, runtime_core* core, std::exception_ptr error) noexcept;

/// Runs one task on the calling thread.
inline void run_task(thread_state& thread, task_header& task) noexcept {
  thread.running = &task;
  task.run();
  thread.running = nullptr;
  thread.in_place = false;
}

}  // namespace kioto::detail
