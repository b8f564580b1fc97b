// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <source_location>
#include <type_traits>
#include <utility>

#include <kioto/config.hpp>
#include <kioto/detail/task/promise.hpp>

namespace kioto {

template <class T>
class task;

namespace detail {

template <class T>
class task_promise;

struct task_access;

template <class T>
class [[nodiscard]] task_awaiter : public task_awaiter_base {
 public:
  explicit task_awaiter(typed_promise<T>* child) noexcept : task_awaiter_base(child) {}

  [[nodiscard]] static bool await_ready() noexcept { return false; }

  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    static_assert(std::is_base_of_v<promise_base, Promise>,
                  "a kioto::task can only be awaited by a kioto coroutine; from plain code use "
                  "runtime::block_on(task), and from other coroutines a join_handle");
    parent_ = &frame.promise();
    child_->strand_ = parent_->strand_;
    child_->parent_.set_awaiter(*this);
    return transfer_to(*child_);
  }

  T await_resume() {
    auto& child = static_cast<typed_promise<T>&>(*child_);
    return take_result<T>(child.storage(), child.ending());
  }
};

[[noreturn]] void die_empty_task() noexcept;

}  // namespace detail

/// A lazily started coroutine with a result of type `T`.
///
/// - Waits for: a task runs when it is awaited (`co_await std::move(t)` or `co_await f()`),
///   spawned, or given to `block_on`. It is awaited at most once, as an rvalue; awaiting an lvalue
///   does not compile.
/// - Result: the value of its `co_return`.
/// - Errors: an exception that leaves the coroutine is rethrown to the awaiter.
/// - Cancellation: a child runs on the strand of the task that awaits it, and a stop request
///   reaches the leaf operation it waits in. If that operation stops, the frames from the leaf up
///   to the nearest boundary are destroyed, innermost first, and no coroutine is resumed.
/// - In a select: the operation the task waits in is withdrawn and the frame is destroyed; what it
///   did before stays done. A task that turns the stop into a value, or is in a `shield`,
///   completes, and its value is in the result.
/// - Lifetime: arguments are moved or copied into the frame as declared; what a reference parameter
///   refers to must outlive the task. A task that never started may be destroyed at any time.
///   Destroying one with an operation in flight terminates the program.
/// - Memory: results and parameters may have any size. Over-aligned results, parameters and locals
///   are aligned; locals up to 4096 bytes with g++, and with clang if the program is compiled with
///   `-fcoro-aligned-allocation`, as it is by the CMake target.
/// - Thread safety: distinct tasks may be used concurrently, one task may not.
template <class T = void>
class [[nodiscard]] task {
 public:
  using promise_type = detail::task_promise<T>;
  using value_type = T;

  task(task&& other) noexcept : promise_(std::exchange(other.promise_, nullptr)) {}
  task& operator=(task&& other) noexcept {
    if (this != &other) {
      reset();
      promise_ = std::exchange(other.promise_, nullptr);
    }
    return *this;
  }
  task(const task&) = delete;
  task& operator=(const task&) = delete;
  ~task() { reset(); }

  /// Returns false after a move, and after the task was awaited or spawned.
  [[nodiscard]] bool valid() const noexcept { return promise_ != nullptr; }

  [[nodiscard]] detail::task_awaiter<T> operator co_await() && noexcept {
    return detail::task_awaiter<T>(release());
  }

 private:
  friend detail::task_promise<T>;
  friend detail::task_access;

  explicit task(detail::task_promise<T>* promise) noexcept : promise_(promise) {}

  detail::typed_promise<T>* release() noexcept {
    if (promise_ == nullptr) [[unlikely]]
      detail::die_empty_task();
    return std::exchange(promise_, nullptr);
  }
  void reset() noexcept {
    if (promise_ != nullptr) detail::destroy_frame(*std::exchange(promise_, nullptr));
  }

  detail::typed_promise<T>* promise_;
};

namespace detail {

template <class T>
class task_promise : public promise_with_return<T> {
 public:
  // The location is that of the coroutine itself, on both compilers.
  task<T> get_return_object(std::source_location where = std::source_location::current()) noexcept {
    this->where_ = where;
    return task<T>(of_unknown_origin(this));
  }
  static std::suspend_always initial_suspend() noexcept { return {}; }
  static final_awaiter final_suspend() noexcept { return {}; }
};

/// Library access to the promise of a task.
struct task_access {
  template <class T>
  static typed_promise<T>& release(task<T>&& t) noexcept {
    return *t.release();
  }
  template <class T>
  static std::source_location location(const task<T>& t) noexcept {
    return t.promise_->where_;
  }
};

template <class T>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<task<T>> = true;

}  // namespace detail
}  // namespace kioto
