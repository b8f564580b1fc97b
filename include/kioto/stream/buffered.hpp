// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <deque>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include <kioto/abort_on_drop.hpp>
#include <kioto/async_generator.hpp>
#include <kioto/detail/base/count.hpp>
#include <kioto/detail/stream/next_outcome.hpp>
#include <kioto/detail/task/branch.hpp>
#include <kioto/join_set.hpp>
#include <kioto/select.hpp>
#include <kioto/spawn.hpp>
#include <kioto/stream/stream.hpp>

namespace kioto {
namespace detail {

/// Started operations, of which the oldest is awaited.
template <class T>
class begun_in_order {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return begun_.size(); }
  void begin(task<T> operation) { begun_.emplace_back(spawn(std::move(operation))); }
  [[nodiscard]] auto next_result() { return begun_.front().operator co_await(); }
  void drop_taken() noexcept { begun_.pop_front(); }

 private:
  std::deque<abort_on_drop<T>> begun_;
};

/// Started operations, of which the first to end is awaited.
template <class T>
class begun_as_they_end {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return begun_.size(); }
  void begin(task<T> operation) { begun_.spawn(std::move(operation)); }
  [[nodiscard]] auto next_result() { return begun_.join_next(); }
  void drop_taken() noexcept {}

 private:
  join_set<T> begun_;
};

template <class A>
task<await_result<A>> as_task(A operation) {
  if constexpr (is_task<A>)
    return operation;
  else
    return run_as_task<await_result<A>, A>(std::move(operation));
}

template <class T>
stored<T> value_of(join_result<T> ended) {
  if constexpr (std::is_void_v<T>) {
    std::move(ended).value();
    return {};
  } else {
    return std::move(ended).value();
  }
}

template <template <class> class Begun, class S>
async_generator<stored<await_result<stream_element<S>>>> buffered_results(S stream,
                                                                          std::size_t limit) {
  using operation = stream_element<S>;
  using value_type = await_result<operation>;
  Begun<value_type> begun;
  bool ended = false;
  std::exception_ptr error;  // of the stream; rethrown after the results
  while (!ended || begun.size() != 0) {
    std::optional<next_outcome<operation>> next;
    std::optional<join_result<value_type>> result;
    if (begun.size() == 0) {
      auto came = co_await next_arrival(stream);
      next.emplace(std::move(came));
    } else if (ended || begun.size() >= limit) {
      result = co_await begun.next_result();
    } else {
      auto either = co_await select(biased, next_arrival(stream), begun.next_result());
      if (auto& first = either.template get<0>()) next.emplace(std::move(*first));
      if (auto& second = either.template get<1>()) result = std::move(*second);
    }
    if (next) {
      ended = !next->has_element();
      if (ended)
        error = next->error();
      else
        begun.begin(as_task<operation>(std::move(*next->take())));
    }
    if (result) {
      begun.drop_taken();
      co_yield value_of<value_type>(std::move(*result));
    }
  }
  if (error != nullptr) std::rethrow_exception(std::move(error));
}

template <template <class> class Begun>
struct buffered_recipe {
  template <class S>
  static auto make(S&& stream, std::size_t limit) {
    static_assert(awaitable<stream_element<S>>,
                  "buffered needs a stream of awaitables: map(f) with an f that returns a task");
    return buffered_results<Begun, S>(std::move(stream), limit);
  }
};

}  // namespace detail

namespace streams {

/// The results of a stream of operations, such as tasks, in the order of the stream. At any time up
/// to `limit` of them have started and their results were not yet taken.
///
/// - Each operation is spawned as a task when its turn comes: they run in parallel, and continue
///   while the consumer is busy. They start when `next()` is awaited.
/// - Errors: what an operation throws, in its place; the stream has then ended, and the operations
///   behind it are aborted. What the stream throws comes after the results of its earlier elements.
///   Throws std::invalid_argument at this call for a limit of 0.
/// - Cancellation: a cancelled `next()` loses nothing; started operations continue to run.
/// - In a select: `next()` is withdrawn in the same way.
/// - Lifetime: as for any spawned task: an operation owns what it uses. Destroying the stream
///   aborts the started operations and does not wait for them. Frames: one, and one for each
///   operation.
///
/// `urls | map([](std::string url) { return fetch(std::move(url)); }) | buffered(8)`
[[nodiscard]] inline auto buffered(std::size_t limit) {
  return detail::make_adaptor<detail::buffered_recipe<detail::begun_in_order>>(
      detail::checked_count("the limit given to kioto::streams::buffered", limit));
}
/// The same, in the order in which the operations end.
[[nodiscard]] inline auto buffered_unordered(std::size_t limit) {
  return detail::make_adaptor<detail::buffered_recipe<detail::begun_as_they_end>>(
      detail::checked_count("the limit given to kioto::streams::buffered_unordered", limit));
}

}  // namespace streams
}  // namespace kioto
