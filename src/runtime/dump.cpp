// SPDX-License-Identifier: MIT
#include "scheduler/core.hpp"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

#include <kioto/detail/task/promise.hpp>

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

namespace {

std::string describe_left(const task_dump& task) {
  std::string out = fmt::format("  task {}", task.id);
  if (task.spawned_at.line() != 0)
    fmt::format_to(std::back_inserter(out), ", spawned at {}:{}", task.spawned_at.file_name(),
                   task.spawned_at.line());
  if (task.now != task_dump::state::suspended || task.awaits.empty())
    return out + ", is running or ready\n";
  const task_dump::frame& innermost = task.awaits.back();
  fmt::format_to(std::back_inserter(out), ", waits in {} ({}:{})\n", innermost.function,
                 innermost.file, innermost.line);
  return out;
}

}  // namespace

void name_what_is_left(runtime_core& core, std::string_view what) noexcept {
  constexpr std::size_t most = 10;
  try {
    std::string out = fmt::format("kioto: {}:\n", what);
    const auto tasks = dump_tasks(core);
    for (std::size_t i = 0; i != std::min(tasks.size(), most); ++i) out += describe_left(tasks[i]);
    if (tasks.size() > most) out += fmt::format("  and {} more tasks\n", tasks.size() - most);
    if (const auto calls = core.blocking.read_counts().running; calls != 0)
      out += fmt::format("  blocking calls that run: {}\n", calls);
    std::fputs(out.c_str(), stderr);
  } catch (...) {
    std::fprintf(stderr, "kioto: %.*s (no memory to name it)\n", static_cast<int>(what.size()),
                 what.data());
  }
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
