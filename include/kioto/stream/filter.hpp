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
async_generator<stream_element<S>> filter_elements(S stream, F predicate) {
  for (;;) {
    auto element = co_await stream.next();
    if (!element) co_return;
    if (std::invoke(predicate, std::as_const(*element))) co_yield std::move(*element);
  }
}

template <class S, class F>
using filter_mapped = typename std::invoke_result_t<F&, stream_element<S>&&>::value_type;

template <class S, class F>
async_generator<filter_mapped<S, F>> filter_map_elements(S stream, F function) {
  for (;;) {
    auto element = co_await stream.next();
    if (!element) co_return;
    auto mapped = std::invoke(function, std::move(*element));
    if (mapped) co_yield std::move(*mapped);
  }
}

struct filter_recipe {
  template <class S, class F>
  static auto make(S&& stream, F&& predicate) {
    return filter_elements<S, std::decay_t<F>>(std::move(stream), std::move(predicate));
  }
};
struct filter_map_recipe {
  template <class S, class F>
  static auto make(S&& stream, F&& function) {
    static_assert(is_optional<std::invoke_result_t<std::decay_t<F>&, stream_element<S>&&>>,
                  "the function given to filter_map returns a std::optional");
    return filter_map_elements<S, std::decay_t<F>>(std::move(stream), std::move(function));
  }
};

}  // namespace detail

namespace streams {

/// The elements of a stream for which `predicate(const element&)` is true. One frame.
///
/// - Errors: what the predicate throws, from `next()`; the stream has ended then.
/// - Cancellation, in a select, thread safety: as for an async_generator.
template <class F>
[[nodiscard]] auto filter(F&& predicate) {
  return detail::make_adaptor<detail::filter_recipe>(std::forward<F>(predicate));
}

/// For each element the value of the std::optional that `function(element)` returns, unless that is
/// empty. One frame. Errors, cancellation and in a select: as for `filter`.
template <class F>
[[nodiscard]] auto filter_map(F&& function) {
  return detail::make_adaptor<detail::filter_map_recipe>(std::forward<F>(function));
}

}  // namespace streams
}  // namespace kioto
