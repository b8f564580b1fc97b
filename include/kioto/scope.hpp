// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <limits>
#include <optional>
#include <source_location>
#include <system_error>
#include <type_traits>
#include <utility>

#include <kioto/as_result.hpp>
#include <kioto/config.hpp>
#include <kioto/detail/base/count.hpp>
#include <kioto/detail/task/branch.hpp>
#include <kioto/detail/task/scope_core.hpp>
#include <kioto/detail/task/spawn_support.hpp>
#include <kioto/join_handle.hpp>
#include <kioto/task.hpp>

namespace kioto {
namespace detail {

/// Waits until a scope has no children.
class [[nodiscard]] scope_join final : public leaf_awaiter<scope_join> {
 public:
  explicit scope_join(scope_core& scope) noexcept : scope_(&scope) {}
  scope_join(scope_join&& other) noexcept
      : leaf_awaiter(static_cast<leaf_awaiter&&>(other)), scope_(other.scope_) {}

  attempt try_or_wait() noexcept override {
    if (scope_->contains(strand_->task())) {
      from_inside_ = true;
      return attempt::ready;
    }
    waiter_.operation = this;
    return wait([this]() noexcept { return scope_->state_.link_for_end(waiter_); });
  }
  bool cancel() noexcept override { return scope_->state_.unlink(waiter_); }
  bool withdraw() noexcept override { return true; }
  void await_resume() const {
    if (from_inside_) throw_joined_from_inside();
  }

 private:
  scope_core* scope_;
  scope_waiter waiter_;
  bool from_inside_ = false;
};

/// Waits until a further child of a scope would start at once.
class [[nodiscard]] scope_vacancy final : public leaf_awaiter<scope_vacancy> {
 public:
  explicit scope_vacancy(scope_core& scope) noexcept : scope_(&scope) {}
  scope_vacancy(scope_vacancy&& other) noexcept
      : leaf_awaiter(static_cast<leaf_awaiter&&>(other)), scope_(other.scope_) {}

  attempt try_or_wait() noexcept override {
    waiter_.operation = this;
    return wait([this]() noexcept { return scope_->state_.link_for_place(waiter_); });
  }
  bool cancel() noexcept override { return scope_->state_.unlink(waiter_); }
  bool withdraw() noexcept override { return true; }
  static void await_resume() noexcept {}

 private:
  scope_core* scope_;
  scope_waiter waiter_;
};

class scope_operation_base;

}  // namespace detail

/// The maximum number of children of a scope that run at a time. Throws std::invalid_argument for
/// 0, because no child would ever run.
class at_most {
 public:
  explicit constexpr at_most(std::size_t children)
      : value_(detail::checked_count("the number given to kioto::at_most", children)) {}
  [[nodiscard]] constexpr std::size_t value() const noexcept { return value_; }

 private:
  std::size_t value_;
};

/// Starts children, from inside of a `scope`: from its body, and from children that were given the
/// scope.
///
/// Thread safety: every member may be called by the body and by children, which run in parallel,
/// but not from outside of the scope.
class task_scope {
 public:
  task_scope(const task_scope&) = delete;
  task_scope& operator=(const task_scope&) = delete;

  /// Starts a child. It runs in parallel with the body and the other children, on the runtime of
  /// the parent, and may borrow anything that outlives the scope.
  ///
  /// - Result: a `join_handle<T>`, to await the value of the child, or to abort only this child.
  ///   Dropping it does not affect the child.
  /// - If the scope is being stopped, the child never runs. If the limit of the scope is reached,
  ///   it is queued, and starts when another one has ended, in order.
  /// - Allocates once: the frame.
  template <class T>
  join_handle<T> spawn(task<T> work, std::source_location where = std::source_location::current()) {
    auto handle = detail::bind_task(*core_.parent().scheduler_, std::move(work), where);
    core_.launch(*detail::join_handle_access::header(handle));
    return handle;
  }
  /// Starts `callable(arguments…)`, which returns a task, as `kioto::spawn` does: the callable and
  /// the arguments are copied or moved into the child; wrap an argument in std::ref to pass it by
  /// reference. A closure with captures, and an argument that is bound to a reference without
  /// std::ref, need a second allocation, for the coroutine that owns them.
  template <class F, class... Args>
    requires detail::task_factory<F, Args...>
  auto spawn(F&& callable, Args&&... arguments) {
    return spawn(
        detail::make_owning_task(std::forward<F>(callable), std::forward<Args>(arguments)...),
        std::source_location());
  }

  /// Asks the children and the body to stop; returns at once. What completes without waiting again
  /// still completes: a body usually returns next.
  void cancel() noexcept { core_.cancel(); }
  /// Returns true once they have been asked to stop, for whatever reason.
  [[nodiscard]] bool is_stopping() noexcept { return core_.state_.is_stopping(); }
  /// The number of children that have not ended.
  [[nodiscard]] std::size_t size() noexcept { return core_.state_.pending(); }

  /// Waits until there are no children, including those that are started meanwhile. For the body,
  /// which continues afterwards and may start further children.
  ///
  /// - Result: none.
  /// - Errors: throws std::logic_error in a child, which would wait for itself.
  /// - Cancellation: at once; the children are not affected.
  /// - In a select: withdrawn; the children are not affected.
  /// - Lifetime: the scope outlives the wait.
  /// - Thread safety: as for the scope.
  [[nodiscard]] detail::scope_join join() noexcept { return detail::scope_join(core_); }

  /// Waits until a further child would start at once, that is, until fewer children run than the
  /// limit allows; so a body that makes many children need not make them all in advance. The slot
  /// is not reserved for the caller. Completes at once when the scope is being stopped.
  ///
  /// - Result and errors: none.
  /// - Cancellation: at once.
  /// - In a select: withdrawn; no slot is reserved, so none is lost.
  /// - Lifetime: the scope outlives the wait.
  /// - Thread safety: as for the scope.
  [[nodiscard]] detail::scope_vacancy vacancy() noexcept { return detail::scope_vacancy(core_); }

 private:
  friend class detail::scope_operation_base;
  task_scope() noexcept = default;

  detail::scope_core core_;
};

namespace detail {

/// The part of a scope that does not depend on the type of its body.
///
/// While the body runs the scope is a combinator with one branch, the body. When the body has
/// ended, the scope waits for the children like a leaf operation.
///
/// Children may borrow from the body: from its locals, and from those of the tasks that it awaits,
/// also as branches. A body that was stopped therefore keeps its frames until no child is left, and
/// so do the branches within it. A scope inside the body of another scope that is stopping hands
/// its own body's frames over to that one.
class scope_operation_base : public combinator {
 public:
  attempt try_or_wait() noexcept final { return joining_ ? finish() : begin(); }

 protected:
  explicit scope_operation_base(std::size_t limit) noexcept;
  scope_operation_base(scope_operation_base&& other) noexcept
      : scope_operation_base(static_cast<combinator&&>(other), other.limit_) {}
  ~scope_operation_base() = default;

  [[nodiscard]] task_scope& scope() noexcept { return scope_; }
  [[nodiscard]] scope_core& core() noexcept { return scope_.core_; }
  [[nodiscard]] outcome body_outcome() const noexcept { return body_outcome_; }

  /// Calls the body, which may throw, and returns its branch.
  virtual branch_strand& make_body() = 0;
  /// Returns true if the body, which has completed with a value, returned a failed result.
  virtual bool body_failed() noexcept = 0;
  virtual std::exception_ptr take_body_exception() noexcept = 0;

  /// Rethrows the failure of the scope if it is an exception. An exception of the body that came
  /// after another failure goes to the hook for unhandled exceptions.
  void rethrow_exception();
  [[noreturn]] void throw_cancelled();

 private:
  /// Runs on the strand of the scope when the body is to be asked to stop. Not one of the branches
  /// that `start()` starts: a child schedules it.
  class messenger final : public leaf_operation {
   public:
    explicit messenger(scope_operation_base& home) noexcept : home_(home) {}
    attempt try_or_wait() noexcept override { return home_.message_arrived(); }
    bool cancel() noexcept override { return false; }

   private:
    scope_operation_base& home_;
  };

  scope_operation_base(combinator&& other, std::size_t limit) noexcept
      : combinator(static_cast<combinator&&>(other)), limit_(limit) {
    pausable_ = false;
  }

  attempt begin() noexcept;
  attempt message_arrived() noexcept;
  void keep_frames() noexcept;
  attempt join() noexcept;
  attempt finish() noexcept;

  bool settle(branch_strand& branch) noexcept override;
  attempt conclude() noexcept override { return join(); }
  void stop_requested() noexcept override;

  task_scope scope_;
  std::size_t limit_;
  messenger messenger_{*this};
  branch_strand messenger_strand_;
  scope_waiter waiter_;
  outcome body_outcome_ = outcome::none;
  bool message_is_due_ = true;  ///< the messenger has not run yet
  bool body_failed_first_ = false;
  bool joining_ = false;
};

template <class Body>
class [[nodiscard]] scope_operation final : public scope_operation_base {
  using body_task = std::invoke_result_t<std::remove_reference_t<Body>&, task_scope&>;

 public:
  using result_type = typename body_task::value_type;

  scope_operation(std::size_t limit, Body&& body)
      : scope_operation_base(limit), body_(std::forward<Body>(body)) {}
  // NOLINTNEXTLINE(performance-noexcept-move-constructor): the body's may throw
  scope_operation(scope_operation&& other)
      : scope_operation_base(static_cast<scope_operation_base&&>(other)),
        body_(std::forward<Body>(other.body_)) {}

  result_type await_resume() {
    rethrow_exception();
    if (const auto& error = core().error_) {
      if constexpr (is_result<result_type>)
        return *error;
      else
        throw_error(*error);
    }
    if (branch_->has_result()) return branch_->take();
    // Stopped by task_scope::cancel().
    if constexpr (is_result<result_type>)
      return std::make_error_code(std::errc::operation_canceled);
    else if constexpr (!std::is_void_v<result_type>)
      throw_cancelled();
  }

 private:
  branch_strand& make_body() override {
    return branch_.emplace(std::invoke(body_, scope())).prepare(0);
  }
  bool body_failed() noexcept override {
    if constexpr (is_result<result_type>)
      return !branch_->peek().has_value();
    else
      return false;
  }
  std::exception_ptr take_body_exception() noexcept override {
    return branch_ ? branch_->take_exception() : nullptr;
  }

  Body body_;
  std::optional<branch_of<body_task>> branch_;
};

/// Whether a closure may be created inside of a co_await expression.
template <class F>
inline constexpr bool survives_await_expression =
    KIOTO_BROKEN_AWAIT_TEMPORARIES == 0 || std::is_lvalue_reference_v<F> ||
    std::is_trivially_copyable_v<F>;

template <class F>
concept scope_body = std::is_invocable_v<std::remove_reference_t<F>&, task_scope&> &&
                     is_task<std::invoke_result_t<std::remove_reference_t<F>&, task_scope&>>;

template <class F>
auto make_scope(std::size_t children, F&& body) {
  static_assert(
      survives_await_expression<F>,
      "g++ before 13 destroys twice a temporary closure that captures by value and stands in a "
      "co_await expression. Capture by reference, which is safe here because the scope ends before "
      "the statement does; or name the closure and pass the name: auto body = [x](task_scope& s) "
      "-> task<> { ... }; co_await scope(body);");
  return scope_operation<F>(children, std::forward<F>(body));
}

}  // namespace detail

/// Runs a body that starts children, and resumes only when the body and every child have ended.
///
/// Children run in parallel, on the runtime of the awaiting task, and may start further children.
/// Because none outlives the scope, they may borrow from the coroutine that awaits it.
///
/// - Waits for: the body, a callable that is given a `task_scope&` and returns a task, which runs
///   on the strand of the awaiting task; and every child.
/// - Result: the value of the body.
/// - Errors: the first failure, of the body or of a child: an exception, or a failed result. It
///   stops the body and the other children; when all have ended, the scope reports it: an exception
///   is rethrown; a failed result is returned if the body returns a `task<result<…>>`, and thrown
///   as std::system_error otherwise. Later exceptions go to the runtime's hook for unhandled
///   exceptions; later errors are dropped. A child whose failure must not affect the others catches
///   it and returns a task<>.
/// - `task_scope::cancel()` stops the body and the children without a failure. If the body was
///   stopped by it, the scope returns normally for a `task<>`; returns the error
///   `std::errc::operation_canceled` for a `task<result<…>>`; and throws `task_cancelled` for any
///   other type.
/// - Cancellation: a stop request reaches the body and all children, and propagates when all have
///   ended. If all of them completed nevertheless, the value of the body counts, or their failure.
/// - In a select: the body and the children are asked to stop, and what the body waits in is
///   withdrawn; what they did before stays done. If all of them complete nevertheless, or one
///   fails, that is in the result.
/// - Lifetime: the body is moved into the awaiter if it is an rvalue, and referred to if it is an
///   lvalue; it and what it captures live until all have ended. Allocates the frame of the body,
///   and one for each child. Children may also borrow from the body's own locals, and from those of
///   the tasks that it awaits, as long as these do not return or throw before the children have
///   ended: returning destroys the locals, so they `join()` first. If the body is stopped, its
///   locals are destroyed after the last child has ended, innermost first; a child that ignores the
///   stop, in a `shield`, must therefore not wait for something that they own.
/// - Thread safety: the body runs on the strand of the awaiting task, children in parallel with it.
///
///     co_await scope([&](task_scope& s) -> task<> {
///       for (auto& url : urls) s.spawn(load_into, std::ref(pages[url]), url);
///       co_return;
///     });
template <detail::scope_body F>
[[nodiscard]] auto scope(F&& body) {
  return detail::make_scope<F>(std::numeric_limits<std::size_t>::max(), std::forward<F>(body));
}

/// The same with a limit on the number of children that run at a time. Further ones wait for a
/// slot, in order; see `task_scope::vacancy` for not creating them before they can run. A child
/// that waits for another one keeps its slot.
///
///     co_await scope(at_most(8), [&](task_scope& s) -> task<> {
///       while (auto url = next_url()) {
///         co_await s.vacancy();
///         s.spawn(load, *url);
///       }
///     });
template <detail::scope_body F>
[[nodiscard]] auto scope(at_most children, F&& body) {
  return detail::make_scope<F>(children.value(), std::forward<F>(body));
}

}  // namespace kioto
