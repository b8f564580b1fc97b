// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include <kioto/backend.hpp>
#include <kioto/detail/base/saturating.hpp>
#include <kioto/detail/task/spawn_support.hpp>
#include <kioto/detail/task/thread_wait.hpp>
#include <kioto/metrics.hpp>
#include <kioto/result.hpp>
#include <kioto/time/clock.hpp>

namespace kioto {

class handle;
class local_runtime;
class runtime;

/// Passed to the hook for unhandled exceptions: an exception of a task that has no join handle any
/// more.
struct unhandled_exception_info {
  task_id id;
  std::source_location spawned_at;
  std::exception_ptr error;
};

namespace detail {

struct runtime_options {
  std::optional<unsigned> worker_threads;
  bool current_thread = false;
  kioto::backend backend = kioto::backend::automatic;
  std::size_t max_blocking_threads = 512;
  std::chrono::nanoseconds blocking_keep_alive = std::chrono::seconds(10);
  std::size_t thread_stack_size = 0;
  std::string thread_name = "kioto-worker";
  unsigned event_interval = 61;
  std::optional<auto_advance> start_paused;
  std::optional<std::uint64_t> rng_seed;
  std::function<void()> on_thread_start, on_thread_stop, on_thread_park, on_thread_unpark;
  std::function<void(task_id, std::source_location)> on_task_spawn;
  std::function<void(task_id)> on_task_end;
  std::function<void(const unhandled_exception_info&)> on_unhandled_exception;
};

using core_pointer = std::shared_ptr<runtime_core>;

result<core_pointer> make_core(runtime_options options, bool local);
/// Blocks the calling thread until a launched task has ended.
void block_until_done(runtime_core& core, task_header& task);
void check_local_thread(runtime_core& core, const char* what);
/// See `runtime::shutdown`. By value: the runtime may be destroyed meanwhile, by a task of its own.
bool shut_down(core_pointer core, std::chrono::nanoseconds limit) noexcept;
/// Implements the destructors of runtimes.
void let_go(core_pointer core) noexcept;
runtime_metrics read_metrics(runtime_core& core);
std::vector<task_dump> dump_tasks(runtime_core& core);

template <class T>
T block_on_core(runtime_core& core, task<T>&& work, std::source_location where) {
  check_may_block("block_on");
  join_handle<T> root = spawn_on(scheduler_of(core), std::move(work), where);
  task_header* header = join_handle_access::header(root);
  block_until_done(core, *header);
  return join_access::take<T>(*header).value();
}

}  // namespace detail

/// Makes the calling thread part of a runtime for its lifetime, so that `spawn`, sockets and timers
/// work there.
///
/// Guards must be destroyed in reverse order of their creation, on the thread that created them. In
/// a task, a guard must not live across a `co_await` that suspends: other tasks that run on the
/// thread meanwhile would find themselves in the wrong runtime. Either mistake ends the program
/// with a message that says where the guard was created.
class [[nodiscard]] enter_guard {
 public:
  enter_guard(detail::core_pointer core, std::source_location where) noexcept;
  enter_guard(const enter_guard&) = delete;
  enter_guard& operator=(const enter_guard&) = delete;
  ~enter_guard();

  [[nodiscard]] std::source_location made_at() const noexcept { return where_; }

 private:
  detail::core_pointer core_;
  std::source_location where_;
  detail::runtime_core* previous_;
  const enter_guard* outer_;
};

/// A reference to a runtime, usable from any thread. Copyable. It does not keep the runtime
/// running: after shutdown `spawn` returns cancelled tasks.
class handle {
 public:
  /// The runtime of the calling thread. Throws std::logic_error outside of one.
  [[nodiscard]] static handle current();
  [[nodiscard]] static std::optional<handle> try_current() noexcept;

  template <class T>
  join_handle<T> spawn(task<T> work,
                       std::source_location where = std::source_location::current()) const {
    detail::check_local_thread(*core_, "handle::spawn");
    return detail::spawn_on(detail::scheduler_of(*core_), std::move(work), where);
  }
  template <class F, class... Args>
    requires detail::task_factory<F, Args...>
  auto spawn(F&& callable, Args&&... arguments) const {
    return spawn(
        detail::make_owning_task(std::forward<F>(callable), std::forward<Args>(arguments)...),
        std::source_location());
  }
  /// Runs a blocking callable on the blocking pool. See `kioto::spawn_blocking`.
  template <class F, class... Args>
  auto spawn_blocking(F&& callable, Args&&... arguments) const;

  /// Blocks the calling thread until the task has ended; returns its result. Throws
  /// std::logic_error inside a task, and `task_cancelled` if the task was cancelled.
  template <class T>
  T block_on(task<T> work, std::source_location where = std::source_location::current()) const {
    detail::check_local_thread(*core_, "handle::block_on");
    return detail::block_on_core(*core_, std::move(work), where);
  }

  enter_guard enter(std::source_location where = std::source_location::current()) const {
    return enter_guard(core_, where);
  }
  [[nodiscard]] runtime_metrics metrics() const { return detail::read_metrics(*core_); }
  [[nodiscard]] std::vector<task_dump> dump() const { return detail::dump_tasks(*core_); }

 private:
  friend class runtime;
  friend class local_runtime;
  explicit handle(detail::core_pointer core) noexcept : core_(std::move(core)) {}

  detail::core_pointer core_;
};

/// The settings of a runtime. Each has a default that suits a server.
class runtime_builder {
 public:
  /// The number of threads that run tasks; at least 1. Default: `KIOTO_WORKER_THREADS` if set,
  /// otherwise `available_parallelism()`.
  runtime_builder& worker_threads(unsigned count) { return set(options_.worker_threads, count); }
  /// One thread, the one that calls `block_on`, runs everything.
  runtime_builder& current_thread() { return set(options_.current_thread, true); }
  /// Default: the one that the environment variable `KIOTO_BACKEND` names, if it is set, else
  /// epoll, the only one so far. `metrics()` says which one is in use, and why.
  runtime_builder& backend(kioto::backend which) { return set(options_.backend, which); }
  /// The maximum number of threads for `spawn_blocking`, besides the workers. Default 512.
  runtime_builder& max_blocking_threads(std::size_t count) {
    return set(options_.max_blocking_threads, count);
  }
  /// How long an idle blocking thread is kept. Default 10 s.
  template <class Rep, class Period>
  runtime_builder& blocking_keep_alive(std::chrono::duration<Rep, Period> time) {
    return set(options_.blocking_keep_alive, detail::saturate(time));
  }
  /// The stack size of each thread in bytes; 0, the default, means that of the system.
  runtime_builder& thread_stack_size(std::size_t bytes) {
    return set(options_.thread_stack_size, bytes);
  }
  /// The name of workers and blocking threads; Linux shows the first 15 characters.
  runtime_builder& thread_name(std::string name) {
    return set(options_.thread_name, std::move(name));
  }
  /// The number of task runs between two polls of the reactor by a worker that never sleeps; more
  /// if together they take less than 10 us. Default 61.
  runtime_builder& event_interval(unsigned runs) { return set(options_.event_interval, runs); }

  /// For tests: the clock stands still from the beginning, see `time::pause`. Only for
  /// current-thread and local runtimes; `build` throws std::logic_error for others.
  runtime_builder& start_paused(auto_advance by_itself = auto_advance::on) {
    return set(options_.start_paused, by_itself);
  }
  /// For tests: the order in which ready tasks run, and in which the branches of a `select` start,
  /// becomes a function of the seed. With the same seed and a paused clock, a program without input
  /// from outside runs in the same way each time; other seeds give other interleavings. Without a
  /// seed ready tasks run in FIFO order. Only for current-thread and local runtimes; `build` throws
  /// std::logic_error for others.
  runtime_builder& rng_seed(std::uint64_t seed) { return set(options_.rng_seed, seed); }

  // Hooks. They run on the thread in question and must not throw.
  runtime_builder& on_thread_start(std::function<void()> f) {
    return set(options_.on_thread_start, std::move(f));
  }
  runtime_builder& on_thread_stop(std::function<void()> f) {
    return set(options_.on_thread_stop, std::move(f));
  }
  runtime_builder& on_thread_park(std::function<void()> f) {
    return set(options_.on_thread_park, std::move(f));
  }
  runtime_builder& on_thread_unpark(std::function<void()> f) {
    return set(options_.on_thread_unpark, std::move(f));
  }
  runtime_builder& on_task_spawn(std::function<void(task_id, std::source_location)> f) {
    return set(options_.on_task_spawn, std::move(f));
  }
  runtime_builder& on_task_end(std::function<void(task_id)> f) {
    return set(options_.on_task_end, std::move(f));
  }
  /// Replaces the default, which prints one line to stderr.
  runtime_builder& on_unhandled_exception(std::function<void(const unhandled_exception_info&)> f) {
    return set(options_.on_unhandled_exception, std::move(f));
  }

  /// Errors: one that equals std::errc::invalid_argument, and whose message names the setting, for
  /// an invalid setting (0 workers, 0 events, an environment variable whose value does not parse);
  /// one that equals std::errc::not_supported, and whose message names the available backends, for
  /// a backend that is not in this build; and the error of the system if there are not enough
  /// threads or descriptors.
  [[nodiscard]] result<runtime> build();
  /// A runtime whose tasks never leave the calling thread.
  [[nodiscard]] result<local_runtime> build_local();

 private:
  template <class Field, class Value>
  runtime_builder& set(Field& field, Value&& value) {
    field = std::forward<Value>(value);
    return *this;
  }
  detail::runtime_options options_;
};

/// Threads that run tasks, with a reactor, timers and a blocking pool.
///
/// - Destruction shuts down without a time limit: no new tasks are accepted; every task is
///   cancelled, and its frame destroyed; then the reactor ends and the blocking pool is joined.
///   Every I/O operation after that fails with `error::runtime_shutdown`.
/// - What may delay it: a running blocking call; a task that does not reach a suspension, or
///   continues after each stop; and a shielded operation, until it completes. A shielded task keeps
///   its timers, while its I/O fails with `error::runtime_shutdown` after some milliseconds: so
///   what is bounded by a timeout stays bounded.
/// - If an earlier `shutdown` has missed its time limit, the destructor does not wait again. It
///   ends what can be ended without waiting, names the rest on stderr, and leaves it to the
///   workers; that of a current-thread runtime is left to a thread that the destructor starts.
/// - Destroying the runtime from within one of its own tasks or blocking calls cannot wait for
///   them: the shutdown then continues in the background in the same way, and a line on stderr says
///   so.
/// - In a child of fork() the runtime may be destroyed, which waits for nothing and does not touch
///   what the parent uses; anything else throws std::logic_error. The child may build a runtime of
///   its own. A task that called fork() must end the child process before the task suspends or
///   returns there.
/// - Thread safety: all members but the destructor and moves may be called from any thread.
class runtime {
 public:
  [[nodiscard]] static runtime_builder builder() { return {}; }

  runtime(runtime&&) noexcept = default;
  runtime& operator=(runtime&& other) noexcept;
  ~runtime();

  /// Runs a task and waits for its result; other tasks run meanwhile. With workers, the task runs
  /// on one of them; the current-thread runtime runs all its tasks on the calling thread. Rethrows
  /// what the task throws.
  template <class T>
  T block_on(task<T> work, std::source_location where = std::source_location::current()) {
    return detail::block_on_core(*core_, std::move(work), where);
  }
  template <class F, class... Args>
    requires detail::task_factory<F, Args...>
  auto block_on(F&& callable, Args&&... arguments) {
    return block_on(
        detail::make_owning_task(std::forward<F>(callable), std::forward<Args>(arguments)...),
        std::source_location());
  }
  template <class T>
  join_handle<T> spawn(task<T> work, std::source_location where = std::source_location::current()) {
    return detail::spawn_on(detail::scheduler_of(*core_), std::move(work), where);
  }
  template <class F, class... Args>
    requires detail::task_factory<F, Args...>
  auto spawn(F&& callable, Args&&... arguments) {
    return spawn(
        detail::make_owning_task(std::forward<F>(callable), std::forward<Args>(arguments)...),
        std::source_location());
  }
  template <class F, class... Args>
  auto spawn_blocking(F&& callable, Args&&... arguments);

  [[nodiscard]] kioto::handle handle() const { return kioto::handle(core_); }
  enter_guard enter(std::source_location where = std::source_location::current()) const {
    return enter_guard(core_, where);
  }
  [[nodiscard]] runtime_metrics metrics() const { return detail::read_metrics(*core_); }
  /// Every task with its id, spawn location and await chain; see `task_dump`.
  [[nodiscard]] std::vector<task_dump> dump() const { return detail::dump_tasks(*core_); }

  /// Shuts down, and waits for at most `limit`.
  ///
  /// - Returns true if no task and no thread is left. Returns false if something is left, see
  ///   above; it is named on stderr, unless the limit is zero. It continues in the background; the
  ///   tasks of a current-thread runtime continue at the next call of `shutdown`, or when the
  ///   runtime is destroyed.
  /// - May be called again, from any thread, to wait longer.
  /// - From within a task or a blocking call of the runtime it does not wait, and returns false.
  /// - A limit beyond the range of the clock means no limit.
  template <class Rep, class Period>
  bool shutdown(std::chrono::duration<Rep, Period> limit) noexcept {
    return detail::shut_down(core_, detail::saturate(limit));
  }
  /// Shuts down without waiting.
  void shutdown_background() noexcept { shutdown(std::chrono::nanoseconds(0)); }

 private:
  friend class runtime_builder;
  explicit runtime(detail::core_pointer core) noexcept : core_(std::move(core)) {}

  detail::core_pointer core_;
};

/// A runtime on one thread, the one that builds it: tasks never move to another thread, need no
/// synchronisation among each other, and are destroyed on that thread, even if another thread
/// aborts them.
///
/// `block_on`, `spawn` and `spawn_blocking` throw std::logic_error on any other thread, including
/// the runtime's own blocking threads; shutting it down on another thread ends the program with a
/// message. Abort handles and wake-ups work from any thread. In a shutdown, the callable of a
/// `spawn_blocking` may be destroyed on the thread where it ran.
///
/// Its end is that of a `runtime`, except that nothing continues in the background. If it is
/// destroyed by a task of its own, it ends before that `block_on` returns. If it is destroyed after
/// a `shutdown` that missed its limit, timers fire at once; a task that is shielded and waits for
/// something else is named on stderr, and never destroyed.
class local_runtime {
 public:
  local_runtime(local_runtime&&) noexcept = default;
  local_runtime& operator=(local_runtime&&) = delete;
  ~local_runtime();

  template <class T>
  T block_on(task<T> work, std::source_location where = std::source_location::current()) {
    detail::check_local_thread(*core_, "local_runtime::block_on");
    return detail::block_on_core(*core_, std::move(work), where);
  }
  template <class F, class... Args>
    requires detail::task_factory<F, Args...>
  auto block_on(F&& callable, Args&&... arguments) {
    return block_on(
        detail::make_owning_task(std::forward<F>(callable), std::forward<Args>(arguments)...),
        std::source_location());
  }
  template <class T>
  join_handle<T> spawn(task<T> work, std::source_location where = std::source_location::current()) {
    detail::check_local_thread(*core_, "local_runtime::spawn");
    return detail::spawn_on(detail::scheduler_of(*core_), std::move(work), where);
  }
  template <class F, class... Args>
    requires detail::task_factory<F, Args...>
  auto spawn(F&& callable, Args&&... arguments) {
    return spawn(
        detail::make_owning_task(std::forward<F>(callable), std::forward<Args>(arguments)...),
        std::source_location());
  }

  [[nodiscard]] kioto::handle handle() const { return kioto::handle(core_); }
  enter_guard enter(std::source_location where = std::source_location::current()) const {
    return enter_guard(core_, where);
  }
  [[nodiscard]] runtime_metrics metrics() const { return detail::read_metrics(*core_); }
  [[nodiscard]] std::vector<task_dump> dump() const { return detail::dump_tasks(*core_); }
  /// See `runtime::shutdown`.
  template <class Rep, class Period>
  bool shutdown(std::chrono::duration<Rep, Period> limit) noexcept {
    return detail::shut_down(core_, detail::saturate(limit));
  }

 private:
  friend class runtime_builder;
  explicit local_runtime(detail::core_pointer core) noexcept : core_(std::move(core)) {}

  detail::core_pointer core_;
};

/// Builds a multi-thread runtime with default settings, runs the task on it, shuts the runtime down
/// and returns the result. Throws std::system_error if the runtime cannot be built.
template <class T>
T run(task<T> work, std::source_location where = std::source_location::current()) {
  auto built = runtime::builder().build();
  return std::move(built).value().block_on(std::move(work), where);
}
template <class F, class... Args>
  requires detail::task_factory<F, Args...>
auto run(F&& callable, Args&&... arguments) {
  return run(detail::make_owning_task(std::forward<F>(callable), std::forward<Args>(arguments)...),
             std::source_location());
}

}  // namespace kioto
