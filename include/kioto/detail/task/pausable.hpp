// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <kioto/detail/task/combinator.hpp>

namespace kioto::detail {

/// The state of a pausable branch. These are all transitions, and each is made in one place:
///
///     running ──begin()──▶ pausing ──the last strand is held──▶ paused ──end()──▶ running
///     running ──stop_for_good()──▶ stopping
enum class pausable_state : std::uint8_t {
  running,   ///< like any strand; also before its first wait, and while it is not awaited
  pausing,   ///< asked to pause: `pending_` strands in it have not come to rest
  paused,    ///< nothing in it is in flight
  stopping,  ///< it could not pause, and was asked to stop for good: this wait is its last
};

/// A branch that may outlive the combinator it runs in: the strand of a generator.
///
/// When it is asked to stop it is *paused* instead: every operation that waits in it is cancelled
/// without effect, and attempted again when the branch continues, perhaps in another task. So a
/// cancelled `next()` leaves the generator where it was. A paused branch has nothing in flight, and
/// may be destroyed.
///
/// All of this is accessed only by the owner of the strand of the task. Invariants:
/// - P1 While the branch is *pausing*, `pending_` counts the strands in it that had not come to
///   rest when the pause began: those that are queued, those whose operation could not be cancelled
///   and completes soon, those that are shielded, and the messages (P3) of branches within it that
///   are already pausing. Each is held as soon as it would run, and decrements the count once.
/// - P2 A strand is held before it runs, or when its last shield ends. So while the branch is
///   pausing, none starts anything except under a shield.
/// - P3 When the last strand is held the branch is *paused*, and its own strand is queued, as the
///   message that ends the wait of its combinator. If it is within another branch that is pausing,
///   the message is a strand of that branch like any other: held, and queued again when that branch
///   continues.
/// - P4 The strand of a branch has a stop request only while the branch is *stopping*. A value that
///   it produces nevertheless counts, and is its last: so the stop request of one wait never
///   affects another wait.
/// - P5 Whatever a branch that continues puts into a queue belongs to the task in which it
///   continues.
class pausable_branch : public branch_strand {
 public:
  pausable_branch() noexcept { is_pausable_ = true; }

  std::uint32_t pending_ = 0;
  pausable_state state_ = pausable_state::running;
};

/// The operations on the strands of a pausable branch.
class pausing {
 public:
  /// Returns false if an operation in it cannot be cancelled and attempted again; then the branch
  /// has to stop for good.
  [[nodiscard]] static bool is_possible(pausable_branch& branch) noexcept;
  /// Called when its combinator is asked to stop.
  static void begin(pausable_branch& branch) noexcept;
  /// Called when its new combinator has adopted it: the strands that were held continue.
  static void end(pausable_branch& branch) noexcept;

  /// Called by the loop while some branch is pausing, before `branch` runs. Returns true if
  /// `branch` must not run, because it is now held or was only the message that a pausable branch
  /// is paused; then `frame` is the frame to run instead, or null.
  [[nodiscard]] static bool hold(branch_strand& branch, promise_base*& frame) noexcept;
  /// Returns true if the strand of a frame, which is not shielded, is to be held.
  [[nodiscard]] static bool is_held(promise_base& frame) noexcept;
  /// Called when the last shield of a strand has ended. Returns true if the strand is now held; it
  /// will continue with `frame`.
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

/// Waits for a pausable branch to make progress.
class pausable_operation : public combinator {
 protected:
  explicit pausable_operation(pausable_branch* branch) noexcept : branch_(branch) {}
  pausable_operation(pausable_operation&& other) noexcept
      : combinator(static_cast<combinator&&>(other)), branch_(other.branch_) {}
  ~pausable_operation() = default;

  /// Lets the branch continue.
  attempt run_branch() noexcept;
  [[nodiscard]] pausable_branch& branch() const noexcept { return *branch_; }

 private:
  bool settle(branch_strand&) noexcept override { return false; }
  void stop_requested() noexcept override;
  void stop_for_good() noexcept;

  pausable_branch* branch_;
};

}  // namespace kioto::detail
