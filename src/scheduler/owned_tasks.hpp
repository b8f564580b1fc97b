// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/base/spinlock.hpp>
#include <kioto/detail/base/sync_policy.hpp>
#include <kioto/detail/task/scope_core.hpp>
#include <kioto/detail/task/task_header.hpp>

namespace kioto::detail {

/// Keeps the block of a task: its header, not its frame.
class task_reference {
 public:
  explicit task_reference(task_header& task) noexcept : task_(&task) { task.add_reference(); }
  task_reference(task_reference&& other) noexcept : task_(std::exchange(other.task_, nullptr)) {}
  task_reference& operator=(task_reference&&) = delete;
  ~task_reference() {
    if (task_ != nullptr) task_->drop_reference();
  }
  [[nodiscard]] task_header& operator*() const noexcept { return *task_; }

 private:
  task_header* task_;
};

/// All tasks of a runtime that have not ended, in shards so that spawning threads do not contend.
///
/// A task is in the list from its launch until its frame is destroyed. A thread that holds the lock
/// of its shard may therefore take a reference to it; the lock is held for that, and for nothing
/// longer. The children of a scope are in the list of the scope, which is registered here: they end
/// before the task that the scope is in.
class owned_tasks {
 public:
  explicit owned_tasks(std::size_t threads)
      : mask_(std::bit_ceil(threads < 64 ? threads : std::size_t{64}) - 1),
        shards_(std::make_unique<shard[]>(mask_ + 1)) {}

  /// False: the list is closed.
  [[nodiscard]] bool insert(task_header& task, std::size_t hint) noexcept {
    task.shard_ = static_cast<std::uint8_t>(hint & mask_);
    shard& s = shards_[task.shard_];
    const std::lock_guard lock(s.lock);
    if (s.closed) return false;
    s.tasks.push_back(task);
    ++s.spawned;
    return true;
  }

  void remove(task_header& task) noexcept {
    shard& s = shards_[task.shard_];
    const std::lock_guard lock(s.lock);
    s.tasks.erase(task);
    ++s.ended;
  }

  /// A scope that has children, from before the first one until after the last.
  void insert(scope_core& scope, std::size_t hint) noexcept {
    shard& s = shards_[hint & mask_];
    const std::lock_guard lock(s.lock);
    s.scopes.push_back(scope);
  }
  void remove(scope_core& scope, std::size_t hint) noexcept {
    shard& s = shards_[hint & mask_];
    const std::lock_guard lock(s.lock);
    s.scopes.erase(scope);
    s.spawned += scope.state_.admitted();
    s.ended += scope.state_.admitted();
  }

  /// Around a fork(): see `lock_frame_pool`.
  void lock() noexcept {
    for (std::size_t i = 0; i <= mask_; ++i) shards_[i].lock.lock();
  }
  void unlock() noexcept {
    for (std::size_t i = 0; i <= mask_; ++i) shards_[i].lock.unlock();
  }

  /// No task is admitted any more.
  void close() noexcept {
    for (std::size_t i = 0; i <= mask_; ++i) {
      const std::lock_guard lock(shards_[i].lock);
      shards_[i].closed = true;
    }
  }

  /// Asks every task to stop, after the list was closed. Children are asked by their scopes.
  void abort_all() noexcept {
    for (std::size_t i = 0; i <= mask_; ++i) {
      shard& s = shards_[i];
      std::unique_lock lock(s.lock);
      while (task_header* task = s.tasks.pop_front()) {
        s.stopping.push_back(*task);  // from where remove() takes it
        {
          const task_reference held(*task);
          lock.unlock();
          task->abort();
        }
        lock.lock();
      }
    }
  }

  /// The present tasks. Some of those that are launched meanwhile may be missing.
  [[nodiscard]] std::vector<task_reference> snapshot() {
    std::vector<task_reference> out;
    const std::size_t now = alive();
    out.reserve(now + now / 8 + 64);
    const auto take = [&out](task_header& task) {
      if (out.size() != out.capacity()) out.emplace_back(task);  // no allocation under a lock
    };
    for_each_shard([&](shard& s) {
      for (task_list* list : {&s.tasks, &s.stopping})
        for (task_header* task = list->front(); task != nullptr; task = list->next(*task))
          take(*task);
      for_each_scope(s, [&](scope_core& scope) { scope.state_.for_each(take); });
    });
    return out;
  }

  /// No task is left: a parent outlives its children.
  [[nodiscard]] bool empty() const noexcept {
    std::uint64_t roots = 0;
    for_each_shard([&](shard& s) { roots += s.spawned - s.ended; });
    return roots == 0;
  }
  [[nodiscard]] std::size_t alive() const noexcept {
    std::size_t total = 0;
    for_each_shard([&](shard& s) {
      total += static_cast<std::size_t>(s.spawned - s.ended);
      for_each_scope(s, [&](scope_core& scope) { total += scope.state_.pending(); });
    });
    return total;
  }
  [[nodiscard]] std::uint64_t spawned() const noexcept {
    std::uint64_t total = 0;
    for_each_shard([&](shard& s) {
      total += s.spawned;
      for_each_scope(s, [&](scope_core& scope) { total += scope.state_.admitted(); });
    });
    return total;
  }

 private:
  using task_list = intrusive_list<task_header, owned_list_tag>;

  struct alignas(cache_line) shard {
    spinlock lock;
    bool closed = false;
    std::uint64_t spawned = 0;
    std::uint64_t ended = 0;
    task_list tasks;
    task_list stopping;  ///< asked to stop by abort_all()
    intrusive_list<scope_core, scope_list_tag> scopes;
  };

  template <class F>
  void for_each_shard(F&& f) const {
    for (std::size_t i = 0; i <= mask_; ++i) {
      const std::lock_guard lock(shards_[i].lock);
      f(shards_[i]);
    }
  }
  template <class F>
  static void for_each_scope(shard& s, F&& f) {
    for (scope_core* scope = s.scopes.front(); scope != nullptr; scope = s.scopes.next(*scope))
      f(*scope);
  }

  std::size_t mask_;
  std::unique_ptr<shard[]> shards_;
};

}  // namespace kioto::detail
