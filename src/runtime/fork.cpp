// SPDX-License-Identifier: MIT
// What becomes of runtimes in a child of fork().
#include <kioto/detail/task/fork.hpp>

#include <pthread.h>

#include <cstdio>
#include <exception>
#include <stdexcept>

#include <fmt/format.h>

#include <kioto/detail/base/frame_allocator.hpp>

#include "scheduler/core.hpp"
#include "scheduler/scheduler.hpp"

namespace kioto::detail {

constinit std::atomic<std::uint32_t> fork_count{0};

namespace {

// The list that contains the task of this thread: the task may still end in the child.
owned_tasks* tasks_around() noexcept {
  runtime_core* const core = this_thread().runtime;
  return core != nullptr && !core->process.is_inherited() ? &core->owned : nullptr;
}

// The locks that a child needs must not be held by a thread that does not exist in it.
void before_fork() noexcept {
  lock_frame_pool();
  if (owned_tasks* const tasks = tasks_around()) tasks->lock();
}

void after_fork() noexcept {
  if (owned_tasks* const tasks = tasks_around()) tasks->unlock();
  unlock_frame_pool();
}

// The only thread of the child is a copy of the one that forked. It leaves the runtime that it ran
// tasks for; the loop that it may return to detects that, see executor::leave_in_child().
void after_fork_in_child() noexcept {
  after_fork();
  fork_count.store(fork_count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  thread_state& thread = this_thread();
  if (thread.current != nullptr) thread.current->leave_in_child();
  thread.current = nullptr;
  thread.running = nullptr;
  thread.marks &= ~thread_state::in_place;
}

}  // namespace

void watch_forks() noexcept {
  // This fails only without memory; then forks go unnoticed.
  [[maybe_unused]] static const int watched =
      pthread_atfork(&before_fork, &after_fork, &after_fork_in_child);
}

void throw_inherited(const char* what) {
  throw std::logic_error(fmt::format(
      "{} was called in a child of fork() for a runtime of the parent process, whose threads the "
      "child does not have: build a runtime of the child's own",
      what));
}

void die_in_child(const char* who) noexcept {
  std::fprintf(stderr,
               "kioto: in a child of fork(), %s came back to a runtime of the parent process, "
               "which does not go on here: end the child with exec or exit before that, or build a "
               "runtime of the child's own for what has to wait\n",
               who);
  std::terminate();
}

}  // namespace kioto::detail
