// SPDX-License-Identifier: MIT
// The loop that resumes the frames of a task, and what happens to frames at their end.
#include <kioto/detail/task_header.hpp>

#include <cstdio>
#include <exception>

#include <kioto/detail/promise.hpp>

#include "core.hpp"
#include "scheduler.hpp"
#include "thread_strand.hpp"

namespace kioto::detail {

void leaf_operation::die_in_flight() noexcept {
  std::fputs(
      "kioto: a coroutine frame was destroyed while an operation in it was in flight; await the "
      "task or abort it through its join_handle instead of destroying it\n",
      stderr);
  std::terminate();
}

promise_base& task_header::root() noexcept {
  auto* frame = reinterpret_cast<std::byte*>(this) + sizeof(task_header);
  return std::coroutine_handle<promise_base>::from_address(frame).promise();
}

[[gnu::always_inline]] inline promise_base* task_header::attempted(context& c,
                                                                   attempt result) noexcept {
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

// Decides what the due run of a context does. Returns the frame to resume, or null if the context
// suspended again or ended.
[[gnu::always_inline]] inline promise_base* task_header::enter(context& c) noexcept {
  switch (c.entry_) {
    case entry::start:
      if (c.must_stop()) return ended(c, outcome::stopped);
      if (c.frame_ != nullptr) return c.frame_;
      static_cast<void>(c.loop().try_charge());  // its turn has come, whatever is left
      return attempted(c, c.current_->try_or_wait());
    case entry::resume:
      if (c.must_stop()) return unwind(*c.frame_);
      return c.frame_;
    case entry::retry:
      // Nothing was attempted yet. Without this look, a loop of operations that are always ready
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
      return attempted(c, op.retries_ ? op.try_or_wait() : attempt::ready);
    }
    case entry::nested:
      break;  // the combinator resumes this context itself
  }
  return nullptr;
}

// Does what a frame asked for. Returns the frame to go on with, if any.
inline promise_base* task_header::answer(trampoline& loop) noexcept {
  switch (std::exchange(loop.action, request::none)) {
    case request::none:
      break;
    case request::proceed:
      return loop.target;
    case request::unwind:
      return unwind(*loop.target);
    case request::returned:
      // Ends like at its final suspension; the awaiter, or finish(), destroys the frame.
      if (loop.target->awaiter_ != nullptr) return &loop.target->awaiter_->parent();
      [[fallthrough]];
    case request::finished:
      return ended(*loop.target->context_, loop.target->outcome_);
  }
  return nullptr;
}

// Resumes `frame`, if any, and goes on as long as something is asked for.
inline void task_header::run_frames(promise_base* frame, trampoline& loop) noexcept {
  for (;;) {
    if (frame != nullptr) [[likely]] {
      loop.depth = trampoline::transfers_before_unwinding;
      if (completed_through_hooks(*frame)) frame->handle().resume();
    }
    do {
      if (loop.action == request::none) return;
      frame = answer(loop);
    } while (frame == nullptr);
  }
}

task_header* task_header::run(bool called) noexcept {
  trampoline loop;
  loop.called = called;
  loop_ = &loop;
  if (fork_ == nullptr) [[likely]] {
    run_frames(enter(*this), loop);
    // Unless they forked, the frames have published the strand, or ended the task: it must not be
    // touched.
    if (!loop.forked) [[likely]]
      return loop.next_hint;
  } else {
    loop.forked = true;
  }
  // A forked strand stays owned until this gives it up.
  run_branches(loop);
  return loop.next_hint;
}

// A stop travels up from the leaf under `frame`. Frames are destroyed one by one, innermost first,
// without recursion, up to a frame with a hook that absorbs the stop or to the root of the context.
promise_base* task_header::unwind(promise_base& innermost) noexcept {
  promise_base* frame = &innermost;
  for (;;) {
    while (frame->hook_ != nullptr) {
      await_hook* hook = frame->hook_;
      hook->pop(*frame);
      if (hook->on_stopped(*frame)) return frame;
    }
    task_awaiter_base* awaiter = frame->awaiter_;
    if (awaiter == nullptr) return ended(*frame->context_, outcome::stopped);
    promise_base& parent = awaiter->parent();
    awaiter->destroy_child();
    frame = &parent;
  }
}

// A context has no more frames to run. Returns the frame to go on with.
promise_base* task_header::ended(context& c, outcome what) noexcept {
  if (c.kind_ == strand::task) [[likely]] {
    finish(what);
    return nullptr;
  }
  auto& branch = static_cast<branch_context&>(c);
  branch.ended_ = true;
  return branch.owner_->branch_ended(branch, what);
}

void task_header::finish(outcome what) noexcept {
  outcome_ = what;
  promise_base& frame = root();
  frame.outcome_ = outcome::none;  // the result is the header's from here on
  frame.handle().destroy();        // parameters die before anyone learns of the end
  scheduler& home = *scheduler_;
  trampoline& loop = *loop_;
  home.task_ended(*this);
  const auto end = join_.finish();
  // The handle may have freed the block by now, unless it left it to this thread.
  if (end.waiter != nullptr) {
    context& waiting = *end.waiter->context_;
    if (loop.called && waiting.kind_ != strand::thread && waiting.task().scheduler_ == &home)
      loop.next_hint = &waiting.task();
    complete(*end.waiter);
  } else if (end.detached) {
    if (what == outcome::exception) [[unlikely]]
      report_unobserved(*this, &home.core());
    drop_reference();
  }
}

void task_header::refuse() noexcept {
  outcome_ = outcome::stopped;
  promise_base& frame = root();
  frame.outcome_ = outcome::none;
  frame.handle().destroy();
  const auto end = join_.finish();
  if (end.detached) drop_reference();
}

void task_header::release_handle() noexcept {
  if (join_.detach()) return;
  // The runtime of the task may be gone: its hook is that of the thread, if any.
  if (outcome_ == outcome::exception) [[unlikely]]
    report_unobserved(*this, this_thread().runtime);
  drop_reference();
}

void task_header::release_block() noexcept {
  if (outcome_ != outcome::none) manage_result_(*this, manage::destroy_result, nullptr);
  this->~task_header();
  free_block();
}

// Forked strands.

void fork(context& c, promise_base& frame, combinator& op, fork_state& state) noexcept {
  task_header& task = c.task();
  c.current_ = &op;
  c.frame_ = &frame;
  c.entry_ = entry::nested;
  if (task.fork_ == nullptr) {
    task.fork_ = &state;
    task.loop_->forked = true;
    task.branches_.open();
  } else {
    ++task.fork_->depth;
  }
}

promise_base* join_fork(context& c) noexcept {
  task_header& task = c.task();
  if (--task.fork_->depth == 0) {
    task.fork_ = nullptr;
    task.loop_->forked = false;
    task.branches_.close();
  }
  return c.frame_;
}

void run_branch_soon(branch_context& branch) noexcept {
  fork_state& state = *branch.task_->fork_;
  (branch.task_->loop_->budget != 0 ? state.ready : state.yielded).push_back(&branch);
}

void request_stop(branch_context& branch) noexcept {
  if (branch.ended_) return;
  if (branch.word_.request_stop())
    run_branch_soon(branch);  // was suspended in a leaf; enter() cancels it
  else if (branch.entry_ == entry::nested && branch.shields_ == 0)
    branch.current_->cancel();
  // Otherwise it is queued or running, and meets the request at its next leaf.
}

void task_header::run_branches(trampoline& loop) noexcept {
  for (;;) {
    fork_state& state = *fork_;
    branch_context* list = branches_.take();
    if (!state.stop_seen && word_.stop_requested()) {
      state.stop_seen = true;
      if (shields_ == 0) current_->cancel();
    }
    // Newest first; turned round, so that branches run in the order of their completion.
    branch_context* in_order = nullptr;
    while (list != nullptr) {
      branch_context* next = list->queue_next;
      list->queue_next = in_order;
      in_order = list;
      list = next;
    }
    while (in_order != nullptr) {
      branch_context* next = in_order->queue_next;
      state.ready.push_back(in_order);
      in_order = next;
    }
    if (state.ready.empty()) {
      if (!state.yielded.empty()) {
        state.ready.splice_back(state.yielded);
        reschedule(*this);  // publishes
        return;
      }
      if (branches_.release()) return;
      continue;
    }
    while (branch_context* branch = state.ready.pop_front()) {
      run_frames(enter(*branch), loop);
      if (!loop.forked) return;
      if (fork_ != &state) break;  // that combinator is done, and the task has begun another one
    }
  }
}

void schedule(context& c) noexcept {
  switch (c.kind_) {
    [[likely]] case strand::task:
      schedule_task(static_cast<task_header&>(c));
      break;
    case strand::branch: {
      auto& branch = static_cast<branch_context&>(c);
      task_header& task = *branch.task_;
      if (task.branches_.push(&branch)) schedule_task(task);
      break;
    }
    case strand::thread:
      static_cast<thread_strand&>(c).unpark();
      break;
  }
}

void yield(context& c) noexcept {
  if (c.kind_ == strand::branch)
    static_cast<branch_context&>(c).task_->fork_->yielded.push_back(
        &static_cast<branch_context&>(c));
  else
    reschedule(static_cast<task_header&>(c));
}

}  // namespace kioto::detail
