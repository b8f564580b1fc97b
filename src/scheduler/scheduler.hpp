// SPDX-License-Identifier: MIT
// What every scheduler offers, and what a thread knows about the runtime it is in.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <thread>
#include <utility>

#include <kioto/config.hpp>
#include <kioto/detail/base/sync_policy.hpp>
#include <kioto/detail/task/task_header.hpp>
#include <kioto/metrics.hpp>
#include "base/random.hpp"

#include "blocking/brief_wait.hpp"

namespace kioto {
class enter_guard;
}

namespace kioto::detail {

class idle_operation;
class runtime_core;

/// Runs the tasks of a runtime.
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
  /// Runs or waits until no task is left. False if that has not happened at the deadline.
  virtual bool drain(std::optional<std::chrono::steady_clock::time_point> deadline) noexcept = 0;
  /// Joins the threads, which have nothing to do after drain(). One caller at a time.
  virtual void join_threads() noexcept = 0;
  [[nodiscard]] virtual bool runs_on_this_thread() const noexcept = 0;
  virtual void read_metrics(runtime_metrics& out) const = 0;
  /// See `runtime_random`. Called by a thread that runs tasks of this scheduler.
  [[nodiscard]] virtual std::uint32_t random() noexcept = 0;

  // Only for schedulers whose clock can be paused.
  /// Completes the operation once there is nothing to do and no timer to wait for.
  virtual void wait_for_idle(idle_operation&) noexcept {}
  /// True if the operation was waiting, and no longer is.
  virtual bool stop_waiting(idle_operation&) noexcept { return false; }
  virtual void release_idle() noexcept {}

  /// The frame of a task is destroyed; its join handle does not know yet.
  inline void task_ended(task_header& task) noexcept;

 protected:
  /// Exists for the duration of a schedule_remote(). As soon as that has published its task, the
  /// task may run and end, and the runtime be dropped: the destructor of the scheduler waits for
  /// calls that have not returned.
  // A call is counted before it publishes the task, so whoever learns that the task has ended sees
  // the count. Leaving releases what the call did, and is its last access.
  class remote_call {
   public:
    explicit remote_call(scheduler& home) noexcept : home_(home) {
      home.remote_begun_.fetch_add(1, std::memory_order_relaxed);
    }
    remote_call(const remote_call&) = delete;
    remote_call& operator=(const remote_call&) = delete;
    ~remote_call() { home_.remote_through_.fetch_add(1, std::memory_order_release); }

   private:
    scheduler& home_;
  };
  void wait_for_remote_calls() const noexcept {
    while (remote_through_.load(std::memory_order_acquire) != remote_schedules())
      std::this_thread::yield();
  }
  [[nodiscard]] std::uint64_t remote_schedules() const noexcept {
    return remote_begun_.load(std::memory_order_relaxed);
  }

 private:
  void report_end(task_header& task) noexcept;
  void task_ended_in_shutdown() noexcept;

  runtime_core& core_;
  // Kept apart from what the workers read.
  alignas(cache_line) std::atomic<std::uint64_t> remote_begun_{0};
  std::atomic<std::uint64_t> remote_through_{0};
};

/// A counter that is written with plain loads and stores, which saves a read-modify-write: only by
/// the thread that runs the executor. Any thread may read it.
class owned_counter {
 public:
  void add(std::uint64_t n = 1) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t get() const noexcept {
    return value_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// The part of a scheduler that the calling thread runs.
///
/// Ready tasks wait in a queue; tasks that spawn and await each other run in the order of function
/// calls instead, see `next_run`, up to a limit, because the others wait meanwhile.
class executor {
 public:
  executor(scheduler& home, std::size_t shard) noexcept : home_(&home), shard_(shard) {}
  executor(const executor&) = delete;
  executor& operator=(const executor&) = delete;

  [[nodiscard]] scheduler* home() const noexcept { return home_; }
  /// The shard of owned_tasks that suits this thread.
  [[nodiscard]] std::size_t shard() const noexcept { return shard_; }

  /// A task became ready on this thread.
  virtual void push(task_header& task) noexcept = 0;
  /// A task yields: it runs after all others that are ready.
  virtual void defer(task_header& task) noexcept = 0;

  /// In a child of fork() that copied the thread inside a task: makes the loop check which process
  /// it is in before it runs anything else.
  void leave_in_child() noexcept { runs_to_poll_ = 1; }

  /// A task of this thread has given a job to a thread of the blocking pool that is awake.
  void expect_job() noexcept { expects_job_ = true; }

 protected:
  /// The limit of runs in a row that were chosen by `next_run`, and of their time; after that it is
  /// the turn of the oldest task.
  static constexpr unsigned call_streak_limit = 1024;
  static constexpr auto call_streak_time = std::chrono::milliseconds(1);
  /// While tasks are ready, turns of the reactor are at least this far apart: each costs a system
  /// call, which takes as long as a dozen short tasks.
  static constexpr auto time_between_polls = std::chrono::microseconds(10);

  ~executor() = default;

  /// True at most once in `time_between_polls`.
  [[nodiscard]] bool poll_is_due(std::chrono::steady_clock::time_point now) noexcept {
    if (now - last_poll_ < time_between_polls) return false;
    last_poll_ = now;
    return true;
  }

  /// Ends a series of calls that takes too long. To be called at intervals.
  void limit_calls(std::chrono::steady_clock::time_point now) noexcept {
    if (calls_ <= seen_calls_) calls_since_ = now;  // another one
    if (now - calls_since_ >= call_streak_time) calls_ = call_streak_limit;
    seen_calls_ = calls_;
  }

  /// Called before this thread sleeps: if a job was given to a thread that is awake, spins for a
  /// moment, because the job may be done sooner than this thread would fall asleep. True if
  /// `has_come()`.
  template <class Predicate>
  [[nodiscard]] bool wait_for_job(Predicate&& has_come) noexcept {
    return std::exchange(expects_job_, false) &&
           wait_briefly(std::chrono::microseconds(5), has_come);
  }

  owned_counter polls_, parks_, local_schedules_, busy_ns_;
  unsigned runs_to_poll_ = 1;
  unsigned calls_ = 0;  ///< runs in a row that were chosen by `next_run`

 private:
  scheduler* home_;
  std::size_t shard_;
  std::chrono::steady_clock::time_point last_poll_;    ///< of the reactor while tasks are ready
  std::chrono::steady_clock::time_point calls_since_;  ///< about when the series of calls began
  unsigned seen_calls_ = 0;                            ///< when limit_calls() looked
  bool expects_job_ = false;
};

/// What the calling thread is doing for a runtime.
struct thread_state {
  executor* current = nullptr;      ///< runs tasks on this thread; null inside block_in_place
  runtime_core* runtime = nullptr;  ///< entered
  task_header* running = nullptr;
  static constexpr unsigned in_place = 1;  ///< inside block_in_place: blocking is allowed
  static constexpr unsigned guarded = 2;   ///< inside an `enter_guard`
  unsigned marks = 0;                      ///< none is left after a run; see `end_run()`
  const enter_guard* guard = nullptr;      ///< the innermost one
  std::uint64_t next_id = 0;               ///< task ids are handed to threads in blocks
  std::uint64_t last_id = 0;
  std::optional<random_source> random;  ///< of a thread that runs tasks of a multi-thread runtime

  [[nodiscard]] bool is_in_place() const noexcept { return (marks & in_place) != 0; }
  /// Leaves the guards up to `outer`: all of them, if that is null.
  void leave_guards(const enter_guard* outer) noexcept {
    guard = outer;
    marks = (marks & ~guarded) | (outer != nullptr ? guarded : 0U);
  }
};

/// Only for functions that are never inlined, for the same reason as this_thread().
extern constinit thread_local thread_state state_of_this_thread;
/// Never inlined: the address of a thread-local must not be kept across a suspension.
KIOTO_NOINLINE thread_state& this_thread() noexcept;

/// Never returns the same id twice.
std::uint64_t next_task_id(thread_state& thread) noexcept;

/// Makes a ready task run. Any thread; the caller owns the task.
inline void schedule_task(const thread_state& thread, task_header& task) noexcept {
  executor* current = thread.current;
  if (current != nullptr && current->home() == task.scheduler_) [[likely]]
    current->push(task);
  else
    task.scheduler_->schedule_remote(task);
}
inline void schedule_task(task_header& task) noexcept { schedule_task(this_thread(), task); }
/// The running task yields.
void reschedule(task_header& task) noexcept;
/// Passes the exception of a task that nobody will observe to the hook of `core`, or prints it to
/// stderr if `core` is null.
void report_unobserved(task_header& task, runtime_core* core) noexcept;
void report_exception(task_header& task, runtime_core* core, std::exception_ptr error) noexcept;
/// The same for the task that the calling thread runs, if there is one.
void report_exception_here(std::exception_ptr error) noexcept;

/// A run left marks on its thread. Ends the program if an `enter_guard` is among them.
void end_marked_run(thread_state& thread) noexcept;

/// Resets the state of the thread after a run. A guard that was left would enter its runtime for
/// whatever runs next here, and be destroyed on another thread; so a run must not leave one.
inline void end_run(thread_state& thread) noexcept {
  thread.running = nullptr;
  if (thread.marks != 0) [[unlikely]]
    end_marked_run(thread);
}

/// Runs a task of a `blocking_scheduler` at once on the calling thread, also inside another task.
void run_here(task_header& task) noexcept;

/// Runs one task on the calling thread. `called`: see `trampoline`.
inline next_run run_task(thread_state& thread, task_header& task, bool called) noexcept {
  thread.running = &task;
  const next_run next = task.run(called);
  end_run(thread);
  return next;
}

}  // namespace kioto::detail
