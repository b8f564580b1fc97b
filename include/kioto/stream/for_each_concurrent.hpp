// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <kioto/detail/base/count.hpp>
#include <kioto/stream/stream.hpp>
#include <kioto/sync/mutex.hpp>
#include <kioto/sync/notify.hpp>
#include <kioto/task.hpp>
#include <kioto/try_all.hpp>

namespace kioto {
namespace detail {

/// The shared state of the workers of a `for_each_concurrent`.
template <class S, class F>
struct shared_work {
  S stream;
  F function;
  sync::mutex<> turn{};     ///< held while awaiting the stream: one worker at a time
  std::size_t idle = 0;     ///< workers without an element
  sync::notify all_busy{};  ///< notified when no worker is idle, or the stream has ended
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
      if (!next || --shared->idle == 0) shared->all_busy.notify_one();
      if (!next) co_return;
      element.emplace(std::move(*next));
    }
    co_await std::invoke(shared->function, std::move(*element));
    ++shared->idle;
  }
}

/// Workers are started in teams, each as soon as all previous ones are busy: the limit may be far
/// above what the stream ever needs.
template <class S, class F>
task<> work_in_team(shared_work<S, F>* shared, std::size_t size, std::size_t left);

template <class S, class F>
task<> work_when_all_are_busy(shared_work<S, F>* shared, std::size_t size, std::size_t left) {
  while (shared->idle != 0 && !shared->ended) co_await shared->all_busy.notified();
  if (!shared->ended) co_await work_in_team(shared, size, left);
}

template <class S, class F>
task<> work_in_team(shared_work<S, F>* shared, std::size_t size, std::size_t left) {
  size = std::min(size, left);
  std::vector<task<>> workers;
  workers.reserve(size + 1);
  for (std::size_t i = 0; i != size; ++i) workers.push_back(work_on_elements(shared));
  shared->idle += size;
  if (left != size) workers.push_back(work_when_all_are_busy(shared, 2 * size, left - size));
  co_await try_all(std::move(workers));
}

template <class S, class F>
task<> visit_concurrently(S stream, std::size_t limit, F function) {
  constexpr std::size_t first_team = 16;
  shared_work<S, F> shared{std::move(stream), std::move(function)};
  co_await work_in_team(&shared, first_team, limit);
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
/// - Waits for: the end of the stream, and all operations that were started.
/// - Errors: the first exception, of the stream or of the function, stops the others; when they
///   have ended it is thrown. Later ones go to the runtime's hook for unhandled exceptions. Throws
///   std::invalid_argument at this call for a limit of 0.
/// - Cancellation: passed on to all; an element that was taken and not finished is lost.
/// - In a select: the operations are withdrawn; an element that was taken and not finished is lost.
/// - Lifetime: the function lives until all have ended. Frames: one for each element processed at a
///   time, rounded up, and those of the tasks that the function returns.
/// - Thread safety: all of it runs on the strand of the awaiting task, never in parallel, and may
///   share locals without a lock. For parallel work, spawn tasks in the function, or see
///   `buffered`.
///
/// `co_await for_each_concurrent(std::move(urls), 8, load);`
template <class F>
[[nodiscard]] auto for_each_concurrent(std::size_t limit, F&& function) {
  return detail::make_adaptor<detail::visit_concurrently_recipe>(
      detail::checked_count("the limit given to kioto::streams::for_each_concurrent", limit),
      std::forward<F>(function));
}
template <class S, class F>
  requires stream<std::remove_cvref_t<S>>
[[nodiscard]] auto for_each_concurrent(S&& stream, std::size_t limit, F&& function) {
  return std::forward<S>(stream) | for_each_concurrent(limit, std::forward<F>(function));
}

}  // namespace streams
}  // namespace kioto
