// SPDX-License-Identifier: MIT
#include <kioto/detail/pausable.hpp>

namespace kioto::detail {

namespace {

pausable_branch& as_pausable(branch_context& branch) noexcept {
  return static_cast<pausable_branch&>(branch);
}

}  // namespace

// Calls `visit` for each strand of the branch that has started and not ended; what it returns is
// the combinator that the strand waits in, if its branches are to be visited, too. Without
// recursion, because a recursive task nests without limit.
template <class Visit>
void pausing::walk(pausable_branch& root, Visit visit) noexcept {
  combinator* of = nullptr;
  branch_context* branch = &root;
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
    auto& outer = static_cast<branch_context&>(*of->context_);
    if (&outer == &root) return;
    of = outer.owner_;
    branch = outer.sibling_;
  }
}

// The branch that a strand is to be held in, the innermost one.
pausable_branch* pausing::holder_of(context* strand) noexcept {
  while (strand->kind_ == strand::branch && strand->shields_ == 0) {
    auto& branch = static_cast<branch_context&>(*strand);
    if (branch.is_pausable_ && as_pausable(branch).is_pausing_) return &as_pausable(branch);
    strand = branch.owner_->context_;
  }
  return nullptr;
}

// The branch that a combinator has adopted, if that is pausing already.
pausable_branch* pausing::pausing_within(combinator& inner) noexcept {
  if (!inner.adopted_ || !inner.first_->is_pausable_) return nullptr;
  pausable_branch& branch = as_pausable(*inner.first_);
  return branch.is_pausing_ ? &branch : nullptr;
}

bool pausing::is_possible(pausable_branch& branch) noexcept {
  bool possible = true;
  walk(branch, [&possible](branch_context& b) -> combinator* {
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
  walk(branch, [&pending](branch_context& b) -> combinator* {
    if (b.entry_ != entry::nested) {
      if (withdraw(b))
        b.is_still_ = true;
      else
        ++pending;
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
  combinator& top = *branch.task_->fork();
  ++top.pausing_;
  branch.is_pausing_ = true;
  branch.pending_ = pending;
  if (pending == 0) top.ready_.push_back(&branch);
}

void pausing::end(pausable_branch& branch) noexcept {
  task_header& task = *branch.task_;
  combinator& top = *task.fork();
  branch.is_paused_ = false;
  walk(branch, [&](branch_context& b) -> combinator* {
    b.task_ = &task;
    if (b.entry_ != entry::nested) {
      b.is_still_ = false;
      top.ready_.push_back(&b);
      return nullptr;
    }
    auto& inner = static_cast<combinator&>(*b.current_);
    if (pausable_branch* within = pausing_within(inner)) {
      ++top.pausing_;
      top.ready_.push_back(within);  // its message, which was held
      return nullptr;
    }
    if (inner.next_ != nullptr || inner.is_done()) inner.join_starters();
    return &inner;
  });
}

// Withdraws the operation of a strand that is suspended. False: the strand is not, or will not be
// soon; it comes by itself.
bool pausing::withdraw(branch_context& branch) noexcept {
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

// The same for a strand that came. False: it is suspended again.
bool pausing::make_still(branch_context& branch) noexcept {
  if (branch.entry_ != entry::leaf) return true;
  leaf_operation& op = *branch.current_;
  if (!branch.word_.has_fired(op.fired_)) {
    // Woken by a stop request, which it will meet when it goes on.
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

// The operation has completed; the strand takes its value when it goes on. One that has ended
// without a value, because it was withdrawn in the background, is attempted again.
void pausing::keep_completion(branch_context& branch) noexcept {
  leaf_operation& op = *branch.current_;
  op.armed_ = false;
  if (!op.stopped_) return;
  op.stopped_ = false;
  branch.entry_ = entry::retry;
}

bool pausing::hold(branch_context& branch, promise_base*& frame) noexcept {
  if (branch.is_pausable_) {
    pausable_branch& whole = as_pausable(branch);
    if (whole.is_pausing_ && whole.pending_ == 0) {
      frame = became_still(whole);
      return true;
    }
  }
  pausable_branch* const holder = holder_of(&branch);
  if (holder == nullptr) return false;
  if (!make_still(branch)) return true;
  branch.is_still_ = true;
  if (--holder->pending_ == 0) frame = became_still(*holder);
  return true;
}

bool pausing::is_held(promise_base& frame) noexcept {
  context& c = *frame.context_;
  return c.kind_ == strand::branch && c.task().fork()->pausing_ != 0 && holder_of(&c) != nullptr;
}

bool pausing::hold_unshielded(promise_base& frame, bool stopped) noexcept {
  if (!is_held(frame)) return false;
  auto& branch = static_cast<branch_context&>(*frame.context_);
  pausable_branch* const holder = holder_of(&branch);
  branch.frame_ = &frame;
  branch.entry_ = entry::resume;
  if (stopped) branch.word_.begin_stopped();
  branch.is_still_ = true;
  if (--holder->pending_ == 0) branch.task_->fork()->ready_.push_back(holder);
  return true;
}

promise_base* pausing::became_still(pausable_branch& branch) noexcept {
  combinator& top = *branch.task_->fork();
  pausable_branch* whole = &branch;
  for (;;) {
    --top.pausing_;
    pausable_branch* const outer = holder_of(whole->owner_->context_);
    if (outer == nullptr) break;
    if (--outer->pending_ != 0) return nullptr;
    whole = outer;
  }
  whole->is_pausing_ = false;
  whole->is_paused_ = true;
  return whole->owner_->branch_ended(*whole, outcome::stopped);
}

attempt pausable_operation::run_branch() noexcept {
  if (context_->must_stop()) return attempt::stopped;
  adopt(*branch_);
  if (branch_->is_paused_)
    pausing::end(*branch_);
  else
    context_->task().fork()->ready_.push_back(branch_);
  return attempt::suspended;
}

void pausable_operation::stop_requested() noexcept {
  if (branch_->is_pausing_) return;
  if (pausing::is_possible(*branch_))
    pausing::begin(*branch_);
  else
    disown();
}

}  // namespace kioto::detail
