// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include <kioto/async_generator.hpp>
#include <kioto/config.hpp>
#include <kioto/detail/task/branch.hpp>
#include <kioto/stream/stream.hpp>

namespace kioto {
namespace detail {

template <class T>
async_generator<T> chained_elements() {
  co_return;
}
template <class T, class First, class... Rest>
async_generator<T> chained_elements(First first, Rest... rest) {
  for (;;) {
    auto element = co_await first.next();
    if (!element) break;
    co_yield T(std::move(*element));
  }
  auto others = chained_elements<T, Rest...>(std::move(rest)...);
  for (;;) {
    auto element = co_await others.next();
    if (!element) co_return;
    co_yield std::move(*element);
  }
}

/// Waits for an element of each of two streams, or until one of them has ended; then the other one
/// is not awaited any longer.
template <class A, class B>
class [[nodiscard]] zip_operation final : public combinator {
 public:
  using element = std::pair<stream_element<A>, stream_element<B>>;

  zip_operation(A& a, B& b) : first_(a.next()), second_(b.next()) {}
  zip_operation(zip_operation&&) = default;

  attempt try_or_wait() noexcept override {
    chain branches;
    branches.add(first_.prepare(0));
    branches.add(second_.prepare(1));
    return start(branches);
  }
  std::optional<element> await_resume() {
    if (!ended_) return element(std::move(*a_.element), std::move(*b_.element));
    // Only one of two exceptions can be rethrown; the other one is reported.
    if (const auto& lost = *ended_ == 0 ? b_.error : a_.error)
      report_lost_exception(*strand_, lost);
    if (const auto& error = *ended_ == 0 ? a_.error : b_.error) std::rethrow_exception(error);
    return std::nullopt;
  }

 private:
  bool settle(branch_strand& branch) noexcept override {
    if (branch.outcome_ == outcome::stopped) return true;
    const bool goes_on = branch.index_ == 0 ? receive(first_, a_) : receive(second_, b_);
    if (!goes_on && !ended_) ended_ = branch.index_;
    return !goes_on;
  }
  attempt conclude() noexcept override {
    return ended_ || (a_.element && b_.element) ? attempt::ready : attempt::stopped;
  }
  template <class T>
  struct received {
    std::optional<T> element;
    std::exception_ptr error;
  };
  /// Returns true if there is an element.
  template <class Branch, class T>
  static bool receive(Branch& branch, received<T>& into) noexcept {
    KIOTO_TRY {
      std::optional<T> next = branch.take();
      if (next) into.element.emplace(std::move(*next));
    }
    KIOTO_CATCH_ALL { into.error = std::current_exception(); }
    return into.element.has_value();
  }

  branch_of<next_of<A>> first_;
  branch_of<next_of<B>> second_;
  received<stream_element<A>> a_;
  received<stream_element<B>> b_;
  std::optional<std::uint32_t> ended_;  ///< the stream that ended first
};

template <class A, class B>
async_generator<std::pair<stream_element<A>, stream_element<B>>> zipped_elements(A a, B b) {
  for (;;) {
    auto both = co_await zip_operation<A, B>(a, b);
    if (!both) co_return;
    co_yield std::move(*both);
  }
}

}  // namespace detail

namespace streams {

/// The elements of the first stream, then those of the second, and so on. One frame for each
/// stream. Errors, cancellation and in a select: as for an async_generator.
template <class... S>
  requires(stream<std::remove_cvref_t<S>> && ...)
[[nodiscard]] auto chain(S&&... streams) {
  using element = std::common_type_t<stream_element<std::remove_cvref_t<S>>...>;
  return detail::chained_elements<element, detail::all_of<S>...>(
      detail::all(std::forward<S>(streams))...);
}

/// Pairs of an element of each stream; the two are awaited concurrently. One frame.
///
/// - Ends as soon as one of them does, without waiting for the other; an element that the other one
///   had delivered by then is lost, and no other.
/// - Errors: what a stream throws ends both. If the other one throws, too, that goes to the
///   runtime's hook for unhandled exceptions.
/// - Cancellation and in a select: a cancelled or withdrawn `next()` loses nothing.
template <class A, class B>
  requires stream<std::remove_cvref_t<A>> && stream<std::remove_cvref_t<B>>
[[nodiscard]] auto zip(A&& a, B&& b) {
  return detail::zipped_elements<detail::all_of<A>, detail::all_of<B>>(
      detail::all(std::forward<A>(a)), detail::all(std::forward<B>(b)));
}

}  // namespace streams
}  // namespace kioto
