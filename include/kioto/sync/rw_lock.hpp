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

/// A held read or write lock, or a part of the value it guards. See `basic_lock_guard`.
template <class T = void>
using read_guard = basic_lock_guard<const T, 1, detail::borrowed_core>;
template <class T = void>
using write_guard = basic_lock_guard<T, detail::all_permits, detail::borrowed_core>;
template <class T = void>
using owned_read_guard = basic_lock_guard<const T, 1, detail::shared_core>;
template <class T = void>
using owned_write_guard = basic_lock_guard<T, detail::all_permits, detail::shared_core>;

/// A lock for many readers or one writer, together with the value that it guards. 24 bytes and the
/// value.
///
/// - Waits for: `read*` wait until there is no writer, `write*` until there is neither reader nor
///   writer, in the order of arrival: a reader waits behind a waiting writer, so that readers
///   cannot starve writers. Locking a free one costs one compare-and-swap, no internal lock and no
///   allocation.
/// - Result: a guard, which unlocks when it is destroyed. What happened before an unlock happens
///   before the return of every lock that had to wait for it.
/// - Errors: none. An exception that unwinds through a guard unlocks as usual.
/// - Cancellation: loses the place in the queue; readers behind a cancelled writer proceed.
/// - In a select: withdrawn; a lock that was already granted goes to the next waiters.
/// - Lifetime: the lock outlives its waiters and guards. The `_owned` forms take a
///   `std::shared_ptr` instead and share ownership.
/// - Thread safety: every member but `into_inner` may be called from any thread. At most 2^29 - 1
///   readers at a time.
/// - Deadlock: a task that holds a read lock and waits for a write lock waits for ever, and so does
///   one that takes a second read lock while a writer waits in between. See also `mutex`.
///
///     auto config = co_await shared.config.read();
///     use(config->name);
template <class T = void>
class rw_lock {
  using core = detail::semaphore_core;

 public:
  using value_type = T;

  /// The value is constructed from `args`.
  template <class... Args>
    requires std::is_void_v<T> || std::is_constructible_v<T, Args...>
  constexpr explicit rw_lock(std::in_place_t, Args&&... args)
      : core_(detail::all_permits), value_(std::in_place, std::forward<Args>(args)...) {}
  constexpr rw_lock()
    requires std::is_void_v<T> || std::default_initializable<T>
      : rw_lock(std::in_place) {}
  template <class U = T>
    requires(!std::is_void_v<T>) && std::is_constructible_v<T, U> &&
            (!std::is_same_v<std::remove_cvref_t<U>, std::in_place_t>)
  constexpr explicit rw_lock(U&& value) : rw_lock(std::in_place, std::forward<U>(value)) {}
  rw_lock(const rw_lock&) = delete;
  rw_lock& operator=(const rw_lock&) = delete;

  [[nodiscard]] auto read() noexcept { return operation<read_guard<T>>(*this, &core_); }
  [[nodiscard]] auto write() noexcept { return operation<write_guard<T>>(*this, &core_); }
  /// Empty if there is a writer or a waiting one.
  [[nodiscard]] read_guard<T> try_read() noexcept { return attempt<read_guard<T>>(*this, &core_); }
  /// Empty if there is a reader or a writer.
  [[nodiscard]] write_guard<T> try_write() noexcept {
    return attempt<write_guard<T>>(*this, &core_);
  }
  /// For threads outside of the runtime: throws std::logic_error in a task.
  [[nodiscard]] read_guard<T> blocking_read() {
    return detail::run_on_thread(read(), "rw_lock::blocking_read");
  }
  [[nodiscard]] write_guard<T> blocking_write() {
    return detail::run_on_thread(write(), "rw_lock::blocking_write");
  }

  [[nodiscard]] static auto read_owned(std::shared_ptr<rw_lock> self) noexcept {
    rw_lock& lock = *self;
    return operation<owned_read_guard<T>>(lock, share(std::move(self)));
  }
  [[nodiscard]] static auto write_owned(std::shared_ptr<rw_lock> self) noexcept {
    rw_lock& lock = *self;
    return operation<owned_write_guard<T>>(lock, share(std::move(self)));
  }
  [[nodiscard]] static owned_read_guard<T> try_read_owned(std::shared_ptr<rw_lock> self) noexcept {
    rw_lock& lock = *self;
    return attempt<owned_read_guard<T>>(lock, share(std::move(self)));
  }
  [[nodiscard]] static owned_write_guard<T> try_write_owned(
      std::shared_ptr<rw_lock> self) noexcept {
    rw_lock& lock = *self;
    return attempt<owned_write_guard<T>>(lock, share(std::move(self)));
  }
  /// For threads outside of the runtime: throws std::logic_error in a task.
  [[nodiscard]] static owned_read_guard<T> blocking_read_owned(std::shared_ptr<rw_lock> self) {
    return detail::run_on_thread(read_owned(std::move(self)), "rw_lock::blocking_read_owned");
  }
  [[nodiscard]] static owned_write_guard<T> blocking_write_owned(std::shared_ptr<rw_lock> self) {
    return detail::run_on_thread(write_owned(std::move(self)), "rw_lock::blocking_write_owned");
  }

  /// Moves the value out. Nothing else may use the lock any more.
  template <class U = T>
    requires(!std::is_void_v<U>)
  [[nodiscard]] U into_inner() && {
    return value_.take();
  }

 private:
  static detail::shared_core share(std::shared_ptr<rw_lock> self) noexcept {
    core* const c = &self->core_;
    return detail::shared_core(std::move(self), c);
  }
  template <class Guard, class Owner>
  static detail::lock_operation<Guard> operation(rw_lock& self, Owner owner) noexcept {
    return detail::lock_operation<Guard>(self.core_, std::move(owner), self.value_.address());
  }
  template <class Guard, class Owner>
  static Guard attempt(rw_lock& self, Owner owner) noexcept {
    if (self.core_.try_acquire(Guard::permits) != detail::grant::granted) return Guard();
    return Guard(std::move(owner), self.value_.address());
  }

  core core_;
  [[no_unique_address]] detail::guarded_value<T> value_;
};
static_assert(sizeof(rw_lock<>) == 8 + 2 * sizeof(void*));

template <class T>
rw_lock(T) -> rw_lock<T>;

}  // namespace kioto::sync
