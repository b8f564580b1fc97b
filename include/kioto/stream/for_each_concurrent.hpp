// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <kioto/stream/stream.hpp>
#include <kioto/sync/mutex.hpp>
#include <kioto/task.hpp>
#include <kioto/try_all.hpp>

namespace kioto {
namespace detail {

/// What the workers of a `for_each_concurrent` have in common.
template <class S, class F>
struct shared_work {
  S stream;
  F function;
  sync::mutex<> turn{};  ///< to ask the stream: one of them at a time
  bool ended = false;
};

template <class S, class F>
task<> work_on_elements(shared_work<S, F>* shared) {
  for (;;) {
    std::optional<stream_element<S>> element;
    {
      const auto my_turn = co_await shared->turn.lock();
      if (shared->ended) co_return;
      auto next = co_await shared->stream.next();
      shared->ended = !next;
      if (!next) co_return;
      element.emplace(std::move(*next));
    }
    co_await std::invoke(shared->function, std::move(*element));
  }
}

template <class S, class F>
task<> visit_concurrently(S stream, std::size_t limit, F function) {
  shared_work<S, F> shared{std::move(stream), std::move(function)};
  std::vector<task<>> workers;
  workers.reserve(std::max<std::size_t>(limit, 1));
  do workers.push_back(work_on_elements(&shared));
  while (workers.size() < limit);
  co_await try_all(std::move(workers));
}

struct visit_concurrently_recipe {
  template <class S, class F>
  static auto make(S&& stream, std::size_t limit, F&& function) {
    static_assert(awaitable<std::invoke_result_t<std::decay_t<F>&, stream_element<S>&&>>,
                  "the function given to for_each_concurrent returns an awaitable: a task, mostly");
    return visit_concurrently<S, std::decay_t<F>>(std::move(stream), limit, std::move(function));
  }
};

}  // namespace detail

namespace streams {

/// Awaits `function(element)` for each element of a stream, up to `limit` of them at a time.
///
/// - Waits for: the end of the stream, and everything that was begun.
/// - Errors: the first exception, of the stream or of the function, stops the others; when they
///   have ended it is thrown. Later ones go to the runtime's hook for unhandled exceptions.
/// - Cancellation: passed on to all; an element that was taken and not finished is lost.
/// - Lifetime: the function lives until all have ended. Frames: `limit` of them, and those of the
///   tasks that the function returns.
/// - Thread safety: all of it runs on the strand of the awaiting task, never in parallel, and may
///   share locals without a lock. For parallel work spawn: from the function, or see `buffered`.
///
/// `co_await for_each_concurrent(std::move(urls), 8, load);`
template <class F>
[[nodiscard]] auto for_each_concurrent(std::size_t limit, F&& function) {
  return detail::make_adaptor<detail::visit_concurrently_recipe>(std::move(limit),
                                                                 std::forward<F>(function));
}
template <class S, class F>
  requires stream<std::remove_cvref_t<S>>
[[nodiscard]] auto for_each_concurrent(S&& stream, std::size_t limit, F&& function) {
  return std::forward<S>(stream) | for_each_concurrent(limit, std::forward<F>(function));
}

}  // namespace streams
}  // namespace kioto
