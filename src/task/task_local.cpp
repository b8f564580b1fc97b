// SPDX-License-Identifier: MIT
#include <kioto/task_local.hpp>

#include <stdexcept>

#include "scheduler/scheduler.hpp"

namespace kioto::detail {

namespace {

/// The strand whose frames the calling thread runs; null outside of a task.
context* running_strand() noexcept {
  task_header* task = this_thread().running;
  if (task == nullptr) return nullptr;
  // A task that the runtime refused never had a loop.
  return task->loop_ != nullptr ? task->loop_->strand : task;
}

}  // namespace

void* find_task_local(const void* key) noexcept {
  const context* strand = running_strand();
  while (strand != nullptr && strand->kind_ == strand::branch) {
    combinator& above = *static_cast<const branch_context&>(*strand).owner_;
    if (void* value = above.local_value(key)) return value;
    strand = above.context_;
  }
  return nullptr;
}

void throw_no_task_local() {
  throw std::logic_error(
      "kioto: a task_local was read outside of its scope: co_await key.scope(value, operation), "
      "and "
      "note that spawned tasks do not inherit it");
}

void throw_no_task() {
  throw std::logic_error("kioto: task_local::sync_scope was called outside of a task");
}

bool attach_below_running(combinator& owner, branch_context& below) noexcept {
  below.owner_ = &owner;
  owner.context_ = running_strand();
  return owner.context_ != nullptr;
}

strand_scope::strand_scope(context& strand) noexcept {
  task_header* task = this_thread().running;
  loop_ = task != nullptr ? task->loop_ : nullptr;
  if (loop_ != nullptr) previous_ = std::exchange(loop_->strand, &strand);
}

strand_scope::~strand_scope() {
  if (loop_ != nullptr) loop_->strand = previous_;
}

}  // namespace kioto::detail
