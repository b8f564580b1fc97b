// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <kioto/detail/task/branch_set.hpp>

namespace kioto {
namespace detail {

/// The part of `when_all` that does not depend on the number of branches.
class when_all_base : public combinator {
 protected:
  when_all_base() noexcept { withdraws_branches_ = true; }
  when_all_base(when_all_base&&) noexcept = default;
  ~when_all_base() = default;

  template <class Branches>
  attempt start_all(Branches& branches) noexcept {
    missing_ = branches.size();
    chain all;
    chain_all(branches, all);
    return start(all);
  }
  /// The branch that failed first.
  [[nodiscard]] const std::optional<std::size_t>& failed() const noexcept { return failed_; }

 private:
  bool settle(branch_strand& branch) noexcept override {
    if (branch.outcome_ == outcome::exception && !failed_) failed_ = branch.index_;
    // Once a branch has stopped there is no result: the others need not take effect, and what
    // arrives for them stays where it is.
    if (branch.outcome_ == outcome::stopped) return true;
    --missing_;
    return false;
  }
  attempt conclude() noexcept override {
    return missing_ != 0 && !failed_ ? attempt::stopped : attempt::ready;
  }

  std::optional<std::size_t> failed_;
  std::size_t missing_ = 0;  ///< branches that have not completed, or never started
};

template <class... A>
class [[nodiscard]] when_all_operation final : public when_all_base {
 public:
  using result_type = std::tuple<stored<branch_result<A>>...>;

  explicit when_all_operation(A&&... awaitables)
      : branches_(std::in_place, std::forward<A>(awaitables)...) {}
  when_all_operation(when_all_operation&&) = default;

  attempt try_or_wait() noexcept override { return start_all(branches_); }

  result_type await_resume() {
    if (failed()) rethrow_first(branches_, *failed(), *strand_);
    return [this]<std::size_t... I>(std::index_sequence<I...>) {
      return result_type{take_stored(branches_.template get<I>())...};  // braces: in order
    }(std::index_sequence_for<A...>());
  }

 private:
  fixed_branches<branch_of<A>...> branches_;
};

template <class A>
class [[nodiscard]] when_all_of_range final : public when_all_base {
  using value_type = branch_result<A>;

 public:
  using result_type =
      std::conditional_t<std::is_void_v<value_type>, void, std::vector<stored<value_type>>>;

  explicit when_all_of_range(std::vector<A>&& awaitables) : branches_(std::move(awaitables)) {}
  when_all_of_range(when_all_of_range&&) = default;

  attempt try_or_wait() noexcept override { return start_all(branches_); }

  result_type await_resume() {
    if (failed()) rethrow_first(branches_, *failed(), *strand_);
    if constexpr (std::is_void_v<value_type>) {
      branches_.for_each([]<std::size_t>(auto& branch) { branch.take(); });
    } else {
      result_type values;
      values.reserve(branches_.size());
      branches_.for_each([&]<std::size_t>(auto& branch) { values.push_back(take_stored(branch)); });
      return values;
    }
  }

 private:
  range_of_branches<A> branches_;
};

}  // namespace detail

/// Runs operations concurrently on the strand of the awaiting task, and waits for all of them.
///
/// - Waits for: every branch, up to 16 of them; each is any awaitable of the library, or a task.
///   They start in the order given.
/// - Result: a tuple of their values in the order given. A branch without a value gives a
///   `std::monostate`, a reference a `std::reference_wrapper`.
/// - Errors: failed results are ordinary values; see `try_all` for stopping at the first one. If
///   branches throw, the first exception is rethrown after all have ended, and further ones go to
///   the runtime's hook for unhandled exceptions.
/// - Cancellation: passed on to every branch. If all complete nevertheless, the result counts;
///   otherwise the values of those that completed are destroyed.
/// - In a select: withdrawn with all its branches. The values of branches that had completed are
///   destroyed; if all complete nevertheless, the tuple is in the result.
/// - Lifetime: rvalues are moved into the awaiter and live as long as it does; lvalues must outlive
///   it. Nothing is allocated, unless a branch is an adaptor such as `as_result(…)` or a
///   user-defined awaitable, which runs in a task with a frame of its own.
/// - Thread safety: the branches never run in parallel with each other, so they may share the
///   locals of the awaiting coroutine.
///
///     auto both = co_await when_all(fetch(a), fetch(b));
///     auto& [first, second] = both;
template <class... A>
[[nodiscard]] auto when_all(A&&... awaitables) {
  static_assert(detail::check_branches<A...>());
  return detail::when_all_operation<A...>(std::forward<A>(awaitables)...);
}

/// The same for the awaitables in a vector. Result: a vector of the values; nothing for operations
/// without a value. Allocates the array of the branches and that of the values.
template <class A>
[[nodiscard]] auto when_all(std::vector<A> awaitables) {
  static_assert(detail::check_branches<A>());
  return detail::when_all_of_range<A>(std::move(awaitables));
}

}  // namespace kioto
