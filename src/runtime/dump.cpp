// SPDX-License-Identifier: MIT
#include <array>

#include <fmt/format.h>

#include <kioto/detail/promise.hpp>

#include "core.hpp"

namespace kioto {
namespace detail {

std::vector<task_dump> dump_tasks(runtime_core& core) {
  std::vector<task_dump> out;
  core.owned.for_each([&out](task_header& task) {
    task_dump& entry = out.emplace_back();
    entry.id = task_id(task.id_);
    entry.spawned_at = task.where_;
    suspension::word seen = 0;
    // The strand is borrowed while its frames are read, so that nobody resumes or destroys them.
    if (!task.word_.try_borrow(seen)) return;
    entry.now = task_dump::state::suspended;
    for (promise_base* frame = task.frame_; frame != nullptr;) {
      const std::source_location& at = frame->where_;
      entry.awaits.insert(entry.awaits.begin(), {at.function_name(), at.file_name(), at.line()});
      frame = frame->awaiter_ != nullptr ? &frame->awaiter_->parent() : nullptr;
    }
    if (!task.word_.unborrow(seen)) schedule_task(task);
  });
  return out;
}

}  // namespace detail

std::string task_dump::to_string() const {
  std::string out =
      fmt::format("task {} spawned at {}:{} ({})\n", id, spawned_at.file_name(), spawned_at.line(),
                  now == state::suspended ? "suspended" : "running or ready");
  for (std::size_t i = 0; i != awaits.size(); ++i)
    fmt::format_to(std::back_inserter(out), "{:>{}} {} ({}:{})\n", i == 0 ? "in" : "awaits",
                   2 * (i + 1) + 4, awaits[i].function, awaits[i].file, awaits[i].line);
  return out;
}

}  // namespace kioto
