// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <mutex>

#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

/// The run queue that all threads share: unbounded, first in first out, closable.
///
/// `T` is an intrusive node with a public member `T* queue_next`; the queue never owns or
/// allocates.
/// Every member may be called from any thread.
///
/// A push either comes before close(), and its items can be popped, or it is refused, and the items
/// stay with the caller. Popping goes on after close().
template <class Sync, class T, class Mutex = typename Sync::mutex>
class basic_inject_queue {
 public:
  /// Items linked through queue_next; the last one's is null. Empty: count is 0, the rest null.
  struct batch {
    T* first = nullptr;
    T* last = nullptr;
    std::size_t count = 0;
  };

  basic_inject_queue() = default;
  basic_inject_queue(const basic_inject_queue&) = delete;
  basic_inject_queue& operator=(const basic_inject_queue&) = delete;

  /// Appends `item`. False: the queue is closed and `item` was not touched.
  [[nodiscard]] bool push(T* item) noexcept {
    const std::lock_guard lock(mutex_);
    if (closed_) return false;
    item->queue_next = nullptr;
    append(item, item, 1);
    return true;
  }

  /// Appends `count` items, linked through queue_next from `first` to `last`. False: the queue is
  /// closed and the items were not touched.
  [[nodiscard]] bool push_batch(T* first, T* last, std::size_t count) noexcept {
    if (count == 0) return true;
    const std::lock_guard lock(mutex_);
    if (closed_) return false;
    last->queue_next = nullptr;
    append(first, last, count);
    return true;
  }

  /// Takes the oldest item; null if there is none. Does not lock if the queue looks empty.
  [[nodiscard]] T* pop() noexcept { return pop_n(1).first; }

  /// Takes the `max` oldest items, or all if there are fewer.
  [[nodiscard]] batch pop_n(std::size_t max) noexcept {
    batch out;
    if (max == 0 || is_empty()) return out;
    const std::lock_guard lock(mutex_);
    const std::size_t length = length_.load(std::memory_order_relaxed);
    if (length == 0) return out;
    out.first = first_;
    if (max >= length) {
      out.last = last_;
      out.count = length;
      first_ = nullptr;
      last_ = nullptr;
    } else {
      out.last = first_;
      for (std::size_t i = 1; i != max; ++i) out.last = out.last->queue_next;
      out.count = max;
      first_ = out.last->queue_next;
      out.last->queue_next = nullptr;
    }
    length_.store(length - out.count, std::memory_order_relaxed);
    return out;
  }

  /// Refuses every later push. True: this call closed it; false: it was closed before.
  bool close() noexcept {
    const std::lock_guard lock(mutex_);
    const bool first_time = !closed_;
    closed_ = true;
    return first_time;
  }

  [[nodiscard]] bool is_closed() const noexcept {
    const std::lock_guard lock(mutex_);
    return closed_;
  }

  /// The number of items, which may have changed already; without a lock.
  ///
  /// A push that happened before the call is counted, unless its item has been taken out.
  // Relaxed: the items are only touched under the mutex, which orders them. Whoever must not miss a
  // push has to be ordered after it by something else, and then coherence of length_ is enough.
  [[nodiscard]] std::size_t size() const noexcept {
    return length_.load(std::memory_order_relaxed);
  }

  [[nodiscard]] bool is_empty() const noexcept { return size() == 0; }

 private:
  void append(T* first, T* last, std::size_t count) noexcept {
    if (last_ != nullptr)
      last_->queue_next = first;
    else
      first_ = first;
    last_ = last;
    length_.store(length_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  }

  mutable Mutex mutex_;
  T* first_ = nullptr;
  T* last_ = nullptr;
  bool closed_ = false;
  typename Sync::template atomic<std::size_t> length_{0};  // written under mutex_
};

template <class T>
using inject_queue = basic_inject_queue<std_sync, T>;

}  // namespace kioto::detail
