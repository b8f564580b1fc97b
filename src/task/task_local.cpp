// SPDX-License-Identifier: MIT
#include <kioto/task_local.hpp>

#include <stdexcept>

#include "scheduler/scheduler.hpp"

namespace kioto::detail {

namespace {

/// The strand whose frames the calling thread runs; null outside of a task.
strand* running_strand() noexcept {
  task_header* task = this_thread().running;
  if (task == nullptr) return nullptr;
  // A task that the runtime refused never had a loop.
  return task->loop_ != nullptr ? task->loop_->running : task;
}

}  // namespace

void* find_task_local(const void* key) noexcept {
  const strand* where = running_strand();
  while (where != nullptr && where->kind_ == strand_kind::branch) {
    combinator& above = *static_cast<const branch_strand&>(*where).owner_;
    if (void* value = above.local_value(key)) return value;
    where = above.strand_;
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

bool attach_below_running(combinator& owner, branch_strand& below) noexcept {
  below.owner_ = &owner;
  owner.strand_ = running_strand();
  return owner.strand_ != nullptr;
}

strand_scope::strand_scope(strand& where) noexcept {
  task_header* task = this_thread().running;
  loop_ = task != nullptr ? task->loop_ : nullptr;
  if (loop_ != nullptr) previous_ = std::exchange(loop_->running, &where);
}

strand_scope::~strand_scope() {
  if (loop_ != nullptr) loop_->running = previous_;
}

}  // namespace kioto::detail
