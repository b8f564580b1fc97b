// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include <kioto/detail/leaf_awaiter.hpp>
#include <kioto/task.hpp>

namespace kioto::detail {

/// One branch of a combinator together with the operation that runs in it.
///
/// A leaf operation runs without a frame; a task runs in its own frame; anything else is wrapped in
/// a task. The result stays in the branch until it is taken.
template <class A>
class branch_of;

/// The operation of a branch whose awaiter is a leaf.
template <class A>
  requires leaf<awaiter_of<A>>
class branch_of<A> {
 public:
  using operation_type = awaiter_of<A>;
  using result_type = decltype(std::declval<operation_type&>().await_resume());

  explicit branch_of(A&& awaitable) : operation_(get_awaiter(std::forward<A>(awaitable))) {}

  void prepare(task_header& task, combinator& owner) noexcept {
    branch_context& strand = strand_.emplace(task, owner);
    operation_.context_ = &strand;
    strand.current_ = &operation_;
  }
  [[nodiscard]] branch_context& strand() noexcept { return *strand_; }

  void ended(outcome what) noexcept { complete_ = what == outcome::value; }
  [[nodiscard]] bool has_result() const noexcept { return complete_; }
  result_type take() { return operation_.await_resume(); }

 private:
  operation_type operation_;
  std::optional<branch_context> strand_;
  bool complete_ = false;
};

/// The operation of a branch that is a task, or is wrapped in one.
template <class T>
class task_branch {
 public:
  using result_type = T;

  explicit task_branch(task<T>&& work) noexcept : frame_(&task_access::release(std::move(work))) {}
  task_branch(const task_branch&) = delete;
  task_branch& operator=(const task_branch&) = delete;
  ~task_branch() {
    if (frame_ != nullptr) frame_->handle().destroy();
  }

  void prepare(task_header& task, combinator& owner) noexcept {
    branch_context& strand = strand_.emplace(task, owner);
    frame_->context_ = &strand;
    strand.frame_ = frame_;
  }
  [[nodiscard]] branch_context& strand() noexcept { return *strand_; }

  /// A branch that stopped is destroyed before the combinator goes on.
  void ended(outcome what) noexcept {
    complete_ = what == outcome::value || what == outcome::exception;
    if (!complete_) std::exchange(frame_, nullptr)->handle().destroy();
  }
  [[nodiscard]] bool has_result() const noexcept { return complete_; }
  T take() { return take_result<T>(*frame_); }

 private:
  typed_promise<T>* frame_;
  std::optional<branch_context> strand_;
  bool complete_ = false;
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
    co_await std::move(awaitable);
  } else {
    decltype(auto) value = co_await std::move(awaitable);
    co_return std::forward<decltype(value)>(value);
  }
}

template <class A>
  requires(!leaf<awaiter_of<A>> && !is_task<std::remove_cvref_t<A>>)
class branch_of<A> : public task_branch<await_result<A>> {
 public:
  explicit branch_of(A&& awaitable)
      : task_branch<await_result<A>>(
            run_as_task<await_result<A>, std::remove_cvref_t<A>>(std::forward<A>(awaitable))) {}
};

}  // namespace kioto::detail
