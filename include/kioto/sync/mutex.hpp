// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

#include <kioto/detail/sync/acquire_operation.hpp>
#include <kioto/detail/task/thread_wait.hpp>
#include <kioto/sync/lock_guard.hpp>

namespace kioto::sync {

/// A held mutex, or a part of what it guards. See `basic_lock_guard`.
template <class T = void>
using mutex_guard = basic_lock_guard<T, 1, detail::borrowed_core>;
template <class T = void>
using owned_mutex_guard = basic_lock_guard<T, 1, detail::shared_core>;

/// Mutual exclusion of tasks, together with the value that it guards; `mutex<>` guards nothing. 24
/// bytes and the value.
///
/// - Waits for: `lock` and `lock_owned` wait until the mutex is free. It is handed over in the
///   order of arrival. Locking a free mutex costs one compare-and-swap, no internal lock and no
///   allocation; so does unlocking when no task waits.
/// - Result: a guard, which unlocks when it is destroyed. What happened before an unlock happens
///   before the return of the next lock.
/// - Errors: none. An exception that unwinds through a guard unlocks as usual.
/// - Cancellation: loses the place in the queue. A cancelled task to which the mutex was already
///   handed over gets it, as any value that arrived before the stop, and unlocks when it destroys
///   the guard.
/// - In a select: withdrawn; a mutex that was already handed over goes to the next waiter.
/// - Lifetime: the mutex outlives its waiters and guards. The `_owned` forms take a
///   `std::shared_ptr` instead and share ownership. The last task to lock the mutex may destroy it
///   right after its unlock, even if the previous call of unlock has not returned yet.
/// - Thread safety: every member but `into_inner` may be called from any thread.
/// - Deadlock: a task that locks a mutex which it holds waits for ever; so do two tasks that lock
///   two of them in different order. A guard may be held across a `co_await`. A `std::mutex` must
///   not: it would block the thread that has to run its owner, or be unlocked on another thread.
///   For a few instructions without a `co_await` a `std::mutex` is the better choice.
///
///     auto table = co_await shared.table.lock();
///     table->insert(entry);
template <class T = void>
class mutex {
  using guard = mutex_guard<T>;
  using owned_guard = owned_mutex_guard<T>;

 public:
  using value_type = T;

  /// The value is constructed from `args`.
  template <class... Args>
    requires std::is_void_v<T> || std::is_constructible_v<T, Args...>
  constexpr explicit mutex(std::in_place_t, Args&&... args)
      : core_(1), value_(std::in_place, std::forward<Args>(args)...) {}
  constexpr mutex()
    requires std::is_void_v<T> || std::default_initializable<T>
      : mutex(std::in_place) {}
  template <class U = T>
    requires(!std::is_void_v<T>) && std::is_constructible_v<T, U> &&
            (!std::is_same_v<std::remove_cvref_t<U>, std::in_place_t>)
  constexpr explicit mutex(U&& value) : mutex(std::in_place, std::forward<U>(value)) {}
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;

  [[nodiscard]] detail::lock_operation<guard> lock() noexcept {
    return detail::lock_operation<guard>(core_, &core_, value_.address());
  }
  /// Empty if the mutex is locked.
  [[nodiscard]] guard try_lock() noexcept {
    if (core_.try_acquire(1) != detail::grant::granted) return guard();
    return guard(&core_, value_.address());
  }
  /// For threads outside of the runtime: throws std::logic_error in a task.
  [[nodiscard]] guard blocking_lock() {
    return detail::run_on_thread(lock(), "mutex::blocking_lock");
  }

  [[nodiscard]] static detail::lock_operation<owned_guard> lock_owned(
      std::shared_ptr<mutex> self) noexcept {
    mutex& m = *self;
    return detail::lock_operation<owned_guard>(
        m.core_, detail::shared_core(std::move(self), &m.core_), m.value_.address());
  }
  [[nodiscard]] static owned_guard try_lock_owned(std::shared_ptr<mutex> self) noexcept {
    mutex& m = *self;
    if (m.core_.try_acquire(1) != detail::grant::granted) return owned_guard();
    return owned_guard(detail::shared_core(std::move(self), &m.core_), m.value_.address());
  }
  /// For threads outside of the runtime: throws std::logic_error in a task.
  [[nodiscard]] static owned_guard blocking_lock_owned(std::shared_ptr<mutex> self) {
    return detail::run_on_thread(lock_owned(std::move(self)), "mutex::blocking_lock_owned");
  }

  /// Moves the value out. Nothing else may use the mutex any more.
  template <class U = T>
    requires(!std::is_void_v<U>)
  [[nodiscard]] U into_inner() && {
    return value_.take();
  }

 private:
  detail::semaphore_core core_;
  [[no_unique_address]] detail::guarded_value<T> value_;
};
static_assert(sizeof(mutex<>) == 8 + 2 * sizeof(void*));
static_assert(sizeof(mutex_guard<>) == sizeof(void*));

template <class T>
mutex(T) -> mutex<T>;

}  // namespace kioto::sync
