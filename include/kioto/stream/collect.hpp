// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <type_traits>
#include <utility>
#include <vector>

#include <kioto/stream/stream.hpp>
#include <kioto/task.hpp>

namespace kioto {
namespace detail {

template <class Container, class S>
task<Container> collect_elements(S stream) {
  Container all{};
  for (;;) {
    auto element = co_await stream.next();
    if (!element) co_return all;
    all.insert(all.end(), std::move(*element));
  }
}

template <class S, class T, class F>
task<T> fold_elements(S stream, T value, F function) {
  for (;;) {
    auto element = co_await stream.next();
    if (!element) co_return value;
    if constexpr (awaitable<std::invoke_result_t<F&, T&&, stream_element<S>&&>>)
      value = co_await std::invoke(function, std::move(value), std::move(*element));
    else
      value = std::invoke(function, std::move(value), std::move(*element));
  }
}

template <class S, class F>
task<> visit_elements(S stream, F function) {
  for (;;) {
    auto element = co_await stream.next();
    if (!element) co_return;
    if constexpr (awaitable<std::invoke_result_t<F&, stream_element<S>&&>>)
      co_await std::invoke(function, std::move(*element));
    else
      std::invoke(function, std::move(*element));
  }
}

template <class S>
task<std::size_t> count_elements(S stream) {
  std::size_t count = 0;
  for (;;) {
    const auto element = co_await stream.next();
    if (!element) co_return count;
    ++count;
  }
}

template <class Container>
struct collect_recipe {
  template <class S>
  static auto make(S&& stream) {
    using container =
        std::conditional_t<std::is_void_v<Container>, std::vector<stream_element<S>>, Container>;
    return collect_elements<container, S>(std::move(stream));
  }
};
struct fold_recipe {
  template <class S, class T, class F>
  static auto make(S&& stream, T&& value, F&& function) {
    return fold_elements<S, std::decay_t<T>, std::decay_t<F>>(std::move(stream), std::move(value),
                                                              std::move(function));
  }
};
struct visit_recipe {
  template <class S, class F>
  static auto make(S&& stream, F&& function) {
    return visit_elements<S, std::decay_t<F>>(std::move(stream), std::move(function));
  }
};
struct count_recipe {
  template <class S>
  static auto make(S&& stream) {
    return count_elements<S>(std::move(stream));
  }
};

}  // namespace detail

namespace streams {

// Operations that consume a stream. Each is a task: `co_await collect(stream)`, or at the end of a
// pipe, in parentheses: `co_await (stream | map(f) | collect())`. Exceptions of the stream are
// rethrown. A task that is cancelled, or withdrawn in a select, stops waiting for the next element;
// the elements that it had taken are lost.

/// All elements: in a std::vector, or in `Container`, which has `insert(end, element)`.
template <class Container = void>
[[nodiscard]] auto collect() {
  return detail::make_adaptor<detail::collect_recipe<Container>>();
}
template <class Container = void, class S>
  requires stream<std::remove_cvref_t<S>>
[[nodiscard]] auto collect(S&& stream) {
  return std::forward<S>(stream) | collect<Container>();
}

/// `value = function(value, element)` for each element; the function may return an awaitable of the
/// new value. Returns the last value.
template <class T, class F>
[[nodiscard]] auto fold(T&& value, F&& function) {
  return detail::make_adaptor<detail::fold_recipe>(std::forward<T>(value),
                                                   std::forward<F>(function));
}
template <class S, class T, class F>
  requires stream<std::remove_cvref_t<S>>
[[nodiscard]] auto fold(S&& stream, T&& value, F&& function) {
  return std::forward<S>(stream) | fold(std::forward<T>(value), std::forward<F>(function));
}

/// Calls `function(element)` for each element, one after the other, and awaits what it returns if
/// that is an awaitable.
template <class F>
[[nodiscard]] auto for_each(F&& function) {
  return detail::make_adaptor<detail::visit_recipe>(std::forward<F>(function));
}
template <class S, class F>
  requires stream<std::remove_cvref_t<S>>
[[nodiscard]] auto for_each(S&& stream, F&& function) {
  return std::forward<S>(stream) | for_each(std::forward<F>(function));
}

/// The number of elements.
[[nodiscard]] inline auto count() { return detail::make_adaptor<detail::count_recipe>(); }
template <class S>
  requires stream<std::remove_cvref_t<S>>
[[nodiscard]] auto count(S&& stream) {
  return std::forward<S>(stream) | count();
}

}  // namespace streams
}  // namespace kioto
