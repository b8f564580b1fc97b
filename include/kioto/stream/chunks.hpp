// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <utility>
#include <vector>

#include <kioto/async_generator.hpp>
#include <kioto/detail/base/count.hpp>
#include <kioto/detail/stream/next_outcome.hpp>
#include <kioto/select.hpp>
#include <kioto/stream/stream.hpp>
#include <kioto/time/sleep.hpp>

namespace kioto {
namespace detail {

template <class S>
async_generator<std::vector<stream_element<S>>> chunks_of_elements(S stream, std::size_t size) {
  std::vector<stream_element<S>> chunk;
  for (;;) {
    auto next = co_await next_arrival(stream);
    const bool ended = !next.has_element();
    if (!ended) chunk.push_back(std::move(*next.take()));
    if (chunk.size() >= size || (ended && !chunk.empty())) {
      co_yield std::move(chunk);
      chunk = std::vector<stream_element<S>>();
    }
    if (next.error() != nullptr) std::rethrow_exception(next.error());
    if (ended) co_return;
  }
}

template <class S>
async_generator<std::vector<stream_element<S>>> chunks_in_time(S stream, std::size_t size,
                                                               std::chrono::nanoseconds limit) {
  for (;;) {
    std::vector<stream_element<S>> chunk;
    auto first = co_await stream.next();
    if (!first) co_return;
    chunk.push_back(std::move(*first));
    const auto deadline = deadline_after(limit);
    bool ended = false;
    std::exception_ptr error;
    while (chunk.size() < size && !ended) {
      auto next = co_await select(biased, next_arrival(stream), sleep_until(deadline));
      auto& came = next.template get<0>();
      if (!came) break;  // the time limit has passed
      ended = !came->has_element();
      if (ended)
        error = came->error();
      else
        chunk.push_back(std::move(*came->take()));
    }
    co_yield std::move(chunk);
    if (error != nullptr) std::rethrow_exception(std::move(error));
    if (ended) co_return;
  }
}

struct chunks_recipe {
  template <class S>
  static auto make(S&& stream, std::size_t size) {
    return chunks_of_elements<S>(std::move(stream), size);
  }
};
struct chunks_timeout_recipe {
  template <class S>
  static auto make(S&& stream, std::size_t size, std::chrono::nanoseconds limit) {
    return chunks_in_time<S>(std::move(stream), size, limit);
  }
};

}  // namespace detail

namespace streams {

/// The elements of a stream in vectors of `size`; the last one may be shorter. One frame, and the
/// vectors.
///
/// - Errors: what the stream throws, after a vector of the elements that came before. Throws
///   std::invalid_argument at this call for a size of 0.
/// - Cancellation and in a select: a cancelled or withdrawn `next()` loses nothing.
[[nodiscard]] inline auto chunks(std::size_t size) {
  return detail::make_adaptor<detail::chunks_recipe>(
      detail::checked_count("the size given to kioto::streams::chunks", size));
}

/// The same, but a shorter vector is delivered if `limit` has passed since its first element
/// arrived. No vector is empty.
template <class Rep, class Period>
[[nodiscard]] auto chunks_timeout(std::size_t size, std::chrono::duration<Rep, Period> limit) {
  return detail::make_adaptor<detail::chunks_timeout_recipe>(
      detail::checked_count("the size given to kioto::streams::chunks_timeout", size),
      detail::saturate(limit));
}

}  // namespace streams
}  // namespace kioto
