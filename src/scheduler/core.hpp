// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include <kioto/detail/net/reactor.hpp>
#include <kioto/detail/task/blocking_pool.hpp>
#include <kioto/detail/task/fork.hpp>
#include <kioto/detail/task/standing_waits.hpp>
#include <kioto/detail/time/timer_operation.hpp>
#include <kioto/runtime.hpp>
#include "driver/time_driver.hpp"

#include "driver/runtime_clock.hpp"
#include "scheduler/blocking_scheduler.hpp"
#include "scheduler/owned_tasks.hpp"
#include "scheduler/scheduler.hpp"

namespace kioto::detail {

/// Everything that a runtime consists of. Shared by its handles and its threads.
class runtime_core : public std::enable_shared_from_this<runtime_core> {
 public:
  runtime_core(runtime_options with, std::size_t threads, reactor_pointer driver,
               std::string backend_reason_text);

  runtime_options options;
  std::string backend_reason;
  process_mark process;
  std::atomic<bool> shutting_down{false};
  std::atomic<bool> has_ended{false};    ///< a shutdown is complete: nothing is left
  std::atomic<bool> was_left{false};     ///< something was, by a shutdown that missed its deadline
  std::atomic<bool> told_inside{false};  ///< the message about a shutdown from within was printed
  std::mutex joining;                    ///< held by whoever ends the threads and the drivers
  owned_tasks owned;
  runtime_clock clock;
  time_driver timers;
  reactor_pointer io;
  blocking_pool blocking;
  blocking_scheduler calls{*this};
  std::unique_ptr<scheduler> home;
  bool is_multi_thread = false;
  bool is_local = false;
  std::thread::id owner;  ///< of a local runtime

  /// The runtime is dropped while it has tasks that no thread will run any more. The events that
  /// they wait for may still come, and their handles stay valid: so from now on this is never
  /// destroyed.
  void leave_behind() noexcept;
  /// The same in a child of fork(), which inherited this. Idempotent.
  void abandon() noexcept;

  /// A local runtime was dropped by one of its own tasks: the shutdown is completed when the thread
  /// no longer runs its tasks. Until then this keeps itself alive.
  void let_go_later() noexcept { self_ = shared_from_this(); }
  [[nodiscard]] std::shared_ptr<runtime_core> take_let_go() noexcept { return std::move(self_); }

 private:
  std::shared_ptr<runtime_core> self_;
  runtime_core* next_left_behind_ = nullptr;
};

inline void scheduler::task_ended(task_header& task) noexcept {
  if (core_.options.on_task_end) [[unlikely]]
    report_end(task);
  if (task.shard_ == task_header::in_no_shard) return;  // a child, in the list of its scope
  core_.owned.remove(task);
  if (core_.shutting_down.load(std::memory_order_acquire)) [[unlikely]]
    task_ended_in_shutdown();
}

inline runtime_core& core_of(strand& c) noexcept {
  if (c.kind_ == strand_kind::standing) [[unlikely]]
    return static_cast<standing_wait&>(c).core();
  return c.task().scheduler_->core();
}

/// Prints to stderr what a shutdown has left behind: the tasks, where they were spawned and where
/// they wait, and the blocking calls. `what` is the text before the colon.
void name_what_is_left(runtime_core& core, std::string_view what) noexcept;

/// The runtime that the calling thread is in; throws std::logic_error that names `what` outside of
/// one.
runtime_core& current_core(const char* what);

}  // namespace kioto::detail
