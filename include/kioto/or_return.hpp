// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <optional>
#include <type_traits>
#include <utility>

#include <kioto/as_result.hpp>

namespace kioto {
namespace detail {

template <class A>
class [[nodiscard]] or_return_awaiter final : private await_hook {
  using outcome_type = await_result<A>;
  static_assert(is_result<outcome_type>, "or_return needs an operation that returns a result<T>");

 public:
  explicit or_return_awaiter(A&& awaitable) : inner_(get_awaiter(std::forward<A>(awaitable))) {}

  [[nodiscard]] static bool await_ready() noexcept { return false; }

  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
    static_assert(
        requires(Promise& p, std::error_code e) { p.return_value(e); },
        "or_return needs an enclosing task<result<…>> to return the error from");
    Promise& self = frame.promise();
    return_error_ = [](promise_base& p, std::error_code error) {
      Promise& ending = static_cast<Promise&>(p);
      ending.return_value(error);
      if (p.parent_.is_at_root() && p.context_->kind_ == strand::task) ending.before_end();
    };
    push(self);
    const std::coroutine_handle<> next = start_inner(inner_, frame);
    if (next != frame) return next;
    pop(self);
    if (on_completed(self)) return frame;
    return std::noop_coroutine();
  }

  typename outcome_type::value_type await_resume() {
    if (error_) std::rethrow_exception(error_);
    if constexpr (!std::is_void_v<typename outcome_type::value_type>) return std::move(**outcome_);
  }

 private:
  bool on_completed(promise_base& frame) noexcept override {
    KIOTO_TRY { outcome_.emplace(inner_.await_resume()); }
    KIOTO_CATCH_ALL {
      error_ = std::current_exception();
      return true;
    }
    if (outcome_->has_value()) return true;
    return_error_(frame, outcome_->error());
    frame.context_->loop().ask(request::returned, frame);
    return false;
  }
  bool on_stopped(promise_base&) noexcept override { return false; }

  awaiter_of<A> inner_;
  std::optional<outcome_type> outcome_;
  std::exception_ptr error_;
  void (*return_error_)(promise_base&, std::error_code) = nullptr;
};

}  // namespace detail

/// Returns a failed result from the enclosing `task<result<…>>`:
/// `auto stream = co_await or_return(tcp_stream::connect(address));`
///
/// - Waits for: the operation it wraps, any awaitable of a `result<T>`.
/// - Result: the value. On an error the enclosing coroutine ends here with that error; its locals
///   are destroyed before the statement that awaits it ends.
/// - Cancellation and lifetime: as for the operation.
template <class A>
[[nodiscard]] auto or_return(A&& awaitable) {
  return detail::adaptor<detail::or_return_awaiter, A>(std::forward<A>(awaitable));
}

}  // namespace kioto
