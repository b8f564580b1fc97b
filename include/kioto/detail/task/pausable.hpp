// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <kioto/detail/task/combinator.hpp>

namespace kioto::detail {

/// What a pausable branch is doing. Each change is made in one place, and there are no others:
///
///     running ──begin()──▶ pausing ──the last strand is held──▶ paused ──end()──▶ running
///     running ──stop_for_good()──▶ stopping
enum class pausable_state : std::uint8_t {
  running,   ///< like any strand; also before its first wait, and while nobody waits for it
  pausing,   ///< asked to pause: `pending_` strands in it are not still
  paused,    ///< nothing in it is in flight
  stopping,  ///< it could not pause, and was asked to stop for good: it never runs for another wait
};

/// A branch that may outlive the combinator it runs in: what a generator runs on.
///
/// When it is asked to stop it is *paused* instead: every operation that waits in it is withdrawn,
/// which has no effect, and is attempted again when the branch goes on, perhaps in another task. So
/// a cancelled `next()` leaves the generator where it was. A paused branch has nothing in flight,
/// and may be destroyed.
///
/// All of this belongs to the owner of the strand of the task. Invariants:
/// - P1 While the branch is *pausing*, `pending_` counts the strands in it that were not still when
///   it began: those that are queued, those whose operation could not be withdrawn and completes
///   soon, those that are shielded, and the messages (P3) of branches within that pause already.
///   Each is held as soon as it comes, and counts down once.
/// - P2 A strand is held before it runs, or when its last shield ends. So none starts anything
///   while the branch is pausing, but for what a shield protects.
/// - P3 When the last one is held the branch is *paused*, and is itself queued, as the message that
///   ends the wait of its combinator. If it is within a branch that is pausing, the message is a
///   strand of that like any other: held, and queued again when that goes on.
/// - P4 The strand of a branch has a stop request only while the branch is *stopping*. What it
///   hands over in spite of that counts, and is its last: so the request of one wait never meets
///   another.
/// - P5 Everything that a branch which goes on queues belongs to the task it goes on in.
class pausable_branch : public branch_strand {
 public:
  pausable_branch() noexcept { is_pausable_ = true; }

  std::uint32_t pending_ = 0;
  pausable_state state_ = pausable_state::running;
};

/// What happens to the strands of a pausable branch.
class pausing {
 public:
  /// False: something in it cannot be withdrawn and attempted again; it has to stop for good.
  [[nodiscard]] static bool is_possible(pausable_branch& branch) noexcept;
  /// Its combinator is asked to stop.
  static void begin(pausable_branch& branch) noexcept;
  /// Its new combinator has adopted it: what was held goes on.
  static void end(pausable_branch& branch) noexcept;

  /// From the loop, while something is pausing: `branch` is about to run. True: it was held, or was
  /// a message; `frame` is what to run instead, if anything.
  [[nodiscard]] static bool hold(branch_strand& branch, promise_base*& frame) noexcept;
  /// Whether the strand of a frame, which has no shield, is to be held.
  [[nodiscard]] static bool is_held(promise_base& frame) noexcept;
  /// The last shield of a strand has ended. True: it was held before it goes on with `frame`.
  [[nodiscard]] static bool hold_unshielded(promise_base& frame, bool stopped) noexcept;

 private:
  template <class Visit>
  static void walk(pausable_branch& root, Visit visit) noexcept;
  [[nodiscard]] static pausable_branch* holder_of(strand* where) noexcept;
  [[nodiscard]] static pausable_branch* pausing_within(combinator& inner) noexcept;
  [[nodiscard]] static bool withdraw(branch_strand& branch) noexcept;
  [[nodiscard]] static bool make_still(branch_strand& branch) noexcept;
  static void keep_completion(branch_strand& branch) noexcept;
  static void held_one(pausable_branch& holder) noexcept;
  static void became_still(pausable_branch& branch) noexcept;
};

/// Waits for a pausable branch to get on.
class pausable_operation : public combinator {
 protected:
  explicit pausable_operation(pausable_branch* branch) noexcept : branch_(branch) {}
  pausable_operation(pausable_operation&& other) noexcept
      : combinator(static_cast<combinator&&>(other)), branch_(other.branch_) {}
  ~pausable_operation() = default;

  /// Lets the branch go on.
  attempt run_branch() noexcept;
  [[nodiscard]] pausable_branch& branch() const noexcept { return *branch_; }

 private:
  bool settle(branch_strand&) noexcept override { return false; }
  void stop_requested() noexcept override;
  void stop_for_good() noexcept;

  pausable_branch* branch_;
};

}  // namespace kioto::detail
