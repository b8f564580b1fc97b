// SPDX-License-Identifier: MIT
#include <kioto/runtime.hpp>

#include <algorithm>
#include <cstdio>
#include <new>
#include <ostream>
#include <stdexcept>
#include <string>

#include <fmt/format.h>

#include <kioto/blocking.hpp>
#include <kioto/detail/task/promise.hpp>
#include <kioto/parallelism.hpp>
#include <kioto/time/sleep.hpp>

#include "driver/backend_choice.hpp"
#include "scheduler/core.hpp"
#include "scheduler/current_thread.hpp"
#include "scheduler/multi_thread.hpp"
#include "scheduler/os_thread.hpp"

namespace kioto {
namespace detail {

constinit thread_local thread_state state_of_this_thread;
thread_state& this_thread() noexcept { return state_of_this_thread; }

namespace {

[[noreturn]] void throw_outside(const char* what) {
  throw std::logic_error(
      fmt::format("{} was called outside of a kioto runtime: call it from a task (kioto::run, "
                  "runtime::block_on), or enter a runtime first with runtime::enter()",
                  what));
}

// Calls `print` with the text of an exception. Allocates nothing: the exception may be that there
// is no memory.
template <class Print>
void describe(std::exception_ptr error, Print&& print) noexcept {
  try {
    std::rethrow_exception(std::move(error));
  } catch (const std::exception& e) {
    print(e.what());
  } catch (...) {
    print("an exception that is not a std::exception");
  }
}

// What is wrong with a setting of the builder.
enum class bad_setting : int { worker_threads = 1, event_interval, max_blocking_threads };

class setting_category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "kioto.runtime_builder"; }
  std::string message(int which) const override {
    switch (static_cast<bad_setting>(which)) {
      case bad_setting::worker_threads:
        return fmt::format(
            "runtime_builder::worker_threads must be from 1 to {}; without it there is one for "
            "each "
            "processor",
            max_worker_threads);
      case bad_setting::event_interval:
        return "runtime_builder::event_interval must be at least 1: the reactor would get no turn";
      case bad_setting::max_blocking_threads:
        return "runtime_builder::max_blocking_threads must be at least 1: nothing could run";
    }
    return "unknown setting";
  }
  std::error_condition default_error_condition(int) const noexcept override {
    return std::make_error_condition(std::errc::invalid_argument);
  }
};

std::error_code refused(bad_setting which) noexcept {
  static const setting_category category;
  return {static_cast<int>(which), category};
}

blocking_pool_options blocking_options_of(runtime_core& core) {
  blocking_pool_options out;
  out.max_threads = core.options.max_blocking_threads;
  out.keep_alive = core.options.blocking_keep_alive;
  out.thread_name = core.options.thread_name;
  out.stack_size = core.options.thread_stack_size;
  out.owner = [&core] { return core.shared_from_this(); };
  out.on_thread_start = [&core] {
    this_thread().runtime = &core;
    if (core.options.on_thread_start) core.options.on_thread_start();
  };
  out.on_thread_stop = [&core] {
    if (core.options.on_thread_stop) core.options.on_thread_stop();
  };
  out.on_quiet = [&core] { core.home->wake_all(); };
  return out;
}

}  // namespace

std::uint64_t next_task_id(thread_state& thread) noexcept {
  // Each thread takes a block of ids, so that spawning threads do not contend for a cache line.
  constexpr std::uint64_t block = 256;
  static constinit std::atomic<std::uint64_t> blocks{1};
  if (thread.next_id == thread.last_id) {
    thread.next_id = blocks.fetch_add(block, std::memory_order_relaxed);
    thread.last_id = thread.next_id + block;
  }
  return thread.next_id++;
}

runtime_core::runtime_core(runtime_options with, std::size_t threads, reactor_pointer io_reactor,
                           std::string backend_reason_text)
    : options(std::move(with)),
      backend_reason(std::move(backend_reason_text)),
      owned(threads),
      io(std::move(io_reactor)),
      blocking(blocking_options_of(*this)),
      owner(std::this_thread::get_id()) {}

void runtime_core::leave_behind() noexcept {
  // Reachable from here, so that leak checkers do not take it for lost.
  static constinit std::atomic<runtime_core*> all{nullptr};
  self_ = shared_from_this();
  blocking.abandon();
  next_left_behind_ = all.load(std::memory_order_relaxed);
  while (!all.compare_exchange_weak(next_left_behind_, this, std::memory_order_release,
                                    std::memory_order_relaxed)) {
  }
}

// Only its descriptors are closed, of which the parent has its own; nothing else of it is touched.
void runtime_core::abandon() noexcept {
  if (self_ != nullptr) return;
  leave_behind();
  io->abandon();
}

static inline runtime_core& entered_core(const char* what) {
  runtime_core* core = state_of_this_thread.runtime;
  if (core == nullptr) throw_outside(what);
  if (is_forked_child() && core->process.is_inherited()) [[unlikely]]
    throw_inherited(what);
  return *core;
}

KIOTO_NOINLINE runtime_core& current_core(const char* what) { return entered_core(what); }
reactor& current_reactor(const char* what) { return *current_core(what).io; }

KIOTO_NOINLINE scheduler& current_scheduler(const char* what) {
  runtime_core& core = entered_core(what);
  if (core.is_local) [[unlikely]]
    check_local_thread(core, what);
  return *core.home;
}

scheduler& scheduler_of(runtime_core& core) {
  if (is_forked_child() && core.process.is_inherited()) [[unlikely]]
    throw_inherited("spawn or block_on");
  return *core.home;
}
bool is_inherited(const scheduler& home) noexcept {
  return is_forked_child() && home.core().process.is_inherited();
}
void throw_unfinished(task_header& task) {
  if (is_inherited(*task.scheduler_)) throw_inherited("awaiting a join_handle");
  throw_bad_join(
      "a join_handle was awaited while somebody else waits for it: await it in one place, and tell "
      "the others with a set_once or a watch");
}

KIOTO_NOINLINE void reschedule(task_header& task) noexcept {
  executor* current = state_of_this_thread.current;
  if (current != nullptr)
    current->defer(task);
  else
    task.scheduler_->schedule_remote(task);
}

std::uint64_t fresh_seed() noexcept {
  static std::atomic<std::uint64_t> count{0};
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  return static_cast<std::uint64_t>(now) + (count.fetch_add(1, std::memory_order_relaxed) << 48);
}

std::uint32_t runtime_random(task_header& task) noexcept { return task.scheduler_->random(); }

// False if the runtime shuts down; then the task has ended.
static inline bool admit(thread_state& thread, task_header& task) noexcept {
  runtime_core& core = task.scheduler_->core();
  task.id_ = next_task_id(thread);
  const std::size_t shard = thread.current != nullptr ? thread.current->shard() : task.id_ >> 8;
  if (!core.owned.insert(task, shard)) [[unlikely]] {
    task.refuse();
    return false;
  }
  if (core.options.on_task_spawn) [[unlikely]]
    core.options.on_task_spawn(task_id(task.id_), task.where_.load(std::memory_order_relaxed));
  return true;
}

KIOTO_NOINLINE void launch(task_header& task) noexcept {
  thread_state& thread = state_of_this_thread;
  if (admit(thread, task)) [[likely]]
    schedule_task(thread, task);
}

KIOTO_NOINLINE void launch_here(task_header& task) noexcept {
  if (admit(state_of_this_thread, task)) [[likely]]
    run_here(task);
}

// The destructors of the callable and its arguments run on behalf of this task. They must not use
// an executor of another runtime, nor hand it over by block_in_place().
KIOTO_NOINLINE void run_here(task_header& task) noexcept {
  thread_state& thread = state_of_this_thread;
  runtime_core& core = task.scheduler_->core();
  executor* const other = thread.current != nullptr && thread.current->home() != core.home.get()
                              ? std::exchange(thread.current, nullptr)
                              : nullptr;
  runtime_core* const runtime = std::exchange(thread.runtime, &core);
  task_header* const running = thread.running;
  // What the caller is inside of is none of this run's business.
  const unsigned marks = std::exchange(thread.marks, 0U);
  const enter_guard* const guard = std::exchange(thread.guard, nullptr);
  run_task(thread, task, false);
  thread.runtime = runtime;
  thread.running = running;
  thread.marks = marks;
  thread.guard = guard;
  if (other != nullptr) thread.current = other;
}

void scheduler::report_end(task_header& task) noexcept {
  core_.options.on_task_end(task_id(task.id_));
}
void scheduler::task_ended_in_shutdown() noexcept {
  if (core_.owned.empty()) wake_all();
}

void report_unobserved(task_header& task, runtime_core* core) noexcept {
  if (task.is_reported_) return;
  std::exception_ptr error;
  task.manage_result_(task, task_header::manage::read_error, &error);
  report_exception(task, core, std::move(error));
}

void report_exception(task_header& task, runtime_core* core, std::exception_ptr error) noexcept {
  const std::source_location where = task.where_.load(std::memory_order_relaxed);
  if (core != nullptr && core->options.on_unhandled_exception) {
    core->options.on_unhandled_exception({task_id(task.id_), where, std::move(error)});
    return;
  }
  describe(std::move(error), [&](const char* what) {
    std::fprintf(stderr,
                 "kioto: task %llu, spawned at %s:%u: an exception that nobody awaits: %s\n",
                 static_cast<unsigned long long>(task.id_), where.file_name(),
                 static_cast<unsigned>(where.line()), what);
  });
}

void report_exception_here(std::exception_ptr error) noexcept {
  const thread_state& thread = this_thread();
  if (thread.running != nullptr) {
    task_header& task = *thread.running;
    return report_exception(task, &task.scheduler_->core(), std::move(error));
  }
  describe(std::move(error), [](const char* what) {
    std::fprintf(stderr, "kioto: an exception that nobody awaits: %s\n", what);
  });
}

void die_of_destructor(task_header* task) noexcept {
  if (task == nullptr) task = this_thread().running;
  const auto print = [task](const char* what) {
    if (task == nullptr) {
      std::fputs("kioto: outside of a task", stderr);
    } else {
      const std::source_location where = task->where_.load(std::memory_order_relaxed);
      std::fprintf(stderr, "kioto: task %llu, spawned at %s:%u",
                   static_cast<unsigned long long>(task->id_), where.file_name(),
                   static_cast<unsigned>(where.line()));
    }
    std::fprintf(stderr,
                 ": a destructor threw an exception while a coroutine or a result of it was "
                 "destroyed, where nobody can catch it: %s\n",
                 what);
  };
  if (const std::exception_ptr error = std::current_exception())
    describe(error, print);
  else
    print("unknown");
  std::terminate();
}

void check_local_thread(runtime_core& core, const char* what) {
  if (core.is_local && std::this_thread::get_id() != core.owner)
    throw std::logic_error(
        fmt::format("{} was called on another thread than the one that built the local runtime, "
                    "which its tasks "
                    "never leave: use a current_thread or multi-thread runtime instead",
                    what));
}

void block_until_done(runtime_core& core, task_header& task) {
  // The task may drop the last reference to the runtime.
  const core_pointer keep = core.shared_from_this();
  core.home->block_until_done(task);
  if (core.is_local) [[unlikely]]
    let_go(core.take_let_go());
}

result<core_pointer> make_core(runtime_options options, bool local) {
  if (options.event_interval == 0) return refused(bad_setting::event_interval);
  if (options.max_blocking_threads == 0) return refused(bad_setting::max_blocking_threads);
  std::size_t workers = 1;
  const bool multi_thread = !options.current_thread && !local;
  if (multi_thread && (options.start_paused || options.rng_seed))
    throw std::logic_error(
        fmt::format("runtime_builder::{} was used for a multi-thread runtime, which it cannot make "
                    "reproducible: call current_thread(), too, or build_local()",
                    options.start_paused ? "start_paused" : "rng_seed"));
  if (multi_thread) {
    if (options.worker_threads) {
      workers = *options.worker_threads;
    } else {
      const auto found = worker_threads_from_environment(available_parallelism());
      if (!found) return found.error();
      workers = *found;
    }
    if (workers == 0 || workers > max_worker_threads) return refused(bad_setting::worker_threads);
    options.worker_threads = static_cast<unsigned>(workers);
  }
  auto chosen = choose_backend(options.backend);
  if (!chosen) return chosen.error();
  watch_forks();
  auto io = reactor::create(chosen->which);
  if (!io) return io.error();
  auto core = std::make_shared<runtime_core>(std::move(options), workers, std::move(*io),
                                             std::move(chosen->reason));
  core->is_local = local;
  core->is_multi_thread = multi_thread;
  if (core->options.start_paused) core->clock.pause(*core->options.start_paused);
  if (!multi_thread) {
    core->home = std::make_unique<current_thread_scheduler>(*core);
    return core;
  }
  auto threads = std::make_unique<multi_thread_scheduler>(*core, workers);
  multi_thread_scheduler& started = *threads;
  core->home = std::move(threads);
  if (const std::error_code error = started.start()) {
    let_go(core);
    return error;
  }
  return core;
}

namespace {

// The reactor and the timers go on for a moment, so that most tasks can end in an orderly way.
constexpr auto moment_of_peace = std::chrono::milliseconds(20);

bool is_inside(const runtime_core& core) noexcept {
  return core.home->runs_on_this_thread() || core.calls.runs_on_this_thread() ||
         core.blocking.runs_on_this_thread();
}

void check_thread_of_end(const runtime_core& core) noexcept {
  if (!core.is_local || std::this_thread::get_id() == core.owner) return;
  std::fputs(
      "kioto: a local runtime was shut down on another thread than the "
      "thread that built it, where its tasks have to be destroyed\n",
      stderr);
  std::terminate();
}

void end_drivers(runtime_core& core) noexcept {
  core.io->shutdown();
  core.timers.shutdown();
}

// Order: no new tasks are admitted; every task is asked to stop; their frames are destroyed. After
// a moment the reactor ends, and with it the shielded operations that wait for I/O. The timers go
// on as long as there are tasks: a shielded wait that is bounded by one must come to its end. Then
// the timers and the blocking pool end.
//
// Each step can be repeated, also by several threads at the same time. True if nothing is left.
bool try_to_end(runtime_core& core, std::optional<std::chrono::nanoseconds> limit) noexcept {
  using std::chrono::steady_clock;
  if (core.process.is_inherited()) {
    core.abandon();  // nothing of it runs here
    return true;
  }
  if (core.has_ended.load(std::memory_order_acquire)) return true;
  check_thread_of_end(core);
  std::optional<steady_clock::time_point> deadline;
  if (limit) deadline = saturating_add(steady_clock::now(), *limit);
  if (deadline == steady_clock::time_point::max()) deadline.reset();

  core.owned.close();
  core.shutting_down.store(true, std::memory_order_release);
  core.owned.abort_all();
  core.home->wake_all();

  const bool inside = is_inside(core);
  if (inside) {
    if (!core.told_inside.exchange(true, std::memory_order_relaxed))
      std::fprintf(stderr,
                   "kioto: a runtime was shut down from within one of its own tasks or blocking "
                   "calls, which cannot wait for itself: the shutdown goes on %s\n",
                   core.is_local ? "when this thread runs no task of it" : "in the background");
    deadline = steady_clock::now();
  }
  // On a thread of a current-thread runtime this is called by a task, so the thread cannot run
  // others.
  const bool may_wait = !inside || core.is_multi_thread;
  auto peace = steady_clock::now() + moment_of_peace;
  if (deadline) peace = std::min(peace, *deadline);
  bool drained = may_wait && core.home->drain(peace);
  if (!drained) {
    core.io->shutdown();
    drained = may_wait && core.home->drain(deadline);
  }
  if (drained) {
    const std::lock_guard lock(core.joining);
    core.home->join_threads();
    end_drivers(core);
  }
  const bool pool_ended =
      core.blocking.shutdown(deadline.value_or(steady_clock::time_point::max()));
  if (!drained || !pool_ended) {
    if (!inside) core.was_left.store(true, std::memory_order_relaxed);
    return false;
  }
  core.has_ended.store(true, std::memory_order_release);
  return true;
}

// Runs the tasks of a current-thread runtime to their end on a thread of their own.
bool drain_in_background(runtime_core& core) noexcept {
  os_thread thread;
  const auto failed = thread.start(core, [&core] {
    core.home->drain(std::nullopt);
    end_drivers(core);
  });
  if (failed) return false;
  thread.detach();
  return true;
}

}  // namespace

// By value: the owner of the runtime may be one of the tasks that end here.
// NOLINTNEXTLINE(performance-unnecessary-value-param)
bool shut_down(core_pointer core, std::chrono::nanoseconds limit) noexcept {
  if (core == nullptr) return true;
  const bool all = try_to_end(*core, limit);
  if (is_inside(*core)) return all;
  if (!all && limit > std::chrono::nanoseconds::zero())
    name_what_is_left(*core, "the shutdown of a runtime has missed its time limit; this is left");
  // One of the tasks that have just ended may have dropped the runtime.
  if (core->is_local) let_go(core->take_let_go());
  return all;
}

// Ends a current-thread runtime without waiting: what is ready is run. True if nothing is left.
//
// The tasks of a local runtime cannot go on in another thread, so its timers fire at once, those
// that are set from now on as well, and what is bounded by a timer ends. Last come waits for a time
// that never comes.
static bool end_without_waiting(runtime_core& core) noexcept {
  auto& home = static_cast<current_thread_scheduler&>(*core.home);
  if (home.drain_ready()) return true;
  if (!core.is_local) return false;
  core.timers.process(std::chrono::steady_clock::time_point::max());
  if (home.drain_ready()) return true;
  core.timers.shutdown();
  return home.drain_ready();
}

// By value, as above.
// NOLINTNEXTLINE(performance-unnecessary-value-param)
void let_go(core_pointer core) noexcept {
  if (core == nullptr) return;
  // A caller that has set a time limit, which was missed, does not want to wait here, either.
  std::optional<std::chrono::nanoseconds> limit;
  if (core->was_left.load(std::memory_order_relaxed)) limit = moment_of_peace;
  if (try_to_end(*core, limit)) return;

  const bool inside = is_inside(*core);
  bool goes_on = core->is_multi_thread;  // the workers do, and keep the core
  if (!goes_on && core->is_local && inside) return core->let_go_later();
  if (!goes_on && !inside) {
    if (end_without_waiting(*core)) {
      end_drivers(*core);
      goes_on = true;  // if something is left at all, then threads of the pool, which keep the core
      if (core->blocking.shutdown(std::chrono::steady_clock::now())) return;
    }
  }
  if (!inside)
    name_what_is_left(*core, "a runtime was destroyed after a shutdown that has left something");
  if (goes_on || (!core->is_local && drain_in_background(*core))) return;
  core->leave_behind();
}

runtime_metrics read_metrics(runtime_core& core) {
  if (core.process.is_inherited()) throw_inherited("metrics");
  runtime_metrics out;
  out.backend = core.io->backend_name();
  out.backend_reason = core.backend_reason;
  core.home->read_metrics(out);
  out.tasks_alive = core.owned.alive();
  out.tasks_spawned = core.owned.spawned();
  const auto pool = core.blocking.read_counts();
  out.blocking_threads = pool.threads;
  out.blocking_threads_idle = pool.idle;
  out.blocking_queue_depth = pool.queued;
  const auto io = core.io->metrics();
  out.descriptors_registered = io.registered;
  out.descriptors_deregistered = io.deregistered;
  out.readiness_events = io.ready_events;
  return out;
}

void throw_task_cancelled(std::uint64_t id) { throw task_cancelled(task_id(id)); }
void throw_bad_join(const char* what) { throw std::logic_error(what); }
void die_empty_task() noexcept {
  std::fputs("kioto: an empty task was awaited or spawned: it was moved from, or used before\n",
             stderr);
  std::terminate();
}

}  // namespace detail

task_cancelled::task_cancelled(task_id id)
    : std::runtime_error(fmt::format("kioto: task {} was cancelled", id)), id_(id) {}

std::ostream& operator<<(std::ostream& out, task_id id) { return out << id.value(); }

task_id current_task_id() noexcept {
  const detail::task_header* task = detail::this_thread().running;
  return task_id(task != nullptr ? task->id_ : 0);
}

enter_guard::enter_guard(detail::core_pointer core, std::source_location where) noexcept
    : core_(std::move(core)), where_(where) {
  detail::thread_state& thread = detail::this_thread();
  previous_ = std::exchange(thread.runtime, core_.get());
  outer_ = std::exchange(thread.guard, this);
  thread.marks |= detail::thread_state::guarded;
}
enter_guard::~enter_guard() {
  detail::thread_state& thread = detail::this_thread();
  if (thread.guard != this) {
    std::fprintf(
        stderr,
        "kioto: the enter_guard that was made at %s:%u was destroyed on another thread, or "
        "before a later one: it must not live across a co_await\n",
        where_.file_name(), static_cast<unsigned>(where_.line()));
    std::terminate();
  }
  thread.leave_guards(outer_);
  thread.runtime = previous_;
}

void detail::end_marked_run(thread_state& thread) noexcept {
  if (thread.guard == nullptr) {
    thread.marks = 0;
    return;
  }
  const std::source_location where = thread.guard->made_at();
  std::fprintf(stderr,
               "kioto: the enter_guard that was made at %s:%u outlived the run of the task that "
               "made it: end its scope before the next co_await, or use handle::spawn instead\n",
               where.file_name(), static_cast<unsigned>(where.line()));
  std::terminate();
}

std::optional<handle> handle::try_current() noexcept {
  detail::runtime_core* core = detail::this_thread().runtime;
  if (core == nullptr || core->process.is_inherited()) return std::nullopt;
  return handle(core->shared_from_this());
}
handle handle::current() {
  auto found = try_current();
  if (!found) detail::current_core("handle::current");
  return std::move(*found);
}

result<runtime> runtime_builder::build() {
  auto core = detail::make_core(options_, false);
  if (!core) return core.error();
  return runtime(std::move(*core));
}
result<local_runtime> runtime_builder::build_local() {
  auto core = detail::make_core(options_, true);
  if (!core) return core.error();
  return local_runtime(std::move(*core));
}

runtime& runtime::operator=(runtime&& other) noexcept {
  if (this != &other) {
    detail::let_go(std::move(core_));
    core_ = std::move(other.core_);
  }
  return *this;
}
runtime::~runtime() { detail::let_go(std::move(core_)); }
local_runtime::~local_runtime() { detail::let_go(std::move(core_)); }

}  // namespace kioto

auto fmt::formatter<kioto::task_id>::format(kioto::task_id id, fmt::format_context& context) const
    -> fmt::format_context::iterator {
  return fmt::formatter<std::uint64_t>::format(id.value(), context);
}
