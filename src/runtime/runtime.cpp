// SPDX-License-Identifier: MIT
#include <kioto/runtime.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <ostream>
#include <stdexcept>
#include <string>

#include <fmt/format.h>

#include <kioto/detail/promise.hpp>
#include <kioto/parallelism.hpp>
#include <kioto/time/sleep.hpp>

#include "core.hpp"
#include "current_thread.hpp"
#include "multi_thread.hpp"

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

struct chosen_backend {
  backend which = backend::epoll;
  std::string reason;
};

result<chosen_backend> choose_backend(backend wanted) {
  chosen_backend out;
  out.reason = "chosen by the builder";
  if (wanted == backend::automatic) {
    const char* name = std::getenv("KIOTO_BACKEND");
    if (name == nullptr || std::strcmp(name, "automatic") == 0 || *name == '\0') {
      out.reason = "automatic: epoll is the default on Linux";
      return out;
    }
    out.reason = "chosen by KIOTO_BACKEND";
    if (std::strcmp(name, "epoll") == 0)
      wanted = backend::epoll;
    else if (std::strcmp(name, "io_uring") == 0)
      wanted = backend::io_uring;
    else if (std::strcmp(name, "kqueue") == 0)
      wanted = backend::kqueue;
    else
      return std::errc::invalid_argument;
  }
  if (wanted != backend::epoll) return std::errc::not_supported;
  return out;
}

std::string describe(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception that is not a std::exception";
  }
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
  // A block of ids for each thread, so that spawning threads do not share a cache line.
  constexpr std::uint64_t block = 256;
  static constinit std::atomic<std::uint64_t> blocks{1};
  if (thread.next_id == thread.last_id) {
    thread.next_id = blocks.fetch_add(block, std::memory_order_relaxed);
    thread.last_id = thread.next_id + block;
  }
  return thread.next_id++;
}

runtime_core::runtime_core(runtime_options with, std::size_t threads, io_driver_pointer driver,
                           std::string backend_reason_text)
    : options(std::move(with)),
      backend_reason(std::move(backend_reason_text)),
      owned(threads),
      io(std::move(driver)),
      blocking(blocking_options_of(*this)),
      owner(std::this_thread::get_id()) {}

void runtime_core::leave_behind() noexcept {
  // Reachable from here, so that leak checkers do not take it for lost.
  static constinit std::atomic<runtime_core*> all{nullptr};
  self_ = shared_from_this();
  next_left_behind_ = all.load(std::memory_order_relaxed);
  while (!all.compare_exchange_weak(next_left_behind_, this, std::memory_order_release,
                                    std::memory_order_relaxed)) {
  }
}

// Nothing of it is touched but its descriptors, of which the parent has its own.
void runtime_core::abandon() noexcept {
  if (self_ != nullptr) return;
  leave_behind();
  io->abandon();
}

std::error_code os_thread::start(runtime_core& core, std::function<void()> body, hooks mode) {
  struct start_data {
    std::shared_ptr<runtime_core> core;
    std::function<void()> body;
    bool calls_hooks;
  };
  std::unique_ptr<start_data> data(new (std::nothrow) start_data{
      core.shared_from_this(), std::move(body), mode == hooks::called});
  if (data == nullptr) return std::make_error_code(std::errc::not_enough_memory);
  pthread_attr_t attributes;
  if (const int error = pthread_attr_init(&attributes)) return {error, std::generic_category()};
  if (core.options.thread_stack_size != 0)
    pthread_attr_setstacksize(&attributes, core.options.thread_stack_size);
  const auto entry_point = [](void* raw) -> void* {
    const std::unique_ptr<start_data> mine(static_cast<start_data*>(raw));
    runtime_core& home = *mine->core;
    pthread_setname_np(pthread_self(), home.options.thread_name.substr(0, 15).c_str());
    this_thread().runtime = &home;
    if (mine->calls_hooks && home.options.on_thread_start) home.options.on_thread_start();
    mine->body();
    if (mine->calls_hooks && home.options.on_thread_stop) home.options.on_thread_stop();
    this_thread().runtime = nullptr;
    return nullptr;
  };
  const int error = pthread_create(&id_, &attributes, entry_point, data.get());
  pthread_attr_destroy(&attributes);
  if (error != 0) return {error, std::generic_category()};
  joinable_ = true;
  [[maybe_unused]] const start_data* const the_threads_now = data.release();
  return {};
}

void os_thread::join() noexcept {
  if (!std::exchange(joinable_, false)) return;
  if (pthread_equal(id_, pthread_self()) != 0)
    pthread_detach(id_);
  else
    pthread_join(id_, nullptr);
}

void os_thread::detach() noexcept {
  if (std::exchange(joinable_, false)) pthread_detach(id_);
}

static inline runtime_core& entered_core(const char* what) {
  runtime_core* core = state_of_this_thread.runtime;
  if (core == nullptr) throw_outside(what);
  if (is_forked_child() && core->process.is_inherited()) [[unlikely]]
    throw_inherited(what);
  return *core;
}

KIOTO_NOINLINE runtime_core& current_core(const char* what) { return entered_core(what); }

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

KIOTO_NOINLINE void launch(task_header& task) noexcept {
  runtime_core& core = task.scheduler_->core();
  thread_state& thread = state_of_this_thread;
  task.id_ = next_task_id(thread);
  const std::size_t shard = thread.current != nullptr ? thread.current->shard() : task.id_ >> 8;
  if (!core.owned.insert(task, shard)) [[unlikely]] {
    task.refuse();
    return;
  }
  if (core.options.on_task_spawn) [[unlikely]]
    core.options.on_task_spawn(task_id(task.id_), task.where_.load(std::memory_order_relaxed));
  schedule_task(thread, task);
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
  std::fprintf(
      stderr,
      "kioto: task %llu, spawned at %s:%u, ended with an exception that nobody awaits: %s\n",
      static_cast<unsigned long long>(task.id_), where.file_name(),
      static_cast<unsigned>(where.line()), describe(error).c_str());
}

void check_local_thread(runtime_core& core, const char* what) {
  if (core.is_local && std::this_thread::get_id() != core.owner)
    throw std::logic_error(
        fmt::format("{} was called on another thread than the one that built the local runtime, "
                    "which its tasks "
                    "never leave: use a current_thread or multi-thread runtime instead",
                    what));
}

void block_until_done(runtime_core& core, task_header& task) { core.home->block_until_done(task); }

result<core_pointer> make_core(runtime_options options, bool local) {
  if (options.event_interval == 0 || options.max_blocking_threads == 0)
    return std::errc::invalid_argument;
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
    if (workers == 0 || workers > 4096) return std::errc::invalid_argument;
    options.worker_threads = static_cast<unsigned>(workers);
  }
  auto chosen = choose_backend(options.backend);
  if (!chosen) return chosen.error();
  watch_forks();
  auto driver = io_driver::create();
  if (!driver) return driver.error();
  auto core = std::make_shared<runtime_core>(std::move(options), workers, std::move(*driver),
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
    shut_down(core, std::nullopt);
    return error;
  }
  return core;
}

// Order: no new tasks; every task is asked to stop; their frames end. Operations that are shielded
// end with the reactor and the timers, after a moment for the others to go in peace. Then the
// reactor, the timers and the blocking pool.
bool shut_down(const core_pointer& core, std::optional<std::chrono::nanoseconds> limit) noexcept {
  using std::chrono::steady_clock;
  if (core != nullptr && core->process.is_inherited()) {
    core->abandon();  // nothing of it runs here
    return true;
  }
  if (core == nullptr || core->shut_down.exchange(true)) return true;
  if (core->is_local && std::this_thread::get_id() != core->owner) {
    std::fputs(
        "kioto: a local runtime was shut down on another thread than the "
        "thread that built it, where its tasks have to be destroyed\n",
        stderr);
    std::terminate();
  }
  std::optional<steady_clock::time_point> deadline;
  if (limit) deadline = saturating_add(steady_clock::now(), *limit);

  core->owned.close();
  core->shutting_down.store(true, std::memory_order_release);
  core->owned.abort_all();
  core->home->wake_all();

  const bool inside = core->home->runs_on_this_thread() || core->blocking.runs_on_this_thread();
  if (inside) {
    std::fputs(
        "kioto: a runtime was shut down from within one of its own tasks or blocking calls, which "
        "cannot wait for itself: the shutdown goes on in the background\n",
        stderr);
    deadline = steady_clock::now();
  }
  // A task cannot wait for itself: a current-thread runtime that is left from inside keeps its
  // tasks.
  const bool may_wait = !inside || core->is_multi_thread;
  auto patience = steady_clock::now() + std::chrono::milliseconds(20);
  if (deadline) patience = std::min(patience, *deadline);
  bool drained = may_wait && core->home->drain(patience);
  if (!drained) {
    core->io->shutdown();
    core->timers.shutdown();
    drained = may_wait && core->home->drain(deadline);
  }
  core->home->release_threads(drained);
  core->io->shutdown();
  core->timers.shutdown();
  const bool pool_ended =
      core->blocking.shutdown(deadline.value_or(steady_clock::time_point::max()));
  // Workers go on until the last task has ended, and keep the core; here nobody does.
  if (!drained && !core->is_multi_thread) core->leave_behind();
  return drained && pool_ended;
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
    detail::shut_down(core_, std::nullopt);
    core_ = std::move(other.core_);
  }
  return *this;
}
runtime::~runtime() { detail::shut_down(core_, std::nullopt); }
local_runtime::~local_runtime() { detail::shut_down(core_, std::nullopt); }

}  // namespace kioto

auto fmt::formatter<kioto::task_id>::format(kioto::task_id id, fmt::format_context& context) const
    -> fmt::format_context::iterator {
  return fmt::formatter<std::uint64_t>::format(id.value(), context);
}
