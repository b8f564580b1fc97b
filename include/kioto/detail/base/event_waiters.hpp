// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <mutex>
#include <utility>

#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/base/spinlock.hpp>

namespace kioto::detail {

/// Base of the waiters in a `basic_event_waiters`.
template <class Sync>
class basic_event_waiter : public list_node<> {
 protected:
  basic_event_waiter() noexcept = default;
  ~basic_event_waiter() = default;

 private:
  template <class, class>
  friend class basic_event_waiters;
  typename Sync::template var<std::uint64_t> generation_{0};
};

/// The waiters for an event that wakes all of them. `Waiter` derives from
/// `basic_event_waiter<Sync>`.
///
/// Invariants:
/// - W1 The event happens under the lock (`take_all`), and a waiter links itself only after it has
///   seen, under the lock, that the event has not happened (`add`). So no wake-up is lost.
/// - W2 A waiter is either linked, or taken, in which case it belongs to the thread that took it;
///   `remove` tells which. All linked waiters are of the current generation, and `take_all` begins
///   the next one, so taking costs nothing per waiter.
///
/// Memory order: everything is under the lock.
template <class Sync, class Waiter>
class basic_event_waiters {
 public:
  using list = intrusive_list<Waiter>;

  basic_event_waiters() = default;
  basic_event_waiters(const basic_event_waiters&) = delete;
  basic_event_waiters& operator=(const basic_event_waiters&) = delete;

  /// Links the waiter if `must_wait()`, which is called under the lock, returns true. Returns that.
  template <class Condition>
  [[nodiscard]] bool add(Waiter& waiter, Condition&& must_wait) noexcept {
    const std::lock_guard lock(lock_);
    if (!must_wait()) return false;
    waiter.generation_.set(generation_.get());
    waiters_.push_back(waiter);
    return true;
  }

  /// Returns true if the waiter was unlinked and will not be fired; false if it has been taken.
  [[nodiscard]] bool remove(Waiter& waiter) noexcept {
    const std::lock_guard lock(lock_);
    if (waiter.generation_.get() != generation_.get()) return false;
    waiters_.erase(waiter);
    return true;
  }

  /// Calls `happens()`, which makes the event happen, under the lock. If it returns true, appends
  /// the waiters to `taken`, in order; the caller fires them.
  template <class Event>
  void take_all(list& taken, Event&& happens) noexcept {
    const std::lock_guard lock(lock_);
    if (!happens()) return;
    generation_.set(generation_.get() + 1);
    taken.splice_back(waiters_);
  }

 private:
  basic_spinlock<Sync> lock_;
  typename Sync::template var<std::uint64_t> generation_{0};
  list waiters_;
};

}  // namespace kioto::detail
