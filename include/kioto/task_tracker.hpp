// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <type_traits>
#include <utility>

#include <kioto/as_result.hpp>
#include <kioto/blocking.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>
#include <kioto/detail/task/spawn_support.hpp>
#include <kioto/detail/task/tracker_count.hpp>
#include <kioto/runtime.hpp>
#include <kioto/spawn.hpp>

namespace kioto {
namespace detail {

class tracker_wait_operation;

/// The state that the copies of a tracker and its tokens share.
class tracker_state : public basic_tracker_count<std_sync, tracker_wait_operation> {
 public:
  void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void drop_reference() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
  void token_made() noexcept;
  void token_gone() noexcept;
  bool close() noexcept;

 private:
  static void wake(list& woken) noexcept;

  std::atomic<std::size_t> references_{1};
};

class [[nodiscard]] tracker_wait_operation final : public leaf_awaiter<tracker_wait_operation>,
                                                   public basic_event_waiter<std_sync> {
 public:
  explicit tracker_wait_operation(tracker_state* state) noexcept : state_(state) {
    state_->add_reference();
  }
  tracker_wait_operation(tracker_wait_operation&& other) noexcept
      : leaf_awaiter(static_cast<leaf_awaiter&&>(other)),
        state_(std::exchange(other.state_, nullptr)) {}
  tracker_wait_operation& operator=(tracker_wait_operation&&) = delete;
  ~tracker_wait_operation() {
    if (state_ != nullptr) state_->drop_reference();
  }

  attempt try_or_wait() noexcept override {
    if (state_->is_over()) return attempt::ready;
    return wait([this]() noexcept { return state_->add(*this); });
  }
  bool cancel() noexcept override { return state_->remove(*this); }
  bool withdraw() noexcept override { return true; }
  static void await_resume() noexcept {}

 private:
  tracker_state* state_;
};

}  // namespace detail

/// Counts as a task of a `task_tracker` for as long as it exists.
///
/// Thread safety: distinct tokens may be used concurrently.
class task_tracker_token {
 public:
  task_tracker_token(const task_tracker_token& other) noexcept : state_(other.state_) {
    if (state_ != nullptr) state_->token_made();
  }
  task_tracker_token(task_tracker_token&& other) noexcept
      : state_(std::exchange(other.state_, nullptr)) {}
  task_tracker_token& operator=(task_tracker_token other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~task_tracker_token() {
    if (state_ != nullptr) state_->token_gone();
  }

 private:
  friend class task_tracker;
  explicit task_tracker_token(detail::tracker_state* state) noexcept : state_(state) {
    state_->token_made();
  }

  detail::tracker_state* state_;
};

namespace detail {

// A task is tracked by a frame around it. The token is a parameter: it is destroyed with the frame,
// after the frame of the task and before the end of the task is reported.
template <class T>
task<T> tracked_task(task_tracker_token, task<T> work) {
  co_await adopt_location(task_access::location(work));
  co_return co_await std::move(work);
}
template <class T, class F, class... Args>
task<T> tracked_call(task_tracker_token, F callable, Args... arguments) {
  task<T> inner = std::invoke(std::move(callable), std::move(arguments)...);
  co_await adopt_location(task_access::location(inner));
  co_return co_await std::move(inner);
}
template <class Function>
task<std::invoke_result_t<Function&>> tracked_blocking(task_tracker_token, Function function) {
  [[maybe_unused]] int keeps_the_frame_sound = 0;
  co_return co_await blocking_operation<Function>(function);
}

template <class A>
class [[nodiscard]] tracked_awaiter {
 public:
  static constexpr bool is_resumed_through_hooks = resumed_through_hooks<awaiter_of<A>>;

  tracked_awaiter(task_tracker_token token, A&& awaitable)
      : token_(std::move(token)), inner_(get_awaiter(std::forward<A>(awaitable))) {}
  tracked_awaiter(const tracked_awaiter&) = delete;
  tracked_awaiter& operator=(const tracked_awaiter&) = delete;

  [[nodiscard]] static bool await_ready() noexcept { return false; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
    return start_inner(inner_, frame);
  }
  await_result<A> await_resume() { return inner_.await_resume(); }

 private:
  task_tracker_token token_;  // destroyed after the operation
  awaiter_of<A> inner_;
};

template <class A>
class [[nodiscard]] tracked {
 public:
  tracked(task_tracker_token token, A&& awaitable)
      : token_(std::move(token)), awaitable_(std::forward<A>(awaitable)) {}
  tracked(tracked&&) = default;
  tracked& operator=(tracked&&) = delete;
  ~tracked() = default;

  [[nodiscard]] tracked_awaiter<A> operator co_await() && {
    return tracked_awaiter<A>(std::move(token_), std::forward<A>(awaitable_));
  }

 private:
  task_tracker_token token_;
  A awaitable_;
};

}  // namespace detail

/// Counts tasks, and waits until the last one has ended: for a graceful shutdown, together with a
/// `cancellation_token`. It keeps no results and forgets a task when it ends; see `join_set` for a
/// collection that keeps them. Copies refer to the same tracker.
///
/// - Tasks are counted until their frames are destroyed, however they end. Destroying the tracker
///   neither aborts the tasks nor waits for them.
/// - A tracker that was moved from may only be assigned to or destroyed.
/// - Thread safety: everything but assignment and moves may be called from any thread.
///
/// ```
/// kioto::task_tracker tracker;
/// tracker.spawn(serve(std::move(stream)));
/// tracker.close();
/// co_await tracker.wait();
/// ```
class task_tracker {
 public:
  task_tracker() : state_(new detail::tracker_state) {}
  task_tracker(const task_tracker& other) noexcept : state_(other.state_) {
    if (state_ != nullptr) state_->add_reference();
  }
  task_tracker(task_tracker&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  task_tracker& operator=(task_tracker other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~task_tracker() {
    if (state_ != nullptr) state_->drop_reference();
  }

  /// Spawns as `kioto::spawn` does, and counts the task.
  template <class T>
  join_handle<T> spawn(task<T> work,
                       std::source_location where = std::source_location::current()) const {
    return kioto::spawn(detail::tracked_task<T>(token(), std::move(work)), where);
  }
  template <class F, class... Args>
    requires detail::task_factory<F, Args...>
  auto spawn(F&& callable, Args&&... arguments) const {
    return kioto::spawn(call(std::forward<F>(callable), std::forward<Args>(arguments)...),
                        std::source_location());
  }
  /// The same on another runtime.
  template <class T>
  join_handle<T> spawn_on(const handle& runtime, task<T> work,
                          std::source_location where = std::source_location::current()) const {
    return runtime.spawn(detail::tracked_task<T>(token(), std::move(work)), where);
  }
  template <class F, class... Args>
    requires detail::task_factory<F, Args...>
  auto spawn_on(const handle& runtime, F&& callable, Args&&... arguments) const {
    return runtime.spawn(call(std::forward<F>(callable), std::forward<Args>(arguments)...),
                         std::source_location());
  }
  /// As `kioto::spawn_blocking`; counts the call until it has returned.
  template <class F, class... Args>
    requires std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>
  auto spawn_blocking(F&& callable, Args&&... arguments) const {
    return detail::spawn_call_on(
        detail::current_scheduler("kioto::task_tracker::spawn_blocking"),
        detail::tracked_blocking(token(), detail::bind_call(std::forward<F>(callable),
                                                            std::forward<Args>(arguments)...)));
  }

  /// Counts an operation, any awaitable of the library, until it has ended or is destroyed. In
  /// everything else it behaves like the operation, also in a select.
  template <class A>
  [[nodiscard]] auto track(A&& awaitable) const {
    return detail::tracked<A>(token(), std::forward<A>(awaitable));
  }
  /// A token that counts as a task until it is destroyed.
  [[nodiscard]] task_tracker_token token() const noexcept { return task_tracker_token(state_); }

  /// Lets `wait()` complete once there are no tasks. Tasks may still be added. Returns true if this
  /// call closed it; false if it was already closed.
  bool close() const noexcept { return state_->close(); }
  /// Undoes `close()`. Returns true if it was closed; false if it was not.
  bool reopen() const noexcept { return state_->reopen(); }
  [[nodiscard]] bool is_closed() const noexcept { return state_->is_closed(); }
  [[nodiscard]] std::size_t size() const noexcept { return state_->size(); }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }

  /// Waits until the tracker is closed and no task is left, both at the same time.
  ///
  /// - Result: none. What the tasks did happens before the return of the wait.
  /// - Errors: none.
  /// - Cancellation: a cancelled wait has no effect.
  /// - In a select: withdrawn; nothing is lost.
  /// - Lifetime: the wait counts as a copy of the tracker. If it is the last copy, the tracker can
  ///   no longer be closed.
  /// - Thread safety: any number of tasks may wait.
  [[nodiscard]] detail::tracker_wait_operation wait() const noexcept {
    return detail::tracker_wait_operation(state_);
  }

  /// Returns true if both are copies of one tracker.
  friend bool operator==(const task_tracker& a, const task_tracker& b) noexcept {
    return a.state_ == b.state_;
  }

 private:
  template <class F, class... Args>
  auto call(F&& callable, Args&&... arguments) const {
    using result = typename detail::task_of_call<F, Args...>::value_type;
    return detail::tracked_call<result, std::decay_t<F>, std::decay_t<Args>...>(
        token(), std::forward<F>(callable), std::forward<Args>(arguments)...);
  }

  detail::tracker_state* state_;
};

}  // namespace kioto
