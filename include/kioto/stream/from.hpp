// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>

#include <kioto/async_generator.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>
#include <kioto/result.hpp>
#include <kioto/stream/stream.hpp>

namespace kioto {
namespace detail {

template <bool Owned, class Range>
async_generator<std::ranges::range_value_t<Range>> range_elements(Range range) {
  using element = std::ranges::range_value_t<Range>;
  for (auto&& each : range) {
    if constexpr (Owned)
      co_yield element(std::move(each));
    else
      co_yield element(each);
  }
}

template <class T>
async_generator<T> single_element(T element) {
  co_yield std::move(element);
}

template <class T>
class [[nodiscard]] never_operation final : public leaf_awaiter<never_operation<T>> {
 public:
  never_operation() noexcept = default;
  never_operation(never_operation&&) noexcept = default;
  attempt try_or_wait() noexcept override {
    return this->wait([]() noexcept { return true; });  // no backend: nothing ever completes it
  }
  bool cancel() noexcept override { return true; }
  static std::optional<T> await_resume() noexcept { return std::nullopt; }
};

/// The member functions that a source of elements may have.
template <class X>
concept has_recv = requires(X& x) { x.recv(); };
template <class X>
concept has_join_next = requires(X& x) { x.join_next(); };
template <class X>
concept has_next_line = requires(X& x) { x.next_line(); };
template <class X>
concept has_tick = requires(X& x) { x.tick(); };
template <class X>
concept has_accept = requires(X& x) { x.accept(); };

template <class X>
concept has_changed = requires(X& x) {
  x.changed();
  x.borrow_and_update();
};

template <class X>
auto ask_source(X& x) {
  if constexpr (has_changed<X>)
    return x.changed();
  else if constexpr (has_recv<X>)
    return x.recv();
  else if constexpr (has_join_next<X>)
    return x.join_next();
  else if constexpr (has_next_line<X>)
    return x.next_line();
  else if constexpr (has_tick<X>)
    return x.tick();
  else
    return x.accept();
}

/// Turns the outcome of an operation into an element. A value is an element; so is a result, except
/// that `error::closed` ends the stream. In a result of an optional, the empty optional is the end.
class makes_element {
 public:
  template <class Below>
  auto operator()(Below& below) const {
    auto outcome = below.await_resume();
    using value = decltype(outcome);
    if constexpr (is_result<value>) {
      if constexpr (is_optional<typename value::value_type>) {
        using element = result<typename value::value_type::value_type>;
        if (!outcome) return std::optional<element>(outcome.error());
        if (!*outcome) return std::optional<element>();
        return std::optional<element>(std::move(**outcome));
      } else {
        if (!outcome && outcome.error() == error::closed) return std::optional<value>();
        return std::optional<value>(std::move(outcome));
      }
    } else {
      return std::optional<value>(std::move(outcome));
    }
  }
};

/// For a `changed()` operation: the element is a copy of the newest value.
template <class X>
class takes_newest {
 public:
  explicit takes_newest(X& source) noexcept : source_(&source) {}
  template <class Below>
  auto operator()(Below& below) const {
    using element = std::remove_cvref_t<decltype(*source_->borrow_and_update())>;
    const auto changed = below.await_resume();
    return changed ? std::optional<element>(*source_->borrow_and_update()) : std::nullopt;
  }

 private:
  X* source_;
};

template <class X>
class source_stream {
  using source = std::remove_reference_t<X>;
  using asked = decltype(ask_source(std::declval<source&>()));

 public:
  explicit source_stream(X&& x) : source_(std::forward<X>(x)) {}
  source_stream(source_stream&&) = default;
  source_stream& operator=(source_stream&&) = default;
  ~source_stream() = default;

  [[nodiscard]] auto next() {
    source& from = get();
    if constexpr (has_changed<source>)
      return finished_next<asked, takes_newest<source>>(ask_source(from),
                                                        takes_newest<source>(from));
    else if constexpr (is_optional<await_result<asked>>)
      return ask_source(from);
    else
      return finished_next<asked, makes_element>(ask_source(from), makes_element());
  }

 private:
  source& get() noexcept {
    if constexpr (std::is_lvalue_reference_v<X>)
      return source_.get();
    else
      return source_;
  }

  std::conditional_t<std::is_lvalue_reference_v<X>, std::reference_wrapper<source>, source> source_;
};

template <class F>
class function_stream {
 public:
  explicit function_stream(F function) : function_(std::move(function)) {}
  [[nodiscard]] auto next() { return function_(); }

 private:
  F function_;
};

template <class X>
concept element_source = has_changed<X> || has_recv<X> || has_join_next<X> || has_next_line<X> ||
                         has_tick<X> || has_accept<X>;

}  // namespace detail

namespace streams {

/// A source of values, such as a receiver, an interval or a listener, as a stream.
///
/// - `recv()`, as channels have: the values. Where it returns a `result`, the elements are results
///   (of a broadcast, including `error::lagged`), and `error::closed` ends the stream.
/// - `changed()`, as a watch has: a copy of the newest value each time it has changed. Call
///   `mark_changed()` before to make the current value the first element.
/// - `tick()`, as an `interval` has: the points in time, without end.
/// - `accept()`, as listeners have: the results, without end.
/// - `join_next()` of a `join_set`, and `next_line()` of lines.
/// - Lifetime: an lvalue is referred to and must outlive the stream; an rvalue is moved into it.
/// - Cancellation, in a select, thread safety: those of the operation. Allocates nothing.
template <class X>
  requires detail::element_source<std::remove_reference_t<X>>
[[nodiscard]] auto stream_of(X&& source) {
  return detail::source_stream<X>(std::forward<X>(source));
}

/// The elements of a range. An lvalue range is referred to, and its elements are copied; an rvalue
/// is moved into the stream, and its elements out of it. One frame.
template <std::ranges::input_range R>
[[nodiscard]] auto from(R&& range) {
  constexpr bool owned = !std::is_lvalue_reference_v<R> && !std::ranges::view<std::decay_t<R>>;
  return detail::range_elements<owned>(std::views::all(std::forward<R>(range)));
}

/// A stream of one element.
template <class T>
[[nodiscard]] async_generator<std::decay_t<T>> once(T&& element) {
  return detail::single_element<std::decay_t<T>>(std::forward<T>(element));
}

/// A stream without elements.
template <class T>
[[nodiscard]] async_generator<T> empty() noexcept {
  return {};
}

/// A stream that has no elements and never ends.
template <class T>
class never {
 public:
  [[nodiscard]] detail::never_operation<T> next() noexcept { return {}; }
};

/// A stream whose `next()` is `function()`, which returns an awaitable of a std::optional. Errors,
/// cancellation and in a select: those of that awaitable.
template <class F>
[[nodiscard]] auto from_function(F&& function) {
  return detail::function_stream<std::decay_t<F>>(std::forward<F>(function));
}

}  // namespace streams
}  // namespace kioto
