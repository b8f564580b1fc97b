// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <kioto/config.hpp>
#include <kioto/detail/base/manual_lifetime.hpp>
#include <kioto/detail/sync/acquire_operation.hpp>
#include <kioto/result.hpp>
#include <kioto/task.hpp>

namespace kioto {
namespace detail {

/// Waits for the right to initialise. The result is true if the caller has that right, and false if
/// there is a value.
class [[nodiscard]] turn_operation final : public acquire_operation {
 public:
  explicit turn_operation(semaphore_core& core) noexcept : acquire_operation(core, 1) {}
  ~turn_operation() = default;
  [[nodiscard]] bool await_resume() noexcept { return take(); }
};

/// The right to initialise. If it is destroyed before `done()`, it goes to the next waiter.
class initialising {
 public:
  explicit initialising(semaphore_core& core) noexcept : core_(&core) {}
  initialising(const initialising&) = delete;
  initialising& operator=(const initialising&) = delete;
  ~initialising() {
    if (core_ != nullptr) core_->release(1);
  }
  /// Publishes the value.
  void done() noexcept { std::exchange(core_, nullptr)->close(); }

 private:
  semaphore_core* core_;
};

/// `get_or_init` and `get_or_try_init`: one load if there is a value; otherwise a task that waits
/// for its turn and initialises.
template <class Cell, class F, class Result>
class [[nodiscard]] once_operation {
 public:
  static constexpr bool is_resumed_through_hooks = true;

  template <class G>
  once_operation(Cell& cell, G&& initialiser)
      : cell_(&cell), initialiser_(std::forward<G>(initialiser)) {}
  once_operation(once_operation&& other)
      : cell_(other.cell_), initialiser_(std::move(other.initialiser_)) {}
  once_operation& operator=(once_operation&&) = delete;
  ~once_operation() = default;

  [[nodiscard]] bool await_ready() const noexcept { return cell_->get() != nullptr; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
    slow_.emplace(
        &task_access::release(Cell::template initialise<Result>(*cell_, std::move(initialiser_))));
    return slow_->await_suspend(frame);
  }
  Result await_resume() {
    if (slow_) return slow_->await_resume();
    if constexpr (std::is_reference_v<Result>)
      return *cell_->get();
    else
      return cell_->get();
  }

 private:
  Cell* cell_;
  F initialiser_;
  std::optional<task_awaiter<Result>> slow_;
};

}  // namespace detail

namespace sync {

/// A value that is made once, by the first task that needs it. 24 bytes and the value.
///
/// - Waits for: `get_or_init(f)` waits until there is a value. The first caller makes it with
///   `co_await f()`, others wait for that. If there is a value it costs one load.
/// - Result: a reference to the value; of `get_or_try_init`, whose `f()` results in a `result<T>`,
///   a `result` with a pointer to it.
/// - Errors: the exception or the error of `f()` goes to the task that called it. The next waiter
///   then calls its own.
/// - Cancellation: loses the place in the queue. If the task that makes the value is cancelled, so
///   is its `f()`, and the next waiter calls its own.
/// - In a select: withdrawn; if the branch is making the value, its `f()` is stopped, and the next
///   waiter calls its own. If the value is made nevertheless, it stays in the cell and is in the
///   result.
/// - Lifetime: the cell outlives all waiters. `f` is copied or moved, and lives as long as what it
///   returns runs.
/// - Thread safety: every member may be called from any thread. The value itself is shared by all,
///   and therefore const.
/// - Deadlock: an `f()` that waits for the same cell waits for ever.
///
///     auto connect = [address] { return database::connect(address); };
///     const database& db = co_await shared.db.get_or_init(connect);
template <class T>
class once_cell {
 public:
  using value_type = T;

  constexpr once_cell() noexcept : core_(1) {}
  once_cell(const once_cell&) = delete;
  once_cell& operator=(const once_cell&) = delete;
  ~once_cell() {
    if (is_initialized()) value_.destroy();
  }

  /// Null if there is no value yet.
  [[nodiscard]] const T* get() const noexcept {
    return core_.is_closed() ? std::addressof(value_.get()) : nullptr;
  }
  [[nodiscard]] bool is_initialized() const noexcept { return core_.is_closed(); }

  /// Makes the value now. Returns false, with the arguments untouched, if there is a value or a
  /// task is making it.
  template <class... Args>
    requires std::is_constructible_v<T, Args...>
  bool set(Args&&... args) {
    if (core_.try_acquire(1) != detail::grant::granted) return false;
    detail::initialising turn(core_);
    value_.emplace(std::forward<Args>(args)...);
    turn.done();
    return true;
  }

  template <class F>
  [[nodiscard]] auto get_or_init(F&& f) {
    check_initialiser<F>();
    static_assert(
        std::is_constructible_v<T, detail::await_result<std::invoke_result_t<std::decay_t<F>>>>,
        "f() must be an operation whose result the value can be made from");
    return detail::once_operation<once_cell, std::decay_t<F>, const T&>(*this, std::forward<F>(f));
  }
  template <class F>
  [[nodiscard]] auto get_or_try_init(F&& f) {
    check_initialiser<F>();
    static_assert(detail::is_result<detail::await_result<std::invoke_result_t<std::decay_t<F>>>>,
                  "f() must be an operation with a result<…>");
    return detail::once_operation<once_cell, std::decay_t<F>, result<const T*>>(*this,
                                                                                std::forward<F>(f));
  }

 private:
  template <class, class, class>
  friend class detail::once_operation;

  template <class F>
  static void check_initialiser() {
    static_assert(!KIOTO_BROKEN_AWAIT_TEMPORARIES || std::is_lvalue_reference_v<F> ||
                      std::is_trivially_destructible_v<std::decay_t<F>>,
                  "g++ before 13 destroys this closure twice if it is made inside the co_await "
                  "expression: name it first (auto f = [...]...;) and pass it as an lvalue");
  }

  template <class Result, class F>
  static task<Result> initialise(once_cell& cell, F f) {
    const bool mine = co_await detail::turn_operation(cell.core_);
    if (mine) {
      detail::initialising turn(cell.core_);
      decltype(auto) made = co_await std::invoke(f);
      if constexpr (std::is_reference_v<Result>) {
        cell.value_.emplace(std::forward<decltype(made)>(made));
      } else {
        if (!made) co_return made.error();
        cell.value_.emplace(*std::forward<decltype(made)>(made));
      }
      turn.done();
    }
    if constexpr (std::is_reference_v<Result>)
      co_return cell.value_.get();
    else
      co_return std::addressof(cell.value_.get());
  }

  detail::semaphore_core core_;  // the permit is for making the value; then closed
  detail::manual_lifetime<T> value_;
};
static_assert(sizeof(once_cell<void*>) == 8 + 3 * sizeof(void*));

}  // namespace sync
}  // namespace kioto
