// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <kioto/stream/stream.hpp>

namespace kioto {
namespace detail {

template <class Element, class F>
class maps_element {
 public:
  using result = stored<std::invoke_result_t<F&, Element&&>>;

  explicit maps_element(F& function) noexcept : function_(&function) {}
  template <class Below>
  std::optional<result> operator()(Below& below) const {
    std::optional<Element> element = below.await_resume();
    if (!element) return std::nullopt;
    if constexpr (std::is_void_v<std::invoke_result_t<F&, Element&&>>) {
      std::invoke(*function_, std::move(*element));
      return result();
    } else {
      return std::invoke(*function_, std::move(*element));
    }
  }

 private:
  F* function_;
};

template <class Element, class F>
class inspects_element {
 public:
  explicit inspects_element(F& function) noexcept : function_(&function) {}
  template <class Below>
  std::optional<Element> operator()(Below& below) const {
    std::optional<Element> element = below.await_resume();
    if (element) std::invoke(*function_, std::as_const(*element));
    return element;
  }

 private:
  F* function_;
};

/// A stream that passes its elements through a function.
template <class S, class F, template <class, class> class Finish>
class passing_stream {
  using finish = Finish<stream_element<S>, F>;

 public:
  passing_stream(S stream, F function)
      : stream_(std::move(stream)), function_(std::move(function)) {}

  [[nodiscard]] auto next() {
    return finished_next<next_of<S>, finish>(stream_.next(), finish(function_));
  }

 private:
  S stream_;
  F function_;
};

template <template <class, class> class Finish>
struct pass_recipe {
  template <class S, class F>
  static auto make(S&& stream, F&& function) {
    return passing_stream<S, std::decay_t<F>, Finish>(std::move(stream), std::move(function));
  }
};

}  // namespace detail

namespace streams {

/// The elements of a stream, each as `function(element)`.
///
/// - Errors: what the function throws, from `next()`; that element is lost.
/// - Cancellation, in a select, thread safety: those of the stream. Allocates nothing.
/// - Lifetime: the function is moved into the stream; a reference that it returns becomes a
///   `std::reference_wrapper`.
///
/// `rx_stream | map([](int x) { return x * x; })`
template <class F>
[[nodiscard]] auto map(F&& function) {
  return detail::make_adaptor<detail::pass_recipe<detail::maps_element>>(std::forward<F>(function));
}

/// The elements of a stream, unchanged; calls `function(const element&)` for each. Errors,
/// cancellation and in a select: as for `map`.
template <class F>
[[nodiscard]] auto inspect(F&& function) {
  return detail::make_adaptor<detail::pass_recipe<detail::inspects_element>>(
      std::forward<F>(function));
}

}  // namespace streams
}  // namespace kioto
