// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/result.hpp>

namespace kioto::detail {

struct blocking_job_tag {};

/// Work for the blocking pool; a base or a member of the operation that waits for it. Either `run`
/// is called, and then `deliver` if it is set, or `cancel`: each once, the last of them as the last
/// access to the job. None of them is called if `try_remove` returned true.
struct blocking_job : list_node<blocking_job_tag> {
  using callback = void (*)(blocking_job*) noexcept;

  blocking_job() noexcept = default;
  blocking_job(callback on_run, callback on_cancel) noexcept : run(on_run), cancel(on_cancel) {}

  callback run = nullptr;  ///< called on a thread of the pool
  /// Called after `run` on the same thread, and must not block: the thread already counts as free
  /// for the next job, because the task that gets the result often submits one at once. Not called
  /// for urgent jobs.
  callback deliver = nullptr;
  callback cancel = nullptr;  ///< called by `shutdown` if the job will not run
  /// Runs before other jobs and gets a thread even beyond the limit, because other jobs may be
  /// waiting for it. For the same reason it is neither refused nor cancelled by `shutdown`.
  bool urgent = false;
  bool starts_at_once = false;  ///< set by `submit`: a thread that is already awake runs it
};

struct blocking_pool_options {
  std::size_t max_threads = 512;  ///< at least 1; the limit for jobs that are not urgent
  std::chrono::nanoseconds keep_alive = std::chrono::seconds(10);  ///< of an idle thread
  std::string thread_name = "kioto-blocking";
  std::size_t stack_size = 0;  ///< 0 for the default of the system
  /// Returns an object that each thread keeps alive until it has ended, because the hooks and the
  /// jobs use it. Called when a thread is started.
  std::function<std::shared_ptr<void>()> owner;
  // Called on the thread in question, without a lock; must not throw.
  std::function<void()> on_thread_start, on_thread_stop;
  std::function<void()> on_quiet;  ///< see `is_quiet_or_tells`
  /// For tests: called before a thread is created; if it returns a value other than 0, the creation
  /// fails with that error number.
  int (*fail_thread_creation)() noexcept = nullptr;
};

/// The stack size to request for `wanted` bytes: at least the minimum of the system, in whole
/// pages.
[[nodiscard]] std::size_t usable_stack_size(std::size_t wanted) noexcept;

/// Threads, started on demand, for work that blocks. Jobs start in the order of submission, except
/// for urgent ones.
///
/// Thread safety: all members, from any thread. Submitting allocates nothing except, possibly, a
/// thread.
class blocking_pool {
 public:
  struct counts {
    std::size_t threads;  ///< started, and neither ended nor about to end
    std::size_t idle;     ///< of these, idle and without a job assigned to them
    std::size_t queued;   ///< jobs that wait for a thread
    std::size_t running;  ///< running jobs, except for urgent ones
  };

  explicit blocking_pool(blocking_pool_options options);
  blocking_pool(const blocking_pool&) = delete;
  blocking_pool& operator=(const blocking_pool&) = delete;
  /// Like `shutdown` with a deadline that has passed.
  ~blocking_pool();

  /// Queues a job; the job must stay alive until a callback is called.
  ///
  /// Errors, after which no callback will be called: `error::runtime_shutdown`; the error of the
  /// system if it refuses to create a thread and there is none that could run the job later.
  [[nodiscard]] result<void> submit(blocking_job& job);

  /// Removes a job that still waits for a thread. Returns false if a callback was or will be
  /// called.
  [[nodiscard]] bool try_remove(blocking_job& job) noexcept;

  /// Returns true if no job waits or runs. If it returns false, `on_quiet` will be called when that
  /// becomes the case, exactly once, on the thread of the job that ended last; what that job did
  /// happens before.
  [[nodiscard]] bool is_quiet_or_tells() noexcept;

  /// Refuses new jobs, cancels the queued ones and waits for the running ones. `time_point::max()`
  /// means no deadline. Returns true if all threads have ended; false if some continue beyond the
  /// deadline, until their jobs return; these do not use this object. A thread of the pool that
  /// calls this does not wait for itself. May be called again, to wait longer.
  bool shutdown(std::chrono::steady_clock::time_point deadline) noexcept;

  /// Called after the last `shutdown`, for a pool that is never destroyed.
  void abandon() noexcept;

  /// Returns true on the threads of this pool.
  [[nodiscard]] bool runs_on_this_thread() const noexcept;

  [[nodiscard]] counts read_counts() const noexcept;

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace kioto::detail
