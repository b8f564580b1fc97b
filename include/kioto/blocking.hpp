// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

#include <kioto/config.hpp>
#include <kioto/detail/task/blocking_pool.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>
#include <kioto/detail/task/spawn_support.hpp>
#include <kioto/runtime.hpp>
#include <kioto/spawn.hpp>

namespace kioto {
namespace detail {

/// The scheduler that the tasks of blocking calls run on; see `spawn_call_on`.
scheduler& blocking_scheduler_of(scheduler& home) noexcept;
/// Runs a new task on the calling thread up to its first suspension; refuses it if the runtime is
/// shutting down.
void launch_here(task_header& task) noexcept;

/// Spawns a task that awaits one `blocking_operation` and nothing else. The job is submitted before
/// this returns.
template <class T>
join_handle<T> spawn_call_on(scheduler& home, task<T>&& work) {
  auto handle = bind_task(blocking_scheduler_of(home), std::move(work), std::source_location());
  launch_here(*join_handle_access::header(handle));
  return handle;
}

/// Hands a job to the blocking pool of the task's runtime.
std::error_code submit_blocking(task_header& task, blocking_job& job) noexcept;
std::exception_ptr make_system_error(std::error_code error) noexcept;
/// Returns true if the job was still queued and will not run.
bool withdraw_blocking(task_header& task, blocking_job& job) noexcept;

/// Runs `function` on the blocking pool. Once the function runs it cannot be stopped, and its end
/// is awaited.
template <class Function>
class [[nodiscard]] blocking_operation final : public leaf_awaiter<blocking_operation<Function>>,
                                               private blocking_job {
 public:
  using value_type = std::invoke_result_t<Function&>;

  explicit blocking_operation(Function& function) noexcept
      : blocking_job(&blocking_operation::on_run, &blocking_operation::on_cancel),
        function_(&function) {
    deliver = &blocking_operation::on_deliver;
  }

  attempt try_or_wait() noexcept override {
    std::error_code refused;
    const attempt result = this->wait([&]() noexcept {
      refused = submit_blocking(this->strand_->task(), *this);
      return !refused;
    });
    if (!refused) return result;
    if (is_runtime_shutdown(refused)) return attempt::stopped;
    error_ = make_system_error(refused);
    return attempt::ready;
  }
  bool cancel() noexcept override { return withdraw_blocking(this->strand_->task(), *this); }

  value_type await_resume() {
    if (error_) std::rethrow_exception(std::move(error_));
    if constexpr (std::is_reference_v<value_type>)
      return static_cast<value_type>(**value_);
    else if constexpr (!std::is_void_v<value_type>)
      return std::move(*value_);
  }

 private:
  using stored_type =
      std::conditional_t<std::is_void_v<value_type>, std::monostate,
                         std::conditional_t<std::is_reference_v<value_type>,
                                            std::remove_reference_t<value_type>*, value_type>>;

  static void on_run(blocking_job* job) noexcept {
    auto& self = *static_cast<blocking_operation*>(job);
    // A stop was requested, but the job has not been withdrawn from the queue yet: do not begin it.
    if (self.strand_->must_stop())
      self.stopped_ = true;
    else
      self.call();
  }
  static void on_deliver(blocking_job* job) noexcept {
    complete(*static_cast<blocking_operation*>(job));
  }
  static void on_cancel(blocking_job* job) noexcept {
    auto& self = *static_cast<blocking_operation*>(job);
    self.stopped_ = true;
    complete(self);
  }

  void call() noexcept {
    KIOTO_TRY {
      if constexpr (std::is_void_v<value_type>) {
        (*function_)();
        value_.emplace();
      } else if constexpr (std::is_reference_v<value_type>) {
        value_.emplace(std::addressof((*function_)()));
      } else {
        value_.emplace((*function_)());
      }
    }
    KIOTO_CATCH_ALL { error_ = std::current_exception(); }
  }

  Function* function_;
  std::optional<stored_type> value_;
  std::exception_ptr error_;
};

template <class Function>
task<std::invoke_result_t<Function&>> run_blocking(Function function) {
  using value_type = std::invoke_result_t<Function&>;
  if constexpr (std::is_void_v<value_type>) {
    [[maybe_unused]] int keeps_the_frame_sound = 0;
    co_await blocking_operation<Function>(function);
  } else {
    co_return co_await blocking_operation<Function>(function);
  }
}

/// A callable together with its arguments, both decayed. Called once.
template <class F, class... Args>
class bound_call {
 public:
  template <class G, class... Given>
  explicit bound_call(std::in_place_t, G&& callable, Given&&... arguments)
      : callable_(std::forward<G>(callable)), arguments_(std::forward<Given>(arguments)...) {}
  std::invoke_result_t<F, Args...> operator()() {
    return std::apply(
        [this](auto&... arguments) -> std::invoke_result_t<F, Args...> {
          return std::invoke(std::move(callable_), static_cast<Args&&>(arguments)...);
        },
        arguments_);
  }

 private:
  F callable_;
  std::tuple<Args...> arguments_;
};

template <class F, class... Args>
auto bind_call(F&& callable, Args&&... arguments) {
  return bound_call<std::decay_t<F>, std::decay_t<Args>...>(
      std::in_place, std::forward<F>(callable), std::forward<Args>(arguments)...);
}

/// For its lifetime, hands the worker of the calling task to another thread.
class block_in_place_scope {
 public:
  block_in_place_scope();
  block_in_place_scope(const block_in_place_scope&) = delete;
  block_in_place_scope& operator=(const block_in_place_scope&) = delete;
  ~block_in_place_scope();

 private:
  void* worker_ = nullptr;
  bool nested_ = true;
};

}  // namespace detail

/// Runs `callable(arguments…)`, which may block, on a thread of the blocking pool.
///
/// - Waits for: the returned handle waits until the call has ended.
/// - Result: a `join_handle` for what it returns, or the exception it throws.
/// - Errors: throws std::logic_error outside of a runtime; the handle reports std::system_error if
///   the system could not create a thread for the call.
/// - The call is handed to the pool before this returns. It needs no worker to begin: on a
///   current-thread runtime it also runs while no thread is in `block_on`.
/// - Calls start in the order in which they were submitted, from any thread. At most
///   `max_blocking_threads` run at a time; the queue of waiting calls is unbounded.
/// - Cancellation: a call that has not started when its handle is aborted never starts; one that is
///   running completes, and its value counts. Shutting down the runtime waits for it up to the
///   deadline. Dropping the handle detaches the call.
/// - In a select: the wait for the handle is withdrawn; the call continues and its result stays in
///   the handle.
/// - Lifetime: the callable and the arguments are copied or moved, as by std::thread. They are
///   destroyed before the handle is notified of the end.
/// - Thread safety: may be called from any thread that is in a runtime.
///
/// ```
/// auto hash = co_await spawn_blocking(hash_of_file, path);
/// ```
template <class F, class... Args>
  requires std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>
auto spawn_blocking(F&& callable, Args&&... arguments) {
  return detail::spawn_call_on(detail::current_scheduler("kioto::spawn_blocking"),
                               detail::run_blocking(detail::bind_call(
                                   std::forward<F>(callable), std::forward<Args>(arguments)...)));
}

template <class F, class... Args>
auto handle::spawn_blocking(F&& callable, Args&&... arguments) const {
  detail::check_local_thread(*core_, "handle::spawn_blocking");
  return detail::spawn_call_on(detail::scheduler_of(*core_),
                               detail::run_blocking(detail::bind_call(
                                   std::forward<F>(callable), std::forward<Args>(arguments)...)));
}

template <class F, class... Args>
auto runtime::spawn_blocking(F&& callable, Args&&... arguments) {
  return handle().spawn_blocking(std::forward<F>(callable), std::forward<Args>(arguments)...);
}

/// Calls `callable()`, which may block, on the calling thread, while another thread takes over the
/// tasks of this worker.
///
/// - Result: what the callable returns; its exceptions are rethrown.
/// - Errors: throws std::logic_error in a task of a current-thread or local runtime, which has no
///   other thread.
/// - Outside of a task, and inside another block_in_place, it only calls the callable.
/// - Inside, `block_on` is allowed.
template <class F>
decltype(auto) block_in_place(F&& callable) {
  const detail::block_in_place_scope scope;
  return std::invoke(std::forward<F>(callable));
}

}  // namespace kioto
