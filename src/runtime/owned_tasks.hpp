// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include <kioto/detail/intrusive_list.hpp>
#include <kioto/detail/spinlock.hpp>
#include <kioto/detail/sync_policy.hpp>
#include <kioto/detail/task_header.hpp>

namespace kioto::detail {

/// Every task of a runtime that has not ended, in shards so that spawning threads do not meet.
///
/// A task is in the list from its launch until its frame is destroyed. Who holds the lock of its
/// shard may therefore use the task.
class owned_tasks {
 public:
  explicit owned_tasks(std::size_t threads)
      : mask_(std::bit_ceil(threads < 64 ? threads : std::size_t{64}) - 1),
        shards_(std::make_unique<shard[]>(mask_ + 1)) {}

  /// False: the list is closed.
  [[nodiscard]] bool insert(task_header& task, std::size_t hint) noexcept {
    task.shard_ = static_cast<std::uint16_t>(hint & mask_);
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

  /// No task gets in any more.
  void close() noexcept {
    for (std::size_t i = 0; i <= mask_; ++i) {
      const std::lock_guard lock(shards_[i].lock);
      shards_[i].closed = true;
    }
  }

  template <class Visitor>
  void for_each(Visitor&& visit) {
    for (std::size_t i = 0; i <= mask_; ++i) {
      shard& s = shards_[i];
      const std::lock_guard lock(s.lock);
      for (task_header* task = s.tasks.front(); task != nullptr; task = s.tasks.next(*task))
        visit(*task);
    }
  }

  [[nodiscard]] std::size_t size() const noexcept { return sum(&shard::size); }
  [[nodiscard]] std::size_t spawned() const noexcept { return sum(&shard::spawned); }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }

 private:
  struct alignas(cache_line) shard {
    spinlock lock;
    bool closed = false;
    std::size_t size = 0;
    std::size_t spawned = 0;
    intrusive_list<task_header, owned_list_tag> tasks;
  };

  std::size_t sum(std::size_t shard::* field) const noexcept {
    std::size_t total = 0;
    for (std::size_t i = 0; i <= mask_; ++i) {
      const std::lock_guard lock(shards_[i].lock);
      total += shards_[i].*field;
    }
    return total;
  }

  std::size_t mask_;
  std::unique_ptr<shard[]> shards_;
};

}  // namespace kioto::detail
