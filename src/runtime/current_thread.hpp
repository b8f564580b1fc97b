// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>

#include <kioto/detail/inject_queue.hpp>

#include "driver_seat.hpp"
#include "scheduler.hpp"

namespace kioto::detail {

/// Runs every task on the thread that is in `block_on`. Of several such threads one at a time runs
/// tasks; when it is done, another one takes over.
class current_thread_scheduler final : public scheduler, private executor {
 public:
  explicit current_thread_scheduler(runtime_core& core);

  void schedule_remote(task_header& task) noexcept override;
  void timer_moved_up() noexcept override { seat_.timer_moved_up(); }
  void block_until_done(task_header& task) override;
  void wake_all() noexcept override;
  bool drain(std::optional<std::chrono::steady_clock::time_point> deadline) noexcept override;
  void release_threads(bool) noexcept override {}
  [[nodiscard]] bool runs_on_this_thread() const noexcept override;
  void read_metrics(runtime_metrics& out) const override;

 private:
  // Looks at the queue from outside first once in so many runs, so that local tasks cannot starve
  // it.
  static constexpr unsigned inject_interval = 31;

  void push(task_header& task) noexcept override;
  void defer(task_header& task) noexcept override { deferred_.push_back(&task); }
  std::uint32_t random_below(std::uint32_t bound) noexcept override;

  class turn;
  template <class Done>
  void run_until(const Done& done, std::optional<std::chrono::steady_clock::time_point> deadline);
  [[nodiscard]] task_header* next() noexcept;
  void hand_out_news() noexcept;
  void flush_deferred() noexcept { ready_.splice_back(deferred_); }

  basic_inject_queue<std_sync, task_header> injected_;
  driver_seat seat_;

  // Who runs tasks.
  std::mutex mutex_;
  std::condition_variable turned_over_;
  bool taken_ = false;    // by mutex_
  unsigned waiting_ = 0;  // by mutex_: threads that want the turn
  std::atomic<unsigned> asleep_{0};

  // Of the thread that runs tasks.
  intrusive_queue<task_header> ready_;
  intrusive_queue<task_header> deferred_;
  unsigned tick_ = 0;
  std::uint32_t random_ = 0x7F4A7C15U;

  std::atomic<std::uint64_t> polls_{0}, parks_{0}, local_schedules_{0}, remote_schedules_{0},
      busy_ns_{0};
};

}  // namespace kioto::detail
