// SPDX-License-Identifier: MIT
#pragma once

#include <kioto/detail/sync/notify_core.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>

namespace kioto {
namespace detail {

/// The waiter behind a `notified`.
class notify_waiter : public basic_notify_waiter<std_sync> {
 public:
  void fire() noexcept { complete(*operation_); }

  leaf_operation* operation_ = nullptr;  ///< the operation that waits
};
using notify_core = basic_notify_core<std_sync, notify_waiter>;

class notified_operation;
[[noreturn]] void die_moved_in_line() noexcept;

}  // namespace detail

namespace sync {

/// One wait for a `notify`; see there. Movable until it is enabled or awaited.
///
/// It counts as a waiter from its creation: a `notify_waiters()` after that completes it, whether
/// or not it is being awaited. A notification that it received and that was never observed goes to
/// the next waiter when it is destroyed.
///
/// It may be awaited again after a wait that was cancelled or withdrawn: it has kept its place in
/// the queue. After a wait that completed, awaiting it again completes at once.
class [[nodiscard]] notified : private detail::notify_waiter {
 public:
  explicit notified(detail::notify_core& core) noexcept : core_(&core) { core.join(*this); }
  notified(notified&& other) noexcept
      : notify_waiter(static_cast<notify_waiter&&>(other)), core_(other.core_), done_(other.done_) {
    if (other.in_use_) [[unlikely]]
      detail::die_moved_in_line();
  }
  notified& operator=(notified&&) = delete;
  ~notified() {
    if (in_use_) [[unlikely]]
      core_->leave(*this);
  }

  /// Joins the queue without waiting: from now on a `notify_one()` may select this object. Returns
  /// true if it has already been notified, and awaiting it will not wait.
  bool enable() noexcept {
    if (done_) return true;
    in_use_ = true;
    return core_->enable(*this);
  }

  [[nodiscard]] inline detail::notified_operation operator co_await() noexcept;

 private:
  friend class detail::notified_operation;

  detail::notify_core* core_;
  bool in_use_ = false;  ///< may be queued, or notified without having observed it
  bool done_ = false;
};

}  // namespace sync

namespace detail {

class [[nodiscard]] notified_operation final : public leaf_awaiter<notified_operation> {
 public:
  explicit notified_operation(sync::notified& waiter) noexcept : waiter_(&waiter) {}
  notified_operation(notified_operation&&) noexcept = default;
  notified_operation& operator=(notified_operation&&) = delete;
  ~notified_operation() = default;

  attempt try_or_wait() noexcept override {
    if (waiter_->done_) return attempt::ready;
    if (!waiter_->in_use_ && waiter_->core_->try_take(*waiter_)) {
      waiter_->in_use_ = true;
      return attempt::ready;
    }
    return wait_in_line();
  }
  bool cancel() noexcept override { return waiter_->core_->give_up(*waiter_); }
  // The `notified` object keeps the notification for its next wait, or passes it on when it is
  // destroyed.
  bool withdraw() noexcept override { return true; }

  void await_resume() noexcept {
    waiter_->in_use_ = false;
    waiter_->done_ = true;
  }

 private:
  attempt wait_in_line() noexcept;

  sync::notified* waiter_;
};

}  // namespace detail

namespace sync {

inline detail::notified_operation notified::operator co_await() noexcept {
  return detail::notified_operation(*this);
}

/// Notifies tasks that something has happened, without saying what. 24 bytes.
///
/// - Waits for: `notified()` waits until it is notified. `notify_one()` notifies the waiter that
///   came first, `notify_last()` the one that came last; if there is no waiter, one notification,
///   and no more than one, is stored for the next. `notify_waiters()` notifies every `notified`
///   object that exists, and stores nothing.
/// - Result: none. What happened before the notification happens before the return of the wait.
/// - Errors: none.
/// - Cancellation: loses the place in the queue when the `notified` object is destroyed; a
///   notification of `notify_one()` that it had received is not lost: either the wait completes, or
///   the notification goes to the next waiter.
/// - In a select: withdrawn; a notification that arrived stays with the `notified` object for its
///   next wait, or goes to the next waiter when that is destroyed.
/// - Lifetime: the object outlives its `notified` objects. The last one to be notified may destroy
///   it at once, even if the notifying call has not returned yet.
/// - Thread safety: every member may be called from any thread.
///
/// A condition is waited for in a loop that cannot miss a notification: create the `notified()`
/// first, then check the condition, then wait. With `notify_one()` the object has to be enabled
/// before the check, unless there is only one waiter.
///
///     for (;;) {
///       auto changed = news.notified();
///       if (auto job = try_take_job()) break;
///       co_await changed;
///     }
class notify {
 public:
  constexpr notify() noexcept = default;
  notify(const notify&) = delete;
  notify& operator=(const notify&) = delete;

  [[nodiscard]] sync::notified notified() noexcept { return sync::notified(core_); }
  void notify_one() noexcept { core_.notify_one(); }
  void notify_last() noexcept { core_.notify_last(); }
  void notify_waiters() noexcept { core_.notify_all(); }

 private:
  detail::notify_core core_;
};
static_assert(sizeof(notify) == 8 + 2 * sizeof(void*));

}  // namespace sync
}  // namespace kioto

extern template class kioto::detail::basic_notify_core<kioto::detail::std_sync,
                                                       kioto::detail::notify_waiter>;
