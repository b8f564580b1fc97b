// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include <kioto/detail/sync/barrier_core.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>
#include <kioto/detail/task/thread_wait.hpp>

namespace kioto {
namespace detail {

class barrier_operation;
using barrier_core = basic_barrier_core<std_sync, barrier_operation>;

}  // namespace detail

namespace sync {

/// The result of a wait at a `barrier`.
class barrier_wait_result {
 public:
  explicit barrier_wait_result(bool leader) noexcept : leader_(leader) {}
  /// Returns true for exactly one task of each group: the last to arrive.
  [[nodiscard]] bool is_leader() const noexcept { return leader_; }

 private:
  bool leader_;
};

}  // namespace sync

namespace detail {

class [[nodiscard]] barrier_operation final : public leaf_awaiter<barrier_operation>,
                                              public barrier_waiter {
 public:
  explicit barrier_operation(barrier_core& core) noexcept : core_(&core) {}
  barrier_operation(barrier_operation&& other) noexcept
      : leaf_awaiter(static_cast<leaf_awaiter&&>(other)), core_(other.core_) {}
  barrier_operation& operator=(barrier_operation&&) = delete;
  ~barrier_operation() = default;

  attempt try_or_wait() noexcept override;
  bool cancel() noexcept override;
  void fire() noexcept { complete(*this); }

  sync::barrier_wait_result await_resume() const noexcept {
    return sync::barrier_wait_result(leader_);
  }

 private:
  barrier_core* core_;
  bool leader_ = false;
};

}  // namespace detail

namespace sync {

/// Lets tasks continue together, in groups of a fixed size, again and again. 32 bytes.
///
/// - Waits for: `wait()` waits until `size` tasks, including the caller, have arrived. The last of
///   a group does not wait.
/// - Result: a `barrier_wait_result`; the last to arrive is the leader of its group. What happened
///   before the waits of a group happens before the return of each of them.
/// - Errors: none.
/// - Cancellation: leaves the barrier as if the task had not arrived.
/// - In a select: a wait whose group is not complete is withdrawn, as if the task had not arrived.
///   Once the group is complete it cannot be withdrawn: it completes, and its value is in the
///   result.
/// - Lifetime: the barrier outlives its waiters. Any task of the last group may destroy it at once.
/// - Thread safety: every member may be called from any thread.
///
///     co_await phase.wait();
class barrier {
 public:
  /// A size of 0 acts as 1: no task waits. Throws std::invalid_argument for more than 2^31 - 1.
  explicit barrier(std::size_t size);
  barrier(const barrier&) = delete;
  barrier& operator=(const barrier&) = delete;

  [[nodiscard]] detail::barrier_operation wait() noexcept {
    return detail::barrier_operation(core_);
  }
  /// For threads outside of the runtime: throws std::logic_error in a task.
  barrier_wait_result blocking_wait() {
    return detail::run_on_thread(wait(), "barrier::blocking_wait");
  }

 private:
  detail::barrier_core core_;
};
static_assert(sizeof(barrier) == 16 + 2 * sizeof(void*));

}  // namespace sync
}  // namespace kioto
