// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

struct trampoline;

/// Is notified of the end of a task.
class join_waiter {
 public:
  /// `loop` is the one in which the task ended; the callback may set its `next`.
  using callback = void (*)(join_waiter&, trampoline& loop) noexcept;
  explicit join_waiter(callback on_task_ended) noexcept : task_ended(on_task_ended) {}
  join_waiter(const join_waiter&) = delete;
  join_waiter& operator=(const join_waiter&) = delete;

  /// Called once, by the thread that ended the task.
  callback task_ended;

 protected:
  ~join_waiter() = default;
};

/// The meeting point of a spawned task and its join handle: one word, one exchange each.
///
/// States: *running* (0), *waited for* (the address of the waiter), *detached*, *done*. The task
/// moves to done exactly once; the handle detaches at most once, and never while it waits.
///
/// Invariants:
/// - J1 The block of the task is freed exactly once: by the task if it finds *detached*, otherwise
///   by the handle, which can only be released once it has seen *done*.
/// - J2 A waiter that was linked is either fired by the task or unlinked by its owner, never both,
///   because both are read-modify-writes of the same word.
///
/// Memory order: *done* releases the result; every reader of *done* acquires it. Linking releases
/// the waiter to the finishing task, which acquires it with its exchange.
template <class Sync, class Waiter>
class basic_join_state {
 public:
  basic_join_state() : word_(std::uintptr_t{0}) {}
  basic_join_state(const basic_join_state&) = delete;
  basic_join_state& operator=(const basic_join_state&) = delete;

  struct finished {
    Waiter* waiter;  ///< to be completed by the caller
    bool detached;   ///< the caller frees the block
  };

  /// The task, once, after the result is stored and the frame destroyed.
  [[nodiscard]] finished finish() noexcept {
    const std::uintptr_t old = word_.exchange(done, std::memory_order_acq_rel);
    if (old == detached) return {nullptr, true};
    return {old == running ? nullptr : pointer(old), false};
  }

  /// Handle: returns true if the waiter was linked, false if the task is done.
  [[nodiscard]] bool link(Waiter* waiter) noexcept {
    std::uintptr_t expected = running;
    return word_.compare_exchange_strong(expected, reinterpret_cast<std::uintptr_t>(waiter),
                                         std::memory_order_acq_rel, std::memory_order_acquire);
  }
  /// Handle: returns true if the waiter was unlinked and will not be fired, false if the task took
  /// it.
  [[nodiscard]] bool unlink(Waiter* waiter) noexcept {
    std::uintptr_t expected = reinterpret_cast<std::uintptr_t>(waiter);
    return word_.compare_exchange_strong(expected, std::uintptr_t{running},
                                         std::memory_order_acq_rel, std::memory_order_acquire);
  }
  /// Handle, when it is destroyed: returns true if the task will free the block, false if the task
  /// is done and the caller frees it.
  [[nodiscard]] bool detach() noexcept {
    if (is_done()) return false;
    std::uintptr_t expected = running;
    return word_.compare_exchange_strong(expected, std::uintptr_t{detached},
                                         std::memory_order_acq_rel, std::memory_order_acquire);
  }
  /// Returns true once the handle has detached, which is final.
  [[nodiscard]] bool is_detached() const noexcept {
    return word_.load(std::memory_order_relaxed) == detached;
  }
  [[nodiscard]] bool is_done() const noexcept {
    return word_.load(std::memory_order_acquire) == done;
  }

 private:
  static constexpr std::uintptr_t running = 0;
  static constexpr std::uintptr_t done = 1;
  static constexpr std::uintptr_t detached = 2;
  static Waiter* pointer(std::uintptr_t word) noexcept { return reinterpret_cast<Waiter*>(word); }

  typename Sync::template atomic<std::uintptr_t> word_;
};

}  // namespace kioto::detail
