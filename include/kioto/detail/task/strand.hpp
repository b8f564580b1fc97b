// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <cstdint>
#include <utility>

#include <kioto/detail/task/suspension.hpp>

namespace kioto::detail {

class strand;
class leaf_operation;
class promise_base;
class task_header;
struct trampoline;

/// The kind of a strand.
enum class strand_kind : std::uint8_t {
  task,    ///< the root of a task: a `task_header`
  branch,  ///< a branch of a combinator: a `branch_strand`
  thread,  ///< a thread that blocks in one operation: a `blocked_thread`
};

/// What the next run of a strand has to do.
enum class entry : std::uint8_t {
  start,   ///< resume the first frame for the first time
  leaf,    ///< the leaf operation fired, or a stop was requested
  resume,  ///< resume the waiting frame: it yielded
  retry,   ///< the leaf yielded before its attempt
  nested,  ///< a combinator waits here; its branches run on the same strand
  unwind,  ///< propagate the stop that ended the operation of the waiting frame
};

/// Result of one attempt of a leaf operation.
enum class attempt : std::uint8_t { ready, suspended, stopped };

/// What a frame that has suspended asks of the loop that resumed it.
enum class request : std::uint8_t {
  none,      ///< suspended; the strand may belong to another thread already
  proceed,   ///< resume `target`: a branch begins, or the native stack had to be unwound first
  unwind,    ///< the leaf under `target` stopped: destroy frames up to the nearest boundary
  returned,  ///< `target` ended early, suspended, with its result stored: continue with its awaiter
  finished,  ///< `target` reached its final suspension and has no awaiter: its strand is done
};

/// What a run of a task tells the scheduler about the next task to run. As wide as two registers.
struct next_run {
  enum class relation : std::uintptr_t {
    none,
    /// Like a call: this task awaits `task`. With a single thread, `task` lives until that thread
    /// runs another task; if other threads run tasks of the scheduler, too, the pointer may dangle.
    callee,
    /// Like a return: `task` awaited this one, which has ended and was itself run as a callee. It
    /// is in no queue; the receiver of this value owns it.
    caller,
    /// `task` is null: this one was run as a callee and has ended, but its handle is not being
    /// awaited yet.
    sibling,
  };
  task_header* task = nullptr;
  relation who = relation::none;
};

/// The loop that resumes coroutines, seen from inside them. It lives on the native stack of that
/// loop, so it outlives any frame and any task, and only the thread that runs the strand uses it.
///
/// It exists because a frame must never be destroyed from within its own resumption, and because
/// neither compiler makes symmetric transfer a tail call in every build: `depth` bounds how many
/// transfers may stack up before the loop takes over again.
struct trampoline {
  static constexpr std::int32_t budget_of_a_run = 128;
  static constexpr std::uint32_t transfers_before_unwinding = 128;

  request action = request::none;
  bool forked = false;  ///< the strand runs branches; it is still owned when the frames return
  bool called = false;  ///< this run was suggested by the `next` of the previous run
  promise_base* target = nullptr;
  next_run next;
  strand* running = nullptr;              ///< whose frames run: the task or one of its branches
  std::int32_t budget = budget_of_a_run;  ///< below 0: an operation found it used up
  std::uint32_t depth = transfers_before_unwinding;

  /// Charges one operation to the budget. Returns false if it is used up, and the task has to
  /// yield.
  [[nodiscard]] bool try_charge() noexcept { return --budget >= 0; }

  void ask(request what, promise_base& who) noexcept {
    action = what;
    target = &who;
  }
};

/// A sequential strand of frames: the root of a task, or one branch of a combinator. It is
/// suspended in at most one leaf operation at a time. All members but the word belong to the
/// strand's owner.
class strand {
 public:
  explicit strand(strand_kind kind) noexcept : kind_(kind) {}
  strand(const strand&) = delete;
  strand& operator=(const strand&) = delete;

  /// The task whose strand this is.
  [[nodiscard]] inline task_header& task() noexcept;
  [[nodiscard]] inline trampoline& loop() noexcept;

  /// True if the next leaf that would wait here has to stop instead.
  [[nodiscard]] bool must_stop() const noexcept { return shields_ == 0 && word_.stop_requested(); }

  suspension word_;
  entry entry_ = entry::start;
  strand_kind kind_;
  std::uint16_t shields_ = 0;
  leaf_operation* current_ = nullptr;
  promise_base* frame_ = nullptr;  ///< the frame to resume; null for a leaf that runs without one
};

/// Yields: the strand runs again after the other ready tasks, and `c.entry_` says what it does
/// then. This publishes the strand: it must not be touched afterwards.
void yield(strand& c) noexcept;

/// Base of every operation that can suspend. See docs/design/cancellation.md for the protocol.
///
/// `try_or_wait()` is called by the owner of the strand: it completes the operation at once, or
/// hands it to its backend with `wait()`. The backend later calls `complete(op)`, once, as its last
/// access. `cancel()` is also called by the owner of the strand, never concurrently with itself.
class leaf_operation {
 public:
  leaf_operation(const leaf_operation&) = delete;
  leaf_operation& operator=(const leaf_operation&) = delete;
  leaf_operation& operator=(leaf_operation&&) = delete;

  /// One attempt. If it returns `suspended`, the strand must not be touched any more.
  virtual attempt try_or_wait() noexcept = 0;

  /// Cancels an armed operation. Returns true if the backend no longer holds a pointer to it and it
  /// had no effect; `try_or_wait()` may be called again later, unless it is not `pausable_`.
  /// Returns false if `complete()` has been or will be called, and its value counts.
  virtual bool cancel() noexcept = 0;

  /// Withdraws an operation: undoes a completion that the strand has not acted upon. Called by the
  /// owner of the strand instead of continuing with the completed operation, when another branch of
  /// a `select` has won. Returns true if the operation now has had no effect; what it was granted
  /// (a permit, a notification) has gone to the next waiter. Returns false if it cannot be undone,
  /// and its value counts.
  virtual bool withdraw() noexcept { return false; }

  strand* strand_ = nullptr;
  suspension::word fired_ = 0;
  bool retries_ = false;  ///< a wake-up is a hint: call try_or_wait() again
  bool stopped_ = false;  ///< set by the backend before complete(): ended without a value
  bool armed_ = false;    ///< the backend may hold a pointer to this
  bool pausable_ = true;  ///< after a successful `cancel()` it may be attempted again

 protected:
  leaf_operation() noexcept = default;
  /// Only an operation that has not started may be moved, into an adaptor for example.
  leaf_operation(leaf_operation&& other) noexcept : retries_(other.retries_) {}
  ~leaf_operation() {
    if (armed_) [[unlikely]]
      die_in_flight();
  }

  /// Yields to the other ready tasks; then the next attempt is made, or the frame continues. The
  /// strand must not be touched afterwards.
  attempt give_way(entry then = entry::retry) noexcept {
    strand_->current_ = this;
    strand_->entry_ = then;
    yield(*strand_);
    return attempt::suspended;
  }

  /// Hands the operation to its backend. `link()` returns false if the operation turned out to be
  /// complete.
  template <class Link>
  attempt wait(Link&& link) noexcept {
    if (strand_->must_stop()) return attempt::stopped;
    return hand_over(std::forward<Link>(link));
  }

  /// The same, even if a stop is pending: then `cancel()` is called once it is armed.
  template <class Link>
  attempt hand_over(Link&& link) noexcept {
    strand& c = *strand_;
    const suspension::ticket ticket = c.word_.prepare();
    fired_ = ticket.fired;
    c.current_ = this;
    c.entry_ = entry::leaf;
    armed_ = true;
    if (!std::forward<Link>(link)()) {
      armed_ = false;
      return attempt::ready;
    }
    if (c.word_.try_arm(ticket)) [[likely]]
      return attempt::suspended;
    return finish_arming();
  }

 private:
  // Called if a completion or a stop came before the operation was armed.
  attempt finish_arming() noexcept;
  [[noreturn]] static void die_in_flight() noexcept;
};

/// Schedules a strand of which the caller has just become the owner. Any thread.
void schedule(strand& c) noexcept;

/// Called by the backend when the operation has ended and its value is stored, as the last access
/// to it.
inline void complete(leaf_operation& op) noexcept {
  strand& c = *op.strand_;
  if (c.word_.complete(op.fired_)) schedule(c);
}

}  // namespace kioto::detail
