// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include <kioto/join_handle.hpp>

namespace kioto {

/// A join handle that aborts its task when it is destroyed, instead of letting it run on.
///
/// - Awaiting it, its result, errors and thread safety: as for the `join_handle`.
/// - Cancellation: a cancelled wait leaves the task running; destroying this, which usually
///   follows, aborts it. A combinator that it was given away to does so at its end.
/// - The destructor requests the stop and does not wait for it. The task may use what it refers to
///   until it has ended: to wait for that, `abort()` and await; or use a `scope` or a `join_set`.
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

  /// Gives the handle back; the task is not aborted any more.
  [[nodiscard]] join_handle<T> detach() noexcept { return std::move(handle_); }

 private:
  join_handle<T> handle_;
};

}  // namespace kioto
