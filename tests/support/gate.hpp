// SPDX-License-Identifier: MIT
#pragma once

#include <mutex>

#include <kioto/detail/task/leaf_awaiter.hpp>

namespace kioto_test {

/// A gate that tests wait for: it is opened once, from any thread; waits complete then, and later
/// ones at once.
class gate {
 public:
  class [[nodiscard]] waiter final : public kioto::detail::leaf_awaiter<waiter>,
                                     public kioto::detail::list_node<> {
   public:
    explicit waiter(gate& g) noexcept : gate_(g) {}
    waiter(waiter&& other) noexcept
        : leaf_awaiter(static_cast<leaf_awaiter&&>(other)), list_node(), gate_(other.gate_) {}

    kioto::detail::attempt try_or_wait() noexcept override {
      return wait([this]() noexcept {
        const std::lock_guard lock(gate_.mutex_);
        if (gate_.is_open_) return false;
        gate_.waiters_.push_back(*this);
        ++gate_.waited_;
        return true;
      });
    }
    bool cancel() noexcept override {
      const std::lock_guard lock(gate_.mutex_);
      if (taken_) return false;
      gate_.waiters_.erase(*this);
      return true;
    }
    bool withdraw() noexcept override { return true; }
    static void await_resume() noexcept {}

   private:
    friend class gate;
    gate& gate_;
    bool taken_ = false;
  };

  [[nodiscard]] waiter passed() noexcept { return waiter(*this); }

  void open() noexcept {
    kioto::detail::intrusive_list<waiter> all;
    {
      const std::lock_guard lock(mutex_);
      is_open_ = true;
      while (waiter* w = waiters_.pop_front()) {
        w->taken_ = true;
        all.push_back(*w);
      }
    }
    while (waiter* w = all.pop_front()) kioto::detail::complete(*w);
  }
  [[nodiscard]] bool is_open() const {
    const std::lock_guard lock(mutex_);
    return is_open_;
  }
  /// How many waits have begun.
  [[nodiscard]] int waited() const {
    const std::lock_guard lock(mutex_);
    return waited_;
  }

 private:
  mutable std::mutex mutex_;
  bool is_open_ = false;
  int waited_ = 0;
  kioto::detail::intrusive_list<waiter> waiters_;
};

}  // namespace kioto_test
