// SPDX-License-Identifier: MIT
#include <kioto/blocking.hpp>

#include <stdexcept>

#include "scheduler/core.hpp"
#include "scheduler/multi_thread.hpp"

namespace kioto::detail {

std::error_code submit_blocking(task_header& task, blocking_job& job) noexcept {
  const auto submitted = task.scheduler_->core().blocking.submit(job);
  // The job may be done, but its operation still exists: this thread owns the strand.
  if (executor* current = this_thread().current; current != nullptr && job.starts_at_once)
    current->expect_job();
  return submitted ? std::error_code() : submitted.error();
}
bool withdraw_blocking(task_header& task, blocking_job& job) noexcept {
  return task.scheduler_->core().blocking.try_remove(job);
}
std::exception_ptr make_system_error(std::error_code error) noexcept {
  try {
    // Or std::bad_alloc, if there is no memory for the text.
    throw std::system_error(error, "kioto: no thread for a blocking call");
  } catch (...) {
    return std::current_exception();
  }
}

scheduler& blocking_scheduler_of(scheduler& home) noexcept { return home.core().calls; }

void blocking_scheduler::schedule_remote(task_header& task) noexcept {
  // In a shutdown there may be no thread left that runs tasks. Whoever schedules the task owns it,
  // and it is suspended in its only operation: so it can be run here.
  if (core().shutting_down.load(std::memory_order_acquire) &&
      task.word_.has_fired(task.current_->fired_)) [[unlikely]]
    run_here(task);
  else
    core().home->schedule_remote(task);
}

void blocking_scheduler::wake_all() noexcept { core().home->wake_all(); }

bool blocking_scheduler::runs_on_this_thread() const noexcept {
  const task_header* running = this_thread().running;
  return running != nullptr && running->scheduler_ == this;
}

block_in_place_scope::block_in_place_scope() {
  thread_state& thread = this_thread();
  if (thread.running == nullptr || thread.is_in_place()) return;
  if (!thread.running->scheduler_->core().is_multi_thread)
    throw std::logic_error(
        "block_in_place can be called only when running on the multi-threaded runtime: this one "
        "has "
        "no other thread to go on with; use spawn_blocking");
  nested_ = false;
  thread.marks |= thread_state::in_place;
  if (thread.current == nullptr) return;  // the worker went to another thread before
  auto& mine = static_cast<worker&>(*thread.current);
  if (mine.hand_over()) worker_ = &mine;
}

block_in_place_scope::~block_in_place_scope() {
  if (nested_) return;
  this_thread().marks &= ~thread_state::in_place;
  if (worker_ == nullptr) return;
  auto& mine = *static_cast<worker*>(worker_);
  if (is_forked_child() && mine.home()->core().process.is_inherited()) return;
  mine.take_back();
}

}  // namespace kioto::detail
