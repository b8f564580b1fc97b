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

/// Work for the blocking pool, to be a base or a member of what waits for it. Either `run` is
/// called, and then `deliver` if there is one, or `cancel`: each once, the last one as the last
/// access to the job. None of them if `try_remove` returned true.
struct blocking_job : list_node<blocking_job_tag> {
  using callback = void (*)(blocking_job*) noexcept;

  blocking_job() noexcept = default;
  blocking_job(callback on_run, callback on_cancel) noexcept : run(on_run), cancel(on_cancel) {}

  callback run = nullptr;  ///< called on a thread of the pool
  /// Called behind `run` on the same thread, and must not block: the thread counts as free for the
  /// next job, because whoever is handed the result often brings one at once. Not of urgent jobs.
  callback deliver = nullptr;
  callback cancel = nullptr;  ///< called by `shutdown`: the job will not run
  /// Goes before the others and gets a thread beyond the limit: others may be waiting for it. So it
  /// is neither refused nor cancelled by `shutdown`, either.
  bool urgent = false;
  bool starts_at_once = false;  ///< set by `submit`: a thread that is awake runs it
};

struct blocking_pool_options {
  std::size_t max_threads = 512;  ///< at least 1; so many jobs run at a time, besides urgent ones
  std::chrono::nanoseconds keep_alive = std::chrono::seconds(10);  ///< of an idle thread
  std::string thread_name = "kioto-blocking";
  std::size_t stack_size = 0;  ///< 0: the default of the system
  /// What each thread keeps alive until it has ended: the hooks and the jobs use it. Asked for when
  /// a thread is started.
  std::function<std::shared_ptr<void>()> owner;
  // Run on the thread in question, without a lock; must not throw.
  std::function<void()> on_thread_start, on_thread_stop;
  std::function<void()> on_quiet;  ///< see `is_quiet_or_tells`
  /// For tests: called before a thread is created; a result other than 0 is the error number with
  /// which that fails.
  int (*fail_thread_creation)() noexcept = nullptr;
};

/// What the system takes for a stack of `wanted` bytes: enough, and whole pages.
[[nodiscard]] std::size_t usable_stack_size(std::size_t wanted) noexcept;

/// Threads, started on demand, for work that blocks. Jobs start in the order of their submission,
/// but for urgent ones.
///
/// Thread safety: all members, from any thread. Submitting allocates nothing, apart from a thread.
class blocking_pool {
 public:
  struct counts {
    std::size_t threads;  ///< started and neither ended nor about to end
    std::size_t idle;     ///< of these, waiting for a job that nobody has submitted
    std::size_t queued;   ///< jobs that wait for a thread
    std::size_t running;  ///< jobs that run, but for urgent ones
  };

  explicit blocking_pool(blocking_pool_options options);
  blocking_pool(const blocking_pool&) = delete;
  blocking_pool& operator=(const blocking_pool&) = delete;
  /// As `shutdown` with a deadline that is over.
  ~blocking_pool();

  /// Queues a job; the job must stay alive until a callback is called.
  ///
  /// Errors, after which no callback will be called: `error::runtime_shutdown`; what the system
  /// says when it refuses a thread and there is none that could run the job later.
  [[nodiscard]] result<void> submit(blocking_job& job);

  /// Takes back a job that still waits for a thread. False: a callback was called or will be.
  [[nodiscard]] bool try_remove(blocking_job& job) noexcept;

  /// True if no job waits or runs. False: `on_quiet` will be called when that is so, once, on the
  /// thread of the job that ended last; what that job did happens before.
  [[nodiscard]] bool is_quiet_or_tells() noexcept;

  /// Refuses new jobs, cancels the queued ones and waits for the running ones. `time_point::max()`
  /// is no deadline. True: all threads have ended. False: some go on beyond the deadline, until
  /// their jobs return, and need nothing of this object. A thread of the pool that calls this does
  /// not wait for itself. May be called again, to wait for longer.
  bool shutdown(std::chrono::steady_clock::time_point deadline) noexcept;

  /// After a `shutdown` that was the last, of a pool that is never destroyed.
  void abandon() noexcept;

  /// True on the threads of this pool.
  [[nodiscard]] bool runs_on_this_thread() const noexcept;

  [[nodiscard]] counts read_counts() const noexcept;

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace kioto::detail
