// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <cstdint>
#include <exception>
#include <type_traits>

#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/task/promise.hpp>
#include <kioto/detail/task/task_header.hpp>

namespace kioto::detail {

/// Base of the operations that consist of others: `select`, `when_all`, `timeout`, `scope`, ….
///
/// Its branches are strands that run one after the other on the strand of the awaiting task, so
/// everything here is accessed only by the owner of that strand. The task is *forked* while it
/// waits in a combinator; combinators nest, and the outermost one holds the queues of all branches.
///
/// To an enclosing combinator, a combinator is a leaf operation: as a branch it needs no frame.
///
/// Life: `try_or_wait()` of the derived class chains its branches in the order in which they start,
/// and calls `start()`. Each branch that ends is passed to `settle()`; when none is left,
/// `conclude()` decides how the whole ends. No branch outlives its combinator.
///
/// Starting. A branch starts when the one before it has ended or waits, so one that completes at
/// once can end the whole before the next is started. Leaf operations are attempted in place. A
/// task is resumed when the frames have returned, because a frame must not be resumed from within
/// another: by the frame that awaits the combinator, or by the loop, if no other branch is due;
/// otherwise it is queued. If the budget of the run is used up, branches start after the task has
/// yielded.
///
/// Frames of stopped branches. They are destroyed when the branch ends; but if children of a scope
/// may refer to them, they are kept until the end of the combinator: see `scope_operation_base`.
///
/// Stopping. A branch that has not started when it is asked to stop never does. The exception is a
/// stop that was pending before the combinator began: as everywhere, operations that need not wait
/// then still complete.
///
/// Withdrawing. A branch whose value is no longer wanted (`withdraws_branches_`) is asked to stop
/// and, if the operation it waits in has completed meanwhile, to undo that: see
/// `leaf_operation::withdraw`. So exactly one branch of a select takes effect, unless another one
/// cannot be withdrawn any more.
///
/// Frames of ended branches. The frame of a branch that is a task is destroyed when the branch has
/// ended, so what it owned is destroyed before any other branch runs; its result stays in the
/// block. Only if the end is reported from within the frame, in a `task_combinator`, the frame
/// stays until the awaiting frame continues.
class combinator : public leaf_operation {
 public:
  /// Branches in the order in which they start.
  class chain {
   public:
    void add(branch_strand& branch) noexcept {
      *end_ = &branch;
      end_ = &branch.sibling_;
    }
    [[nodiscard]] branch_strand* first() const noexcept { return first_; }

   private:
    branch_strand* first_ = nullptr;
    branch_strand** end_ = &first_;
  };

  [[nodiscard]] static bool await_ready() noexcept { return false; }

  // Not charged to the budget, because its branches are.
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    static_assert(std::is_base_of_v<promise_base, Promise>,
                  "this operation needs a kioto runtime: await it in a kioto::task");
    promise_base& self = frame.promise();
    strand_ = self.strand_;
    strand_->frame_ = &self;
    switch (this->try_or_wait()) {
      case attempt::ready:
        return false;
      case attempt::suspended:
        break;
      case attempt::stopped:
        strand_->loop().ask(request::unwind, self);
        break;
    }
    return true;
  }

  /// Asks every branch to stop; they end later, on this strand.
  bool cancel() noexcept final;
  /// Gives up the value of the one branch that has completed, if that operation can be withdrawn.
  bool withdraw() noexcept final;

  /// Called by the loop, or by the final suspension of the branch, when the branch has ended.
  /// Returns the frame to continue with, or null.
  promise_base* branch_ended(branch_strand& branch, outcome what) noexcept;
  /// The same, called from within the frame of the branch, which is not destroyed yet.
  promise_base* branch_ended_in_place(branch_strand& branch, outcome what) noexcept;

  /// Called by the loop for a combinator in `starters_`: starts more branches. Returns as above.
  promise_base* advance() noexcept;

  /// The value of a task local in the branches, if this combinator binds it.
  [[nodiscard]] virtual void* local_value(const void* key) noexcept;

  // Members of the outermost combinator, used by the loop.
  intrusive_queue<branch_strand> ready_;    ///< branches to be run, in order
  intrusive_queue<branch_strand> yielded_;  ///< to be run after the task has yielded
  combinator* starters_ = nullptr;          ///< with branches to be started, the newest first
  std::uint32_t pausing_ = 0;               ///< pausable branches that have not come to rest yet
  bool stop_seen_ = false;  ///< the stop request of the task was handled, shielded or not

  // Used by the loop and by pausing.
  void join_starters() noexcept;
  void leave_starters() noexcept;
  [[nodiscard]] bool is_done() const noexcept { return live_ == 0 && next_ == nullptr; }
  branch_strand* first_ = nullptr;
  branch_strand* next_ = nullptr;  ///< the first one that has not started; null when stopping
  bool is_starter_ = false;
  bool adopted_ = false;        ///< its branch has a lifetime of its own
  bool ends_in_place_ = false;  ///< see `task_combinator`
  bool keeps_frames_ = false;   ///< a scope that stops, whose children may refer to frames below it
  std::uint16_t kept_depth_ = 0;  ///< the maximum over its branches
  combinator* body_ = nullptr;    ///< the nearest scope around its branches; a scope itself

  /// Returns true if the frames of a stopped strand are kept, because it is the body of a scope, or
  /// within a body that is stopped while there are children.
  [[nodiscard]] static bool keeps(strand& c) noexcept;

 protected:
  combinator() noexcept = default;
  combinator(combinator&& other) noexcept
      : leaf_operation(static_cast<leaf_operation&&>(other)),
        withdraws_branches_(other.withdraws_branches_),
        can_be_undone_(other.can_be_undone_) {}
  ~combinator() = default;

  /// Called when a branch has ended, with `branch.outcome_`. Returns true if the others are to be
  /// asked to stop.
  virtual bool settle(branch_strand& branch) noexcept = 0;
  /// Called when every branch has ended. Returns `ready`; `stopped` if the stop propagates; or
  /// `suspended` if the operation continues like a leaf of the strand that it is awaited on.
  virtual attempt conclude() noexcept = 0;
  /// Called when a stop request has reached this combinator, before it reaches its branches.
  virtual void stop_requested() noexcept {}

  [[nodiscard]] attempt start(const chain& branches) noexcept;
  /// Replaces `start()` for one branch that has a lifetime of its own: the caller runs it, and asks
  /// it to stop in `stop_requested()`.
  void adopt(branch_strand& branch) noexcept;
  /// From now on the adopted branch is asked to stop like any other.
  void disown() noexcept { adopted_ = false; }

  /// One more branch, which is scheduled elsewhere, has to end before the combinator does.
  void expect_another() noexcept { ++live_; }
  /// Returns true if the strand is within a scope that is stopping and whose children may still
  /// refer to the frames of the branch.
  [[nodiscard]] bool is_still_borrowed(const branch_strand& branch) const noexcept;
  /// Returns true if nobody wants the value any more: another branch of a combinator around this
  /// one has won.
  [[nodiscard]] bool is_withdrawn() const noexcept;
  /// Returns true if there was no branch to start.
  [[nodiscard]] bool is_empty() const noexcept { return first_ == nullptr; }
  void stop_branches() noexcept;

  /// Branches that are asked to stop are also withdrawn. If `settle()` sets this and returns true,
  /// branches that were already asked to stop are withdrawn, too.
  bool withdraws_branches_ = false;
  /// The value of a branch is not touched before `await_resume()`: see `withdraw()`.
  bool can_be_undone_ = false;

 private:
  void start_some() noexcept;
  void start_task(branch_strand& branch) noexcept;
  void start_soon(branch_strand& branch) noexcept;
  void end_branch(branch_strand& branch, outcome what) noexcept;
  promise_base* go_on() noexcept;
  void cancel_leaves() noexcept;
  [[nodiscard]] static combinator* ask_to_stop(branch_strand& branch, bool withdraw) noexcept;
  void begin_to_stop() noexcept;

  combinator* next_starter_ = nullptr;  ///< link of `starters_`
  std::uint32_t live_ = 0;              ///< branches that have started and not ended
  bool stopping_ = false;
  bool begins_stopped_ = false;  ///< a stop was pending when it began, and the branches inherit it
};

/// Destroys the frames of a kept branch.
void destroy_kept_frames(branch_strand& branch) noexcept;

/// A combinator some of whose branches are tasks. If a frame awaits it, its first task begins and
/// its last one ends by a transfer from frame to frame, without going through the loop.
///
/// `settle()` and `conclude()` must not destroy the frame of a branch: it may be the one that has
/// just reached its final suspension, from which they are called. As a branch of another
/// combinator, whose `conclude()` would then also be called from there, it ends in the loop like
/// other combinators.
class task_combinator : public combinator {
 public:
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    ends_in_place_ = true;
    if (!combinator::await_suspend(frame)) return frame;
    // Either the strand is forked, or a stop propagates; in both cases it is still owned.
    trampoline& loop = strand_->loop();
    if (loop.action != request::proceed) return std::noop_coroutine();
    loop.action = request::none;
    loop.running = loop.target->strand_;
    return transfer_to(*loop.target);
  }

 protected:
  task_combinator() noexcept = default;
  task_combinator(task_combinator&&) noexcept = default;
  ~task_combinator() = default;
};

/// Destroys the frames of a branch that is a task which has not ended, because it never began or is
/// paused; and those of the branches that it waits for, innermost first and without recursion.
void destroy_unfinished(branch_strand& branch) noexcept;
/// The same, but only for the branches that a strand waits for.
void destroy_branches_within(branch_strand& strand) noexcept;

/// A random number below `bound`, which is not zero: the branch that a combinator starts first.
/// This is the only source of randomness that programs can observe.
std::uint32_t random_branch(strand& where, std::uint32_t bound) noexcept;

[[noreturn]] void throw_no_branch(const char* what);

/// Passes an exception that a combinator cannot rethrow, because another one came first, to the
/// runtime's hook for unhandled exceptions.
void report_lost_exception(strand& where, std::exception_ptr error) noexcept;

/// Destroys the frame of a branch that is a task and has ended; its result stays in the block.
void destroy_branch_frame(branch_strand& branch) noexcept;

}  // namespace kioto::detail
