// SPDX-License-Identifier: MIT
#include <kioto/testing/driven.hpp>

#include <condition_variable>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>

#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/testing/paused.hpp>

#include "scheduler/core.hpp"

namespace kioto::detail {

namespace {

core_pointer present_core() {
  runtime_core* core = this_thread().runtime;
  return core != nullptr && !core->process.is_inherited() ? core->shared_from_this() : nullptr;
}

/// The present runtime. If there is none, one that never runs, for its clock and its drivers.
class some_core {
 public:
  some_core() : core_(present_core()) {
    if (core_ != nullptr) return;
    own_.emplace(testing::paused_runtime());
    const enter_guard guard = own_->enter();
    core_ = present_core();
  }
  [[nodiscard]] runtime_core& get() const noexcept { return *core_; }

 private:
  std::optional<runtime> own_;
  core_pointer core_;
};

}  // namespace

class hand_scheduler::state final : private some_core, public scheduler {
 public:
  state() : scheduler(some_core::get()), random_(core().options.rng_seed.value_or(fresh_seed())) {}

  void begin(task_header& task) noexcept {
    task_ = &task;
    task.id_ = next_task_id(this_thread());
    const std::lock_guard lock(mutex_);
    ready_.push_back(&task);
  }

  // Every one that is ready, once: the task, and the children of its scopes.
  void run() noexcept {
    intrusive_queue<task_header> now;
    {
      const std::lock_guard lock(mutex_);
      now.splice_back(ready_);
    }
    thread_state& thread = this_thread();
    const thread_state before = thread;
    // No executor: what this run makes ready goes to its scheduler as from another thread.
    thread.current = nullptr;
    thread.runtime = &core();
    thread.guard = nullptr;
    while (task_header* task = now.pop_front()) {
      thread.running = task;
      thread.marks = 0;
      task->run(false);
      end_run(thread);
    }
    thread.current = before.current;
    thread.runtime = before.runtime;
    thread.running = before.running;
    thread.marks = before.marks;
    thread.guard = before.guard;
  }

  void stop() noexcept {
    task_->abort();
    while (!task_->join_.is_done()) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !ready_.empty(); });
      }
      run();
    }
  }

  [[nodiscard]] bool is_woken() const noexcept {
    const std::lock_guard lock(mutex_);
    return !ready_.empty();
  }
  [[nodiscard]] std::size_t wake_count() const noexcept {
    const std::lock_guard lock(mutex_);
    return wakes_;
  }

  void schedule_remote(task_header& task) noexcept override {
    // Notified under the lock: this may be gone as soon as its owner can see the wake-up.
    const std::lock_guard lock(mutex_);
    ready_.push_back(&task);
    ++wakes_;
    changed_.notify_one();
  }
  [[nodiscard]] std::uint32_t random() noexcept override { return random_.next(); }

  // Not the scheduler of its runtime: nobody asks it for these.
  void timer_moved_up() noexcept override {}
  void block_until_done(task_header&) override {}
  void wake_all() noexcept override {}
  bool drain(std::optional<std::chrono::steady_clock::time_point>) noexcept override {
    return true;
  }
  void join_threads() noexcept override {}
  [[nodiscard]] bool runs_on_this_thread() const noexcept override { return false; }
  void read_metrics(runtime_metrics&) const override {}

 private:
  task_header* task_ = nullptr;
  random_source random_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  intrusive_queue<task_header> ready_;
  std::size_t wakes_ = 0;
};

hand_scheduler::hand_scheduler() : state_(std::make_unique<state>()) {}
hand_scheduler::~hand_scheduler() = default;

scheduler& hand_scheduler::get() noexcept { return *state_; }
void hand_scheduler::begin(task_header& task) noexcept { state_->begin(task); }
void hand_scheduler::run() noexcept { state_->run(); }
void hand_scheduler::stop() noexcept { state_->stop(); }
bool hand_scheduler::is_woken() const noexcept { return state_->is_woken(); }
std::size_t hand_scheduler::wake_count() const noexcept { return state_->wake_count(); }

void throw_bad_driven(const char* what) {
  throw std::logic_error(std::string("kioto::testing::") + what);
}

}  // namespace kioto::detail
