// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <coroutine>
#include <stdexcept>
#include <system_error>
#include <type_traits>
#include <utility>

#include <kioto/as_result.hpp>
#include <kioto/detail/branch.hpp>
#include <kioto/result.hpp>
#include <kioto/task.hpp>
#include <kioto/time/sleep.hpp>

namespace kioto {

/// Thrown by a `timeout` around an operation whose result is not a `result<T>`.
class timeout_error : public std::runtime_error {
 public:
  timeout_error();
};

namespace detail {

[[noreturn]] void throw_timeout();

/// Runs an operation beside a timer, as two branches of the awaiting task. The operation goes
/// first; if it completes at once the timer is never started.
template <class A>
class [[nodiscard]] timeout_awaiter final : public combinator {
  using result_type = typename branch_of<A>::result_type;

 public:
  timeout_awaiter(std::chrono::steady_clock::time_point deadline, A&& awaitable)
      : operation_(std::forward<A>(awaitable)), timer_(sleep_until(deadline)) {}

  [[nodiscard]] static bool await_ready() noexcept { return false; }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    promise_base& self = frame.promise();
    context& c = *self.context_;
    parent_ = &c;
    operation_.prepare(c.task(), *this);
    timer_.prepare(c.task(), *this);
    fork(c, self, *this, fork_);
    run_branch_soon(operation_.strand());
    run_branch_soon(timer_.strand());
    if (c.must_stop()) cancel();
    return true;
  }

  result_type await_resume() {
    if (operation_.has_result()) return operation_.take();
    if constexpr (is_result<result_type>)
      return std::make_error_code(std::errc::timed_out);
    else
      throw_timeout();
  }

  promise_base* branch_ended(branch_context& branch, outcome what) noexcept override {
    const bool is_operation = &branch == &operation_.strand();
    if (is_operation)
      operation_.ended(what);
    else
      timer_.ended(what);
    if (++ended_ == 1) {
      request_stop(is_operation ? timer_.strand() : operation_.strand());
      return nullptr;
    }
    promise_base* frame = join_fork(*parent_);
    if (operation_.has_result() || timer_.has_result()) return frame;
    parent_->loop().ask(request::unwind, *frame);
    return nullptr;
  }

  attempt try_or_wait() noexcept override { return attempt::suspended; }
  bool cancel() noexcept override {
    request_stop(operation_.strand());
    request_stop(timer_.strand());
    return false;
  }

 private:
  fork_state fork_;
  context* parent_ = nullptr;
  branch_of<A> operation_;
  branch_of<sleep_operation> timer_;
  int ended_ = 0;
};

template <class A>
class [[nodiscard]] timeout_awaitable {
 public:
  timeout_awaitable(std::chrono::steady_clock::time_point deadline, A&& awaitable)
      : deadline_(deadline), awaitable_(std::forward<A>(awaitable)) {}
  timeout_awaitable(timeout_awaitable&&) = default;
  timeout_awaitable& operator=(timeout_awaitable&&) = delete;
  ~timeout_awaitable() = default;

  [[nodiscard]] timeout_awaiter<A> operator co_await() && {
    return timeout_awaiter<A>(deadline_, std::forward<A>(awaitable_));
  }

 private:
  std::chrono::steady_clock::time_point deadline_;
  A awaitable_;
};

}  // namespace detail

/// Runs an operation, and asks it to stop at the deadline.
///
/// - Waits for: the operation, any awaitable of the library, a task included. Resumes when the
///   operation has ended; an operation that cannot stop at once is waited for.
/// - Result: that of the operation. A value that came wins over the deadline, also when both came.
/// - Errors: if the operation returns a `result<T>`, `std::errc::timed_out` as the error; otherwise
///   throws `timeout_error`.
/// - Cancellation: passed on to the operation.
/// - Lifetime: the operation is moved into the awaiter; nothing is allocated, unless the operation
///   is neither a task nor a leaf operation of the library: then it runs in a task of its own
///   frame.
/// - Thread safety: the operation runs on the strand of the awaiting task, never in parallel with
///   it.
template <class A>
[[nodiscard]] auto timeout(std::chrono::steady_clock::time_point deadline, A&& awaitable) {
  return detail::timeout_awaitable<A>(deadline, std::forward<A>(awaitable));
}
template <class Rep, class Period, class A>
[[nodiscard]] auto timeout(std::chrono::duration<Rep, Period> limit, A&& awaitable) {
  return detail::timeout_awaitable<A>(detail::deadline_after(detail::saturate(limit)),
                                      std::forward<A>(awaitable));
}

}  // namespace kioto
