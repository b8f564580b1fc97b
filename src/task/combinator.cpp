// SPDX-License-Identifier: MIT
// Strands that run branches: the loop of a forked task, and how branches start, end and stop.
#include <kioto/detail/task/combinator.hpp>
#include <kioto/detail/task/pausable.hpp>

#include <algorithm>
#include <cassert>
#include <stdexcept>

#include <fmt/format.h>

#include "scheduler/core.hpp"
#include "scheduler/scheduler.hpp"

namespace kioto::detail {

namespace {

// The frame of a branch that is a task. See task_branch: the branch lies where the header of a
// spawned task would be.
promise_base& root_of(branch_strand& branch) noexcept {
  auto* block = reinterpret_cast<std::byte*>(&branch) - sizeof(block_info);
  return std::coroutine_handle<promise_base>::from_address(block + sizeof(task_header)).promise();
}

// Whatever is nested in a branch that is being withdrawn is withdrawn as well.
bool in_withdrawn_branch(const strand& c) noexcept {
  return c.kind_ == strand_kind::branch && static_cast<const branch_strand&>(c).is_withdrawn_;
}

// Destroys the frame of a branch that is a task. Its result stays in the block.
void destroy_root(branch_strand& branch) noexcept {
  promise_base& root = root_of(branch);
  outcome& ending = root.ending();                           // in the block
  const outcome how = std::exchange(ending, outcome::none);  // the frame leaves the result there
  branch.frame_is_gone_ = true;
  destroy_frame(root);
  ending = how;
}

// Destroys the frames from the innermost one outwards.
void destroy_all_frames(branch_strand& branch) noexcept {
  destroy_frames(*branch.frame_, root_of(branch));
  destroy_root(branch);
}

// The combinator that a strand waits in, if it has branches and owns them.
combinator* waits_in(branch_strand& strand) noexcept {
  if (strand.entry_ != entry::nested) return nullptr;
  auto* const inner = static_cast<combinator*>(strand.current_);
  return inner->adopted_ || inner->first_ == nullptr ? nullptr : inner;
}

}  // namespace

void destroy_unfinished(branch_strand& branch) noexcept {
  destroy_branches_within(branch);
  destroy_all_frames(branch);
}

void destroy_branches_within(branch_strand& strand) noexcept {
  combinator* of = waits_in(strand);
  if (of == nullptr) return;
  branch_strand* branch = of->first_;
  for (;;) {
    // Down to a branch that waits for no others.
    while (branch->owner_ != nullptr && branch->outcome_ == outcome::none) {
      combinator* const inner = waits_in(*branch);
      if (inner == nullptr) break;
      of = inner;
      branch = inner->first_;
    }
    // Up from the last branch of a combinator, which is destroyed with the frames of the branch
    // around it.
    for (;;) {
      branch_strand* const next = branch->sibling_;
      if (branch->is_task_ && !branch->frame_is_gone_ && branch->outcome_ == outcome::none)
        destroy_all_frames(*branch);
      if (next != nullptr) {
        branch = next;
        break;
      }
      branch = static_cast<branch_strand*>(of->strand_);
      if (branch == &strand) return;
      of = branch->owner_;
    }
  }
}

combinator* task_header::fork() noexcept {
  return entry_ == entry::nested ? static_cast<combinator*>(current_) : nullptr;
}

// The task stays owned while its branches run; release() gives it up when all of them wait.
void task_header::run_branches(trampoline& loop) noexcept {
  for (;;) {
    combinator& top = *fork();
    // The list is newest first; it is reversed, so that branches run in the order of their
    // completion.
    branch_strand* in_order = nullptr;
    for (branch_strand* list = branches_.take(); list != nullptr;) {
      branch_strand* next = list->queue_next;
      list->queue_next = in_order;
      in_order = list;
      list = next;
    }
    while (in_order != nullptr) {
      branch_strand* next = in_order->queue_next;
      top.ready_.push_back(in_order);
      in_order = next;
    }
    if (!top.stop_seen_ && word_.stop_requested()) {
      top.stop_seen_ = true;
      if (shields_ == 0) top.cancel();
    }
    if (branch_strand* branch = top.ready_.pop_front()) {
      loop.running = branch;
      promise_base* frame = nullptr;
      if (top.pausing_ == 0 || !pausing::hold(*branch, frame)) [[likely]]
        frame = enter(*branch);
      run_frames(frame, loop);
      if (!loop.forked) return;
      continue;  // maybe in another combinator: that one may be done, and the task in the next
    }
    if (top.starters_ != nullptr) {
      run_frames(top.starters_->advance(), loop);
      if (!loop.forked) return;
      continue;
    }
    if (!top.yielded_.empty()) {
      top.ready_.splice_back(top.yielded_);
      reschedule(*this);  // publishes
      return;
    }
    if (branches_.release()) return;
  }
}

attempt combinator::start(const chain& branches) noexcept {
  strand& c = *strand_;
  begins_stopped_ = c.must_stop();
  stop_seen_ = begins_stopped_;
  first_ = branches.first();
  next_ = first_;
  c.current_ = this;
  c.entry_ = entry::nested;
  if (c.kind_ == strand_kind::task)
    c.loop().forked = true;
  else if (body_ == nullptr)
    body_ = static_cast<branch_strand&>(c).owner_->body_;
  start_some();
  if (!is_done()) return attempt::suspended;
  c.entry_ = entry::resume;
  if (c.kind_ == strand_kind::task) c.loop().forked = false;
  return conclude();
}

void combinator::adopt(branch_strand& branch) noexcept {
  strand& c = *strand_;
  stop_seen_ = false;
  adopted_ = true;
  first_ = &branch;
  live_ = 1;
  branch.owner_ = this;
  branch.task_ = &c.task();
  branch.outcome_ = outcome::none;
  c.current_ = this;
  c.entry_ = entry::nested;
  if (c.kind_ == strand_kind::task) c.loop().forked = true;
}

promise_base* combinator::advance() noexcept {
  start_some();
  return is_done() ? go_on() : nullptr;
}

// Starts branches, up to and including the first one that has to be run by the loop.
void combinator::start_some() noexcept {
  strand& c = *strand_;
  while (next_ != nullptr) {
    branch_strand& b = *std::exchange(next_, next_->sibling_);
    ++live_;
    b.owner_ = this;
    b.task_ = &c.task();
    b.inherits_stop_ = begins_stopped_;
    if (b.is_task_) {
      start_task(b);
      break;
    }
    if (!c.loop().try_charge()) {
      start_soon(b);
      break;
    }
    b.entry_ = entry::resume;
    if (b.inherits_stop_) b.word_.begin_stopped();
    c.loop().running = &b;
    const attempt first = b.current_->try_or_wait();
    c.loop().running = &c;  // the task is still owned by this thread
    if (first != attempt::suspended)
      end_branch(b, first == attempt::ready ? outcome::value : outcome::stopped);
    else if (!c.task().fork()->ready_.empty() || c.loop().action != request::none)
      break;  // a combinator, whose own branches are due
  }
  if ((next_ != nullptr) == is_starter_) return;
  if (is_starter_)
    leave_starters();
  else
    join_starters();
}

void combinator::join_starters() noexcept {
  combinator& top = *strand_->task().fork();
  next_starter_ = std::exchange(top.starters_, this);
  is_starter_ = true;
}

// Nearly always the newest in the list: nested combinators begin later and end earlier.
void combinator::leave_starters() noexcept {
  combinator** link = &strand_->task().fork()->starters_;
  while (*link != this) link = &(*link)->next_starter_;
  *link = next_starter_;
  is_starter_ = false;
}

// Runs it at once, without the queue, if it would be the next anyway.
void combinator::start_task(branch_strand& branch) noexcept {
  trampoline& loop = strand_->loop();
  const combinator& top = *branch.task_->fork();
  if (loop.budget <= 0 || !top.ready_.empty() || top.pausing_ != 0) return start_soon(branch);
  assert(loop.action == request::none);
  static_cast<void>(loop.try_charge());
  branch.entry_ = entry::resume;
  if (branch.inherits_stop_) branch.word_.begin_stopped();
  loop.ask(request::proceed, *branch.frame_);
}

void combinator::start_soon(branch_strand& branch) noexcept {
  combinator& top = *branch.task_->fork();
  if (strand_->loop().budget > 0) {
    top.ready_.push_back(&branch);
  } else {
    // It starts only after the task has yielded, which is a point where a stop request takes
    // effect.
    if (branch.inherits_stop_) branch.word_.begin_stopped();
    top.yielded_.push_back(&branch);
  }
}

void combinator::end_branch(branch_strand& branch, outcome what) noexcept {
  branch.outcome_ = what;
  --live_;
  if (what == outcome::stopped) kept_depth_ = std::max(kept_depth_, branch.kept_depth_);
  const bool withdrew = withdraws_branches_;
  if (!settle(branch) || (stopping_ && withdraws_branches_ == withdrew)) return;
  cancel_leaves();
  if (live_ != 0) {
    stop_branches();
  } else {
    begin_to_stop();
    if (is_starter_) leave_starters();  // the caller completes the combinator
  }
}

// Branches that wait in a leaf operation, without a frame, end at once if that can be cancelled. So
// in most cases nothing else runs between the end of the branch that decided and that of the whole.
// That this may call `settle()` from within is no recursion: these branches have all stopped.
void combinator::cancel_leaves() noexcept {
  for (branch_strand* b = first_; b != nullptr; b = b->sibling_) {
    if (b->owner_ == nullptr || b->outcome_ != outcome::none || b->entry_ != entry::leaf ||
        b->frame_ != nullptr)
      continue;
    if (!b->word_.request_stop()) continue;  // it has completed, and is queued
    if (!b->current_->cancel()) {
      b->task_->fork()->ready_.push_back(b);  // the same again, or its completion has come by then
      continue;
    }
    b->current_->armed_ = false;
    b->outcome_ = outcome::stopped;
    --live_;
    static_cast<void>(settle(*b));
  }
}

bool combinator::is_withdrawn() const noexcept {
  return in_withdrawn_branch(*strand_) && strand_->must_stop();
}

// Another branch of a combinator around this one has won since the branch here completed. Its value
// has not been taken, so it may still be given up.
bool combinator::withdraw() noexcept {
  if (!can_be_undone_) return false;
  branch_strand* completed = nullptr;
  for (branch_strand* b = first_; b != nullptr; b = b->sibling_) {
    if (b->outcome_ == outcome::exception) return false;
    if (b->outcome_ != outcome::value) continue;
    if (completed != nullptr) return false;
    completed = b;
  }
  if (completed == nullptr || completed->is_task_ || completed->is_pausable_) return false;
  // One whose wake-up is a hint has acted on it: bytes were read.
  return !completed->current_->retries_ && completed->current_->withdraw();
}

namespace {

// Branches that are kept are destroyed with the frames that they are in, hence by recursion. Nested
// deeper than this they are not kept.
constexpr std::uint16_t deepest_kept = 100;

}  // namespace

bool combinator::keeps(strand& c) noexcept {
  if (c.kind_ != strand_kind::branch) return false;
  const auto& branch = static_cast<branch_strand&>(c);
  const combinator* const body = branch.owner_->body_;
  if (body == nullptr || !branch.is_task_) return false;
  return body == branch.owner_ || (body->keeps_frames_ && branch.kept_depth_ < deepest_kept);
}

bool combinator::is_still_borrowed(const branch_strand& branch) const noexcept {
  if (strand_->kind_ != strand_kind::branch || branch.kept_depth_ >= deepest_kept) return false;
  const combinator* const around = static_cast<branch_strand*>(strand_)->owner_->body_;
  return around != nullptr && around->keeps_frames_;
}

void destroy_kept_frames(branch_strand& branch) noexcept {
  branch.is_kept_ = false;
  // Destructors see the task locals of the strand that they are in.
  trampoline& loop = branch.loop();
  strand* const running = std::exchange(loop.running, &branch);
  destroy_all_frames(branch);
  loop.running = running;
}

std::coroutine_handle<> end_of_branch(promise_base& root) noexcept {
  auto& branch = static_cast<branch_strand&>(*root.strand_);
  if (!branch.owner_->ends_in_place_) {
    branch.task_->loop_->ask(request::finished, root);
    return std::noop_coroutine();
  }
  promise_base* const next = branch.owner_->branch_ended_in_place(branch, root.ending());
  if (next == nullptr || !completed_through_hooks(*next)) return std::noop_coroutine();
  return transfer_to(*next);
}

void destroy_branch_frame(branch_strand& branch) noexcept {
  branch.kept_depth_ = 0;  // what was kept in its frames is destroyed as well
  destroy_root(branch);
}

promise_base* combinator::branch_ended(branch_strand& branch, outcome what) noexcept {
  // What a branch owned is destroyed before anything else runs.
  if (branch.is_task_ && !branch.is_kept_) destroy_branch_frame(branch);
  return branch_ended_in_place(branch, what);
}

promise_base* combinator::branch_ended_in_place(branch_strand& branch, outcome what) noexcept {
  end_branch(branch, what);
  return is_done() ? go_on() : nullptr;
}

// Every branch has ended, one of them just now.
promise_base* combinator::go_on() noexcept {
  strand& c = *strand_;
  c.entry_ = entry::resume;
  c.loop().running = &c;
  if (c.kind_ == strand_kind::task) c.loop().forked = false;
  const attempt result = is_withdrawn() && withdraw() ? attempt::stopped : conclude();
  if (result == attempt::suspended) return nullptr;  // the strand may be elsewhere already
  if (result == attempt::stopped && c.kind_ == strand_kind::branch)
    static_cast<branch_strand&>(c).kept_depth_ = kept_depth_;
  if (c.frame_ == nullptr) {
    auto& outer = static_cast<branch_strand&>(c);
    return outer.owner_->branch_ended(outer,
                                      result == attempt::ready ? outcome::value : outcome::stopped);
  }
  if (result == attempt::ready) return c.frame_;
  c.loop().ask(request::unwind, *c.frame_);
  return nullptr;
}

bool combinator::cancel() noexcept {
  stop_requested();
  if (!adopted_) stop_branches();
  return false;
}

// Asks the branches to stop, and those of nested combinators at any depth: without recursion,
// because a recursive task nests without limit.
void combinator::stop_branches() noexcept {
  begin_to_stop();
  combinator* of = this;
  branch_strand* branch = first_;
  for (;;) {
    while (branch != nullptr) {
      const bool withdraw = of->withdraws_branches_ || in_withdrawn_branch(*of->strand_);
      combinator* inner = ask_to_stop(*branch, withdraw);
      if (inner == nullptr) {
        branch = branch->sibling_;
        continue;
      }
      inner->stop_requested();
      if (inner->adopted_) {
        branch = branch->sibling_;
        continue;
      }
      inner->begin_to_stop();
      of = inner;
      branch = inner->first_;
    }
    if (of == this) return;
    auto& outer = static_cast<branch_strand&>(*of->strand_);
    of = outer.owner_;
    branch = outer.sibling_;
  }
}

// Branches that have not started never will. If no running branch is left whose end would complete
// the combinator, it completes when it would have been the turn of the next branch.
void combinator::begin_to_stop() noexcept {
  stopping_ = true;
  for (branch_strand* b = std::exchange(next_, nullptr); b != nullptr; b = b->sibling_)
    if (b->is_task_) destroy_branch_frame(*b);
  if (is_starter_ && live_ != 0) leave_starters();
}

// Never ends the branch synchronously. Returns the combinator that it waits in, if that has to be
// asked as well.
combinator* combinator::ask_to_stop(branch_strand& branch, bool withdraw) noexcept {
  if (branch.owner_ == nullptr || branch.outcome_ != outcome::none) return nullptr;
  if (withdraw) branch.is_withdrawn_ = true;
  if (branch.entry_ == entry::start) {
    branch.word_.begin_stopped();  // queued; nobody else knows it yet
  } else if (branch.word_.request_stop()) {
    branch.task_->fork()->ready_.push_back(&branch);  // was suspended in a leaf; enter() cancels it
  } else if (branch.entry_ == entry::nested && branch.shields_ == 0) {
    return static_cast<combinator*>(branch.current_);
  }
  // Otherwise it is queued or running, and sees the request at its next leaf.
  return nullptr;
}

void* combinator::local_value(const void*) noexcept { return nullptr; }

std::uint32_t random_branch(strand& c, std::uint32_t bound) noexcept {
  return runtime_random_below(c.task(), bound);
}

void throw_no_branch(const char* what) {
  throw std::logic_error(fmt::format("{} would never complete", what));
}

void report_lost_exception(strand& where, std::exception_ptr error) noexcept {
  task_header& task = where.task();
  report_exception(task, &task.scheduler_->core(), std::move(error));
}

void report_unseen_value(std::size_t index) noexcept {
  std::exception_ptr error;
  try {
    throw std::logic_error(
        fmt::format("branch {} of a select completed although another branch had won, and its "
                    "value was dropped without a look at it: look at each branch with get<I>(), "
                    "or call visit()",
                    index));
  } catch (...) {
    error = std::current_exception();
  }
  report_exception_here(std::move(error));
}

void yield(strand& c) noexcept {
  if (c.kind_ == strand_kind::branch) {
    auto& branch = static_cast<branch_strand&>(c);
    branch.task_->fork()->yielded_.push_back(&branch);
  } else {
    reschedule(static_cast<task_header&>(c));
  }
}

}  // namespace kioto::detail
