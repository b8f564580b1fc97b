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

/// Somebody who waits for children of a scope: part of the operation that waits.
class scope_waiter : public list_node<> {
 public:
  leaf_operation* operation = nullptr;
  scope_waiter* queue_next = nullptr;  ///< while somebody is about to fire it
};

struct scope_list_tag {};

/// What the children of a scope know of it. Lives in the frame of the parent, which waits for all
/// of them.
///
/// A child is in the list of its scope instead of that of the runtime: the runtime stops the
/// parent, and the scope stops the child. Scopes with children are in a list of the runtime, for
/// dumps and metrics.
class scope_core : public list_node<scope_list_tag> {
 public:
  using state_type = basic_scope_children<std_sync, task_header, owned_list_tag, scope_waiter>;

  scope_core() noexcept = default;
  scope_core(const scope_core&) = delete;
  scope_core& operator=(const scope_core&) = delete;
  ~scope_core() = default;

  // ---- the parent

  /// Before the body runs. `messenger` is scheduled when the body has to be told to stop.
  void open(task_header& parent, branch_strand& messenger) noexcept {
    parent_ = &parent;
    messenger_ = &messenger;
  }
  /// When all have ended.
  void close() noexcept;
  /// A stop request of the parent reached the scope.
  void stop_from_outside() noexcept;

  // ---- body and children

  void launch(task_header& child) noexcept;
  /// The end of a child whose frame is destroyed.
  void finish(task_header& child) noexcept;
  /// Asks the children and the body to stop.
  void stop_all() noexcept;
  void cancel() noexcept;

  [[nodiscard]] task_header& parent() const noexcept { return *parent_; }
  /// Whether `task` is a child, or a child of a child, ….
  [[nodiscard]] bool contains(task_header& task) const noexcept;

  // ---- when all have ended

  [[nodiscard]] bool was_cancelled() const noexcept {
    return cancelled_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] bool was_stopped() const noexcept { return stopped_; }
  /// A child was stopped by something else than this scope and its handle, so what the scope was
  /// for was not done.
  [[nodiscard]] bool is_incomplete() const noexcept {
    return incomplete_.load(std::memory_order_relaxed);
  }

  state_type state_;
  // The first failure; written by who claimed it.
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
  bool is_closed_ = false;      // set when there are none, nor threads that know the scope
  bool stopped_ = false;        // of the parent's strand
  // Relaxed: the lock of the state orders what children write before the parent's last look, and
  // asking a child to stop orders what was written before that.
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> stop_makes_incomplete_{false};
  std::atomic<bool> incomplete_{false};
};

[[noreturn]] void throw_error(std::error_code error);
[[noreturn]] void throw_joined_from_inside();

}  // namespace kioto::detail
