// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <exception>
#include <optional>
#include <system_error>

#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/task/promise.hpp>
#include <kioto/detail/task/scope_children.hpp>
#include <kioto/detail/task/task_header.hpp>

namespace kioto::detail {

/// A waiter for the children of a scope: part of the operation that waits.
class scope_waiter : public list_node<> {
 public:
  leaf_operation* operation = nullptr;
  scope_waiter* queue_next = nullptr;  ///< while it is about to be fired
};

struct scope_list_tag {};

/// The part of a scope that its children use. Lives in the frame of the parent, which waits for all
/// of them.
///
/// A child is in the list of its scope and not in that of the runtime: the runtime stops the
/// parent, and the scope stops its children. Scopes with children are in a list of the runtime, for
/// dumps and metrics.
class scope_core : public list_node<scope_list_tag> {
 public:
  using state_type = basic_scope_children<std_sync, task_header, owned_list_tag, scope_waiter>;

  scope_core() noexcept = default;
  scope_core(const scope_core&) = delete;
  scope_core& operator=(const scope_core&) = delete;
  ~scope_core() = default;

  // ---- the parent

  /// Called before the body runs. `messenger` is scheduled when the body has to be asked to stop.
  void open(task_header& parent, branch_strand& messenger) noexcept {
    parent_ = &parent;
    messenger_ = &messenger;
  }
  /// Called when the body and all children have ended.
  void close() noexcept;
  /// Called when a stop request of the parent has reached the scope.
  void stop_from_outside() noexcept;

  // ---- body and children

  void launch(task_header& child) noexcept;
  /// Called at the end of a child, after its frame was destroyed.
  void finish(task_header& child) noexcept;
  /// Asks the children and the body to stop.
  void stop_all() noexcept;
  void cancel() noexcept;

  [[nodiscard]] task_header& parent() const noexcept { return *parent_; }
  /// Returns true if `task` is a child, or a child of a child, and so on.
  [[nodiscard]] bool contains(task_header& task) const noexcept;

  // ---- when all have ended

  [[nodiscard]] bool was_cancelled() const noexcept {
    return cancelled_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] bool was_stopped() const noexcept { return stopped_; }
  /// A child was stopped by something other than this scope and its own handle, so the work of the
  /// scope is incomplete.
  [[nodiscard]] bool is_incomplete() const noexcept {
    return incomplete_.load(std::memory_order_relaxed);
  }

  state_type state_;
  // The first failure; written by the task that claimed it.
  std::exception_ptr exception_;
  std::optional<std::error_code> error_;

 private:
  [[nodiscard]] bool begin_to_stop() noexcept;
  void ask_children() noexcept;
  static void fire(state_type::released& released) noexcept;
  void note_outcome(task_header& child) noexcept;

  task_header* parent_ = nullptr;
  branch_strand* messenger_ = nullptr;
  bool is_registered_ = false;  // set before there are children
  bool is_closed_ = false;      // set when neither children nor threads use it
  bool stopped_ = false;        // of the parent's strand
  // Relaxed: the lock of the state orders the writes of children before the last read by the
  // parent, and the stop request to a child orders what was written before it.
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> stop_makes_incomplete_{false};
  std::atomic<bool> incomplete_{false};
};

[[noreturn]] void throw_error(std::error_code error);
[[noreturn]] void throw_joined_from_inside();

}  // namespace kioto::detail
