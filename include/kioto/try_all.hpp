// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <exception>
#include <optional>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <kioto/as_result.hpp>
#include <kioto/config.hpp>
#include <kioto/detail/task/branch_set.hpp>
#include <kioto/result.hpp>

namespace kioto {
namespace detail {

/// What a branch of `try_all` contributes: the value of its result, or its value.
template <class T>
struct success_of {
  using type = stored<T>;
};
template <class T>
struct success_of<result<T>> {
  using type = stored<T>;
};
template <class T>
using success = typename success_of<T>::type;

/// A branch of `try_all`. Its value is taken when it completes, to see whether it failed.
template <class A>
class try_branch : public branch_of<A> {
 public:
  using value_type = branch_result<A>;
  static constexpr bool gives_result = is_result<value_type>;

  using branch_of<A>::branch_of;

  /// Returns true if the branch, which has completed, failed.
  bool look() noexcept {
    if (this->branch().outcome_ == outcome::exception) return true;
    KIOTO_TRY { value_.emplace(take_stored(*this)); }
    KIOTO_CATCH_ALL {
      thrown_ = std::current_exception();
      return true;
    }
    if constexpr (gives_result)
      return !value_->has_value();
    else
      return false;
  }
  std::exception_ptr take_exception() noexcept {
    if (thrown_ != nullptr) return std::move(thrown_);
    return branch_of<A>::take_exception();
  }
  /// The error of its result, if that is how it failed.
  [[nodiscard]] std::optional<std::error_code> error() const noexcept {
    if constexpr (gives_result) {
      if (value_ && !value_->has_value()) return value_->error();
    }
    return std::nullopt;
  }
  success<value_type> take_success() {
    if constexpr (!gives_result) {
      return std::move(*value_);
    } else if constexpr (std::is_void_v<typename value_type::value_type>) {
      return {};
    } else {
      return std::move(**value_);
    }
  }

 private:
  std::optional<stored<value_type>> value_;
  std::exception_ptr thrown_;
};

template <class Branches>
class try_all_base : public combinator {
 public:
  attempt try_or_wait() noexcept override {
    missing_ = branches_.size();
    chain all;
    chain_all(branches_, all);
    return start(all);
  }

 protected:
  template <class... Args>
  explicit try_all_base(Args&&... for_branches) : branches_(std::forward<Args>(for_branches)...) {
    this->withdraws_branches_ = true;  // without all of them there is no result
  }
  try_all_base(try_all_base&&) = default;
  ~try_all_base() = default;

  [[nodiscard]] Branches& branches() noexcept { return branches_; }

  /// The error of the branch that failed first; none if no branch failed. Rethrows if that branch
  /// failed with an exception.
  std::optional<std::error_code> first_error() {
    std::optional<std::error_code> error;
    if (!failed_) return error;
    branches_.at(*failed_, [&]<std::size_t>(auto& branch) { error = branch.error(); });
    if (!error) rethrow_first(branches_, *failed_, *strand_);
    branches_.for_each([&]<std::size_t>(auto& branch) {
      if (std::exception_ptr e = branch.take_exception())
        report_lost_exception(*strand_, std::move(e));
    });
    return error;
  }

 private:
  bool settle(branch_strand& ended) noexcept override {
    if (ended.outcome_ == outcome::stopped) return true;
    --missing_;
    bool failure = false;
    branches_.at(ended.index_, [&]<std::size_t>(auto& branch) { failure = branch.look(); });
    if (failure && !failed_) failed_ = ended.index_;
    return failure;
  }
  attempt conclude() noexcept override {
    return missing_ != 0 && !failed_ ? attempt::stopped : attempt::ready;
  }

  Branches branches_;
  std::optional<std::size_t> failed_;
  std::size_t missing_ = 0;  ///< branches that have not completed, or never started
};

template <class... A>
using try_branches = fixed_branches<try_branch<A>...>;

template <class... A>
class [[nodiscard]] try_all_operation final : public try_all_base<try_branches<A...>> {
  using base = try_all_base<try_branches<A...>>;
  using values = std::tuple<success<branch_result<A>>...>;

 public:
  using result_type =
      std::conditional_t<(try_branch<A>::gives_result || ...), result<values>, values>;

  explicit try_all_operation(A&&... awaitables)
      : base(std::in_place, std::forward<A>(awaitables)...) {}
  try_all_operation(try_all_operation&&) = default;

  result_type await_resume() {
    const auto error = this->first_error();
    if constexpr (is_result<result_type>) {
      if (error) return *error;
    }
    return [this]<std::size_t... I>(std::index_sequence<I...>) {
      return values{this->branches().template get<I>().take_success()...};
    }(std::index_sequence_for<A...>());
  }
};

template <class A>
class [[nodiscard]] try_all_of_range final
    : public try_all_base<range_of_branches<A, try_branch<A>>> {
  using base = try_all_base<range_of_branches<A, try_branch<A>>>;
  using value_type = success<branch_result<A>>;
  static constexpr bool gives_result = try_branch<A>::gives_result;
  static constexpr bool has_values = !std::is_same_v<value_type, std::monostate>;
  using values = std::conditional_t<has_values, std::vector<value_type>, void>;

 public:
  using result_type = std::conditional_t<gives_result, result<values>, values>;

  explicit try_all_of_range(std::vector<A>&& awaitables) : base(std::move(awaitables)) {}
  try_all_of_range(try_all_of_range&&) = default;

  result_type await_resume() {
    const auto error = this->first_error();
    if constexpr (gives_result) {
      if (error) return *error;
    }
    if constexpr (has_values) {
      values out;
      out.reserve(this->branches().size());
      this->branches().for_each(
          [&]<std::size_t>(auto& branch) { out.push_back(branch.take_success()); });
      return out;
    } else {
      return result_type();
    }
  }
};

}  // namespace detail

/// Like `when_all`, but stops at the first failure: runs operations concurrently on the strand of
/// the awaiting task, and asks the others to stop as soon as one fails, with a failed result or an
/// exception.
///
/// - Waits for: every branch to end, up to 16 of them; each is any awaitable of the library, or a
///   task. They start in the order given.
/// - Result: the values in the order given, as a `result` of a tuple if a branch gives a `result`,
///   otherwise as a tuple. A branch without a value, or of `result<void>`, gives a
///   `std::monostate`.
/// - Errors: the first failure: its error is returned, or its exception rethrown. Further
///   exceptions go to the runtime's hook for unhandled exceptions; further errors and the values of
///   the others are destroyed.
/// - Cancellation: passed on to every branch. If all complete nevertheless, or one fails, that
///   counts.
/// - In a select: withdrawn with all its branches. The values of branches that had completed are
///   destroyed; if all complete nevertheless, or one fails, that is in the result.
/// - Lifetime and thread safety: as for `when_all`.
///
///     auto both = co_await try_all(connect(a), connect(b));
///     if (!both) co_return both.error();
template <class... A>
[[nodiscard]] auto try_all(A&&... awaitables) {
  static_assert(detail::check_branches<A...>());
  return detail::try_all_operation<A...>(std::forward<A>(awaitables)...);
}

/// The same for the awaitables in a vector. Result: `result<std::vector<T>>`, `result<void>` for
/// operations without a value; without the `result` if the operations give none. Allocates the
/// array of the branches and that of the values.
template <class A>
[[nodiscard]] auto try_all(std::vector<A> awaitables) {
  static_assert(detail::check_branches<A>());
  return detail::try_all_of_range<A>(std::move(awaitables));
}

}  // namespace kioto
