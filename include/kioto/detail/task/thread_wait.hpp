// SPDX-License-Identifier: MIT
#pragma once

#include <kioto/detail/task/strand.hpp>

namespace kioto::detail {

/// Throws std::logic_error, naming `what`, if the calling thread runs a task, because a task must
/// not block it; allowed inside block_in_place and spawn_blocking.
void check_may_block(const char* what);

/// Runs an operation on the calling thread, which sleeps while the operation waits. For operations
/// that need neither a runtime nor a frame: joins, channels and locks. Returns false if the
/// operation stopped without a value.
bool wait_on_thread(leaf_operation& operation);

/// The blocking form of an operation, for plain threads: waits, and returns its result.
template <class Operation>
auto run_on_thread(Operation&& operation, const char* what) {
  check_may_block(what);
  wait_on_thread(operation);
  return operation.await_resume();
}

}  // namespace kioto::detail
