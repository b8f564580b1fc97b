// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <type_traits>
#include <utility>

#include <kioto/as_result.hpp>
#include <kioto/detail/task/branch.hpp>
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

/// A timer that reads the clock when it is started.
class limit_timer final : public leaf_operation {
 public:
  explicit limit_timer(std::chrono::nanoseconds limit) noexcept : limit_(limit) {}
  limit_timer(limit_timer&& other) noexcept
      : leaf_operation(static_cast<leaf_operation&&>(other)), limit_(other.limit_) {}

  attempt try_or_wait() noexcept override {
    sleep_.emplace(sleep(limit_));
    sleep_->strand_ = strand_;
    return sleep_->try_or_wait();
  }
  // Once started, the strand waits in the inner operation.
  bool cancel() noexcept override { return false; }
  static void await_resume() noexcept {}

 private:
  std::chrono::nanoseconds limit_;
  std::optional<sleep_operation> sleep_;
};

/// Runs an operation and a timer as two branches of the awaiting task. The operation starts first;
/// if it completes at once the timer is never started and the clock is not read.
template <class A, class Timer>
class [[nodiscard]] timeout_operation final
    : public std::conditional_t<leaf_branch<A>, combinator, task_combinator> {
  using result_type = branch_result<A>;

 public:
  timeout_operation(Timer&& timer, A&& awaitable)
      : operation_(std::forward<A>(awaitable)), timer_(std::move(timer)) {}
  timeout_operation(timeout_operation&&) noexcept = default;

  attempt try_or_wait() noexcept override {
    combinator::chain branches;
    branches.add(operation_.prepare(0));
    branches.add(timer_.prepare(1));
    return this->start(branches);
  }

  result_type await_resume() {
    if (operation_.has_result()) return operation_.take();
    if constexpr (is_result<result_type>)
      return std::make_error_code(std::errc::timed_out);
    else
      throw_timeout();
  }

 private:
  bool settle(branch_strand& branch) noexcept override {
    // A timer that stopped because a stop was already pending decides nothing: the operation
    // observes that stop, too.
    return &branch != &timer_.branch() || !branch.inherits_stop_;
  }
  attempt conclude() noexcept override {
    return operation_.has_result() || timer_.has_result() ? attempt::ready : attempt::stopped;
  }

  branch_of<A> operation_;
  branch_of<Timer> timer_;
};

}  // namespace detail

/// Runs an operation, and asks it to stop at the deadline.
///
/// - Waits for: the operation, any awaitable of the library, including a task. Resumes when the
///   operation has ended; an operation that cannot stop at once is waited for. A duration counts
///   from the moment at which the operation first waits; if it need not wait, no clock is read.
/// - Result: that of the operation. A value takes precedence over the deadline, even if both arrive
///   at the same time.
/// - Errors: if the operation returns a `result<T>`, `std::errc::timed_out` as the error; otherwise
///   throws `timeout_error`. An exception of the operation is rethrown.
/// - Cancellation: passed on to the operation.
/// - In a select: withdrawn together with the operation; an operation that cannot be withdrawn
///   completes, and its value is in the result.
/// - Lifetime: an operation passed as an rvalue is moved into the awaiter; nothing is allocated,
///   unless the operation is an adaptor such as `as_result(…)` or a user-defined awaitable, which
///   runs in a task with a frame of its own.
/// - Thread safety: the operation runs on the strand of the awaiting task, never in parallel with
///   it.
///
///     auto page = co_await timeout(5s, fetch(host));
template <class A>
[[nodiscard]] auto timeout(std::chrono::steady_clock::time_point deadline, A&& awaitable) {
  return detail::timeout_operation<A, detail::sleep_operation>(sleep_until(deadline),
                                                               std::forward<A>(awaitable));
}
template <detail::other_resolution Duration, class A>
[[nodiscard]] auto timeout(std::chrono::time_point<std::chrono::steady_clock, Duration> deadline,
                           A&& awaitable) {
  return timeout(detail::saturate(deadline), std::forward<A>(awaitable));
}
template <class Rep, class Period, class A>
[[nodiscard]] auto timeout(std::chrono::duration<Rep, Period> limit, A&& awaitable) {
  return detail::timeout_operation<A, detail::limit_timer>(
      detail::limit_timer(detail::saturate(limit)), std::forward<A>(awaitable));
}

}  // namespace kioto
