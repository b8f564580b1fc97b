// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include <kioto/async_generator.hpp>
#include <kioto/stream/stream.hpp>
#include <kioto/when_all.hpp>

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

template <class A, class B>
async_generator<std::pair<stream_element<A>, stream_element<B>>> zipped_elements(A a, B b) {
  for (;;) {
    auto both = co_await when_all(a.next(), b.next());
    if (!std::get<0>(both) || !std::get<1>(both)) co_return;
    co_yield std::pair<stream_element<A>, stream_element<B>>(std::move(*std::get<0>(both)),
                                                             std::move(*std::get<1>(both)));
  }
}

}  // namespace detail

namespace streams {

/// The elements of the first stream, then those of the second, and so on. Frames: one for each.
template <class... S>
  requires(stream<std::remove_cvref_t<S>> && ...)
[[nodiscard]] auto chain(S&&... streams) {
  using element = std::common_type_t<stream_element<std::remove_cvref_t<S>>...>;
  return detail::chained_elements<element, detail::all_of<S>...>(
      detail::all(std::forward<S>(streams))...);
}

/// Pairs of an element of each stream, which are waited for at the same time. Ends when one of them
/// does; an element that the other one had by then is lost. One frame.
template <class A, class B>
  requires stream<std::remove_cvref_t<A>> && stream<std::remove_cvref_t<B>>
[[nodiscard]] auto zip(A&& a, B&& b) {
  return detail::zipped_elements<detail::all_of<A>, detail::all_of<B>>(
      detail::all(std::forward<A>(a)), detail::all(std::forward<B>(b)));
}

}  // namespace streams
}  // namespace kioto
