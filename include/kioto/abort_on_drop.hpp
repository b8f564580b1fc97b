// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include <kioto/join_handle.hpp>

namespace kioto {

/// A join handle that aborts its task when it is destroyed, instead of detaching it.
///
/// - Waits for, result, errors, thread safety: as for `join_handle`.
/// - Cancellation: a cancelled wait leaves the task running; destroying this handle, which usually
///   follows, aborts it. A combinator that it was moved into does so at its end.
/// - In a select: the wait is withdrawn and the result stays in the task; a handle that was moved
///   into the select is destroyed with it, which aborts the task.
/// - Lifetime: the destructor requests the stop and does not wait for it. The task may use what it
///   refers to until it has ended; to wait for that, call `abort()` and await the handle, or use a
///   `scope` or a `join_set`.
///
/// `abort_on_drop ticker(spawn(tick()));`
template <class T = void>
class [[nodiscard]] abort_on_drop {
 public:
  using value_type = T;

  abort_on_drop() noexcept = default;
  explicit abort_on_drop(join_handle<T> handle) noexcept : handle_(std::move(handle)) {}
  abort_on_drop(abort_on_drop&&) noexcept = default;
  abort_on_drop& operator=(abort_on_drop&& other) noexcept {
    if (this != &other) {
      handle_.abort();
      handle_ = std::move(other.handle_);
    }
    return *this;
  }
  ~abort_on_drop() { handle_.abort(); }

  [[nodiscard]] bool valid() const noexcept { return handle_.valid(); }

  [[nodiscard]] auto operator co_await() & noexcept { return handle_.operator co_await(); }
  [[nodiscard]] auto operator co_await() && noexcept {
    return std::move(handle_).operator co_await();
  }

  void abort() const noexcept { handle_.abort(); }
  [[nodiscard]] kioto::abort_handle abort_handle() const { return handle_.abort_handle(); }
  [[nodiscard]] bool is_finished() const noexcept { return handle_.is_finished(); }
  [[nodiscard]] task_id id() const noexcept { return handle_.id(); }

  /// Returns the join handle; the task will not be aborted on drop.
  [[nodiscard]] join_handle<T> detach() noexcept { return std::move(handle_); }

 private:
  join_handle<T> handle_;
};

}  // namespace kioto
