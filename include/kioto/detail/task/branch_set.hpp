// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <exception>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <kioto/detail/task/branch.hpp>

namespace kioto::detail {

inline constexpr std::size_t most_branches = 16;

/// Checks the arguments of a combinator, with a message for each thing that can be wrong.
template <class... A>
constexpr bool check_branches() noexcept {
  static_assert(sizeof...(A) != 0, "a combinator needs at least one branch");
  static_assert(sizeof...(A) <= most_branches,
                "a combinator takes at most 16 branches; give more of them as a std::vector");
  static_assert((awaitable<A> && ...),
                "a branch is something that a kioto coroutine can co_await; a task that has a name "
                "is given as std::move(name), because it runs once");
  return true;
}

/// The branches of a combinator with a fixed number of them, in a tuple.
template <class... Branch>
class fixed_branches {
 public:
  static constexpr std::size_t size() noexcept { return sizeof...(Branch); }

  template <class... A>
  explicit fixed_branches(std::in_place_t, A&&... awaitables)
      : branches_(std::forward<A>(awaitables)...) {}

  template <std::size_t I>
  [[nodiscard]] auto& get() noexcept {
    return std::get<I>(branches_);
  }
  /// Calls `f.operator()<I>(branch)` for each of them, in order.
  template <class F>
  void for_each(F&& f) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (f.template operator()<I>(std::get<I>(branches_)), ...);
    }(std::index_sequence_for<Branch...>());
  }
  /// Calls `f.operator()<index>(branch)`.
  template <class F>
  void at(std::size_t index, F&& f) {
    for_each([&]<std::size_t I>(auto& branch) {
      if (I == index) f.template operator()<I>(branch);
    });
  }

 private:
  std::tuple<Branch...> branches_;
};

/// The branches of a combinator over a range. One allocation.
template <class A, class Branch = branch_of<A>>
class range_of_branches {
 public:
  explicit range_of_branches(std::vector<A>&& awaitables) {
    branches_.reserve(awaitables.size());
    for (A& awaitable : awaitables) branches_.emplace_back(std::move(awaitable));
  }

  [[nodiscard]] std::size_t size() const noexcept { return branches_.size(); }
  [[nodiscard]] Branch& operator[](std::size_t index) noexcept { return branches_[index]; }
  template <class F>
  void for_each(F&& f) {
    for (auto& branch : branches_) f.template operator()<0>(branch);
  }
  template <class F>
  void at(std::size_t index, F&& f) {
    f.template operator()<0>(branches_[index]);
  }

 private:
  std::vector<Branch> branches_;
};

/// Appends all branches to `chain`, in order.
template <class Branches>
void chain_all(Branches& branches, combinator::chain& chain) noexcept {
  std::size_t index = 0;
  branches.for_each([&]<std::size_t>(auto& branch) { chain.add(branch.prepare(index++)); });
}

/// Rethrows the exception of the branch that failed first, and reports those of the others.
template <class Branches>
[[noreturn]] void rethrow_first(Branches& branches, std::size_t first, strand& where) {
  std::exception_ptr error;
  std::size_t index = 0;
  branches.for_each([&]<std::size_t>(auto& branch) {
    std::exception_ptr e = branch.take_exception();
    if (index++ == first)
      error = std::move(e);
    else if (e != nullptr)
      report_lost_exception(where, std::move(e));
  });
  std::rethrow_exception(std::move(error));
}

}  // namespace kioto::detail
