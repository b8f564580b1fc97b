// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include <kioto/detail/intrusive_list.hpp>
#include <kioto/detail/scope_core.hpp>
#include <kioto/detail/spinlock.hpp>
#include <kioto/detail/sync_policy.hpp>
#include <kioto/detail/task_header.hpp>

namespace kioto::detail {

/// Every task of a runtime that has not ended, in shards so that spawning threads do not meet.
///
/// A task is in the list from its launch until its frame is destroyed. Who holds the lock of its
/// shard may therefore use the task. Children of scopes are in the lists of their scopes, which are
/// here: they end before the task does that the scope is in.
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
    ++s.size;
    ++s.spawned;
    return true;
  }

  void remove(task_header& task) noexcept {
    shard& s = shards_[task.shard_];
    const std::lock_guard lock(s.lock);
    s.tasks.erase(task);
    --s.size;
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
  }

  /// No task gets in any more.
  void close() noexcept {
    for (std::size_t i = 0; i <= mask_; ++i) {
      const std::lock_guard lock(shards_[i].lock);
      shards_[i].closed = true;
    }
  }

  /// Visits the tasks that are no children.
  template <class Visitor>
  void for_each_root(Visitor&& visit) {
    for_each_shard([&](shard& s) { visit_tasks(s, visit); });
  }
  template <class Visitor>
  void for_each(Visitor&& visit) {
    for_each_shard([&](shard& s) {
      visit_tasks(s, visit);
      for_each_scope(s, [&](scope_core& scope) { scope.state_.for_each(visit); });
    });
  }

  /// No task is left: a parent outlives its children.
  [[nodiscard]] bool empty() const noexcept {
    std::size_t roots = 0;
    for_each_shard([&](shard& s) { roots += s.size; });
    return roots == 0;
  }
  [[nodiscard]] std::size_t alive() const noexcept {
    std::size_t total = 0;
    for_each_shard([&](shard& s) {
      total += s.size;
      for_each_scope(s, [&](scope_core& scope) { total += scope.state_.pending(); });
    });
    return total;
  }
  [[nodiscard]] std::size_t spawned() const noexcept {
    std::size_t total = 0;
    for_each_shard([&](shard& s) {
      total += s.spawned;
      for_each_scope(s, [&](scope_core& scope) { total += scope.state_.admitted(); });
    });
    return total;
  }

 private:
  struct alignas(cache_line) shard {
    spinlock lock;
    bool closed = false;
    std::size_t size = 0;
    std::size_t spawned = 0;
    intrusive_list<task_header, owned_list_tag> tasks;
    intrusive_list<scope_core, scope_list_tag> scopes;
  };

  template <class F>
  void for_each_shard(F&& f) const {
    for (std::size_t i = 0; i <= mask_; ++i) {
      const std::lock_guard lock(shards_[i].lock);
      f(shards_[i]);
    }
  }
  template <class Visitor>
  static void visit_tasks(shard& s, Visitor& visit) {
    for (task_header* task = s.tasks.front(); task != nullptr; task = s.tasks.next(*task))
      visit(*task);
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
