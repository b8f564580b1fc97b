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
  /// Waits for the end of the threads, which have nothing to do after drain(). One caller at a
  /// time.
  virtual void join_threads() noexcept = 0;
  [[nodiscard]] virtual bool runs_on_this_thread() const noexcept = 0;
  virtual void read_metrics(runtime_metrics& out) const = 0;
  /// See `runtime_random`. Called by a thread that runs tasks of this.
  [[nodiscard]] virtual std::uint32_t random() noexcept = 0;

  // Of the schedulers whose clock can be paused.
  /// Completes the operation once there is nothing to do and no timer to wait for.
  virtual void wait_for_idle(idle_operation&) noexcept {}
  /// True: the operation waits no more.
  virtual bool stop_waiting(idle_operation&) noexcept { return false; }
  virtual void release_idle() noexcept {}

  /// The frame of a task is destroyed; its join handle does not know yet.
  inline void task_ended(task_header& task) noexcept;

 protected:
  /// The lifetime of a schedule_remote(). As soon as it has handed its task over, the task may run
  /// and end, and the runtime be dropped: the destructor waits for those that are not through.
  // A call is counted before it hands over, so whoever learns that its task has ended sees that.
  // Leaving releases what the call did, and is its last access.
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
  // Apart from what the workers read.
  alignas(cache_line) std::atomic<std::uint64_t> remote_begun_{0};
  std::atomic<std::uint64_t> remote_through_{0};
};

/// Counts with plain loads and stores, so that counting costs no read-modify-write: of the thread
/// that runs an executor only. Any thread reads.
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
/// Ready tasks wait in a queue, but tasks that spawn and await each other run in the order of
/// function calls, see `next_run`; but not for ever: the others wait.
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

  /// In a child of fork(), which copied the thread inside of a task: the loop of this is to look
  /// whose child it is in before it runs anything else.
  void leave_in_child() noexcept { runs_to_poll_ = 1; }

  /// A task of this thread has handed a job to a thread of the blocking pool that is awake.
  void expect_job() noexcept { expects_job_ = true; }

 protected:
  /// Runs in a row that are due to what the one before told, and their time; then it is the turn of
  /// the oldest task.
  static constexpr unsigned call_streak_limit = 1024;
  static constexpr auto call_streak_time = std::chrono::milliseconds(1);
  /// While tasks are ready, turns of the reactor are this far apart at least: each costs a system
  /// call, in the time of which a dozen short tasks run.
  static constexpr auto time_between_polls = std::chrono::microseconds(10);

  ~executor() = default;

  /// True once in `time_between_polls` at most.
  [[nodiscard]] bool poll_is_due(std::chrono::steady_clock::time_point now) noexcept {
    if (now - last_poll_ < time_between_polls) return false;
    last_poll_ = now;
    return true;
  }

  /// Ends a streak that takes too long. Looks once in a while.
  void limit_calls(std::chrono::steady_clock::time_point now) noexcept {
    if (calls_ <= seen_calls_) calls_since_ = now;  // another one
    if (now - calls_since_ >= call_streak_time) calls_ = call_streak_limit;
    seen_calls_ = calls_;
  }

  /// Before this thread sleeps, once after a job: that may be done sooner. True: `has_come()`.
  template <class Predicate>
  [[nodiscard]] bool wait_for_job(Predicate&& has_come) noexcept {
    return std::exchange(expects_job_, false) &&
           wait_briefly(std::chrono::microseconds(5), has_come);
  }

  owned_counter polls_, parks_, local_schedules_, busy_ns_;
  unsigned runs_to_poll_ = 1;
  unsigned calls_ = 0;  ///< runs in a row that are due to what the one before told

 private:
  scheduler* home_;
  std::size_t shard_;
  std::chrono::steady_clock::time_point last_poll_;    ///< among ready tasks
  std::chrono::steady_clock::time_point calls_since_;  ///< since when there are calls, about
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

/// Only for functions that are never inlined, for the reason that this_thread() is not.
extern constinit thread_local thread_state state_of_this_thread;
/// Never inlined: the address of a thread-local must not be kept across a suspension.
KIOTO_NOINLINE thread_state& this_thread() noexcept;

/// Ids are never used twice.
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
/// The running task gives way.
void reschedule(task_header& task) noexcept;
/// Hands the exception of a task, which nobody will see, to the hook of `core`, or to stderr if it
/// is null.
void report_unobserved(task_header& task, runtime_core* core) noexcept;
void report_exception(task_header& task, runtime_core* core, std::exception_ptr error) noexcept;
/// The same for the task that the calling thread runs, if any.
void report_exception_here(std::exception_ptr error) noexcept;

/// A run left marks on its thread. Ends the program if an `enter_guard` is among them.
void end_marked_run(thread_state& thread) noexcept;

/// What the thread is after a run. The runtime of a guard would be that of whatever runs next here,
/// and the guard be destroyed on another thread; so a run must not leave one.
inline void end_run(thread_state& thread) noexcept {
  thread.running = nullptr;
  if (thread.marks != 0) [[unlikely]]
    end_marked_run(thread);
}

/// Runs a task of a `blocking_scheduler` here and now, whatever the calling thread does.
void run_here(task_header& task) noexcept;

/// Runs one task on the calling thread. `called`: see `trampoline`.
inline next_run run_task(thread_state& thread, task_header& task, bool called) noexcept {
  thread.running = &task;
  const next_run next = task.run(called);
  end_run(thread);
  return next;
}

}  // namespace kioto::detail
