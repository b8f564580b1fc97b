// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include <kioto/async_generator.hpp>
#include <kioto/stream/stream.hpp>

namespace kioto {
namespace detail {

template <class Element>
class counts_down {
 public:
  explicit counts_down(std::size_t& left) noexcept : left_(&left) {}
  template <class Below>
  std::optional<Element> operator()(Below& below) const {
    std::optional<Element> element = below.await_resume();
    *left_ = element ? *left_ - 1 : 0;
    return element;
  }

 private:
  std::size_t* left_;
};

template <class S>
class take_stream {
  using finish = counts_down<stream_element<S>>;

 public:
  take_stream(S stream, std::size_t count) : stream_(std::move(stream)), left_(count) {}
  [[nodiscard]] auto next() {
    return finished_next<next_of<S>, finish>(stream_.next(), finish(left_), left_ != 0);
  }

 private:
  S stream_;
  std::size_t left_;
};

template <class Element, class F>
class ends_unless {
 public:
  ends_unless(F& predicate, bool& ended) noexcept : predicate_(&predicate), ended_(&ended) {}
  template <class Below>
  std::optional<Element> operator()(Below& below) const {
    std::optional<Element> element = below.await_resume();
    if (element && !std::invoke(*predicate_, std::as_const(*element))) element.reset();
    *ended_ = !element;
    return element;
  }

 private:
  F* predicate_;
  bool* ended_;
};

template <class S, class F>
class take_while_stream {
  using finish = ends_unless<stream_element<S>, F>;

 public:
  take_while_stream(S stream, F predicate)
      : stream_(std::move(stream)), predicate_(std::move(predicate)) {}
  [[nodiscard]] auto next() {
    return finished_next<next_of<S>, finish>(stream_.next(), finish(predicate_, ended_), !ended_);
  }

 private:
  S stream_;
  F predicate_;
  bool ended_ = false;
};

template <class S>
async_generator<stream_element<S>> skip_elements(S stream, std::size_t count) {
  for (;;) {
    auto element = co_await stream.next();
    if (!element) co_return;
    if (count == 0)
      co_yield std::move(*element);
    else
      --count;
  }
}
template <class S, class F>
async_generator<stream_element<S>> skip_elements_while(S stream, F predicate) {
  bool skips = true;
  for (;;) {
    auto element = co_await stream.next();
    if (!element) co_return;
    skips = skips && std::invoke(predicate, std::as_const(*element));
    if (!skips) co_yield std::move(*element);
  }
}

struct take_recipe {
  template <class S>
  static auto make(S&& stream, std::size_t count) {
    return take_stream<S>(std::move(stream), count);
  }
};
struct take_while_recipe {
  template <class S, class F>
  static auto make(S&& stream, F&& predicate) {
    return take_while_stream<S, std::decay_t<F>>(std::move(stream), std::move(predicate));
  }
};
struct skip_recipe {
  template <class S>
  static auto make(S&& stream, std::size_t count) {
    return skip_elements<S>(std::move(stream), count);
  }
};
struct skip_while_recipe {
  template <class S, class F>
  static auto make(S&& stream, F&& predicate) {
    return skip_elements_while<S, std::decay_t<F>>(std::move(stream), std::move(predicate));
  }
};

}  // namespace detail

namespace streams {

/// The first `count` elements of a stream, or all if there are fewer. Elements beyond are not
/// touched.
///
/// - Cancellation, in a select, thread safety: those of the stream. Allocates nothing.
[[nodiscard]] inline auto take(std::size_t count) {
  return detail::make_adaptor<detail::take_recipe>(std::move(count));
}

/// The elements of a stream up to the first for which `predicate(const element&)` is false; that
/// one is taken from the stream and dropped.
///
/// - Errors: what the predicate throws, from `next()`.
/// - Cancellation, in a select, thread safety: those of the stream. Allocates nothing.
template <class F>
[[nodiscard]] auto take_while(F&& predicate) {
  return detail::make_adaptor<detail::take_while_recipe>(std::forward<F>(predicate));
}

/// The elements of a stream without the first `count`. One frame. Errors, cancellation and in a
/// select: as for an async_generator.
[[nodiscard]] inline auto skip(std::size_t count) {
  return detail::make_adaptor<detail::skip_recipe>(std::move(count));
}

/// The elements of a stream from the first for which `predicate(const element&)` is false. One
/// frame. Errors, cancellation and in a select: as for an async_generator.
template <class F>
[[nodiscard]] auto skip_while(F&& predicate) {
  return detail::make_adaptor<detail::skip_while_recipe>(std::forward<F>(predicate));
}

}  // namespace streams
}  // namespace kioto
