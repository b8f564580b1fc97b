// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include <kioto/detail/base/spinlock.hpp>
#include <kioto/detail/base/sync_policy.hpp>
#include <kioto/detail/task/blocking_pool.hpp>
#include "base/parker.hpp"
#include "scheduler/idle_set.hpp"
#include "scheduler/inject_queue.hpp"
#include "scheduler/local_queue.hpp"
#include "scheduler/stall_monitor.hpp"

#include "driver/driver.hpp"
#include "scheduler/os_thread.hpp"
#include "scheduler/scheduler.hpp"

namespace kioto::detail {

class multi_thread_scheduler;

/// One worker: a queue of ready tasks and the loop that runs them. The thread that runs the loop
/// changes when a task blocks in place; everything but the queue, the slot and the counters
/// belongs to that thread.
class alignas(cache_line) worker final : public executor {
 public:
  worker(multi_thread_scheduler& home, std::size_t index) noexcept;

  /// Runs tasks until the runtime ends, or until this thread has handed the worker over.
  void run() noexcept;

  void push(task_header& task) noexcept override;
  void defer(task_header& task) noexcept override {
    if (!yielded_.try_push_back(&task)) [[unlikely]]
      defer_full(task);
  }

  /// The running task is going to block: another thread takes this worker over. False if there is
  /// no other thread; then the worker stays.
  bool hand_over() noexcept;
  /// The task no longer blocks. True if this thread has the worker back.
  bool take_back() noexcept;

  void unpark() noexcept;
  void read_metrics(worker_metrics& out) const noexcept;

 private:
  friend class multi_thread_scheduler;

  // The limit of runs in a row from the slot: two tasks that wake each other must not starve the
  // rest.
  static constexpr unsigned slot_streak_limit = 3;
  // Once in so many runs the injection queue comes first, so that local tasks cannot starve it.
  static constexpr unsigned inject_interval = 61;

  // For tasks that are done within this time it does not pay to wake another worker: that takes
  // tens of microseconds on two cores, and makes the batches smaller. A worker that has been busy
  // for this long wakes others without estimating.
  static constexpr auto worth_a_worker = std::chrono::microseconds(300);

  struct handover_job : blocking_job {
    worker* self = nullptr;
  };

  void end_search() noexcept;
  void park() noexcept;
  void sleep() noexcept;
  void maintain() noexcept;
  void poll_driver() noexcept;
  template <class Turn>
  void in_turn(std::size_t limit, Turn&& turn) noexcept;
  void defer_full(task_header& task) noexcept;
  void promote_yielded() noexcept;
  void push_ring(task_header* task) noexcept;
  void push_full(task_header* task) noexcept;
  void notify_if_useful() noexcept;
  void notify_if_worthwhile() noexcept;
  void notify_of_push() noexcept;
  void measure_runs(std::chrono::steady_clock::time_point now) noexcept;
  next_run execute(thread_state& thread, task_header& task, bool called) noexcept;
  [[nodiscard]] task_header* take_slot() noexcept;
  [[nodiscard]] task_header* take_called(next_run last) noexcept;
  [[nodiscard]] task_header* end_of_calls(next_run last) noexcept;
  [[nodiscard]] task_header* next() noexcept;
  [[nodiscard]] task_header* take_yielded() noexcept;
  [[nodiscard]] task_header* take_injected() noexcept;
  [[nodiscard]] task_header* steal() noexcept;
  [[nodiscard]] bool has_work() const noexcept {
    return slot_.load(std::memory_order_relaxed) != nullptr || has_open_work();
  }
  /// Whether there is something in the rings, where others can take it.
  [[nodiscard]] bool has_open_work() const noexcept {
    return !queue_.is_empty() || !yielded_.is_empty();
  }
  std::uint32_t random() noexcept;

  multi_thread_scheduler& home_;
  const std::size_t index_;
  std::uint32_t random_;
  unsigned slot_streak_ = 0;  ///< runs in a row from the slot
  unsigned runs_to_injected_ = inject_interval;
  bool searching_ = false;
  bool in_driver_ = false;
  bool turn_was_full_ = false;  ///< the last one of this worker; more may be there
  bool takes_help_ = false;     ///< it has been busy for longer than `worth_a_worker`
  std::chrono::steady_clock::time_point busy_since_;
  // What a run costs lately: time and number of runs, up to `measured_`.
  std::chrono::steady_clock::time_point measured_;
  std::uint64_t measured_polls_ = 0;
  std::chrono::nanoseconds time_of_runs_ = worth_a_worker;
  std::uint64_t number_of_runs_ = 1;
  std::size_t left_of_round_ = 0;  ///< tasks that had yielded when a round of them began
  handover_job handover_;
  basic_parker<std_sync, driver> parker_;

  /// The task that this worker woke last: it runs next, while its data is in the cache. Only the
  /// owner puts one in; a thief takes it only from an owner that has been running one task for a
  /// while.
  std::atomic<task_header*> slot_{nullptr};
  local_queue<task_header> queue_;
  /// The tasks that yielded: they run when nothing else is ready. Others may steal them like those
  /// of the queue, so that a task that blocks its worker does not hold them up.
  local_queue<task_header> yielded_;

  owned_counter steals_, steal_operations_, overflows_;
};

/// Work-stealing scheduler. Its parts: one worker per thread, the injection queue for tasks from
/// outside, the set of sleeping workers, and the driver, in which the first idle worker sleeps.
///
/// The stall monitor (`basic_stall_monitor`) is a thread that looks at the workers every few
/// milliseconds. If none of them has turned the driver meanwhile, it wakes one to do so; if a
/// worker is stuck in one task, it lets others take what waits behind that: idle ones, which it
/// wakes, or busy ones, through the injection queue. So one blocked worker delays I/O, timers and
/// the tasks that it woke by milliseconds at most, at no cost to the others.
class multi_thread_scheduler final : public scheduler {
 public:
  multi_thread_scheduler(runtime_core& core, std::size_t workers);
  ~multi_thread_scheduler() override;

  /// Starts the threads. Fails if the system has no more.
  std::error_code start();

  void schedule_remote(task_header& task) noexcept override;
  void timer_moved_up() noexcept override { driver_.timer_moved_up(); }
  void block_until_done(task_header& task) override;
  void wake_all() noexcept override;
  bool drain(std::optional<std::chrono::steady_clock::time_point> deadline) noexcept override;
  void join_threads() noexcept override;
  [[nodiscard]] bool runs_on_this_thread() const noexcept override;
  void read_metrics(runtime_metrics& out) const override;
  [[nodiscard]] std::uint32_t random() noexcept override;

 private:
  friend class worker;

  static constexpr auto look_period = std::chrono::milliseconds(2);

  void notify_one() noexcept;
  [[nodiscard]] bool work_pending() const noexcept;
  [[nodiscard]] bool look_round() noexcept;
  void relieve(worker& stuck) noexcept;
  void evacuate(worker& stuck) noexcept;
  bool take_out_slot(worker& stuck) noexcept;
  void wake_somebody() noexcept;
  void loop_ended() noexcept;

  std::vector<std::unique_ptr<worker>> workers_;
  std::vector<os_thread> threads_;
  basic_idle_set<std_sync> idle_;
  basic_inject_queue<std_sync, task_header, spinlock> injected_;
  driver driver_;

  stall_monitor stall_monitor_;
  os_thread monitor_thread_;
  // What the stall monitor saw at its last look.
  std::vector<std::uint64_t> seen_polls_;
  std::vector<bool> was_stuck_;
  std::uint64_t seen_turns_ = 0;
  local_queue<task_header> moving_;  ///< of its thread, and only while it moves tasks

  std::mutex end_mutex_;
  std::condition_variable ended_;
  std::size_t loops_running_ = 0;  // by end_mutex_
};

}  // namespace kioto::detail
