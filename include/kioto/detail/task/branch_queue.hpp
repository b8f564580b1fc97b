// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

/// The branches of a *forked* task that their backends have completed: one word that is both the
/// list and the decision which thread runs the task.
///
/// States: *empty* (the task is owned), *kicked* (it is owned, and the owner has to check the stop
/// request), a list of branches, newest first (it is owned), or *idle* (the task is forked and not
/// owned). A task that is not forked is never *idle*: its queue is *empty*, or *kicked* by a stop
/// request, which the owner of a later fork then finds.
///
/// Invariants:
/// - B1 Exactly one party takes the task out of *idle*, by a read-modify-write, and schedules it.
/// - B2 The owner gives the task up only by *empty* to *idle*, so no branch and no kick is lost.
/// - B3 A party that pushes onto an owned queue does not touch the task afterwards: the owner may
///   have run the branch, and ended the task, at once.
///
/// Memory order: a push releases the branch and its value, taking the list acquires them. `kick()`
/// is a read-modify-write in every state, so that a stop request made before it is visible to the
/// owner's next read-modify-write of the word.
template <class Sync, class Branch>
class basic_branch_queue {
 public:
  basic_branch_queue() : word_(empty) {}
  basic_branch_queue(const basic_branch_queue&) = delete;
  basic_branch_queue& operator=(const basic_branch_queue&) = delete;

  /// Any thread, for a branch that it owns. Returns true if the caller now owns the task and must
  /// schedule it.
  [[nodiscard]] bool push(Branch* branch) noexcept {
    std::uintptr_t old = word_.load(std::memory_order_relaxed);
    for (;;) {
      branch->queue_next = is_list(old) ? reinterpret_cast<Branch*>(old) : nullptr;
      if (word_.compare_exchange_weak(old, reinterpret_cast<std::uintptr_t>(branch),
                                      std::memory_order_acq_rel, std::memory_order_relaxed))
        return old == idle;
    }
  }

  /// Any thread that keeps the task alive, after a stop request. Returns true if the caller now
  /// owns the task and must schedule it.
  [[nodiscard]] bool kick() noexcept {
    std::uintptr_t old = word_.load(std::memory_order_relaxed);
    for (;;) {
      const std::uintptr_t next = old == idle ? empty : old == empty ? kicked : old;
      if (word_.compare_exchange_weak(old, next, std::memory_order_acq_rel,
                                      std::memory_order_relaxed))
        return old == idle;
    }
  }

  /// Owner: takes the completed branches, newest first, or null. It may miss one that is pushed
  /// meanwhile, and then `release()` fails.
  [[nodiscard]] Branch* take() noexcept {
    // A plain load while the queue is empty; the exchange does the acquiring.
    if (word_.load(std::memory_order_relaxed) == empty) return nullptr;
    const std::uintptr_t old = word_.exchange(empty, std::memory_order_acq_rel);
    return is_list(old) ? reinterpret_cast<Branch*>(old) : nullptr;
  }

  /// Owner: gives up the task. Returns false if a branch or a kick has come; then the caller still
  /// owns it.
  [[nodiscard]] bool release() noexcept {
    std::uintptr_t expected = empty;
    return word_.compare_exchange_strong(expected, idle, std::memory_order_acq_rel,
                                         std::memory_order_relaxed);
  }

  /// Any thread that keeps the task alive: takes ownership of an idle task in order to inspect it.
  /// If it returns true, the caller owns the task and gives it back with `release()`, or schedules
  /// it.
  [[nodiscard]] bool try_borrow() noexcept {
    std::uintptr_t expected = idle;
    return word_.compare_exchange_strong(expected, empty, std::memory_order_acq_rel,
                                         std::memory_order_relaxed);
  }

 private:
  static constexpr std::uintptr_t empty = 0;
  static constexpr std::uintptr_t idle = 1;
  static constexpr std::uintptr_t kicked = 2;
  static constexpr bool is_list(std::uintptr_t word) noexcept { return word > kicked; }

  typename Sync::template atomic<std::uintptr_t> word_;
};

}  // namespace kioto::detail
