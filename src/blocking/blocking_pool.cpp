// SPDX-License-Identifier: MIT
#include <kioto/detail/task/blocking_pool.hpp>

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <new>
#include <optional>
#include <system_error>
#include <utility>

#include <kioto/config.hpp>
#include <kioto/detail/base/saturating.hpp>
#include <kioto/detail/task/fork.hpp>
#include "base/parker.hpp"

#include "blocking/brief_wait.hpp"

namespace kioto::detail {

namespace {

using clock = std::chrono::steady_clock;

// Null when the wait has no end.
std::optional<clock::time_point> end_of_wait(std::chrono::nanoseconds duration) noexcept {
  const auto now = clock::now();
  const auto end = saturating_add(now, std::max(duration, std::chrono::nanoseconds::zero()));
  return end == clock::time_point::max() ? std::nullopt : std::optional(end);
}

// The pool that the calling thread belongs to.
constinit thread_local const void* pool_of_thread = nullptr;
KIOTO_NOINLINE const void* this_thread_pool() noexcept { return pool_of_thread; }
KIOTO_NOINLINE void set_this_thread_pool(const void* pool) noexcept { pool_of_thread = pool; }

void name_this_thread(const std::string& name) noexcept {
  if (name.empty()) return;
  char cut[16] = {};  // the system's limit, with the terminator
  name.copy(cut, sizeof cut - 1);
#if defined(__APPLE__)
  pthread_setname_np(cut);
#elif defined(__linux__)
  pthread_setname_np(pthread_self(), cut);
#endif
}

int create_thread(std::size_t stack_size, void* (*entry)(void*), void* argument) noexcept {
  pthread_t handle;
  pthread_attr_t attributes;
  if (const int error = pthread_attr_init(&attributes)) return error;
  int error = 0;
  if (stack_size != 0)
    error = pthread_attr_setstacksize(&attributes, usable_stack_size(stack_size));
  if (error == 0) error = pthread_create(&handle, &attributes, entry, argument);
  pthread_attr_destroy(&attributes);
  return error;
}

// For a thread that has ended, except for dropping its last references. Those may be the last ones
// of the pool: then the thread itself is the caller, and cannot join itself.
void join(std::optional<pthread_t> ended) noexcept {
  if (!ended) return;
  if (pthread_equal(*ended, pthread_self()) != 0)
    pthread_detach(*ended);
  else
    pthread_join(*ended, nullptr);
}

struct idle_thread_tag {};

// A thread that waits for work. It may be gone as soon as it is woken.
struct idle_thread : list_node<idle_thread_tag> {
  // False if the time is over.
  bool wait_until(clock::time_point end) {
    for (;;) {
      if (parker.park_for(end - clock::now())) return true;
      if (clock::now() >= end) return false;
    }
  }
  thread_parker parker;
};

}  // namespace

std::size_t usable_stack_size(std::size_t wanted) noexcept {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t size = std::max(wanted, static_cast<std::size_t>(PTHREAD_STACK_MIN));
  // At the end of the range it is rounded down, so as not to wrap; the system refuses such a size
  // anyway.
  return (size - 1 < static_cast<std::size_t>(-1) - page ? size + page - 1 : size) / page * page;
}

// Invariants, under the mutex:
// - P1 The threads in `idle_threads` wait, the most recent first: its caches are warm, and the
//   others can reach the end of their keep-alive. One of them spins for a moment before it sleeps,
//   and is taken first. Whoever takes a thread out of the list wakes it, so no two jobs rely on the
//   same thread.
// - P2 Unless the pool is at its limit, or was refused a thread, there are at least as many threads
//   being woken or started as queued jobs. Otherwise a thread that runs a job, or is about to look
//   for one, takes all queued ones in turn. Either way no queued job is forgotten. A thread that
//   delivers a result is about to look for a job, so nobody is woken or started for a single one. A
//   thread that runs an urgent job, or that an urgent job is queued for, does not count. When it
//   comes back there may be more threads than the limit allows: one that finds the limit reached
//   waits, and those within the limit take the next jobs.
// - P3 A thread decides to end only when it finds no job that it may run, and leaves `threads` at
//   that moment.
// - P4 Each thread is joined by the next one that ends, and the last one by `shutdown`, or by
//   whoever drops the last reference to the state. After `abandon`, each detaches itself.
// - P5 Urgent jobs are run also after `shutdown` began: others may be waiting for them.
struct blocking_pool::state : std::enable_shared_from_this<state> {
  explicit state(blocking_pool_options o) : options(std::move(o)) {
    // There may be one more thread for each urgent job, and the sum must not wrap.
    options.max_threads =
        std::clamp<std::size_t>(options.max_threads, 1, static_cast<std::size_t>(-1) / 2);
  }
  state(const state&) = delete;
  state& operator=(const state&) = delete;
  ~state() { join(last_ended); }

  // Under the lock. 0 or an error number.
  int start_thread() noexcept {
    if (options.fail_thread_creation != nullptr) {
      if (const int error = options.fail_thread_creation()) return error;
    }
    auto* references = new (std::nothrow)
        thread_references{options.owner ? options.owner() : nullptr, shared_from_this()};
    if (references == nullptr) return ENOMEM;
    if (const int error = create_thread(options.stack_size, &run_thread, references)) {
      delete references;
      return error;
    }
    ++threads;
    ++alive;
    return 0;
  }

  struct thread_references {
    std::shared_ptr<void> owner;
    std::shared_ptr<state> pool;
  };

  static void* run_thread(void* argument) noexcept {
    const std::unique_ptr<thread_references> mine(static_cast<thread_references*>(argument));
    state* const pool = mine->pool.get();
    set_this_thread_pool(pool);
    name_this_thread(pool->options.thread_name);
    if (pool->options.on_thread_start) pool->options.on_thread_start();
    pool->run_jobs();
    if (pool->options.on_thread_stop) pool->options.on_thread_stop();
    pool->thread_ended();
    return nullptr;
  }

  void run_jobs() noexcept {
    std::unique_lock lock(mutex);
    do {
      while (blocking_job* job = next_job()) {
        const bool is_urgent = job->urgent;  // the job may be gone when it has run
        const blocking_job::callback deliver = job->deliver;
        --queued;
        if (!is_urgent) ++running;
        lock.unlock();
        job->run(job);
        if (process.is_inherited()) [[unlikely]]
          die_in_child("a blocking call that called fork()");
        lock.lock();
        --(is_urgent ? urgent : running);
        if (deliver != nullptr) {
          ++delivering;
          lock.unlock();
          deliver(job);
          lock.lock();
          --delivering;
        }
        if (tells_quiet && is_quiet()) {
          // Neither running nor idle: shutdown() waits for this thread.
          tells_quiet = false;
          lock.unlock();
          options.on_quiet();
          lock.lock();
        }
      }
    } while (!closed && wait_for_wakeup(lock));
    --threads;
  }

  // Under the lock.
  void forget(blocking_job& job) noexcept {
    jobs.erase(job);
    --queued;
    if (job.urgent) --urgent;
  }

  // Under the lock.
  [[nodiscard]] bool is_quiet() const noexcept {
    return running == 0 && delivering == 0 && jobs.empty();
  }

  // Under the lock.
  blocking_job* next_job() noexcept {
    if (blocking_job* job = urgent_jobs.pop_front()) return job;
    return running < options.max_threads && !closed ? jobs.pop_front() : nullptr;
  }

  // False: nothing came for `keep_alive`.
  bool wait_for_wakeup(std::unique_lock<std::mutex>& lock) noexcept {
    idle_thread self;
    idle_threads.push_front(self);
    ++idle;
    const auto end = end_of_wait(options.keep_alive);
    if (const auto moment = time_to_spin(); moment.count() != 0) {
      spinner = &self;
      lock.unlock();
      const bool has_come = wait_briefly(moment, [&] { return self.parker.try_park(); });
      lock.lock();
      if (spinner == &self) spinner = nullptr;
      spinning_pays = has_come;
      if (has_come) return true;
    }
    lock.unlock();
    bool woken = true;
    if (end)
      woken = self.wait_until(*end);
    else
      self.parker.park();
    lock.lock();
    if (woken) return true;
    if (self.is_linked()) {
      idle_threads.erase(self);
      --idle;
      return false;
    }
    // It was taken out of the list just when the time was over: that decides, and the wake-up is on
    // its way.
    lock.unlock();
    self.parker.park();
    lock.lock();
    return true;
  }

  // Under the lock: how long a thread spins for the next job before it sleeps. A submitter that
  // waits for one job and then brings the next does so at once if it is awake; and it stays awake
  // if the job was given to a thread that is (`blocking_job::starts_at_once`). So either both sides
  // sleep each time, or neither does. To get from the first state to the second, a thread now and
  // then spins as long as the other side takes to wake.
  std::chrono::microseconds time_to_spin() noexcept {
    using std::chrono::microseconds;
    if (spinner != nullptr) return microseconds(0);
    if (spinning_pays) return microseconds(5);
    return microseconds(++sleeps % 16 == 0 ? 30 : 0);
  }

  // Under the lock; null if there is none. The caller wakes it.
  idle_thread* take_idle() noexcept {
    idle_thread* const thread = spinner != nullptr ? spinner : idle_threads.front();
    if (thread == nullptr) return nullptr;
    idle_threads.erase(*thread);
    if (thread == spinner) spinner = nullptr;
    --idle;
    return thread;
  }

  void thread_ended() noexcept {
    std::optional<pthread_t> previous;
    {
      std::lock_guard lock(mutex);
      if (detaches)
        pthread_detach(pthread_self());
      else
        previous = std::exchange(last_ended, pthread_self());
      --alive;
      if (closed) ended.notify_all();
    }
    join(previous);
  }

  const process_mark process;
  blocking_pool_options options;
  std::mutex mutex;
  std::condition_variable ended;
  intrusive_list<blocking_job, blocking_job_tag> jobs;
  intrusive_list<blocking_job, blocking_job_tag> urgent_jobs;
  std::size_t alive = 0;       // not yet past `thread_ended`
  std::size_t threads = 0;     // of these, the ones that have not decided to end
  std::size_t running = 0;     // of these, in a job that is not urgent
  std::size_t delivering = 0;  // of these, behind such a job
  std::size_t urgent = 0;      // of these, in an urgent job, or wanted for one
  intrusive_list<idle_thread, idle_thread_tag> idle_threads;
  std::size_t idle = 0;            // their number
  idle_thread* spinner = nullptr;  // of these, the one that spins
  bool spinning_pays = false;      // it did the last time
  unsigned sleeps = 0;             // in a row, without spinning before
  std::size_t queued = 0;
  std::optional<pthread_t> last_ended;  // to be joined
  bool tells_quiet = false;
  bool closed = false;
  bool detaches = false;  ///< nobody joins the last one
};

blocking_pool::blocking_pool(blocking_pool_options options)
    : state_(std::make_shared<state>(std::move(options))) {}

blocking_pool::~blocking_pool() { shutdown(clock::time_point::min()); }

result<void> blocking_pool::submit(blocking_job& job) {
  state& s = *state_;
  idle_thread* idle = nullptr;
  {
    std::lock_guard lock(s.mutex);
    if (s.closed && !job.urgent) return error::runtime_shutdown;
    (job.urgent ? s.urgent_jobs : s.jobs).push_back(job);
    ++s.queued;
    if (job.urgent) ++s.urgent;
    job.starts_at_once = s.spinner != nullptr;
    if (s.spinner == nullptr && s.delivering != 0 && s.queued == 1 && !job.urgent) {
      job.starts_at_once = true;
      return {};
    }
    idle = s.take_idle();
    if (idle == nullptr) {
      if (!job.urgent && s.threads >= s.options.max_threads + s.urgent) return {};
      const int failure = s.start_thread();
      // An urgent job must not wait for jobs that may be waiting for it.
      if (failure == 0 || (s.threads > s.urgent && !job.urgent)) return {};
      s.forget(job);
      return std::error_code(failure, std::generic_category());
    }
  }
  idle->parker.unpark();
  return {};
}

bool blocking_pool::try_remove(blocking_job& job) noexcept {
  state& s = *state_;
  std::lock_guard lock(s.mutex);
  if (!job.is_linked()) return false;
  s.forget(job);
  return true;
}

bool blocking_pool::is_quiet_or_tells() noexcept {
  state& s = *state_;
  const std::lock_guard lock(s.mutex);
  const bool quiet = s.is_quiet();
  s.tells_quiet = !quiet;
  return quiet;
}

bool blocking_pool::shutdown(clock::time_point deadline) noexcept {
  const std::shared_ptr<state> keep = state_;
  state& s = *keep;
  std::unique_lock lock(s.mutex);
  s.closed = true;
  while (idle_thread* idle = s.take_idle()) idle->parker.unpark();
  while (blocking_job* job = s.jobs.pop_front()) {
    --s.queued;
    lock.unlock();
    job->cancel(job);
    lock.lock();
  }
  // If the caller is a thread of the pool, it does not wait for itself.
  const std::size_t self = this_thread_pool() == &s ? 1 : 0;
  const auto all_ended = [&] { return s.alive == self; };
  // Threads without a job end at once: only running jobs can exceed the deadline.
  const auto others_ended = [&] { return s.alive <= s.running + s.delivering + s.urgent + self; };
  if (deadline == clock::time_point::max())
    s.ended.wait(lock, all_ended);
  else
    s.ended.wait_until(lock, std::max(deadline, clock::now()), all_ended);
  s.ended.wait(lock, others_ended);

  const bool all = s.alive == 0;
  const std::optional<pthread_t> last = std::exchange(s.last_ended, std::nullopt);
  lock.unlock();
  join(last);
  return all;
}

void blocking_pool::abandon() noexcept {
  state& s = *state_;
  std::unique_lock lock(s.mutex);
  s.detaches = true;
  const std::optional<pthread_t> last = std::exchange(s.last_ended, std::nullopt);
  lock.unlock();
  join(last);
}

bool blocking_pool::runs_on_this_thread() const noexcept {
  return this_thread_pool() == state_.get();
}

blocking_pool::counts blocking_pool::read_counts() const noexcept {
  state& s = *state_;
  std::lock_guard lock(s.mutex);
  return {s.threads, s.idle, s.queued, s.running};
}

}  // namespace kioto::detail
