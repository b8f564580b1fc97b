// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <kioto/config.hpp>
#include <kioto/detail/task/branch_set.hpp>

namespace kioto {

/// The value of the branch that completed first, of a range of branches.
template <class T>
class any_result {
 public:
  explicit any_result(std::size_t index, T&& value) : index_(index), value_(std::move(value)) {}

  /// The index of that branch.
  [[nodiscard]] std::size_t index() const noexcept { return index_; }
  [[nodiscard]] T& operator*() & noexcept { return value_; }
  [[nodiscard]] const T& operator*() const& noexcept { return value_; }
  [[nodiscard]] T&& operator*() && noexcept { return std::move(value_); }
  [[nodiscard]] T* operator->() noexcept { return &value_; }
  [[nodiscard]] const T* operator->() const noexcept { return &value_; }

 private:
  std::size_t index_;
  T value_;
};

namespace detail {

class when_any_base : public combinator {
 protected:
  when_any_base() noexcept = default;
  when_any_base(when_any_base&&) noexcept = default;
  ~when_any_base() = default;

  [[nodiscard]] std::size_t winner() const noexcept { return *winner_; }

  /// Called after the winner's value was taken. The values of the other branches are destroyed with
  /// them; their exceptions are reported.
  template <class Branches>
  void report_losers(Branches& branches) noexcept {
    std::size_t index = 0;
    branches.for_each([&]<std::size_t>(auto& branch) {
      if (index++ == *winner_) return;
      if (std::exception_ptr e = branch.take_exception())
        report_lost_exception(*strand_, std::move(e));
    });
  }

 private:
  bool settle(branch_strand& branch) noexcept override {
    if (branch.outcome_ == outcome::stopped) return false;
    if (!winner_) winner_ = branch.index_;
    withdraws_branches_ = true;
    return true;
  }
  attempt conclude() noexcept override { return winner_ ? attempt::ready : attempt::stopped; }

  std::optional<std::size_t> winner_;
};

template <class... A>
class [[nodiscard]] when_any_operation final : public when_any_base {
 public:
  using result_type = std::variant<stored<branch_result<A>>...>;

  explicit when_any_operation(A&&... awaitables)
      : branches_(std::in_place, std::forward<A>(awaitables)...) {}
  when_any_operation(when_any_operation&&) = default;

  attempt try_or_wait() noexcept override {
    chain all;
    chain_all(branches_, all);
    return start(all);
  }

  result_type await_resume() {
    report_losers(branches_);
    std::optional<result_type> value;
    branches_.at(winner(), [&]<std::size_t I>(auto& branch) {
      value.emplace(std::in_place_index<I>, take_stored(branch));
    });
    return std::move(*value);
  }

 private:
  fixed_branches<branch_of<A>...> branches_;
};

template <class A>
class [[nodiscard]] when_any_of_range final : public when_any_base {
 public:
  using result_type = any_result<stored<branch_result<A>>>;

  explicit when_any_of_range(std::vector<A>&& awaitables) : branches_(std::move(awaitables)) {
    if (branches_.size() == 0) throw_no_branch("when_any() of an empty range");
  }
  when_any_of_range(when_any_of_range&&) = default;

  attempt try_or_wait() noexcept override {
    chain all;
    chain_all(branches_, all);
    return start(all);
  }

  result_type await_resume() {
    report_losers(branches_);
    return result_type(winner(), take_stored(branches_[winner()]));
  }

 private:
  range_of_branches<A> branches_;
};

}  // namespace detail

/// Runs operations concurrently on the strand of the awaiting task until one completes, with a
/// value or with an exception, and asks the others to stop.
///
/// - Waits for: the first branch to complete, and then for the others to end, up to 16 of them;
///   each is any awaitable of the library, or a task. They start in the order given; one that
///   completes at once keeps the later ones from starting.
/// - Result: a `std::variant` that holds the value of the first at its index. A branch without a
///   value gives a `std::monostate`, a reference a `std::reference_wrapper`.
/// - Errors: a failed result is an ordinary value. The exception of the first is rethrown; those of
///   the others go to the runtime's hook for unhandled exceptions.
/// - The others are withdrawn as in a `select`. If one could not be withdrawn and completed, its
///   value is destroyed; where such a value must not be lost, use `select`.
/// - Cancellation: passed on to every branch. A branch that completes nevertheless is the result.
/// - In a select: withdrawn with all its branches.
/// - Lifetime and thread safety: as for `when_all`.
///
///     auto answer = co_await when_any(ask(mirror_1), ask(mirror_2));
///     log("mirror {} was faster", answer.index() + 1);
template <class... A>
[[nodiscard]] auto when_any(A&&... awaitables) {
  static_assert(detail::check_branches<A...>());
  return detail::when_any_operation<A...>(std::forward<A>(awaitables)...);
}

/// The same for the awaitables in a vector. Result: an `any_result`, with `index()` and `*`. Throws
/// std::logic_error if the vector is empty. Allocates the array of the branches.
template <class A>
[[nodiscard]] auto when_any(std::vector<A> awaitables) {
  static_assert(detail::check_branches<A>());
  return detail::when_any_of_range<A>(std::move(awaitables));
}

}  // namespace kioto
