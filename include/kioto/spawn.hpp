// SPDX-License-Identifier: MIT
#pragma once

#include <source_location>
#include <utility>

#include <kioto/detail/task/spawn_support.hpp>

namespace kioto {

/// Starts a task on the runtime of the calling thread, in parallel with the caller.
///
/// - Result: a `join_handle<T>`. Await it for the result; drop it to detach the task.
/// - Errors: throws std::logic_error outside of a runtime. If the runtime is shutting down, the
///   returned handle is finished at once and reports a cancelled task.
/// - Lifetime: the task owns its arguments as declared. Do not pass references to locals that the
///   task may outlive.
/// - Allocates once: the frame of the coroutine, which holds everything else.
/// - Thread safety: may be called from any thread that is in a runtime.
template <class T>
join_handle<T> spawn(task<T> work, std::source_location where = std::source_location::current()) {
  return detail::spawn_on(detail::current_scheduler("kioto::spawn"), std::move(work), where);
}

/// Starts `callable(arguments…)`, which returns a task. The callable and its arguments are copied
/// or moved into the task, as std::thread does; wrap an argument in std::ref to pass it by
/// reference. This is the way to spawn a lambda coroutine with captures: its closure lives as long
/// as the task. In dumps the task has the source location of the coroutine.
template <class F, class... Args>
  requires detail::task_factory<F, Args...>
auto spawn(F&& callable, Args&&... arguments) {
  detail::scheduler& home = detail::current_scheduler("kioto::spawn");
  return detail::spawn_on(
      home, detail::make_owning_task(std::forward<F>(callable), std::forward<Args>(arguments)...),
      std::source_location());
}

}  // namespace kioto
