// SPDX-License-Identifier: MIT
#include "scheduler/multi_thread.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <optional>
#include <utility>

#include <kioto/detail/base/frame_allocator.hpp>
#include <kioto/detail/task/thread_wait.hpp>

#include "scheduler/core.hpp"

namespace kioto::detail {

using std::chrono::steady_clock;

worker::worker(multi_thread_scheduler& home, std::size_t index) noexcept
    : executor(home, index),
      home_(home),
      index_(index),
      random_(static_cast<std::uint32_t>(index) * 0x9E3779B9U + 0x7F4A7C15U) {
  handover_.self = this;
  handover_.urgent = true;
}

std::uint32_t worker::random() noexcept {
  // xorshift32 (Marsaglia, "Xorshift RNGs", 2003).
  random_ ^= random_ << 13;
  random_ ^= random_ >> 17;
  random_ ^= random_ << 5;
  return random_;
}

void worker::run() noexcept {
  thread_state& thread = this_thread();
  thread.current = this;
  const enter_guard* const outer = thread.guard;  // of a hook
  thread.leave_guards(nullptr);
  measured_ = busy_since_ = steady_clock::now();
  next_run last;
  for (;;) {
    if (--runs_to_poll_ == 0) [[unlikely]]
      maintain();
    task_header* const called = take_called(last);
    task_header* task = called != nullptr ? called : next();
    if (task == nullptr) task = take_yielded();
    if (task == nullptr) [[unlikely]]
      task = steal();
    if (task != nullptr) {
      last = execute(thread, *task, called != nullptr);
      if (thread.current != this) {  // the task handed the worker over and did not get it back
        if (home_.core().process.is_inherited()) die_in_child("a task that called fork()");
        thread.leave_guards(outer);
        if (last.who == next_run::relation::caller) schedule_task(thread, *last.task);
        return;
      }
      continue;
    }
    last = {};
    if (home_.core().shutting_down.load(std::memory_order_acquire) && home_.core().owned.empty())
      break;
    // Usually as a searcher, so no other worker is woken for what comes.
    if (wait_for_job([this] { return !home_.injected_.is_empty(); })) continue;
    park();
  }
  if (searching_) end_search();
  thread.current = nullptr;
  thread.leave_guards(outer);
  home_.loop_ended();
}

inline next_run worker::execute(thread_state& thread, task_header& task, bool called) noexcept {
  if (searching_) [[unlikely]]
    end_search();
  polls_.add();
  return run_task(thread, task, called);
}

// The last searcher looks at the queues again: whoever published work while it searched relied on
// it. If they are empty nobody has to be woken, as in a ping-pong with a thread outside. (A worker
// that pushes at this moment and only reads the number of searchers may be missed: it runs the task
// itself, or the stall monitor wakes a worker.)
void worker::end_search() noexcept {
  searching_ = false;
  if (home_.idle_.transition_from_searching() && home_.work_pending()) home_.notify_one();
}

// Instead of the callee, which may be in any queue by now, takes the newest task: usually it was
// spawned by the same task. Run breadth first, a tree of tasks would fill the memory with tasks
// that have begun.
inline task_header* worker::take_called(next_run last) noexcept {
  using enum next_run::relation;
  if (last.who == none) {
    calls_ = 0;
    return nullptr;
  }
  if (calls_ == call_streak_limit) return end_of_calls(last);
  task_header* task = last.task;
  if (last.who != caller) {
    task = take_slot();
    if (task == nullptr) task = queue_.pop_newest();
    if (task == nullptr) {
      calls_ = 0;
      return nullptr;
    }
  }
  ++calls_;
  return task;
}

// It is the turn of the others: of the oldest task, of those that yielded, and of those that came
// from outside.
KIOTO_NOINLINE task_header* worker::end_of_calls(next_run last) noexcept {
  if (last.who == next_run::relation::caller) push(*last.task);
  promote_yielded();
  calls_ = 0;
  slot_streak_ = slot_streak_limit;
  runs_to_injected_ = 1;
  return nullptr;
}

inline task_header* worker::next() noexcept {
  if (--runs_to_injected_ == 0) [[unlikely]] {
    runs_to_injected_ = inject_interval;
    if (task_header* task = take_injected()) return task;
  }
  if (slot_streak_ != slot_streak_limit) {
    if (task_header* task = take_slot()) {
      ++slot_streak_;
      return task;
    }
  }
  slot_streak_ = 0;
  if (task_header* task = queue_.pop()) return task;
  if (task_header* task = take_injected()) return task;
  return take_slot();
}

inline task_header* worker::take_slot() noexcept {
  if (slot_.load(std::memory_order_relaxed) == nullptr) return nullptr;
  // Relaxed: this thread put the task in; the exchange only decides whether a thief was faster.
  return slot_.exchange(nullptr, std::memory_order_relaxed);
}

// Once in each round through the yielded tasks, other workers are asked for help.
inline task_header* worker::take_yielded() noexcept {
  task_header* const task = yielded_.pop();
  if (task == nullptr) return nullptr;
  if (left_of_round_ != 0) {
    --left_of_round_;
  } else if (left_of_round_ = yielded_.size(); left_of_round_ != 0) {
    notify_of_push();
  }
  return task;
}

// Takes a fair share of the injection queue: the rest is for the other workers.
task_header* worker::take_injected() noexcept {
  const std::size_t length = home_.injected_.size();
  if (length == 0) return nullptr;
  std::size_t share = length / home_.workers_.size() + 1;
  // A full ring would give half of it back when the next task is woken.
  const std::size_t half = queue_.capacity() / 2;
  const std::size_t used = queue_.capacity() - queue_.free_slots();
  share = std::min(share, used < half ? half : 1);
  auto batch = home_.injected_.pop_n(share);
  if (batch.count == 0) return nullptr;
  task_header* first = batch.first;
  if (batch.count > 1) queue_.push_batch(first->queue_next, batch.count - 1);
  first->queue_next = nullptr;
  return first;
}

task_header* worker::steal() noexcept {
  const std::size_t workers = home_.workers_.size();
  if (workers > 1) {
    if (!searching_) {
      if (!home_.idle_.transition_to_searching()) return nullptr;
      searching_ = true;
    }
    const std::size_t start = random() % workers;
    for (std::size_t i = 0; i != workers; ++i) {
      worker& victim = *home_.workers_[(start + i) % workers];
      if (&victim == this) continue;
      std::size_t stolen = 0;
      task_header* task = victim.queue_.steal_into(queue_, stolen);
      if (task == nullptr) task = victim.yielded_.steal_into(queue_, stolen);
      if (task != nullptr) {
        steals_.add(stolen);
        steal_operations_.add();
        return task;
      }
    }
  }
  return take_injected();
}

inline void worker::push_ring(task_header* task) noexcept {
  if (!queue_.try_push_back(task)) [[unlikely]]
    push_full(task);
}

KIOTO_NOINLINE void worker::push_full(task_header* task) noexcept {
  const bool fitted =
      queue_.push_back(task, [this](task_header* first, task_header* last, std::size_t n) {
        // The queue is closed only when no task is left, and these are tasks.
        if (!home_.injected_.push_batch(first, last, n)) std::terminate();
      });
  if (!fitted) overflows_.add();
}

void worker::push(task_header& task) noexcept {
  local_schedules_.add();
  // What a turn of the driver makes ready runs in that order: none of it is warm in the cache.
  if (in_driver_) return push_ring(&task);
  if (slot_.load(std::memory_order_relaxed) == nullptr) {
    // Release: a thief acquires the task with the slot. Nobody else fills the slot, so the plain
    // store overwrites nothing.
    slot_.store(&task, std::memory_order_release);
    return;
  }
  task_header* displaced = slot_.exchange(&task, std::memory_order_acq_rel);
  if (displaced == nullptr) return;  // a thief took it first
  push_ring(displaced);
  notify_of_push();
}

// There is something that others could steal. Work is not lost if this notifies nobody, because
// this worker is awake and will run it; so a relaxed load comes first, and the shared word is not
// written while all workers are busy.
void worker::notify_if_useful() noexcept {
  if (home_.idle_.parked() != 0 && home_.idle_.searching() == 0) home_.notify_one();
}

// Most tasks take microseconds, like reading and answering a request: one worker runs a batch of
// them in the time that a second one needs to wake up, to steal some and to load their data into
// its cache. The cost of a run is estimated from earlier ones. If a task takes longer than
// estimated, the stall monitor finds this worker stuck.
//
// How many events are left after a full turn is not known: it is assumed that they fill the ring.
void worker::notify_if_worthwhile() noexcept {
  const std::size_t batch = turn_was_full_ ? queue_.capacity() : queue_.size() + yielded_.size();
  if (time_of_runs_ * batch >= worth_a_worker * number_of_runs_) notify_if_useful();
}

// The running task has woken or spawned another one, which may spawn more in its turn: so a worker
// that has been busy for a while takes all the help it can get.
void worker::notify_of_push() noexcept {
  if (takes_help_)
    notify_if_useful();
  else if (home_.idle_.parked() != 0)
    notify_if_worthwhile();
}

void worker::measure_runs(steady_clock::time_point now) noexcept {
  const std::uint64_t polls = polls_.get();
  time_of_runs_ += now - measured_;
  number_of_runs_ += polls - measured_polls_;
  measured_ = now;
  measured_polls_ = polls;
  if (number_of_runs_ >= 128) {  // so that older runs count less and less
    time_of_runs_ /= 2;
    number_of_runs_ /= 2;
  }
}

// Moves the newer half of the yielded tasks to the injection queue, where it waits behind all that
// is ready.
KIOTO_NOINLINE void worker::defer_full(task_header& task) noexcept {
  const bool fitted =
      yielded_.push_back(&task, [this](task_header* first, task_header* last, std::size_t n) {
        if (!home_.injected_.push_batch(first, last, n)) std::terminate();  // see push_full()
      });
  if (fitted) return;
  overflows_.add();
  notify_of_push();
}

// Lets those that yielded run although others are ready, after these. Those for which the ring has
// no room go on waiting; but at least one is moved, if need be to the injection queue.
void worker::promote_yielded() noexcept {
  if (yielded_.is_empty()) return;
  left_of_round_ = 0;
  if (!yielded_.move_into(queue_))
    if (task_header* const task = yielded_.pop()) push_ring(task);
  if (queue_.size() > 1) notify_of_push();
}

// `turn` dispatches at most `limit` events.
template <class Turn>
void worker::in_turn(std::size_t limit, Turn&& turn) noexcept {
  const std::uint64_t before = local_schedules_.get();
  in_driver_ = true;
  turn();
  in_driver_ = false;
  turn_was_full_ = local_schedules_.get() - before >= std::min(limit, reactor::max_events);
}

// Dispatches as many events as the ring would get after a sleep, less the tasks that wait there.
// But some are dispatched also while the ring is full of other tasks: half as many as tasks have
// run since the last turn, for which there is room if it was events that filled the ring.
void worker::poll_driver() noexcept {
  const std::size_t waiting = std::min(queue_.size(), reactor::max_events);
  const std::size_t limit = std::max<std::size_t>(reactor::max_events - waiting,
                                                  home_.core().options.event_interval / 2 + 1);
  in_turn(limit, [&]() noexcept { parker_.poll(home_.driver_, limit); });
}

void worker::maintain() noexcept {
  runs_to_poll_ = home_.core().options.event_interval;
  const auto now = steady_clock::now();
  measure_runs(now);
  limit_calls(now);
  // Not within a series of calls, where they would be the newest tasks; nor while it is their turn
  // anyway.
  if (calls_ == 0 && (slot_.load(std::memory_order_relaxed) != nullptr || !queue_.is_empty() ||
                      !home_.injected_.is_empty()))
    promote_yielded();
  if (poll_is_due(now)) poll_driver();
  if (!takes_help_ && now - busy_since_ >= worth_a_worker) {
    takes_help_ = true;
    if (has_open_work()) notify_if_useful();
  } else {
    notify_if_worthwhile();
  }
}

void worker::park() noexcept {
  const auto& options = home_.core().options;
  if (home_.idle_.transition_to_parked(index_, searching_)) {
    // The last searcher looks again: whoever published work before it stopped searching relied on
    // it.
    if (home_.work_pending()) home_.notify_one();
  }
  searching_ = false;
  parks_.add();
  const auto now = steady_clock::now();
  measure_runs(now);
  busy_ns_.add(static_cast<std::uint64_t>((now - busy_since_).count()));
  if (options.on_thread_park) options.on_thread_park();

  for (;;) {
    if (!has_work()) sleep();  // the hook may have made something ready
    if (!home_.idle_.is_parked(index_)) {
      searching_ = true;  // named by a notifier
      break;
    }
    const bool ending = home_.core().shutting_down.load(std::memory_order_acquire);
    if (has_work() || ending || home_.work_pending()) {
      searching_ = !home_.idle_.unpark(index_);
      break;
    }
  }
  home_.stall_monitor_.work_begins();

  takes_help_ = false;
  measured_ = busy_since_ = steady_clock::now();
  if (options.on_thread_unpark) options.on_thread_unpark();
  if (!searching_) notify_if_worthwhile();  // otherwise one more worker is on its way
}

void worker::sleep() noexcept {
  std::optional<std::chrono::nanoseconds> limit;
  if (const auto rest = frame_pool_idle(); rest.count() != 0) limit = rest;
  in_turn(reactor::max_events, [&]() noexcept { parker_.park(home_.driver_, limit); });
  runs_to_poll_ = home_.core().options.event_interval;
}

bool worker::hand_over() noexcept {
  poll_driver();
  // Into the ring, where others can reach it: this worker may have no thread for a while.
  if (task_header* task = take_slot()) push_ring(task);
  measure_runs(steady_clock::now());
  // It takes a while until the other thread begins, if there is one at all.
  if (has_open_work()) notify_if_useful();
  handover_.run = [](blocking_job* job) noexcept { static_cast<handover_job*>(job)->self->run(); };
  this_thread().current = nullptr;
  if (home_.core().blocking.submit(handover_)) return true;
  this_thread().current = this;
  return false;
}

bool worker::take_back() noexcept {
  if (!home_.core().blocking.try_remove(handover_)) return false;
  this_thread().current = this;
  return true;
}

void worker::unpark() noexcept { parker_.unpark(home_.driver_); }

void worker::read_metrics(worker_metrics& out) const noexcept {
  out.polls = polls_.get();
  out.steals = steals_.get();
  out.steal_operations = steal_operations_.get();
  out.parks = parks_.get();
  out.local_schedules = local_schedules_.get();
  out.overflows = overflows_.get();
  out.busy = std::chrono::nanoseconds(busy_ns_.get());
  out.queue_depth = queue_.size();
}

multi_thread_scheduler::multi_thread_scheduler(runtime_core& core, std::size_t workers)
    : scheduler(core),
      idle_(workers),
      driver_(*core.io, core.timers, core.clock),
      seen_polls_(workers),
      was_stuck_(workers) {
  for (std::size_t i = 0; i != workers; ++i) workers_.push_back(std::make_unique<worker>(*this, i));
}

// If a shutdown missed its deadline, the threads have gone on, and so has the stall monitor; each
// holds a reference to the core. One of them may drop the last one, and then runs this.
multi_thread_scheduler::~multi_thread_scheduler() {
  join_threads();
  wait_for_remote_calls();
}

std::error_code multi_thread_scheduler::start() {
  threads_.reserve(workers_.size());  // once a thread runs, nothing may throw
  loops_running_ = workers_.size();
  for (auto& w : workers_) {
    os_thread thread;
    if (const auto error = thread.start(core(), [self = w.get()] { self->run(); })) {
      const std::lock_guard lock(end_mutex_);
      loops_running_ = threads_.size();
      return error;
    }
    threads_.push_back(std::move(thread));
  }
  if (workers_.size() == 1) return {};  // no worker could help
  return monitor_thread_.start(
      core(),
      [this] {
        stall_monitor_.run(
            look_period, [this] { return look_round(); },
            [this] { return idle_.parked() == workers_.size(); });
      },
      os_thread::hooks::silent);
}

void multi_thread_scheduler::schedule_remote(task_header& task) noexcept {
  if (is_forked_child() && core().process.is_inherited()) [[unlikely]]
    return;  // it will never run here
  const remote_call call(*this);
  // Never closed while a task is left to be pushed.
  if (!injected_.push(&task)) std::terminate();
  notify_one();
}

void multi_thread_scheduler::notify_one() noexcept {
  if (const auto index = idle_.worker_to_notify()) workers_[*index]->unpark();
}

bool multi_thread_scheduler::work_pending() const noexcept {
  if (!injected_.is_empty()) return true;
  for (const auto& w : workers_)
    if (w->has_open_work()) return true;
  return false;
}

// Called by the stall monitor once in a period. A worker that has not begun another run since the
// last time is stuck, or asleep with nothing to take from it.
bool multi_thread_scheduler::look_round() noexcept {
  const bool can_help = idle_.parked() != 0;
  bool news = !can_help;
  for (std::size_t i = 0; i != workers_.size(); ++i) {
    worker& w = *workers_[i];
    const std::uint64_t polls = w.polls_.get();
    const std::uint64_t runs = polls - std::exchange(seen_polls_[i], polls);
    if (runs != 0) {
      news = true;
      was_stuck_[i] = false;
      // The worker may have underestimated what its batch costs, see notify_if_worthwhile().
      const std::size_t waiting = w.queue_.size() + w.yielded_.size();
      if (can_help && waiting * look_period >= runs * worker::worth_a_worker) notify_one();
    } else if (can_help) {
      relieve(w);
    } else if (was_stuck_[i]) {
      evacuate(w);
    } else {
      was_stuck_[i] = true;
    }
  }
  const std::uint64_t turns = driver_.turns();
  const bool nobody_turned = std::exchange(seen_turns_, turns) == turns && !driver_.is_locked();
  if (nobody_turned && can_help)
    if (const auto sleeper = idle_.find_sleeper()) workers_[*sleeper]->unpark();
  return news;
}

// Makes what waits behind the task that `stuck` runs available: others can steal from the rings,
// but not from the slot.
void multi_thread_scheduler::relieve(worker& stuck) noexcept {
  if (take_out_slot(stuck) || stuck.has_open_work() || !injected_.is_empty()) wake_somebody();
}

// No worker is idle, and busy ones steal nothing; but they look at the injection queue at
// intervals. This is done only once a worker has been stuck for two looks, because what is moved
// loses its order and its warm cache.
void multi_thread_scheduler::evacuate(worker& stuck) noexcept {
  take_out_slot(stuck);
  for (local_queue<task_header>* from : {&stuck.queue_, &stuck.yielded_}) {
    intrusive_queue<task_header> all;
    std::size_t count = 0;
    task_header* last = nullptr;
    while (task_header* task = from->steal_into(moving_))
      for (; task != nullptr; task = moving_.pop(), ++count) all.push_back(last = task);
    if (!injected_.push_batch(all.front(), last, count)) std::terminate();
  }
}

bool multi_thread_scheduler::take_out_slot(worker& stuck) noexcept {
  task_header* task = stuck.slot_.load(std::memory_order_relaxed);
  if (task == nullptr || !stuck.slot_.compare_exchange_strong(
                             task, nullptr, std::memory_order_acquire, std::memory_order_relaxed))
    return false;
  if (!injected_.push(task)) std::terminate();  // never closed while there are tasks
  return true;
}

// Also if a worker is searching: it may be stuck in a hook.
void multi_thread_scheduler::wake_somebody() noexcept {
  auto index = idle_.worker_to_notify();
  if (!index) index = idle_.find_sleeper();
  if (index) workers_[*index]->unpark();
}

namespace {
/// Waits for the end of a task and leaves its result.
class join_wait final : public leaf_operation, private join_waiter {
 public:
  explicit join_wait(task_header& task) noexcept
      : join_waiter([](join_waiter& waiter, trampoline&) noexcept {
          complete(static_cast<join_wait&>(waiter));
        }),
        task_(task) {}
  attempt try_or_wait() noexcept override {
    if (task_.join_.is_done()) return attempt::ready;
    return wait([this]() noexcept { return task_.join_.link(this); });
  }
  bool cancel() noexcept override { return task_.join_.unlink(this); }

 private:
  task_header& task_;
};
}  // namespace

void multi_thread_scheduler::block_until_done(task_header& task) {
  join_wait wait(task);
  wait_on_thread(wait);
}

void multi_thread_scheduler::wake_all() noexcept {
  for (auto& w : workers_) w->unpark();
}

void multi_thread_scheduler::loop_ended() noexcept {
  wake_all();  // the others wait for the same end
  const std::lock_guard lock(end_mutex_);
  if (--loops_running_ != 0) return;
  stall_monitor_.end();
  ended_.notify_all();
}

bool multi_thread_scheduler::drain(std::optional<steady_clock::time_point> deadline) noexcept {
  std::unique_lock lock(end_mutex_);
  const auto over = [this] { return loops_running_ == 0; };
  if (!deadline) {
    ended_.wait(lock, over);
    return true;
  }
  return ended_.wait_until(lock, *deadline, over);
}

void multi_thread_scheduler::join_threads() noexcept {
  for (os_thread& thread : threads_) thread.join();
  monitor_thread_.join();
}

bool multi_thread_scheduler::runs_on_this_thread() const noexcept {
  const thread_state& thread = this_thread();
  return thread.running != nullptr && thread.running->scheduler_ == this;
}

std::uint32_t multi_thread_scheduler::random() noexcept {
  // Of the thread, not of a worker: a task that blocks in place has no worker.
  std::optional<random_source>& mine = this_thread().random;
  if (!mine) mine.emplace(fresh_seed());
  return mine->next();
}

void multi_thread_scheduler::read_metrics(runtime_metrics& out) const {
  out.workers.resize(workers_.size());
  for (std::size_t i = 0; i != workers_.size(); ++i) workers_[i]->read_metrics(out.workers[i]);
  out.injection_depth = injected_.size();
  out.remote_schedules = remote_schedules();
}

}  // namespace kioto::detail
