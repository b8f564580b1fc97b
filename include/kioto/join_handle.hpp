// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include <kioto/detail/task/fork.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>
#include <kioto/task_id.hpp>

namespace kioto {

namespace detail {
struct join_access;
struct join_handle_access;
[[noreturn]] void throw_task_cancelled(std::uint64_t id);
[[noreturn]] void throw_bad_join(const char* what);
/// Whether this process is a child of fork() and `home` is a runtime of its parent.
[[nodiscard]] bool is_inherited(const scheduler& home) noexcept;
}  // namespace detail

/// How a spawned task ended: with a value, an exception, or cancelled.
template <class T>
class [[nodiscard]] join_result {
 public:
  using value_type = T;
  using stored_type = std::conditional_t<
      std::is_void_v<T>, std::monostate,
      std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, T>>;

  [[nodiscard]] bool has_value() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }
  /// The task was aborted, or its runtime shut down, before it could complete.
  [[nodiscard]] bool is_cancelled() const noexcept { return !value_ && !error_; }
  /// The task ended with an exception.
  [[nodiscard]] bool is_exception() const noexcept { return error_ != nullptr; }
  [[nodiscard]] std::exception_ptr exception() const noexcept { return error_; }
  [[nodiscard]] task_id id() const noexcept { return id_; }

  /// The value. Rethrows the exception of the task; throws `task_cancelled` if it was cancelled.
  T value() && {
    require();
    if constexpr (std::is_reference_v<T>)
      return static_cast<T>(**value_);
    else if constexpr (!std::is_void_v<T>)
      return std::move(*value_);
  }
  std::add_lvalue_reference_t<T> value() & {
    require();
    if constexpr (std::is_reference_v<T>)
      return **value_;
    else if constexpr (!std::is_void_v<T>)
      return *value_;
  }
  /// The value. Precondition: `has_value()`.
  template <class U = T>
    requires(!std::is_void_v<U>)
  std::add_lvalue_reference_t<U> operator*() & noexcept {
    if constexpr (std::is_reference_v<U>)
      return **value_;
    else
      return *value_;
  }

 private:
  friend struct detail::join_access;

  explicit join_result(std::uint64_t id) noexcept : id_(id) {}

  void require() const {
    if (error_) std::rethrow_exception(error_);
    if (!value_) detail::throw_task_cancelled(id_.value());
  }

  std::optional<stored_type> value_;
  std::exception_ptr error_;
  task_id id_;
};

namespace detail {

template <class T>
class destroyed_at_exit {
 public:
  destroyed_at_exit(T& object, task_header& task) noexcept : object_(object), task_(task) {}
  destroyed_at_exit(const destroyed_at_exit&) = delete;
  destroyed_at_exit& operator=(const destroyed_at_exit&) = delete;
  ~destroyed_at_exit() {
    if constexpr (std::is_nothrow_destructible_v<T>) {
      std::destroy_at(std::addressof(object_));
    } else {
      KIOTO_TRY { std::destroy_at(std::addressof(object_)); }
      KIOTO_CATCH_ALL { die_of_destructor(&task_); }
    }
  }

 private:
  T& object_;
  task_header& task_;
};

/// Library access to the parts of a join.
struct join_access {
  /// Moves the result out of a task that has ended.
  template <class T>
  static join_result<T> take(detail::task_header& task) {
    join_result<T> result(task.id_);
    auto* storage = detail::block_layout<T>::storage(&task);
    switch (std::exchange(task.outcome_, detail::outcome::none)) {
      case detail::outcome::value:
        if constexpr (std::is_void_v<T>) {
          result.value_.emplace();
        } else if constexpr (std::is_reference_v<T>) {
          result.value_.emplace(storage->value);
        } else {
          const destroyed_at_exit<T> source(storage->value, task);  // also if the move throws
          result.value_.emplace(std::move(storage->value));
        }
        break;
      case detail::outcome::exception:
        result.error_ = std::move(storage->error);
        std::destroy_at(std::addressof(storage->error));
        break;
      case detail::outcome::none:
        throw_bad_join("the result of this task has been taken already");
      case detail::outcome::stopped:
        task.outcome_ = detail::outcome::none;
        break;
    }
    return result;
  }
};

}  // namespace detail

/// Asks a task to stop. Copyable; holding one does not prolong the life of the task.
///
/// Thread safety: every member may be called from any thread.
class abort_handle {
 public:
  abort_handle(const abort_handle& other) noexcept : task_(other.task_) {
    if (task_ != nullptr) task_->add_reference();
  }
  abort_handle(abort_handle&& other) noexcept : task_(std::exchange(other.task_, nullptr)) {}
  abort_handle& operator=(abort_handle other) noexcept {
    std::swap(task_, other.task_);
    return *this;
  }
  ~abort_handle() {
    if (task_ != nullptr) task_->drop_reference();
  }

  /// Requests the stop; returns at once. A task that completes before it observes the request keeps
  /// its value.
  void abort() const noexcept {
    if (task_ != nullptr) task_->abort();
  }
  [[nodiscard]] bool is_finished() const noexcept {
    return task_ == nullptr || task_->join_.is_done();
  }
  [[nodiscard]] task_id id() const noexcept { return task_id(task_ != nullptr ? task_->id_ : 0); }

 private:
  template <class>
  friend class join_handle;
  explicit abort_handle(detail::task_header* task) noexcept : task_(task) {
    task_->add_reference();
  }

  detail::task_header* task_;
};

namespace detail {

/// Waits for the end of a spawned task. See `join_handle`.
template <class T>
class join_awaiter final : public leaf_awaiter<join_awaiter<T>>, private join_waiter {
 public:
  explicit join_awaiter(task_header* task) noexcept
      : join_waiter(&join_awaiter::on_task_ended), task_(task) {}
  join_awaiter(join_awaiter&& other) noexcept
      : leaf_awaiter<join_awaiter>(static_cast<leaf_awaiter<join_awaiter>&&>(other)),
        join_waiter(&join_awaiter::on_task_ended),
        task_(other.task_) {}
  join_awaiter& operator=(join_awaiter&&) = delete;
  ~join_awaiter() { let_go(); }

  attempt try_or_wait() noexcept override {
    if (task_ == nullptr || task_->join_.is_done()) return attempt::ready;
    if (is_forked_child() && is_inherited(*task_->scheduler_)) [[unlikely]]
      return attempt::ready;  // it never ends in this process: see await_resume()
    // Once suspended, the strand must not be touched; the loop may be. A task of another runtime
    // cannot be run by this one.
    task_header& caller = this->strand_->task();
    trampoline& loop = *caller.loop_;
    task_header* const callee = caller.scheduler_ == task_->scheduler_ ? task_ : nullptr;
    const attempt result = this->wait([this]() noexcept {
      holds_ = !std::exchange(task_->is_awaited_, true);
      return task_->join_.link(this);
    });
    if (result == attempt::suspended && callee != nullptr)
      loop.next = {callee, next_run::relation::callee};
    return result;
  }
  bool cancel() noexcept override {
    if (!task_->join_.unlink(this)) return false;
    let_go();
    return true;
  }
  bool withdraw() noexcept override {  // the result is still in the task
    let_go();
    return true;
  }

  join_result<T> await_resume() {
    if (task_ == nullptr) [[unlikely]]
      throw_bad_join(
          "an empty join_handle was awaited: it was moved from, detached, or awaited before");
    let_go();
    // The join word has room for one waiter: a second one finds it occupied, which looks as if
    // there were nothing to wait for.
    if (!task_->join_.is_done()) [[unlikely]] {
      if (is_inherited(*task_->scheduler_)) throw_inherited("awaiting a join_handle");
      throw_bad_join(
          "a join_handle was awaited while somebody else waits for it: await it in one place, and "
          "tell the others with a set_once or a watch");
    }
    return join_access::take<T>(*task_);
  }

 private:
  static void on_task_ended(join_waiter& waiter, trampoline& loop) noexcept {
    auto& self = static_cast<join_awaiter&>(waiter);
    strand& waiting = *self.strand_;
    if (loop.called && waiting.kind_ == strand_kind::task &&
        waiting.task().scheduler_ == self.task_->scheduler_) {
      if (waiting.word_.complete(self.fired_))
        loop.next = {&waiting.task(), next_run::relation::caller};
    } else {
      complete(self);
    }
  }

  void let_go() noexcept {
    if (std::exchange(holds_, false)) task_->is_awaited_ = false;
  }

  task_header* task_;
  bool holds_ = false;  ///< this operation has set `is_awaited_` of the task
};

}  // namespace detail

/// Owns the right to the result of a spawned task.
///
/// - Waits for: `co_await handle` waits until the task has ended and its frame is destroyed.
/// - Result: a `join_result<T>`: value, exception, or cancelled. The result can be taken once.
/// - Errors: throws std::logic_error if the handle is empty, if the result has been taken, or if
///   another task already awaits it.
/// - Cancellation: a cancelled wait leaves the task running and the result in place.
/// - In a select, and in any other combinator or adaptor: the wait is withdrawn; the result stays
///   in the task. A handle that has a name stays with the caller and can be awaited again. One that
///   is passed as an rvalue, `std::move(handle)` or `spawn(…)`, is kept by the combinator and
///   dropped at its end, which detaches the task.
/// - Dropping the handle detaches the task: it continues to run, and an exception it ends with goes
///   to the runtime's hook for unhandled exceptions.
/// - Lifetime: the handle outlives the wait: destroying it, assigning to it or detaching it while
///   it is awaited ends the program with a message. It may outlive the runtime.
/// - Thread safety: one thread at a time; `abort_handle()` is for other threads.
template <class T = void>
class join_handle {
 public:
  using value_type = T;

  join_handle() noexcept = default;
  join_handle(join_handle&& other) noexcept : task_(std::exchange(other.task_, nullptr)) {}
  join_handle& operator=(join_handle&& other) noexcept {
    if (this != &other) {
      detach();
      task_ = std::exchange(other.task_, nullptr);
    }
    return *this;
  }
  join_handle(const join_handle&) = delete;
  join_handle& operator=(const join_handle&) = delete;
  ~join_handle() { detach(); }

  [[nodiscard]] bool valid() const noexcept { return task_ != nullptr; }

  [[nodiscard]] detail::join_awaiter<T> operator co_await() & noexcept {
    return detail::join_awaiter<T>(task_);
  }
  [[nodiscard]] detail::join_awaiter<T> operator co_await() && noexcept {
    return detail::join_awaiter<T>(task_);
  }

  /// Asks the task to stop; returns at once. Await the handle to learn how it ended.
  void abort() const noexcept {
    if (task_ != nullptr) task_->abort();
  }
  /// A handle that can only abort, for use by other threads.
  [[nodiscard]] kioto::abort_handle abort_handle() const {
    if (task_ == nullptr) detail::throw_bad_join("abort_handle() of an empty join_handle");
    return kioto::abort_handle(task_);
  }
  /// Returns true once the task has ended and its frame is destroyed.
  [[nodiscard]] bool is_finished() const noexcept {
    return task_ != nullptr && task_->join_.is_done();
  }
  [[nodiscard]] task_id id() const noexcept { return task_id(task_ != nullptr ? task_->id_ : 0); }

  /// Gives up the result and lets the task continue. The same as destroying the handle.
  void detach() noexcept {
    if (task_ != nullptr) std::exchange(task_, nullptr)->release_handle();
  }

 private:
  friend struct detail::join_handle_access;
  explicit join_handle(detail::task_header* task) noexcept : task_(task) {}

  detail::task_header* task_ = nullptr;
};

namespace detail {

struct join_handle_access {
  template <class T>
  static join_handle<T> make(detail::task_header* task) noexcept {
    return join_handle<T>(task);
  }
  template <class T>
  static detail::task_header* header(const join_handle<T>& handle) noexcept {
    return handle.task_;
  }
  /// Takes the task out of the handle without releasing its reference.
  template <class T>
  static detail::task_header* release(join_handle<T>&& handle) noexcept {
    return std::exchange(handle.task_, nullptr);
  }
};

}  // namespace detail
}  // namespace kioto
