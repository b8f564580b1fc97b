// SPDX-License-Identifier: MIT
#include <kioto/detail/task/pausable.hpp>

namespace kioto::detail {

namespace {

pausable_branch& as_pausable(branch_strand& branch) noexcept {
  return static_cast<pausable_branch&>(branch);
}

}  // namespace

// Calls `visit` for each strand of the branch that has started and not ended; what it returns is
// the combinator that the strand waits in, if its branches are to be visited, too. Without
// recursion, because a recursive task nests without limit.
template <class Visit>
void pausing::walk(pausable_branch& root, Visit visit) noexcept {
  combinator* of = nullptr;
  branch_strand* branch = &root;
  for (;;) {
    while (branch != nullptr) {
      const bool is_live = branch->owner_ != nullptr && branch->outcome_ == outcome::none;
      combinator* const inner = is_live ? visit(*branch) : nullptr;
      if (inner != nullptr) {
        of = inner;
        branch = inner->first_;
      } else if (of != nullptr) {
        branch = branch->sibling_;
      } else {
        return;
      }
    }
    auto& outer = static_cast<branch_strand&>(*of->strand_);
    if (&outer == &root) return;
    of = outer.owner_;
    branch = outer.sibling_;
  }
}

// The branch that a strand is to be held in, the innermost one.
pausable_branch* pausing::holder_of(strand* where) noexcept {
  while (where->kind_ == strand_kind::branch && where->shields_ == 0) {
    auto& branch = static_cast<branch_strand&>(*where);
    if (branch.is_pausable_ && as_pausable(branch).state_ == pausable_state::pausing)
      return &as_pausable(branch);
    where = branch.owner_->strand_;
  }
  return nullptr;
}

// The branch that a combinator has adopted, if it is pausing already, or if its message is on its
// way.
pausable_branch* pausing::pausing_within(combinator& inner) noexcept {
  if (!inner.adopted_ || !inner.first_->is_pausable_) return nullptr;
  pausable_branch& branch = as_pausable(*inner.first_);
  const bool pauses =
      branch.state_ == pausable_state::pausing || branch.state_ == pausable_state::paused;
  return pauses ? &branch : nullptr;
}

bool pausing::is_possible(pausable_branch& branch) noexcept {
  bool possible = true;
  walk(branch, [&possible](branch_strand& b) -> combinator* {
    const bool waits =
        b.entry_ == entry::nested || b.entry_ == entry::leaf || b.entry_ == entry::retry;
    if (!waits || b.shields_ != 0) return nullptr;
    if (!b.current_->pausable_) possible = false;
    if (b.entry_ != entry::nested) return nullptr;
    auto& inner = static_cast<combinator&>(*b.current_);
    return pausing_within(inner) != nullptr ? nullptr : &inner;
  });
  return possible;
}

void pausing::begin(pausable_branch& branch) noexcept {
  std::uint32_t pending = 0;
  walk(branch, [&pending](branch_strand& b) -> combinator* {
    if (b.entry_ != entry::nested) {
      if (!withdraw(b)) ++pending;
      return nullptr;
    }
    auto& inner = static_cast<combinator&>(*b.current_);
    if (b.shields_ != 0 || pausing_within(inner) != nullptr) {
      ++pending;
      return nullptr;
    }
    if (inner.is_starter_) inner.leave_starters();  // what has not started is kept for later
    return &inner;
  });
  ++branch.task_->fork()->pausing_;
  branch.state_ = pausable_state::pausing;
  branch.pending_ = pending;
  if (pending == 0) became_still(branch);
}

void pausing::end(pausable_branch& branch) noexcept {
  task_header& task = *branch.task_;
  combinator& top = *task.fork();
  branch.state_ = pausable_state::running;
  walk(branch, [&](branch_strand& b) -> combinator* {
    b.task_ = &task;
    if (b.entry_ != entry::nested) {
      top.ready_.push_back(&b);
      return nullptr;
    }
    auto& inner = static_cast<combinator&>(*b.current_);
    if (pausable_branch* within = pausing_within(inner)) {
      within->task_ = &task;  // what is nested in it follows when it goes on
      ++top.pausing_;
      top.ready_.push_back(within);  // its message, which was held back
      return nullptr;
    }
    if (inner.next_ != nullptr || inner.is_done()) inner.join_starters();
    return &inner;
  });
}

// Withdraws the operation of a suspended strand. False if the strand is not suspended, or is about
// to be resumed: then it gets here by itself.
bool pausing::withdraw(branch_strand& branch) noexcept {
  suspension::word seen = 0;
  if (branch.shields_ != 0 || !branch.word_.try_borrow(seen)) return false;
  leaf_operation& op = *branch.current_;
  if (op.cancel()) {
    op.armed_ = false;
    branch.entry_ = entry::retry;
    return true;
  }
  if (branch.word_.unborrow(seen)) return false;
  keep_completion(branch);
  return true;
}

// The same for a strand that was resumed. False if it is suspended again.
bool pausing::make_still(branch_strand& branch) noexcept {
  if (branch.entry_ != entry::leaf) return true;
  leaf_operation& op = *branch.current_;
  if (!branch.word_.has_fired(op.fired_)) {
    // Woken by a stop request, which it will see when it goes on.
    if (op.cancel()) {
      op.armed_ = false;
      branch.entry_ = entry::retry;
      return true;
    }
    if (branch.word_.arm({suspension::owned, op.fired_}, true) == suspension::arm_result::suspended)
      return false;
  }
  keep_completion(branch);
  return true;
}

// The operation has completed; the strand takes its value when it goes on. So a lock that is
// granted just when the branch pauses is held while it is paused: given back, it would be granted
// to it at such moments again and again, beside a stream that is as regular. An operation that has
// ended without a value, because it was withdrawn in the background, is attempted again.
void pausing::keep_completion(branch_strand& branch) noexcept {
  leaf_operation& op = *branch.current_;
  op.armed_ = false;
  if (!op.stopped_) return;
  op.stopped_ = false;
  branch.entry_ = entry::retry;
}

bool pausing::hold(branch_strand& branch, promise_base*& frame) noexcept {
  const bool is_message =
      branch.is_pausable_ && as_pausable(branch).state_ == pausable_state::paused;
  pausable_branch* const holder = holder_of(is_message ? branch.owner_->strand_ : &branch);
  if (holder == nullptr && !is_message) return false;
  if (is_message)
    --branch.task_->fork()->pausing_;
  else if (!make_still(branch))
    return true;
  if (holder != nullptr)
    held_one(*holder);
  else
    frame = branch.owner_->branch_ended(branch, outcome::stopped);
  return true;
}

void pausing::held_one(pausable_branch& holder) noexcept {
  if (--holder.pending_ == 0) became_still(holder);
}

void pausing::became_still(pausable_branch& branch) noexcept {
  branch.state_ = pausable_state::paused;
  branch.task_->fork()->ready_.push_back(&branch);
}

bool pausing::is_held(promise_base& frame) noexcept {
  strand& c = *frame.strand_;
  return c.kind_ == strand_kind::branch && c.task().fork()->pausing_ != 0 &&
         holder_of(&c) != nullptr;
}

bool pausing::hold_unshielded(promise_base& frame, bool stopped) noexcept {
  if (!is_held(frame)) return false;
  auto& branch = static_cast<branch_strand&>(*frame.strand_);
  pausable_branch* const holder = holder_of(&branch);
  branch.frame_ = &frame;
  branch.entry_ = stopped ? entry::unwind : entry::resume;
  held_one(*holder);
  return true;
}

attempt pausable_operation::run_branch() noexcept {
  if (strand_->must_stop()) return attempt::stopped;
  adopt(*branch_);
  if (branch_->state_ == pausable_state::paused)
    pausing::end(*branch_);
  else
    strand_->task().fork()->ready_.push_back(branch_);
  return attempt::suspended;
}

void pausable_operation::stop_requested() noexcept {
  if (branch_->state_ != pausable_state::running) return;
  if (pausing::is_possible(*branch_))
    pausing::begin(*branch_);
  else
    stop_for_good();
}

void pausable_operation::stop_for_good() noexcept {
  branch_->state_ = pausable_state::stopping;
  disown();
}

}  // namespace kioto::detail
