// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

#include <kioto/detail/task/spawn_support.hpp>
#include <kioto/join_handle.hpp>
#include <kioto/task.hpp>

namespace kioto {
namespace detail {

/// Runs one task and the children of its scopes only when told to, on the calling thread, and
/// counts their wake-ups.
class hand_scheduler {
 public:
  /// Belongs to the runtime that the calling thread is in; outside of one, to one of its own.
  hand_scheduler();
  hand_scheduler(const hand_scheduler&) = delete;
  hand_scheduler& operator=(const hand_scheduler&) = delete;
  ~hand_scheduler();

  [[nodiscard]] scheduler& get() noexcept;
  void begin(task_header& task) noexcept;
  /// Runs what is ready, once, until it suspends or ends.
  void run() noexcept;
  /// Asks the task to stop, and runs it until it has ended.
  void stop() noexcept;

  [[nodiscard]] bool is_woken() const noexcept;
  [[nodiscard]] std::size_t wake_count() const noexcept;

 private:
  class state;
  std::unique_ptr<state> state_;
};

[[noreturn]] void throw_bad_driven(const char* what);

template <class T, class A>
task<T> drive_awaitable(A awaitable) {
  if constexpr (std::is_void_v<T>) {
    [[maybe_unused]] int keeps_the_frame_sound = 0;
    co_await static_cast<A&&>(awaitable);
  } else {
    co_return co_await static_cast<A&&>(awaitable);
  }
}

}  // namespace detail

namespace testing {

/// Drives one operation by hand, step by step, and reports whether it was woken in between.
///
/// - `poll()` does what a run of a task does: the operation continues until it has to wait. It does
///   nothing while the operation waits and was not woken.
/// - `is_woken()` returns true if it was woken, so that the next `poll()` has something to do. Also
///   true before the first `poll()`.
/// - `take()` returns the result, or rethrows.
/// - `abort()` asks it to stop; the next poll ends it.
///
/// The operation is anything that can be awaited: a task, an operation, an adaptor. It uses the
/// clock, the timers and the reactor of the runtime that the thread is in, which need not run.
/// Outside of a runtime it gets one of its own, with a paused clock.
///
/// Lifetime: what was passed as an lvalue must outlive this. Destroying it while the operation is
/// in progress aborts the operation, and blocks until it has ended. Thread safety: one thread at a
/// time; wake-ups may come from any thread.
///
///     sync::notify news;
///     testing::driven waiting(news.notified());
///     CHECK_FALSE(waiting.poll());
///     news.notify_one();
///     CHECK(waiting.is_woken());
///     CHECK(waiting.poll());
template <class T>
class [[nodiscard]] driven {
 public:
  using result_type = T;

  explicit driven(task<T>&& work, std::source_location where = std::source_location::current())
      : handle_(detail::bind_task(home_.get(), std::move(work), where)) {
    home_.begin(header());
  }
  template <class A>
    requires(!detail::is_task<std::remove_cvref_t<A>>)
  explicit driven(A&& awaitable, std::source_location where = std::source_location::current())
      : driven(detail::drive_awaitable<T, A>(std::forward<A>(awaitable)), where) {}
  driven(const driven&) = delete;
  driven& operator=(const driven&) = delete;
  ~driven() {
    if (!is_done()) home_.stop();
  }

  /// Returns true once the operation has ended: with a result, an exception, or cancelled.
  bool poll() {
    if (!is_done()) home_.run();
    return is_done();
  }

  [[nodiscard]] bool is_done() const noexcept { return handle_.is_finished(); }
  [[nodiscard]] bool is_woken() const noexcept { return !is_done() && home_.is_woken(); }
  /// The number of wake-ups so far. A yield counts, the start does not.
  [[nodiscard]] std::size_t wake_count() const noexcept { return home_.wake_count(); }
  /// Returns true if it was cancelled: it ended without a result.
  [[nodiscard]] bool is_cancelled() const noexcept {
    return is_done() && header().outcome_ == detail::outcome::stopped;
  }

  /// The result, once. Rethrows an exception of the operation; throws std::logic_error if there is
  /// no result to take: the operation has not ended, was cancelled, or its result has been taken.
  T take() {
    if (!is_done()) detail::throw_bad_driven("driven::take before the operation has ended");
    if (is_cancelled()) detail::throw_bad_driven("driven::take of a cancelled operation");
    return detail::join_access::take<T>(header()).value();
  }

  void abort() noexcept { handle_.abort(); }

 private:
  [[nodiscard]] detail::task_header& header() const noexcept {
    return *detail::join_handle_access::header(handle_);
  }

  detail::hand_scheduler home_;
  join_handle<T> handle_;
};

template <class A>
driven(A&&) -> driven<detail::await_result<A>>;

}  // namespace testing
}  // namespace kioto
