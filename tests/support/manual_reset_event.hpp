// SPDX-License-Identifier: MIT
#pragma once

// A leaf operation from scratch: the example of docs/design/extending.md, which shows parts of
// this.

#include <atomic>
#include <mutex>
#include <utility>

#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/base/locked_waiters.hpp>
#include <kioto/detail/base/spinlock.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>

namespace kioto_test {

namespace detail = kioto::detail;

/// Set or not set. Waiting for it completes at once while it is set.
class manual_reset_event {
 public:
  class wait_operation;

  manual_reset_event() = default;
  manual_reset_event(const manual_reset_event&) = delete;
  manual_reset_event& operator=(const manual_reset_event&) = delete;

  [[nodiscard]] wait_operation wait() noexcept;

  // Any thread. The event outlives the call.
  void set() noexcept {
    std::unique_lock lock(lock_);
    is_set_.store(true, std::memory_order_release);
    detail::complete_all(waiters_, lock);  // releases the lock first
  }
  void reset() noexcept {
    const std::lock_guard lock(lock_);
    is_set_.store(false, std::memory_order_relaxed);
  }
  [[nodiscard]] bool is_set() const noexcept { return is_set_.load(std::memory_order_acquire); }

 private:
  using waiter = detail::list_waiter<wait_operation>;

  // False: it is set, and the waiter was not linked.
  bool add(waiter& w) noexcept {
    const std::lock_guard lock(lock_);
    if (is_set_.load(std::memory_order_relaxed)) return false;
    waiters_.push_back(w);
    return true;
  }
  // True: the waiter was linked, and is no more. False: set() has taken it.
  bool remove(waiter& w) noexcept {
    const std::lock_guard lock(lock_);
    if (!w.is_linked()) return false;
    detail::intrusive_list<waiter>::erase(w);
    return true;
  }

  detail::spinlock lock_;
  std::atomic<bool> is_set_{false};  // written under the lock
  detail::intrusive_list<waiter> waiters_;
};

class [[nodiscard]] manual_reset_event::wait_operation final
    : public detail::leaf_awaiter<wait_operation>,
      private detail::list_waiter<wait_operation> {
 public:
  explicit wait_operation(manual_reset_event& event) noexcept
      : list_waiter(*this), event_(&event) {}
  // Moves as long as it has not been awaited: nobody knows it yet.
  wait_operation(wait_operation&& other) noexcept
      : leaf_awaiter(static_cast<leaf_awaiter&&>(other)),
        list_waiter(*this),
        event_(other.event_) {}
  wait_operation& operator=(wait_operation&&) = delete;
  ~wait_operation() = default;

  detail::attempt try_or_wait() noexcept override {
    if (event_->is_set()) return detail::attempt::ready;
    return wait([this]() noexcept { return event_->add(*this); });
  }
  bool cancel() noexcept override { return event_->remove(*this); }
  // Nothing was handed over: whoever comes next finds the event as it is.
  bool withdraw() noexcept override { return true; }
  static void await_resume() noexcept {}

 private:
  manual_reset_event* event_;
};

inline manual_reset_event::wait_operation manual_reset_event::wait() noexcept {
  return wait_operation(*this);
}

}  // namespace kioto_test
