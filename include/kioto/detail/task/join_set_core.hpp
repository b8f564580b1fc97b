// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/task/completion_queue.hpp>
#include <kioto/detail/task/join_state.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>
#include <kioto/detail/task/task_header.hpp>

namespace kioto::detail {

[[noreturn]] void die_join_set_in_use() noexcept;

/// The part of a `join_set` that does not depend on the type of the results.
///
/// Each task has an *entry*, which is the waiter for its end, a node of the queue of ended tasks,
/// and the set's pointer to the task. Entries are allocated in blocks and reused. The set owns the
/// join handle of each task.
///
/// Invariants:
/// - S1 The entry of a running task is linked in its join state. Either the end of the task pushes
///   it, or `dispose()` unlinks it; the word of the join state decides which.
/// - S2 If the set is destroyed while tasks are in the middle of ending, the last of these frees
///   the core.
class join_set_core {
 public:
  join_set_core() noexcept = default;
  join_set_core(const join_set_core&) = delete;
  join_set_core& operator=(const join_set_core&) = delete;

  /// Makes room for one more task.
  void reserve();
  /// Takes over the join handle of a task. Precondition: `reserve()` was called.
  void add(task_header& task) noexcept;
  /// Called when the set is destroyed: aborts or detaches all tasks, and deletes this.
  void dispose(bool abort) noexcept;

  void abort_all() noexcept;
  /// The same, unless it was already done since the last task was added.
  void abort_all_once() noexcept {
    if (!std::exchange(aborted_, true)) abort_all();
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// Moves the tasks that have ended since the last call from the queue to `ended_`.
  void take_ended() noexcept;
  /// Returns true if a task has ended whose result has not been taken.
  [[nodiscard]] bool has_ended() noexcept {
    if (ended_.empty()) take_ended();
    return !ended_.empty();
  }
  [[nodiscard]] bool all_ended() const noexcept { return ended_count_ == size_; }
  /// Returns true if one of the ended tasks has no value.
  [[nodiscard]] bool has_failed() const noexcept { return failed_count_ != 0; }

  /// Releases a task, and with it what is left of its result.
  class ended_task {
   public:
    explicit ended_task(task_header* task) noexcept : task_(task) {}
    ended_task(const ended_task&) = delete;
    ended_task& operator=(const ended_task&) = delete;
    ~ended_task() { task_->release_handle(); }
    [[nodiscard]] task_header& operator*() const noexcept { return *task_; }

   private:
    task_header* task_;
  };
  /// The first task that ended. Precondition: there is one.
  [[nodiscard]] ended_task pop_ended() noexcept;

  /// Takes all tasks that have ended out of the set.
  class clears_at_end {
   public:
    explicit clears_at_end(join_set_core& core) noexcept : core_(core) {}
    clears_at_end(const clears_at_end&) = delete;
    clears_at_end& operator=(const clears_at_end&) = delete;
    ~clears_at_end() {
      while (core_.has_ended()) const ended_task dropped = core_.pop_ended();
    }

   private:
    join_set_core& core_;
  };

  // For the operation that waits. There is at most one, between `begin_wait()` and `end_wait()`.
  void begin_wait() noexcept {
    if (std::exchange(is_awaited_, true)) [[unlikely]]
      die_join_set_in_use();
  }
  void end_wait() noexcept { is_awaited_ = false; }
  [[nodiscard]] bool wait(leaf_operation& waiter) noexcept {
    waiter_ = &waiter;
    return queue_.wait();
  }
  [[nodiscard]] bool stop_waiting() noexcept { return queue_.stop_waiting(); }

 private:
  struct entry : join_waiter {
    entry() noexcept : join_waiter(&entry::on_task_ended) {}
    static void on_task_ended(join_waiter& waiter, trampoline&) noexcept;

    entry* queue_next = nullptr;
    join_set_core* core = nullptr;
    task_header* task = nullptr;  ///< null while the entry is free
  };
  struct block {
    std::unique_ptr<entry[]> entries;
    std::size_t count;
  };
  using queue = basic_completion_queue<std_sync, entry>;

  ~join_set_core() = default;
  static void release(entry& ended) noexcept;
  void drop(std::size_t references) noexcept;
  void note(entry& ended) noexcept;

  queue queue_;
  leaf_operation* waiter_ = nullptr;
  intrusive_queue<entry> ended_;  ///< taken from the queue
  intrusive_queue<entry> free_;
  std::vector<block> blocks_;
  std::size_t size_ = 0;
  std::size_t ended_count_ = 0;
  std::size_t failed_count_ = 0;  ///< of those in `ended_`
  bool aborted_ = false;
  bool is_awaited_ = false;
  std::atomic<std::size_t> under_way_{0};  ///< tasks that were ending in `dispose()`
};

/// Base of the operations on a set: `Derived::is_satisfied()` returns true if enough tasks have
/// ended.
template <class Derived>
class [[nodiscard]] join_set_operation : public leaf_awaiter<Derived> {
 public:
  attempt try_or_wait() noexcept override {
    let_go();
    if (core_ == nullptr || static_cast<Derived*>(this)->is_satisfied()) return attempt::ready;
    core_->begin_wait();
    holds_ = true;
    for (;;) {
      const attempt result = this->wait([this]() noexcept { return core_->wait(*this); });
      if (result == attempt::suspended) return result;
      // Either stopped, or a task has ended: the operation was not linked, or was fired at once.
      if (result == attempt::stopped || static_cast<Derived*>(this)->is_satisfied()) {
        let_go();
        return result;
      }
    }
  }
  bool cancel() noexcept override {
    if (!core_->stop_waiting()) return false;
    let_go();
    return true;
  }
  bool withdraw() noexcept override {  // the ended task stays in the set
    let_go();
    return true;
  }

 protected:
  explicit join_set_operation(join_set_core* core) noexcept : core_(core) { this->retries_ = true; }
  join_set_operation(join_set_operation&& other) noexcept
      : leaf_awaiter<Derived>(static_cast<leaf_awaiter<Derived>&&>(other)), core_(other.core_) {}
  ~join_set_operation() { let_go(); }

  join_set_core* core_;

 private:
  void let_go() noexcept {
    if (std::exchange(holds_, false)) core_->end_wait();
  }

  bool holds_ = false;  ///< this operation is the one that waits
};

}  // namespace kioto::detail
