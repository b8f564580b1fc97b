// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <variant>

#include <kioto/detail/task/combinator.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>
#include <kioto/task.hpp>

namespace kioto::detail {

/// What can be a branch: anything that a kioto coroutine can await, passed as it would be awaited.
template <class A>
concept awaitable = requires(A&& a) { std::forward<A>(a).operator co_await(); } || requires(A&& a) {
  operator co_await(std::forward<A>(a));
} || (std::is_constructible_v<std::remove_cvref_t<A>, A&&> && requires(std::remove_cvref_t<A>& a) {
                      a.await_ready();
                      a.await_resume();
                    });

/// How the value of a branch is stored: a reference as a reference_wrapper, no value as a
/// monostate.
template <class T>
struct stored_value {
  using type = std::remove_cv_t<T>;
};
template <class T>
struct stored_value<T&> {
  using type = std::reference_wrapper<T>;
};
template <class T>
struct stored_value<T&&> {
  using type = std::remove_cv_t<T>;
};
template <>
struct stored_value<void> {
  using type = std::monostate;
};
template <class T>
using stored = typename stored_value<T>::type;

/// One branch of a combinator together with what runs in it.
///
/// A leaf operation runs without a frame; so does another combinator, which is a leaf operation. A
/// task runs in its own frame, which is destroyed when it has ended. Any other awaitable is wrapped
/// in a task. The result stays in the branch until it is taken. A branch may be moved until it is
/// prepared. It keeps an awaitable that was passed as an rvalue, because the operation may refer to
/// it.
template <class A>
class branch_of;

/// A branch whose awaiter is a leaf.
template <leaf_by_itself A>
class branch_of<A> {
 public:
  using operation_type = awaiter_of<A>;
  using result_type = decltype(std::declval<operation_type&>().await_resume());

  explicit branch_of(A&& awaitable) : operation_(get_awaiter(std::forward<A>(awaitable))) {}
  branch_of(branch_of&& other) noexcept(std::is_nothrow_move_constructible_v<operation_type>)
      : operation_(std::move(other.operation_)) {}
  branch_of& operator=(branch_of&&) = delete;
  ~branch_of() = default;

  branch_strand& prepare(std::size_t index) noexcept {
    operation_.strand_ = &branch_;
    branch_.current_ = &operation_;
    branch_.index_ = static_cast<std::uint32_t>(index);
    return branch_;
  }
  static void leave_out() noexcept {}
  [[nodiscard]] const branch_strand& branch() const noexcept { return branch_; }
  [[nodiscard]] bool has_result() const noexcept { return branch_.outcome_ == outcome::value; }
  result_type take() { return operation_.await_resume(); }
  static std::exception_ptr take_exception() noexcept { return nullptr; }

 private:
  operation_type operation_;
  branch_strand branch_;
};

/// A branch whose awaiter is a leaf that refers to the awaitable, a `join_handle` for example. The
/// operation is created once the branch will no longer be moved.
template <leaf_of_owner A>
class branch_of<A> {
 public:
  using operation_type = awaiter_of<A>;
  using result_type = decltype(std::declval<operation_type&>().await_resume());

  explicit branch_of(A&& awaitable) noexcept(std::is_nothrow_move_constructible_v<A>)
      : awaitable_(std::forward<A>(awaitable)) {}
  branch_of(branch_of&& other) noexcept(std::is_nothrow_move_constructible_v<A>)
      : awaitable_(std::forward<A>(other.awaitable_)) {}
  branch_of& operator=(branch_of&&) = delete;
  ~branch_of() {
    if (is_prepared_) std::destroy_at(std::addressof(operation_));
  }

  branch_strand& prepare(std::size_t index) noexcept {
    ::new (static_cast<void*>(std::addressof(operation_)))
        operation_type(get_awaiter(std::forward<A>(awaitable_)));
    is_prepared_ = true;
    operation_.strand_ = &branch_;
    branch_.current_ = &operation_;
    branch_.index_ = static_cast<std::uint32_t>(index);
    return branch_;
  }
  static void leave_out() noexcept {}
  [[nodiscard]] const branch_strand& branch() const noexcept { return branch_; }
  [[nodiscard]] bool has_result() const noexcept { return branch_.outcome_ == outcome::value; }
  result_type take() { return operation_.await_resume(); }
  static std::exception_ptr take_exception() noexcept { return nullptr; }

 private:
  A awaitable_;
  union {
    operation_type operation_;  // destroyed before the awaitable
  };
  branch_strand branch_;
  bool is_prepared_ = false;
};

/// A branch that is a task, or is wrapped in one. Its strand is placed in front of the frame, where
/// a spawned task would have its header; so it costs the combinator one pointer.
template <class T>
class task_branch {
  static_assert(sizeof(block_info) % alignof(branch_strand) == 0);
  static_assert(sizeof(block_info) + sizeof(branch_strand) <= sizeof(task_header));
  static_assert(std::is_trivially_destructible_v<branch_strand>);

 public:
  using result_type = T;

  explicit task_branch(task<T>&& work) noexcept {
    typed_promise<T>& root = task_access::release(std::move(work));
    block_info* block = root.block();
    block->retain();  // the strand is read when the frame may already be destroyed
    branch_ = ::new (static_cast<void*>(block + 1)) branch_strand;
    branch_->is_task_ = true;
    branch_->frame_ = &root;
    root.strand_ = branch_;
  }
  task_branch(task_branch&& other) noexcept : branch_(std::exchange(other.branch_, nullptr)) {}
  task_branch& operator=(task_branch&&) = delete;
  ~task_branch() {
    if (branch_ == nullptr) return;
    if (branch_->is_kept_)
      destroy_kept_frames(*branch_);
    else if (!branch_->frame_is_gone_ && branch_->outcome_ == outcome::none)
      destroy_unfinished(*branch_);
    else if (!branch_->frame_is_gone_)
      destroy_branch_frame(*branch_);
    block_layout<T>::destroy_result(header(), block()->outcome_);
    block()->free_block();
  }

  branch_strand& prepare(std::size_t index) noexcept {
    branch_->index_ = static_cast<std::uint32_t>(index);
    return *branch_;
  }
  /// The branch does not take part: destroys its frame and what that owns.
  void leave_out() noexcept { destroy_branch_frame(*branch_); }
  [[nodiscard]] const branch_strand& branch() const noexcept { return *branch_; }
  [[nodiscard]] bool has_result() const noexcept {
    return branch_->outcome_ == outcome::value || branch_->outcome_ == outcome::exception;
  }
  T take() {
    if (!branch_->frame_is_gone_) destroy_branch_frame(*branch_);  // the branch ended in place
    return take_result<T>(*block_layout<T>::storage(header()), block()->outcome_);
  }
  /// The value, in place. Precondition: the branch completed with a value.
  [[nodiscard]] const auto& peek() const noexcept {
    return block_layout<T>::storage(header())->value;
  }
  /// The exception that the branch ended with, or null.
  std::exception_ptr take_exception() noexcept {
    if (branch_->outcome_ != outcome::exception) return nullptr;
    return std::move(block_layout<T>::storage(header())->error);
  }

 private:
  [[nodiscard]] block_info* block() const noexcept {
    return std::launder(reinterpret_cast<block_info*>(branch_) - 1);
  }
  // For locating the result only. There is no header, only the space for one.
  [[nodiscard]] task_header* header() const noexcept {
    return reinterpret_cast<task_header*>(block());
  }

  branch_strand* branch_;
};

template <class T>
class branch_of<task<T>> : public task_branch<T> {
 public:
  using task_branch<T>::task_branch;
};

template <class T, class A>
task<T> run_as_task(A awaitable) {
  if constexpr (std::is_void_v<T>) {
    [[maybe_unused]] int keeps_the_frame_sound = 0;
    co_await std::forward<A>(awaitable);
  } else {
    decltype(auto) value = co_await std::forward<A>(awaitable);
    co_return std::forward<decltype(value)>(value);
  }
}

template <class A>
  requires(!leaf_branch<A> && !is_task<A>)
class branch_of<A> : public task_branch<await_result<A>> {
 public:
  explicit branch_of(A&& awaitable)
      : task_branch<await_result<A>>(run_as_task<await_result<A>, A>(std::forward<A>(awaitable))) {}
};

template <class A>
using branch_result = typename branch_of<A>::result_type;

/// Takes the value of a branch that has one.
template <class Branch>
stored<typename Branch::result_type> take_stored(Branch& branch) {
  if constexpr (std::is_void_v<typename Branch::result_type>) {
    branch.take();
    return {};
  } else {
    return branch.take();
  }
}

}  // namespace kioto::detail
