// SPDX-License-Identifier: MIT
#pragma once

#include <condition_variable>
#include <mutex>

#include <kioto/detail/context.hpp>

namespace kioto::detail {

/// A thread that blocks in one operation. Ends as soon as it is woken, so the waker notifies under
/// the lock: it does not touch the strand after the sleeper can have seen the wake-up.
class thread_strand final : public context {
 public:
  thread_strand() noexcept : context(strand::thread) {}
  void unpark() noexcept {
    const std::lock_guard lock(mutex_);
    woken_ = true;
    condition_.notify_one();
  }
  void park() {
    std::unique_lock lock(mutex_);
    condition_.wait(lock, [this] { return woken_; });
    woken_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool woken_ = false;
};

}  // namespace kioto::detail
