// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

#include <kioto/as_result.hpp>
#include <kioto/detail/task/branch.hpp>

namespace kioto {
namespace detail {

/// What or_return awaits: the operation itself, or a task around an operation that might resume the
/// frame by its handle, because at that point it is too late to return.
template <class A>
decltype(auto) get_awaiter_through_hooks(A&& awaitable) {
  if constexpr (resumed_through_hooks<awaiter_of<A>>)
    return get_awaiter(std::forward<A>(awaitable));
  else
    return get_awaiter(run_as_task<await_result<A>, A>(std::forward<A>(awaitable)));
}

template <class A>
class [[nodiscard]] or_return_awaiter final : private returning_hook {
  using outcome_type = await_result<A>;
  static_assert(is_result<outcome_type>, "or_return needs an operation that returns a result<T>");
  using inner_type = decltype(get_awaiter_through_hooks(std::declval<A>()));

 public:
  static constexpr bool is_resumed_through_hooks = true;

  explicit or_return_awaiter(A&& awaitable)
      : inner_(get_awaiter_through_hooks(std::forward<A>(awaitable))) {}
  or_return_awaiter(const or_return_awaiter&) = delete;
  or_return_awaiter& operator=(const or_return_awaiter&) = delete;
  ~or_return_awaiter() {
    if (!has_left_) std::destroy_at(std::addressof(inner_));
  }

  [[nodiscard]] static bool await_ready() noexcept { return false; }

  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
    static_assert(
        requires(Promise& p, std::error_code e) { p.return_value(e); },
        "or_return needs an enclosing task<result<…>> to return the error from");
    Promise& self = frame.promise();
    return_error_ = [](promise_base& p, std::error_code error) noexcept {
      Promise& ending = static_cast<Promise&>(p);
      KIOTO_TRY { ending.return_value(error); }
      KIOTO_CATCH_ALL { ending.unhandled_exception(); }
      if (p.parent_.is_at_root() && p.strand_->kind_ == strand_kind::task) ending.before_end();
    };
    push(self);
    const std::coroutine_handle<> next =
        start_inner(inner_, frame, [this, &self]() noexcept { pop(self); });
    if (next != frame) return next;
    pop(self);
    if (on_end(self, passage::completed) == passage::completed) return frame;
    static_cast<void>(run_hooks(self, passage::returning));
    return nothing_to_resume();
  }

  typename outcome_type::value_type await_resume() {
    if (error_) std::rethrow_exception(error_);
    if constexpr (!std::is_void_v<typename outcome_type::value_type>) return std::move(**outcome_);
  }

 private:
  // Called a second time, as the outermost hook, if this hook is the one that returns.
  passage on_end(promise_base& frame, passage how) noexcept override {
    if (how != passage::completed) return how;
    KIOTO_TRY { outcome_.emplace(inner_.await_resume()); }
    KIOTO_CATCH_ALL {
      error_ = std::current_exception();
      return how;
    }
    if (outcome_->has_value()) return how;
    push_outermost(frame);
    return passage::returning;
  }
  void leave(promise_base& frame) noexcept override {
    std::destroy_at(std::addressof(inner_));
    has_left_ = true;
    return_error_(frame, outcome_->error());
  }

  union {
    inner_type inner_;  // until it has left
  };
  bool has_left_ = false;
  std::optional<outcome_type> outcome_;
  std::exception_ptr error_;
  void (*return_error_)(promise_base&, std::error_code) noexcept = nullptr;
};

}  // namespace detail

/// Returns a failed result from the enclosing `task<result<…>>`.
///
/// - Waits for: the operation it wraps, any awaitable of a `result<T>`.
/// - Result: the value. On an error the enclosing coroutine ends here with that error; its locals
///   are destroyed before the awaiting statement ends. Wrappers around it end as well:
///   `shield(or_return(x))` no longer shields, and `as_result(or_return(x))` has no effect.
/// - Errors: exceptions of the operation are rethrown, as are exceptions thrown while the result of
///   the enclosing coroutine is made from the error.
/// - Cancellation: as for the operation.
/// - In a select: it cannot be a branch, because a branch has no enclosing coroutine to return the
///   error from. Within a task that is a branch: as for the operation.
/// - Lifetime and thread safety: as for the operation. An awaitable of another library is awaited
///   in a task with a frame of its own.
///
/// `auto stream = co_await or_return(tcp_stream::connect(address));`
template <class A>
[[nodiscard]] auto or_return(A&& awaitable) {
  return detail::adaptor<detail::or_return_awaiter, A>(std::forward<A>(awaitable));
}

}  // namespace kioto
