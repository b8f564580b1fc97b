// SPDX-License-Identifier: MIT
#include <kioto/scope.hpp>

#include <stdexcept>
#include <system_error>

#include "scheduler/core.hpp"
#include "scheduler/scheduler.hpp"

namespace kioto::detail {

// ---- children ----------------------------------------------------------------------------------

void scope_core::launch(task_header& child) noexcept {
  runtime_core& core = parent_->scheduler_->core();
  child.root().parent_.set_scope(*this);
  thread_state& thread = this_thread();
  child.id_ = next_task_id(thread);
  if (is_closed_) [[unlikely]]
    return child.refuse();  // by a destructor of the body, which is kept
  if (!is_registered_) {
    is_registered_ = true;
    core.owned.insert(*this, parent_->id_ >> 8);
  }
  if (core.options.on_task_spawn) [[unlikely]]
    core.options.on_task_spawn(task_id(child.id_), child.where_.load(std::memory_order_relaxed));
  switch (state_.admit(child)) {
    case state_type::admission::start_stopped:
      static_cast<void>(child.word_.request_stop());
      [[fallthrough]];
    case state_type::admission::start:
      schedule_task(thread, child);
      break;
    case state_type::admission::later:
      break;
  }
}

void scope_core::finish(task_header& child) noexcept {
  scheduler& home = *child.scheduler_;
  home.task_ended(child);
  note_outcome(child);
  // Once the join state is done, the handle may drop its share of the block, which the list still
  // needs.
  const bool is_shared = !child.join_.is_detached();
  if (is_shared) child.add_reference();
  const auto end = child.join_.finish();
  if (end.waiter != nullptr) {
    end.waiter->task_ended(*end.waiter, *child.loop_);
  } else if (end.detached) {
    if (child.outcome_ == outcome::exception) [[unlikely]]
      report_unobserved(child, &home.core());
    child.destroy_result();  // it may refer to what the parent owns
  }
  state_type::released released;
  state_.ended(child, released);
  // From here on the scope may be gone.
  if (end.detached) child.drop_reference();
  if (is_shared) child.drop_reference();
  if (released.next != nullptr) schedule_task(*released.next);
  fire(released);
}

void scope_core::fire(state_type::released& released) noexcept {
  while (scope_waiter* waiter = released.fired.pop_front()) complete(*waiter->operation);
}

void scope_core::note_outcome(task_header& child) noexcept {
  switch (child.outcome_) {
    case outcome::exception:
      if (!state_.claim_failure()) return;
      child.manage_result_(child, task_header::manage::read_error, &exception_);
      child.is_reported_ = true;
      return stop_all();
    case outcome::value: {
      std::optional<std::error_code> error;
      child.manage_result_(child, task_header::manage::read_failure, &error);
      if (!error || !state_.claim_failure()) return;
      error_ = error;
      return stop_all();
    }
    case outcome::stopped:
      if (!child.word_.stop_requested()) {
        // It ended although it was not asked to stop: the runtime shuts down.
        incomplete_.store(true, std::memory_order_relaxed);
        return stop_all();
      }
      if (stop_makes_incomplete_.load(std::memory_order_relaxed))
        incomplete_.store(true, std::memory_order_relaxed);
      return;
    case outcome::none:
      return;
  }
}

bool scope_core::contains(task_header& task) const noexcept {
  // They run, or wait for their children: their frames still exist.
  for (scope_core* scope = task.scope(); scope != nullptr; scope = scope->parent_->scope())
    if (scope == this) return true;
  return false;
}

// ---- stopping ----------------------------------------------------------------------------------

void scope_core::ask_children() noexcept {
  for (;;) {
    const auto next = state_.next_to_ask();
    if (next.child == nullptr) return;
    if (next.has_to_start) {
      static_cast<void>(next.child->word_.request_stop());
      schedule_task(*next.child);
    } else {
      next.child->abort();
    }
    next.child->drop_reference();
  }
}

bool scope_core::begin_to_stop() noexcept {
  state_type::released released;
  if (!state_.begin_to_stop(released)) return false;
  fire(released);
  return true;
}

void scope_core::stop_all() noexcept {
  if (begin_to_stop()) ask_children();
  if (state_.begin_to_tell_body()) schedule(*messenger_);
}

void scope_core::cancel() noexcept {
  cancelled_.store(true, std::memory_order_relaxed);
  stop_all();
}

void scope_core::stop_from_outside() noexcept {
  stopped_ = true;
  if (!begin_to_stop()) return;
  stop_makes_incomplete_.store(true, std::memory_order_relaxed);
  ask_children();
}

void scope_core::close() noexcept {
  is_closed_ = true;
  if (is_registered_) parent_->scheduler_->core().owned.remove(*this, parent_->id_ >> 8);
}

// ---- the operation -----------------------------------------------------------------------------

// Its children run on while the strand is paused, and would be left behind.
scope_operation_base::scope_operation_base(std::size_t limit) noexcept : limit_(limit) {
  pausable_ = false;
}

attempt scope_operation_base::begin() noexcept {
  scope_core& core = this->core();
  task_header& task = strand_->task();
  messenger_.strand_ = &messenger_strand_;
  messenger_strand_.current_ = &messenger_;
  messenger_strand_.entry_ = entry::retry;
  messenger_strand_.owner_ = this;
  messenger_strand_.task_ = &task;
  core.open(task, messenger_strand_);
  core.state_.set_limit(limit_);
  body_ = this;
  if (strand_->must_stop()) stop_requested();
  try {
    chain body;
    body.add(make_body());
    return start(body);
  } catch (...) {
    if (core.state_.claim_failure()) core.exception_ = std::current_exception();
    body_outcome_ = outcome::exception;
    if (core.state_.body_ended()) expect_another();
    core.stop_all();
    return start(chain());
  }
}

attempt scope_operation_base::message_arrived() noexcept {
  message_is_due_ = false;
  if (body_outcome_ != outcome::none) return attempt::ready;  // the last branch
  keep_frames();
  stop_branches();
  return attempt::suspended;
}

bool scope_operation_base::settle(branch_strand& branch) noexcept {
  if (&branch == &messenger_strand_) return false;
  body_outcome_ = branch.outcome_;
  scope_core& core = this->core();
  if (core.state_.body_ended() && message_is_due_) expect_another();
  if (branch.outcome_ == outcome::exception) {
    if (core.state_.claim_failure()) core.exception_ = take_body_exception();
    core.stop_all();
  } else if (branch.outcome_ == outcome::value) {
    if (!body_failed()) return false;
    body_failed_first_ = core.state_.claim_failure();
    core.stop_all();
  } else {
    core.stop_all();
  }
  return false;
}

void scope_operation_base::stop_requested() noexcept {
  keep_frames();
  core().stop_from_outside();
}

// Called before the body is asked to stop. Children that are added later never run.
void scope_operation_base::keep_frames() noexcept {
  const combinator* const around = strand_->kind_ == strand_kind::branch
                                       ? static_cast<branch_strand*>(strand_)->owner_->body_
                                       : nullptr;
  keeps_frames_ = (around != nullptr && around->keeps_frames_) || core().state_.pending() != 0;
}

// The last part of a scope: an operation of the strand that awaits it. It cannot be withdrawn: a
// stop request is passed on to the children, and their end is awaited.
attempt scope_operation_base::join() noexcept {
  joining_ = true;
  retries_ = true;
  waiter_.operation = this;
  const attempt result =
      hand_over([this]() noexcept { return core().state_.link_for_end(waiter_); });
  return result == attempt::ready ? finish() : result;
}

// No child is left.
attempt scope_operation_base::finish() noexcept {
  if (first_ != nullptr && first_->is_kept_) {
    if (!is_still_borrowed(*first_)) {
      destroy_kept_frames(*first_);
      kept_depth_ = 0;
      return join();  // for what destructors have started, which never runs
    }
    static_cast<branch_strand*>(strand_)->kept_depth_ = first_->kept_depth_;
  }
  scope_core& core = this->core();
  core.close();
  if (core.exception_ != nullptr || core.error_ || body_failed_first_) return attempt::ready;
  if (body_outcome_ == outcome::stopped)
    return core.was_cancelled() && !core.was_stopped() ? attempt::ready : attempt::stopped;
  return core.is_incomplete() ? attempt::stopped : attempt::ready;
}

void scope_operation_base::rethrow_exception() {
  std::exception_ptr late = take_body_exception();
  if (late != nullptr && late != core().exception_)
    report_lost_exception(*strand_, std::move(late));
  if (core().exception_ != nullptr) std::rethrow_exception(std::move(core().exception_));
}

void scope_operation_base::throw_cancelled() { throw_task_cancelled(strand_->task().id_); }

void throw_error(std::error_code error) { throw std::system_error(error); }

void throw_joined_from_inside() {
  throw std::logic_error(
      "task_scope::join() was awaited by a child of the scope, which would wait for itself: await "
      "the handle of the other child, or join in the body");
}

}  // namespace kioto::detail
