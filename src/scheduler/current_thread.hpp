// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include <kioto/detail/base/spinlock.hpp>
#include <kioto/time/pause.hpp>
#include "base/random.hpp"
#include "base/wake_flag.hpp"
#include "scheduler/inject_queue.hpp"

#include "driver/driver.hpp"
#include "scheduler/scheduler.hpp"

namespace kioto::detail {

/// Runs every task on the thread that is in `block_on`. Of several such threads one at a time runs
/// tasks; when its own task has ended, another one takes over.
class current_thread_scheduler final : public scheduler, private executor {
 public:
  explicit current_thread_scheduler(runtime_core& core);
  ~current_thread_scheduler() override { wait_for_remote_calls(); }

  void schedule_remote(task_header& task) noexcept override;
  void timer_moved_up() noexcept override { driver_.timer_moved_up(); }
  void block_until_done(task_header& task) override;
  void wake_all() noexcept override;
  bool drain(std::optional<std::chrono::steady_clock::time_point> deadline) noexcept override;
  void join_threads() noexcept override {}
  /// Like drain(), but runs only what is ready, and waits for nothing. False if tasks are left, or
  /// if another thread runs tasks.
  bool drain_ready() noexcept;
  [[nodiscard]] bool runs_on_this_thread() const noexcept override;
  void read_metrics(runtime_metrics& out) const override;
  [[nodiscard]] std::uint32_t random() noexcept override { return random_.next(); }
  void wait_for_idle(idle_operation& op) noexcept override;
  bool stop_waiting(idle_operation& op) noexcept override;
  void release_idle() noexcept override;

 private:
  // Once in so many runs the queue of tasks from outside comes first, so that local tasks cannot
  // starve it.
  static constexpr unsigned inject_interval = 31;

  void push(task_header& task) noexcept override {
    local_schedules_.add();
    make_ready(task);
  }
  void defer(task_header& task) noexcept override { deferred_.push_back(&task); }

  void make_ready(task_header& task) noexcept {
    task.in_ready_queue_ = true;
    ready_.push_back(&task);
  }

  class turn;
  enum class when_idle : bool { sleep, leave };
  template <class Done>
  void run_until(const Done& done, std::optional<std::chrono::steady_clock::time_point> deadline,
                 when_idle then = when_idle::sleep);
  [[nodiscard]] task_header* next() noexcept;
  [[nodiscard]] task_header* take_called(next_run last) noexcept;
  [[nodiscard]] task_header* take_ready() noexcept;
  [[nodiscard]] task_header* next_in_turn() noexcept;
  [[nodiscard]] task_header* next_random() noexcept;
  [[nodiscard]] bool has_nothing_to_run() const noexcept {
    return ready_.empty() && deferred_.empty() && injected_.is_empty();
  }
  [[nodiscard]] bool clock_has_to_wait() noexcept;
  void notify_waiting_threads() noexcept;
  void flush_deferred() noexcept;

  basic_inject_queue<std_sync, task_header, spinlock> injected_;
  driver driver_;

  // Which thread runs tasks.
  std::mutex mutex_;
  std::condition_variable turned_over_;
  bool taken_ = false;                                     // by mutex_
  unsigned waiting_ = 0;                                   // by mutex_: threads that want the turn
  intrusive_list<idle_operation, idle_tag> idle_waiters_;  // by mutex_
  wake_flag asleep_;

  // Of the thread that runs tasks.
  intrusive_deque<task_header> ready_;
  intrusive_queue<task_header> deferred_;
  unsigned runs_to_turn_ = 1;  ///< runs until next() looks at the queue from outside first
  random_source random_;
  // With a seed: the ready tasks, of which any one may be next. Null without.
  std::unique_ptr<std::vector<task_header*>> shuffled_;
};

}  // namespace kioto::detail
