// SPDX-License-Identifier: MIT
#include "scheduler/current_thread.hpp"

#include <algorithm>
#include <exception>
#include <new>
#include <utility>

#include <kioto/detail/base/frame_allocator.hpp>

#include "scheduler/core.hpp"

namespace kioto::detail {

using std::chrono::steady_clock;

current_thread_scheduler::current_thread_scheduler(runtime_core& core)
    : scheduler(core),
      executor(static_cast<scheduler&>(*this), 0),
      driver_(*core.io, core.timers, core.clock),
      random_(core.options.rng_seed.value_or(fresh_seed())) {
  if (core.options.rng_seed) shuffled_ = std::make_unique<std::vector<task_header*>>();
}

/// The calling thread runs the tasks for the lifetime of this.
class current_thread_scheduler::turn {
 public:
  explicit turn(current_thread_scheduler& home) noexcept
      : home_(home), thread_(this_thread()), previous_(thread_) {
    thread_.current = &home_;
    thread_.runtime = &home_.core();
    thread_.running = nullptr;
    thread_.marks = 0;
    thread_.guard = nullptr;
  }
  turn(const turn&) = delete;
  turn& operator=(const turn&) = delete;
  ~turn() {
    thread_.current = previous_.current;
    thread_.runtime = previous_.runtime;
    thread_.running = previous_.running;
    thread_.marks = previous_.marks;
    thread_.guard = previous_.guard;
    if (home_.core().process.is_inherited())
      return;  // no thread waits, and the lock may be held for ever
    {
      const std::lock_guard lock(home_.mutex_);
      home_.taken_ = false;
    }
    home_.turned_over_.notify_all();
  }

 private:
  current_thread_scheduler& home_;
  thread_state& thread_;
  thread_state previous_;
};

// With a seed the next task is chosen at random, and calls are no exception.
inline task_header* current_thread_scheduler::take_called(next_run last) noexcept {
  using enum next_run::relation;
  if (last.who == none) {
    calls_ = 0;
    return nullptr;
  }
  const bool allowed = calls_ != call_streak_limit && shuffled_ == nullptr;
  if (!allowed) runs_to_turn_ = 1;  // tasks from outside have waited, too
  if (last.who == caller) {
    if (allowed) {
      ++calls_;
      return last.task;
    }
    make_ready(*last.task);
  } else if (last.who == callee && last.task->in_ready_queue_ && allowed) {
    ++calls_;
    ready_.erase(last.task);
    last.task->in_ready_queue_ = false;
    return last.task;
  }
  calls_ = 0;
  return nullptr;
}

inline task_header* current_thread_scheduler::take_ready() noexcept {
  task_header* const task = ready_.pop_front();
  if (task != nullptr) task->in_ready_queue_ = false;
  return task;
}

inline task_header* current_thread_scheduler::next() noexcept {
  if (--runs_to_turn_ == 0) [[unlikely]]
    return next_in_turn();
  if (task_header* task = take_ready()) return task;
  return injected_.pop();
}

task_header* current_thread_scheduler::next_in_turn() noexcept {
  if (shuffled_ != nullptr) {
    runs_to_turn_ = 1;
    return next_random();
  }
  runs_to_turn_ = inject_interval;
  if (task_header* task = injected_.pop()) return task;
  return take_ready();
}

// Any ready task may be the next. None starves: each has the same chance each time.
task_header* current_thread_scheduler::next_random() noexcept {
  try {
    while (task_header* task = injected_.pop()) make_ready(*task);
    while (!ready_.empty()) {
      shuffled_->push_back(nullptr);  // makes room first: this may throw
      shuffled_->back() = take_ready();
    }
  } catch (const std::bad_alloc&) {
    return take_ready();  // out of memory: in order, then
  }
  if (shuffled_->empty()) return nullptr;
  const std::size_t drawn = random_.below(static_cast<std::uint32_t>(shuffled_->size()));
  std::swap((*shuffled_)[drawn], shuffled_->back());
  task_header* task = shuffled_->back();
  shuffled_->pop_back();
  return task;
}

void current_thread_scheduler::flush_deferred() noexcept {
  while (task_header* task = deferred_.pop_front()) make_ready(*task);
}

template <class Done>
void current_thread_scheduler::run_until(const Done& done,
                                         std::optional<steady_clock::time_point> deadline,
                                         when_idle then) {
  thread_state& thread = this_thread();
  const auto& options = core().options;
  auto busy_since = steady_clock::now();
  next_run last;
  while (!done()) {
    if (--runs_to_poll_ == 0) [[unlikely]] {
      if (core().process.is_inherited()) die_in_child("a task that called fork()");
      runs_to_poll_ = options.event_interval;
      const auto now = steady_clock::now();
      // With a seed or a paused clock, the order of events must not depend on how fast they are.
      const bool by_count = shuffled_ != nullptr || core().clock.is_paused();
      if (by_count || poll_is_due(now)) {
        driver_.turn(std::chrono::nanoseconds::zero());
        notify_waiting_threads();
      }
      if (!by_count) limit_calls(now);
      flush_deferred();
      if (deadline && now >= *deadline) break;
    }
    task_header* const called = take_called(last);
    if (task_header* task = called != nullptr ? called : next()) [[likely]] {
      polls_.add();
      last = run_task(thread, *task, called != nullptr);
      continue;
    }
    last = {};
    if (!deferred_.empty()) {
      flush_deferred();
      continue;
    }
    if (wait_for_job([this] { return !injected_.is_empty(); })) continue;
    if (then == when_idle::leave) {
      driver_.turn(std::chrono::nanoseconds::zero());
      if (has_nothing_to_run()) break;
      continue;
    }
    parks_.add();
    busy_ns_.add(static_cast<std::uint64_t>((steady_clock::now() - busy_since).count()));
    if (options.on_thread_park) options.on_thread_park();
    notify_waiting_threads();
    // A paused clock advances only if the reactor has no event, either.
    if (core().clock.is_paused()) [[unlikely]]
      driver_.turn(std::chrono::nanoseconds::zero());
    asleep_.fall_asleep();
    // The hook may have made something ready, too.
    if (has_nothing_to_run() && !done()) {
      std::optional<std::chrono::nanoseconds> limit;
      if (deadline)
        limit = std::max(*deadline - steady_clock::now(), std::chrono::nanoseconds::zero());
      if (const std::chrono::nanoseconds rest = frame_pool_idle(); rest.count() != 0)
        limit = std::min(limit.value_or(rest), rest);
      if (core().clock.is_paused()) [[unlikely]]
        driver_.turn_beside_timers(limit, [this] { return clock_has_to_wait(); });
      else
        driver_.turn(limit);
    }
    asleep_.wake_up();
    if (options.on_thread_unpark) options.on_thread_unpark();
    if (deadline && steady_clock::now() >= *deadline) break;
    busy_since = steady_clock::now();
  }
  if (last.who == next_run::relation::caller) make_ready(*last.task);  // it is in no queue
}

// There is nothing to run, and the clock is paused. False if it has advanced to the next timer, or
// if operations that waited for this moment have completed. True if the next event has to come from
// outside.
bool current_thread_scheduler::clock_has_to_wait() noexcept {
  if (!core().clock.is_paused()) return false;  // another thread lets it go on
  // A blocking job schedules its task before it stops being counted. So the count is read first,
  // and the queue afterwards. If there is a job, its end wakes this thread.
  if (!core().blocking.is_quiet_or_tells()) return injected_.is_empty();
  if (!injected_.is_empty()) return false;
  bool awaited = false;
  {
    const std::lock_guard lock(mutex_);
    awaited = !idle_waiters_.empty();
  }
  const auto next = core().timers.earliest_deadline();
  // Nobody advances the clock of a runtime that is shut down, and a shielded task may wait for a
  // timer.
  const bool by_itself =
      core().clock.advances_by_itself() || core().shutting_down.load(std::memory_order_acquire);
  if (next && (awaited || by_itself)) {
    core().clock.advance_to(*next);  // the end of this turn fires the timers
    return false;
  }
  if (awaited && !next) {
    release_idle();
    return false;
  }
  return true;
}

void current_thread_scheduler::wait_for_idle(idle_operation& op) noexcept {
  const std::lock_guard lock(mutex_);
  idle_waiters_.push_back(op);
}
bool current_thread_scheduler::stop_waiting(idle_operation& op) noexcept {
  const std::lock_guard lock(mutex_);
  if (!op.is_linked()) return false;
  idle_waiters_.erase(op);
  return true;
}
void current_thread_scheduler::release_idle() noexcept {
  const std::lock_guard lock(mutex_);
  // Completing only queues a task: nothing runs under the lock.
  idle_waiters_.consume([](idle_operation& op) { complete(op); });
}

void current_thread_scheduler::schedule_remote(task_header& task) noexcept {
  if (is_forked_child() && core().process.is_inherited()) [[unlikely]]
    return;  // it will never run here
  const remote_call call(*this);
  if (!injected_.push(&task)) std::terminate();  // never closed
  wake_all();
}

void current_thread_scheduler::block_until_done(task_header& task) {
  const auto done = [&task] { return task.join_.is_done(); };
  {
    std::unique_lock lock(mutex_);
    ++waiting_;
    turned_over_.wait(lock, [&] { return !taken_ || done(); });
    --waiting_;
    if (done()) return;
    taken_ = true;
  }
  const turn mine(*this);
  run_until(done, std::nullopt);
}

// Here threads that wait for their turn learn that their task has ended. Not at the moment when it
// ends, which would cost every task something; but before this thread sleeps, and at intervals.
void current_thread_scheduler::notify_waiting_threads() noexcept {
  const std::lock_guard lock(mutex_);
  if (waiting_ != 0) turned_over_.notify_all();
}

void current_thread_scheduler::wake_all() noexcept {
  if (asleep_.must_wake()) driver_.unpark();
}

bool current_thread_scheduler::drain(std::optional<steady_clock::time_point> deadline) noexcept {
  {
    std::unique_lock lock(mutex_);
    const auto free = [this] { return !taken_; };
    if (deadline) {
      if (!turned_over_.wait_until(lock, *deadline, free)) return false;
    } else {
      turned_over_.wait(lock, free);
    }
    taken_ = true;
  }
  const turn mine(*this);
  const auto done = [this] { return core().owned.empty(); };
  run_until(done, deadline);
  return done();
}

bool current_thread_scheduler::drain_ready() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (taken_) return false;
    taken_ = true;
  }
  const turn mine(*this);
  const auto done = [this] { return core().owned.empty(); };
  // A task that is always ready would keep this thread for ever: so this goes on only as long as
  // tasks end.
  std::size_t before = 0;
  do {
    before = core().owned.alive();
    run_until(done, steady_clock::now() + std::chrono::milliseconds(100), when_idle::leave);
  } while (!done() && !has_nothing_to_run() && core().owned.alive() < before);
  return done();
}

bool current_thread_scheduler::runs_on_this_thread() const noexcept {
  return this_thread().current == this;
}

void current_thread_scheduler::read_metrics(runtime_metrics& out) const {
  worker_metrics& w = out.workers.emplace_back();
  w.polls = polls_.get();
  w.parks = parks_.get();
  w.local_schedules = local_schedules_.get();
  w.busy = std::chrono::nanoseconds(busy_ns_.get());
  out.injection_depth = injected_.size();
  out.remote_schedules = remote_schedules();
}

}  // namespace kioto::detail
