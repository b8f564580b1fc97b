// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include <kioto/config.hpp>
#include <kioto/detail/task/branch.hpp>
#include <kioto/detail/task/combinator.hpp>

namespace kioto {
namespace detail {

/// The value that a task local has for the running code; null if there is none.
KIOTO_NOINLINE void* find_task_local(const void* key) noexcept;
[[noreturn]] void throw_no_task_local();
[[noreturn]] void throw_no_task();

/// Makes code run as if it were part of a strand of the running task.
class strand_scope {
 public:
  explicit strand_scope(strand& where) noexcept;
  strand_scope(const strand_scope&) = delete;
  strand_scope& operator=(const strand_scope&) = delete;
  ~strand_scope();

 private:
  trampoline* loop_;
  strand* previous_ = nullptr;
};

/// The value that a task local is bound to, for the strands below a combinator. A lookup walks from
/// the running strand to the combinator of which it is a branch, and on to the strand that waits in
/// that combinator.
template <class T>
class local_binding : public combinator {
 protected:
  template <class U>
  local_binding(const void* key, U&& value) : key_(key), value_(std::forward<U>(value)) {}
  // NOLINTNEXTLINE(performance-noexcept-move-constructor): the value's may throw
  local_binding(local_binding&& other)
      : combinator(static_cast<combinator&&>(other)),
        key_(other.key_),
        value_(std::move(other.value_)) {}
  ~local_binding() = default;

  [[nodiscard]] void* local_value(const void* key) noexcept final {
    return key == key_ ? std::addressof(value_) : nullptr;
  }

 private:
  const void* key_;
  T value_;
};

/// Attaches the strand `below` to a combinator that is not awaited, and the combinator to the
/// running strand. Returns false outside of a task.
bool attach_below_running(combinator& owner, branch_strand& below) noexcept;

template <class T, class A>
class [[nodiscard]] local_scope_operation final : public local_binding<T> {
 public:
  template <class U>
  local_scope_operation(const void* key, U&& value, A&& awaitable)
      : local_binding<T>(key, std::forward<U>(value)),
        operation_(std::in_place, std::forward<A>(awaitable)) {}
  // NOLINTNEXTLINE(performance-noexcept-move-constructor): the value's may throw
  local_scope_operation(local_scope_operation&& other)
      : local_binding<T>(static_cast<local_binding<T>&&>(other)),
        operation_(std::in_place, std::move(*other.operation_)) {}
  ~local_scope_operation() { drop(); }

  attempt try_or_wait() noexcept override {
    combinator::chain one;
    one.add(operation_->prepare(0));
    return this->start(one);
  }
  branch_result<A> await_resume() {
    const drops_at_end at_end(*this);
    return operation_->take();
  }

 private:
  // Destroys the operation, whether or not it ran, while the value can still be looked up.
  class drops_at_end {
   public:
    explicit drops_at_end(local_scope_operation& scope) noexcept : scope_(scope) {}
    drops_at_end(const drops_at_end&) = delete;
    drops_at_end& operator=(const drops_at_end&) = delete;
    ~drops_at_end() { scope_.drop(); }

   private:
    local_scope_operation& scope_;
  };
  void drop() noexcept {
    if (!operation_) return;
    branch_strand dropping;
    static_cast<void>(attach_below_running(*this, dropping));
    const strand_scope as_branch(dropping);
    operation_.reset();
  }

  bool settle(branch_strand&) noexcept override { return false; }
  attempt conclude() noexcept override {
    return operation_->has_result() ? attempt::ready : attempt::stopped;
  }

  std::optional<branch_of<A>> operation_;
};

template <class T>
class local_call final : public local_binding<T> {
 public:
  template <class U>
  local_call(const void* key, U&& value) : local_binding<T>(key, std::forward<U>(value)) {}

  template <class F>
  decltype(auto) run(F&& callable) {
    branch_strand inside;
    if (!attach_below_running(*this, inside)) throw_no_task();
    const strand_scope as_branch(inside);
    return std::invoke(std::forward<F>(callable));
  }

 private:
  attempt try_or_wait() noexcept override { return attempt::ready; }
  bool settle(branch_strand&) noexcept override { return false; }
  attempt conclude() noexcept override { return attempt::ready; }
};

}  // namespace detail

/// A variable of which each task has its own value, for as long as it is inside of a `scope`. The
/// object is the key: make it static, `inline` or `constinit`, as a thread_local would be.
///
/// The value is visible to everything that the scoped operation does, in any frame or branch of a
/// combinator, and to the destructors of all that it owns, whether it completes or is cancelled.
/// Inner scopes hide outer ones. A spawned task does not inherit it; to pass it on, give the value
/// to the new task and open a scope there.
///
/// - Thread safety: the branches of one task never run in parallel, so they may share the value
///   without a lock.
///
/// ```
/// inline constinit kioto::task_local<std::string> request_id;
///
/// co_await request_id.scope("r-17", handle(request));   // inside: request_id.get()
/// ```
template <class T>
class task_local {
  static_assert(std::is_object_v<T>, "a task_local holds an object; use a pointer to refer to one");

 public:
  using value_type = T;

  constexpr task_local() noexcept = default;
  task_local(const task_local&) = delete;
  task_local& operator=(const task_local&) = delete;

  /// Runs an operation with a value.
  ///
  /// - Waits for: the operation, any awaitable of the library.
  /// - Result and errors: those of the operation.
  /// - Cancellation: passed on to the operation. The value is destroyed after everything that the
  ///   operation owned.
  /// - In a select: withdrawn with the operation; if that cannot be withdrawn, its value is in the
  ///   result.
  /// - Lifetime: the value and the operation are moved into the awaiter; the task_local outlives
  ///   it.
  /// - Thread safety: the operation runs on the strand of the awaiting task.
  template <class U = T, class A>
    requires std::is_constructible_v<T, U&&>
  [[nodiscard]] auto scope(U&& value, A&& awaitable) const {
    return detail::local_scope_operation<T, A>(this, std::forward<U>(value),
                                               std::forward<A>(awaitable));
  }
  /// Calls a plain function, which cannot await, with a value. Throws std::logic_error outside of a
  /// task.
  template <class U = T, class F>
    requires std::is_constructible_v<T, U&&>
  decltype(auto) sync_scope(U&& value, F&& callable) const {
    detail::local_call<T> call(this, std::forward<U>(value));
    return call.run(std::forward<F>(callable));
  }

  /// The value. Throws std::logic_error outside of a scope.
  [[nodiscard]] T& get() const {
    T* value = try_get();
    if (value == nullptr) [[unlikely]]
      detail::throw_no_task_local();
    return *value;
  }
  /// Null outside of a scope.
  [[nodiscard]] T* try_get() const noexcept {
    return static_cast<T*>(detail::find_task_local(this));
  }
  /// Calls `callable(value)`. Throws std::logic_error outside of a scope.
  template <class F>
  decltype(auto) with(F&& callable) const {
    return std::invoke(std::forward<F>(callable), get());
  }
};

}  // namespace kioto
