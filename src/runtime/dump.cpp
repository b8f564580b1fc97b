// SPDX-License-Identifier: MIT
#include <algorithm>

#include <fmt/format.h>

#include <kioto/detail/promise.hpp>

#include "core.hpp"

namespace kioto {
namespace detail {

namespace {

/// Takes a suspended strand for its lifetime, so that nobody resumes or destroys its frames.
class borrowed_strand {
 public:
  explicit borrowed_strand(task_header& task) noexcept
      : task_(task), mine_(task.word_.try_borrow(seen_)) {}
  borrowed_strand(const borrowed_strand&) = delete;
  borrowed_strand& operator=(const borrowed_strand&) = delete;
  ~borrowed_strand() {
    if (mine_ && !task_.word_.unborrow(seen_)) schedule_task(task_);
  }
  [[nodiscard]] bool is_mine() const noexcept { return mine_; }

 private:
  task_header& task_;
  suspension::word seen_ = 0;
  bool mine_;
};

}  // namespace

std::vector<task_dump> dump_tasks(runtime_core& core) {
  if (core.process.is_inherited()) throw_inherited("dump");
  std::vector<task_dump> out;
  for (const task_reference& reference : core.owned.snapshot()) {
    task_header& task = *reference;
    task_dump& entry = out.emplace_back();
    entry.id = task_id(task.id_);
    entry.spawned_at = task.where_.load(std::memory_order_relaxed);
    const borrowed_strand strand(task);
    if (!strand.is_mine()) continue;
    entry.now = task_dump::state::suspended;
    for (promise_base* frame = task.frame_; frame != nullptr;) {
      const std::source_location& at = frame->where_;
      entry.awaits.push_back({at.function_name(), at.file_name(), at.line()});
      task_awaiter_base* const awaiter = frame->parent_.awaiter();
      frame = awaiter != nullptr ? &awaiter->parent() : nullptr;
    }
    std::reverse(entry.awaits.begin(), entry.awaits.end());
  }
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
