// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <memory>
#include <type_traits>
#include <utility>

#include <kioto/detail/base/manual_lifetime.hpp>
#include <kioto/detail/sync/acquire_operation.hpp>
#include <kioto/detail/task/thread_wait.hpp>

namespace kioto {
namespace detail {

template <class T>
class [[nodiscard]] set_once_operation final : public acquire_operation {
 public:
  set_once_operation(semaphore_core& core, const T& value) noexcept
      : acquire_operation(core, 1), value_(&value) {}
  set_once_operation(set_once_operation&&) noexcept = default;
  set_once_operation& operator=(set_once_operation&&) = delete;
  ~set_once_operation() = default;

  const T& await_resume() noexcept {
    static_cast<void>(take());  // there are no permits
    return *value_;
  }

 private:
  const T* value_;
};

}  // namespace detail

namespace sync {

/// A value that is set once and waited for by many. 32 bytes and the value.
///
/// - Waits for: `wait()` waits until there is a value. If there is one it costs one load.
/// - Result: a reference to the value. What happened before `set` happens before the return of the
///   wait.
/// - Errors: none.
/// - Cancellation: nothing is lost.
/// - In a select: withdrawn; nothing is lost.
/// - Lifetime: the object outlives all waiters. A task that sees the value may destroy the object
///   at once, even if the call of `set` has not returned yet.
/// - Thread safety: every member may be called from any thread. The value itself is shared by all,
///   and therefore const.
///
///     const config& c = co_await shared.config.wait();
template <class T>
class set_once {
 public:
  using value_type = T;

  constexpr set_once() noexcept : core_(0) {}
  set_once(const set_once&) = delete;
  set_once& operator=(const set_once&) = delete;
  ~set_once() {
    if (is_set()) value_.destroy();
  }

  /// Makes the value and wakes all waiters. Returns false, with the arguments untouched, if there
  /// is a value or another call is making it.
  template <class... Args>
    requires std::is_constructible_v<T, Args...>
  bool set(Args&&... args) {
    // Acquire: a previous attempt that failed may have written to the storage. The value is
    // published by close().
    if (taken_.exchange(true, std::memory_order_acquire)) return false;
    undo_unless_done undo(taken_);
    value_.emplace(std::forward<Args>(args)...);
    undo.done();
    core_.close();
    return true;
  }

  /// Null if there is no value yet.
  [[nodiscard]] const T* get() const noexcept {
    return core_.is_closed() ? std::addressof(value_.get()) : nullptr;
  }
  [[nodiscard]] bool is_set() const noexcept { return core_.is_closed(); }

  [[nodiscard]] detail::set_once_operation<T> wait() noexcept {
    return detail::set_once_operation<T>(core_, value_.get());
  }
  /// For threads outside of the runtime: throws std::logic_error in a task.
  const T& blocking_wait() {
    detail::check_may_block("set_once::blocking_wait");
    auto operation = wait();
    detail::wait_on_thread(operation);
    return operation.await_resume();
  }

 private:
  // The constructor of the value may throw.
  class undo_unless_done {
   public:
    explicit undo_unless_done(std::atomic<bool>& flag) noexcept : flag_(&flag) {}
    undo_unless_done(const undo_unless_done&) = delete;
    undo_unless_done& operator=(const undo_unless_done&) = delete;
    ~undo_unless_done() {
      if (flag_ != nullptr) flag_->store(false, std::memory_order_release);
    }
    void done() noexcept { flag_ = nullptr; }

   private:
    std::atomic<bool>* flag_;
  };

  detail::semaphore_core core_;  // no permits; closed when there is a value
  std::atomic<bool> taken_{false};
  detail::manual_lifetime<T> value_;
};
static_assert(sizeof(set_once<void*>) == 16 + 3 * sizeof(void*));

}  // namespace sync
}  // namespace kioto
