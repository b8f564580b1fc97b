// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <kioto/detail/intrusive_list.hpp>
#include <kioto/detail/spinlock.hpp>
#include <kioto/detail/sync_policy.hpp>
#include <kioto/detail/task_header.hpp>

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

/// Every task of a runtime that has not ended, in shards so that spawning threads do not meet.
///
/// A task is in the list from its launch until its frame is destroyed. Who holds the lock of its
/// shard may therefore take a reference to it. The lock is for that, and for nothing longer.
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

  /// Asks every task to stop, once the list is closed.
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

  /// The tasks there are. Some of those that are launched meanwhile may be missing.
  [[nodiscard]] std::vector<task_reference> snapshot() {
    std::vector<task_reference> out;
    const std::size_t now = size();
    out.reserve(now + now / 8 + 64);
    for (std::size_t i = 0; i <= mask_; ++i) {
      shard& s = shards_[i];
      const std::lock_guard lock(s.lock);
      for (task_list* list : {&s.tasks, &s.stopping})
        for (task_header* t = list->front(); t != nullptr && out.size() != out.capacity();
             t = list->next(*t))
          out.emplace_back(*t);
    }
    return out;
  }

  [[nodiscard]] std::size_t size() const noexcept { return sum(&shard::size); }
  [[nodiscard]] std::size_t spawned() const noexcept { return sum(&shard::spawned); }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }

 private:
  using task_list = intrusive_list<task_header, owned_list_tag>;

  struct alignas(cache_line) shard {
    spinlock lock;
    bool closed = false;
    std::size_t size = 0;
    std::size_t spawned = 0;
    task_list tasks;
    task_list stopping;  ///< asked to stop by abort_all()
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
