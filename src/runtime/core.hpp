// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include <kioto/detail/blocking_pool.hpp>
#include <kioto/detail/io_driver.hpp>
#include <kioto/detail/time_driver.hpp>
#include <kioto/runtime.hpp>

#include "owned_tasks.hpp"
#include "scheduler.hpp"

namespace kioto::detail {

/// Everything that a runtime consists of. Shared by its handles and its threads.
class runtime_core : public std::enable_shared_from_this<runtime_core> {
 public:
  runtime_core(runtime_options with, std::size_t threads, io_driver_pointer driver,
               std::string backend_reason_text);

  runtime_options options;
  std::string backend_reason;
  std::atomic<bool> shutting_down{false};
  std::atomic<bool> shut_down{false};
  owned_tasks owned;
  time_driver timers;
  io_driver_pointer io;
  blocking_pool blocking;
  std::unique_ptr<scheduler> home;
  bool is_multi_thread = false;
  bool is_local = false;
  std::thread::id owner;  ///< of a local runtime
};

/// A thread that blocks in one operation. Ends as soon as it is woken, so the waker notifies under
/// the lock: it does not touch the strand after the sleeper can have seen the wake-up.
class thread_strand final : public context {
 public:
  thread_strand() noexcept : context(strand::thread) {}
  void unpark() noexcept {
    const std::lock_guard lock(mutex_);
    woken_ = true;
    condition_.notify_one();
  }
  void park() {
    std::unique_lock lock(mutex_);
    condition_.wait(lock, [this] { return woken_; });
    woken_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool woken_ = false;
};

/// Waits on a plain thread for the end of a task.
class join_wait final : public leaf_operation {
 public:
  join_wait(task_header& task, thread_strand& strand) noexcept : task_(task), strand_(strand) {
    context_ = &strand;
  }
  void block() {
    if (try_or_wait() != attempt::suspended) return;
    strand_.park();
    armed_ = false;
  }
  attempt try_or_wait() noexcept override {
    if (task_.join_.is_done()) return attempt::ready;
    return wait([this]() noexcept { return task_.join_.link(this); });
  }
  bool cancel() noexcept override { return task_.join_.unlink(this); }

 private:
  task_header& task_;
  thread_strand& strand_;
};

}  // namespace kioto::detail
