// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

#include <kioto/as_result.hpp>
#include <kioto/async_generator.hpp>
#include <kioto/detail/stream/next_outcome.hpp>
#include <kioto/result.hpp>
#include <kioto/select.hpp>
#include <kioto/stream/stream.hpp>
#include <kioto/time/sleep.hpp>

namespace kioto {
namespace detail {

template <class S>
async_generator<stream_element<S>> throttled_elements(S stream, std::chrono::nanoseconds gap) {
  auto earliest = now();
  for (;;) {
    co_await sleep_until(earliest);
    auto element = co_await stream.next();
    if (!element) co_return;
    earliest = deadline_after(gap);
    co_yield std::move(*element);
  }
}

template <class E>
using timed_element = std::conditional_t<is_result<E>, E, result<E>>;

template <class S>
async_generator<timed_element<stream_element<S>>> timed_elements(S stream,
                                                                 std::chrono::nanoseconds limit) {
  using element_type = timed_element<stream_element<S>>;
  for (;;) {
    std::optional<stream_element<S>> element;
    auto next = co_await select(biased, next_arrival(stream), sleep(limit));
    if (auto& came = next.template get<0>()) {
      element = came->take();
    } else {
      co_yield element_type(std::make_error_code(std::errc::timed_out));
      element = co_await stream.next();
    }
    if (!element) co_return;
    co_yield element_type(std::move(*element));
  }
}

struct throttle_recipe {
  template <class S>
  static auto make(S&& stream, std::chrono::nanoseconds gap) {
    return throttled_elements<S>(std::move(stream), gap);
  }
};
struct stream_timeout_recipe {
  template <class S>
  static auto make(S&& stream, std::chrono::nanoseconds limit) {
    return timed_elements<S>(std::move(stream), limit);
  }
};

}  // namespace detail

namespace streams {

/// The elements of a stream, at least `gap` apart; the stream is not asked before the gap is over.
/// One frame. Errors, cancellation and in a select: as for an async_generator.
template <class Rep, class Period>
[[nodiscard]] auto throttle(std::chrono::duration<Rep, Period> gap) {
  return detail::make_adaptor<detail::throttle_recipe>(detail::saturate(gap));
}

/// The elements of a stream as `result<T>`, and `std::errc::timed_out` once in each gap that is
/// longer than `limit`. Elements that are results stay as they are. One frame.
///
/// - Waits for: the gap counts from when `next()` is first awaited after the last element.
/// - Errors, cancellation and in a select: as for an async_generator. The stream continues after a
///   `timed_out`; no element is lost.
template <class Rep, class Period>
[[nodiscard]] auto timeout(std::chrono::duration<Rep, Period> limit) {
  return detail::make_adaptor<detail::stream_timeout_recipe>(detail::saturate(limit));
}

}  // namespace streams
}  // namespace kioto
