// SPDX-License-Identifier: MIT
// The loop that resumes the frames of a task, and what happens to frames at their end.
#include <kioto/detail/task/task_header.hpp>

#include <cstdio>
#include <exception>

#include <kioto/detail/task/combinator.hpp>
#include <kioto/detail/task/promise.hpp>
#include <kioto/detail/task/scope_core.hpp>
#include <kioto/detail/task/standing_waits.hpp>

#include "scheduler/core.hpp"
#include "scheduler/scheduler.hpp"
#include "task/blocked_thread.hpp"

namespace kioto::detail {

void leaf_operation::die_in_flight() noexcept {
  std::fputs(
      "kioto: a coroutine frame was destroyed while an operation in it was in flight; await the "
      "task or abort it through its join_handle instead of destroying it\n",
      stderr);
  std::terminate();
}

attempt leaf_operation::finish_arming() noexcept {
  strand& c = *strand_;
  const suspension::ticket ticket{suspension::owned, fired_};
  switch (c.word_.arm(ticket, c.shields_ != 0)) {
    case suspension::arm_result::suspended:
      return attempt::suspended;
    case suspension::arm_result::fired:
      break;
    case suspension::arm_result::stop:
      if (cancel()) {
        armed_ = false;
        return attempt::stopped;
      }
      if (c.word_.arm(ticket, true) == suspension::arm_result::suspended) return attempt::suspended;
      break;
  }
  armed_ = false;
  return stopped_ ? attempt::stopped : attempt::ready;
}

promise_base& task_header::root() noexcept {
  auto* frame = reinterpret_cast<std::byte*>(this) + sizeof(task_header);
  return std::coroutine_handle<promise_base>::from_address(frame).promise();
}

scope_core* task_header::scope() noexcept { return root().parent_.scope(); }

promise_base* task_header::attempted(strand& c, attempt result) noexcept {
  switch (result) {
    case attempt::ready:
      return c.frame_ != nullptr ? c.frame_ : ended(c, outcome::value);
    case attempt::stopped:
      return c.frame_ != nullptr ? unwind(*c.frame_) : ended(c, outcome::stopped);
    case attempt::suspended:
      break;
  }
  return nullptr;
}

// Decides what the due run of a strand does. Returns the frame to resume, or null if the strand
// suspended again or ended.
KIOTO_NOINLINE promise_base* task_header::enter(strand& c) noexcept {
  switch (c.entry_) {
    case entry::start:
      if (c.must_stop()) return ended(c, outcome::stopped);
      if (c.kind_ == strand_kind::task) return c.frame_;
      static_cast<void>(c.loop().try_charge());  // its turn has come, whatever is left
      c.entry_ = entry::resume;
      if (static_cast<branch_strand&>(c).inherits_stop_) c.word_.begin_stopped();
      if (c.frame_ != nullptr) return c.frame_;
      return attempted(c, c.current_->try_or_wait());
    case entry::resume:
      if (c.must_stop()) return unwind(*c.frame_);
      return c.frame_;
    case entry::retry:
      // Nothing was attempted yet. Without this check, a loop of operations that are always ready
      // would never stop.
      if (c.must_stop()) return attempted(c, attempt::stopped);
      static_cast<void>(c.loop().try_charge());  // its turn has come, whatever is left
      return attempted(c, c.current_->try_or_wait());
    case entry::leaf: {
      leaf_operation& op = *c.current_;
      if (!c.word_.has_fired(op.fired_)) {
        // Woken by a stop request.
        if (c.must_stop() && op.cancel()) {
          op.armed_ = false;
          return attempted(c, attempt::stopped);
        }
        // Shielded, or the backend has taken the operation already: wait for its completion.
        if (c.word_.arm({suspension::owned, op.fired_}, true) == suspension::arm_result::suspended)
          return nullptr;
      }
      op.armed_ = false;
      if (op.stopped_) return attempted(c, attempt::stopped);
      if (c.kind_ == strand_kind::branch && static_cast<branch_strand&>(c).is_withdrawn_ &&
          c.must_stop() && op.withdraw())
        return attempted(c, attempt::stopped);
      return attempted(c, op.retries_ ? op.try_or_wait() : attempt::ready);
    }
    case entry::unwind:
      return unwind(*c.frame_);
    case entry::nested:
      break;  // the combinator resumes this strand itself
  }
  return nullptr;
}

// The same for a task, with a fast path for the usual case: no stop was requested, and its leaf has
// completed with a value.
inline promise_base* task_header::enter_task() noexcept {
  switch (entry_) {
    case entry::start:
    case entry::resume:
      if (word_.stop_requested()) [[unlikely]]
        break;
      return frame_;
    case entry::leaf: {
      leaf_operation& op = *current_;
      if (!word_.has_fired(op.fired_) || op.stopped_) break;
      op.armed_ = false;
      if (!op.retries_) return frame_;
      const attempt result = op.try_or_wait();
      if (result == attempt::ready) [[likely]]
        return frame_;
      return attempted(*this, result);
    }
    default:
      break;
  }
  return enter(*this);
}

KIOTO_NOINLINE passage run_hooks(promise_base& frame, passage how) noexcept {
  await_hook* hook = nullptr;
  while (frame.hook_ != nullptr) {
    hook = frame.hook_;
    hook->pop(frame);
    how = hook->on_end(frame, how);
    if (how == passage::held) return how;
  }
  if (how == passage::returning) {
    hook->push(frame);  // the outermost; see leave_early()
    frame.strand_->loop().ask(request::returned, frame);
  }
  return how;
}

static void leave_early(promise_base& frame) noexcept {
  auto& hook = static_cast<returning_hook&>(*frame.hook_);
  hook.pop(frame);
  hook.leave(frame);
}

// Carries out what a frame asked for. Returns the frame to go on with, if any.
promise_base* task_header::answer(trampoline& loop) noexcept {
  switch (std::exchange(loop.action, request::none)) {
    case request::none:
      break;
    case request::proceed:
      loop.running = loop.target->strand_;  // a branch may begin
      return loop.target;
    case request::unwind:
      return unwind(*loop.target);
    case request::returned:
      leave_early(*loop.target);
      // Ends like at its final suspension; the awaiter, or finish(), destroys the frame.
      if (task_awaiter_base* const awaiter = loop.target->parent_.awaiter())
        return &awaiter->parent();
      [[fallthrough]];
    case request::finished:
      return ended(*loop.target->strand_, loop.target->ending());
  }
  return nullptr;
}

inline void task_header::resume(promise_base& frame, trampoline& loop) noexcept {
  loop.depth = trampoline::transfers_before_unwinding;
  if (completed_through_hooks(frame)) frame.handle().resume();
}

// Resumes `frame`, if any, and goes on as long as something is asked for.
KIOTO_NOINLINE void task_header::run_frames(promise_base* frame, trampoline& loop) noexcept {
  for (;;) {
    if (frame != nullptr) resume(*frame, loop);
    do {
      if (loop.action == request::none) return;
      frame = answer(loop);
    } while (frame == nullptr);
  }
}

// On the path of each run of each task: what is rare is out of line.
next_run task_header::run(bool called) noexcept {
  trampoline loop;
  loop.called = called;
  loop.running = this;
  loop_ = &loop;
  if (entry_ != entry::nested) [[likely]] {
    promise_base* const frame = enter_task();
    // As resume() does it, but with a new depth.
    if (frame != nullptr && completed_through_hooks(*frame)) [[likely]]
      frame->handle().resume();
    // Unless they forked, the frames have published the strand if they ask for nothing: it must not
    // be touched.
    if (loop.action == request::finished && loop.target->strand_ == this) {
      finish(loop.target->ending());
      return loop.next;
    }
    if (loop.action != request::none) run_frames(nullptr, loop);
    if (!loop.forked) [[likely]]
      return loop.next;
  } else {
    loop.forked = true;
  }
  // A forked strand stays owned until this gives it up.
  run_branches(loop);
  return loop.next;
}

// A stop travels up from the leaf under `frame`. Frames are destroyed one by one, innermost first,
// without recursion, up to a frame with a hook that absorbs the stop or to the root of the strand;
// those of a strand that keeps its frames only if a hook absorbs the stop.
KIOTO_NOINLINE promise_base* task_header::unwind(promise_base& innermost) noexcept {
  promise_base* frame = &innermost;
  strand& c = *innermost.strand_;
  const bool kept = combinator::keeps(c);
  for (;;) {
    if (frame->hook_ != nullptr) {
      const passage how = run_hooks(*frame, passage::stopped);
      if (how != passage::stopped) {
        if (kept) destroy_frames(innermost, *frame);
        return how == passage::completed ? frame : nullptr;
      }
    }
    task_awaiter_base* awaiter = frame->parent_.awaiter();
    if (awaiter == nullptr) {
      if (kept) {
        auto& branch = static_cast<branch_strand&>(c);
        branch.is_kept_ = true;
        ++branch.kept_depth_;
        branch.frame_ = &innermost;
      }
      return ended(c, outcome::stopped);
    }
    promise_base& parent = awaiter->parent();
    if (!kept) awaiter->destroy_child();
    frame = &parent;
  }
}

// A strand has no more frames to run: ends it. Returns the frame to go on with.
promise_base* task_header::ended(strand& c, outcome what) noexcept {
  if (c.kind_ == strand_kind::task) [[likely]] {
    finish(what);
    return nullptr;
  }
  auto& branch = static_cast<branch_strand&>(c);
  return branch.owner_->branch_ended(branch, what);
}

void task_header::finish(outcome what) noexcept {
  scope_core* const scope = this->scope();
  // The frame leaves the result where it is; but not one that did not count, see `drop_value()`.
  if (what != outcome::stopped) [[likely]]
    outcome_ = outcome::none;
  destroy_frame(root());  // parameters die before anyone learns of the end
  outcome_ = what;
  if (scope != nullptr) return scope->finish(*this);
  scheduler& home = *scheduler_;
  trampoline& loop = *loop_;
  if (shard_ != in_no_shard) [[likely]]
    home.task_ended(*this);
  const auto end = join_.finish();
  // The handle may have freed the block by now, unless it left it to this thread.
  if (end.waiter != nullptr) {
    end.waiter->task_ended(*end.waiter, loop);
  } else if (end.detached) {
    if (what == outcome::exception) [[unlikely]]
      report_unobserved(*this, &home.core());
    drop_reference();
  } else if (loop.called) {
    loop.next = {nullptr, next_run::relation::sibling};
  }
}

void task_header::refuse() noexcept {
  thread_state& thread = this_thread();
  task_header* const running = std::exchange(thread.running, this);
  destroy_frame(root());
  thread.running = running;
  outcome_ = outcome::stopped;
  const auto end = join_.finish();
  if (end.detached) drop_reference();
}

[[noreturn]] KIOTO_NOINLINE static void die_handle_in_use(task_header& task) noexcept {
  const std::source_location where = task.where_.load(std::memory_order_relaxed);
  std::fprintf(stderr,
               "kioto: a join_handle of task %llu, spawned at %s:%u, was destroyed, assigned to or "
               "detached while it was awaited: a handle outlives the wait\n",
               static_cast<unsigned long long>(task.id_), where.file_name(),
               static_cast<unsigned>(where.line()));
  std::terminate();
}

void task_header::release_handle() noexcept {
  if (join_.detach()) return;
  // A waiter is linked, or was fired and has not run yet.
  if (is_awaited_ || !join_.is_done()) [[unlikely]]
    die_handle_in_use(*this);
  // The runtime of the task may be gone: the hook is that of the runtime of this thread, if any.
  if (outcome_ == outcome::exception) [[unlikely]]
    report_unobserved(*this, this_thread().runtime);
  drop_reference();
}

void task_header::release_block() noexcept {
  destroy_result();
  this->~task_header();
  free_block();
}

// The task does not belong to the scheduler that this thread runs.
KIOTO_NOINLINE static void schedule_no_task(strand& c) noexcept {
  if (c.kind_ == strand_kind::branch) {
    auto& branch = static_cast<branch_strand&>(c);
    task_header& task = *branch.task_;
    if (task.branches_.push(&branch)) schedule_task(task);
  } else if (c.kind_ == strand_kind::thread) {
    static_cast<blocked_thread&>(c).unpark();
  } else {
    static_cast<standing_wait&>(c).completed();
  }
}

// Out of line, because it reads a thread-local: see this_thread().
KIOTO_NOINLINE void schedule(strand& c) noexcept {
  if (c.kind_ == strand_kind::task) [[likely]]
    return schedule_task(state_of_this_thread, static_cast<task_header&>(c));
  schedule_no_task(c);
}

}  // namespace kioto::detail
