// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <type_traits>
#include <utility>

#include <kioto/async_generator.hpp>
#include <kioto/stream/stream.hpp>

namespace kioto {
namespace detail {

template <class S, class F>
using then_result = await_result<std::invoke_result_t<F&, stream_element<S>&&>>;

template <class S, class F>
async_generator<stored<then_result<S, F>>> then_elements(S stream, F function) {
  for (;;) {
    auto element = co_await stream.next();
    if (!element) co_return;
    if constexpr (std::is_void_v<then_result<S, F>>) {
      co_await std::invoke(function, std::move(*element));
      co_yield std::monostate();
    } else {
      stored<then_result<S, F>> result = co_await std::invoke(function, std::move(*element));
      co_yield std::move(result);
    }
  }
}

struct then_recipe {
  template <class S, class F>
  static auto make(S&& stream, F&& function) {
    static_assert(awaitable<std::invoke_result_t<std::decay_t<F>&, stream_element<S>&&>>,
                  "the function given to then returns an awaitable; for another one use map");
    return then_elements<S, std::decay_t<F>>(std::move(stream), std::move(function));
  }
};

}  // namespace detail

namespace streams {

/// For each element the result of awaiting `function(element)`, one after the other: an
/// asynchronous `map`. One frame, and that of each task that the function returns.
///
/// - Errors: what the function or its task throws, from `next()`; the stream has ended then.
/// - Cancellation and in a select: as for an async_generator: a cancelled or withdrawn `next()`
///   pauses the task that `function` returned.
/// - To process several elements at a time see `buffered`.
///
/// `urls | then([](std::string url) { return fetch(url); })`
template <class F>
[[nodiscard]] auto then(F&& function) {
  return detail::make_adaptor<detail::then_recipe>(std::forward<F>(function));
}

}  // namespace streams
}  // namespace kioto
