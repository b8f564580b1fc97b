// SPDX-License-Identifier: MIT
#include <kioto/detail/task/thread_wait.hpp>

#include <stdexcept>

#include <fmt/format.h>

#include "scheduler/scheduler.hpp"
#include "task/blocked_thread.hpp"

namespace kioto::detail {

void check_may_block(const char* what) {
  const thread_state& thread = this_thread();
  if (thread.running != nullptr && !thread.is_in_place())
    throw std::logic_error(fmt::format(
        "{} was called inside a task, where it would block the worker that has to run the others: "
        "use co_await, or wrap the call in kioto::block_in_place or kioto::spawn_blocking",
        what));
}

bool wait_on_thread(leaf_operation& operation) {
  blocked_thread strand;
  operation.strand_ = &strand;
  attempt result = operation.try_or_wait();
  while (result == attempt::suspended) {
    strand.park();
    operation.armed_ = false;
    if (operation.stopped_)
      result = attempt::stopped;
    else
      result = operation.retries_ ? operation.try_or_wait() : attempt::ready;
  }
  return result == attempt::ready;
}

}  // namespace kioto::detail
