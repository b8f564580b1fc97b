// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <coroutine>
#include <functional>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include <kioto/as_result.hpp>
#include <kioto/detail/task/branch.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>

namespace kioto {
namespace detail {

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

template <class S>
using next_of = decltype(std::declval<S&>().next());

}  // namespace detail

/// An asynchronous sequence of elements: `next()` returns an awaitable of a `std::optional<T>`,
/// which is empty once the stream has ended, and from then on.
///
/// A cancelled or withdrawn `next()` has taken nothing: every stream of the library guarantees
/// that, and so do the adaptors, as long as the underlying stream does. In a select a `next()` that
/// loses is withdrawn, and its element comes with the next call.
///
/// `async_generator<T>` is a stream; `streams::stream_of` makes one of a receiver, an interval, a
/// listener. Adaptors take the operand of a pipe as ranges do: an lvalue stream is referred to and
/// must outlive the pipeline; an rvalue is moved into it.
///
/// ```
/// using namespace kioto::streams;
/// auto lengths = stream_of(std::move(rx)) | map(&std::string::size) | take(10);
/// auto all = co_await collect(std::move(lengths));
/// ```
///
/// With g++ before 13, do not create a closure that captures by value inside of a co_await
/// expression, not even as part of a pipeline: name the pipeline first.
template <class S>
concept stream =
    requires(S& s) { s.next(); } && detail::is_optional<detail::await_result<detail::next_of<S>>>;

/// The type of the elements of a stream.
template <stream S>
using stream_element = typename detail::await_result<detail::next_of<S>>::value_type;

namespace streams {

/// A reference to a stream that is owned elsewhere.
template <stream S>
class ref_stream {
 public:
  explicit ref_stream(S& stream) noexcept : stream_(&stream) {}
  [[nodiscard]] auto next() { return stream_->next(); }

 private:
  S* stream_;
};

}  // namespace streams

namespace detail {

template <class S>
using all_of =
    std::conditional_t<std::is_lvalue_reference_v<S>,
                       streams::ref_stream<std::remove_reference_t<S>>, std::remove_cvref_t<S>>;

/// The operand of a pipe: an lvalue is referred to, an rvalue is moved.
template <class S>
all_of<S> all(S&& stream) {
  return all_of<S>(std::forward<S>(stream));
}

/// The right-hand side of a pipe: `Recipe::make(stream, arguments…)`, once. Not a closure, because
/// g++ before 13 destroys closures twice inside of a co_await expression.
template <class Recipe, class... Args>
class [[nodiscard]] stream_adaptor {
 public:
  template <class... Given>
  explicit stream_adaptor(std::in_place_t, Given&&... arguments)
      : arguments_(std::forward<Given>(arguments)...) {}

  template <class S>
  auto apply(S&& stream) && {
    return std::apply(
        [&](Args&... arguments) {
          return Recipe::make(all(std::forward<S>(stream)), std::move(arguments)...);
        },
        arguments_);
  }

 private:
  std::tuple<Args...> arguments_;
};

template <class Recipe, class... Args>
auto make_adaptor(Args&&... arguments) {
  return stream_adaptor<Recipe, std::decay_t<Args>...>(std::in_place,
                                                       std::forward<Args>(arguments)...);
}

template <class S, class Recipe, class... Args>
  requires stream<std::remove_cvref_t<S>>
auto operator|(S&& stream, stream_adaptor<Recipe, Args...>&& adaptor) {
  return std::move(adaptor).apply(std::forward<S>(stream));
}

/// The awaiter of `finished_next`.
template <class A, class Finish>
class [[nodiscard]] finished_awaiter {
 public:
  static constexpr bool is_resumed_through_hooks = resumed_through_hooks<awaiter_of<A>>;

  finished_awaiter(A&& below, Finish finish, bool starts)
      : below_(get_awaiter(std::forward<A>(below))), finish_(finish), starts_(starts) {}

  [[nodiscard]] bool await_ready() const noexcept { return !starts_; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
    return start_inner(below_, frame);
  }
  auto await_resume() -> decltype(std::declval<Finish&>()(std::declval<awaiter_of<A>&>())) {
    if (!starts_) return {};
    return finish_(below_);
  }

 protected:
  awaiter_of<A> below_;
  Finish finish_;
  bool starts_;
};

/// Awaits `next()` of the underlying stream; the result is `finish(underlying operation)`, which
/// calls its `await_resume()`. It needs no frame of its own, and as a branch none either if the
/// underlying operation needs none. If `starts` is false the stream has ended, and the underlying
/// one is not awaited.
template <class A, class Finish>
class [[nodiscard]] finished_next;

template <class A, class Finish>
  requires leaf_by_itself<A>
class [[nodiscard]] finished_next<A, Finish> final : public leaf_operation,
                                                     public finished_awaiter<A, Finish> {
 public:
  explicit finished_next(A&& below, Finish finish, bool starts = true)
      : finished_awaiter<A, Finish>(std::forward<A>(below), finish, starts) {}
  finished_next(finished_next&&) = default;

  // Once started, the strand waits in the underlying operation.
  attempt try_or_wait() noexcept override {
    if (!this->starts_) return attempt::ready;
    leaf_operation& below = this->below_;
    below.strand_ = strand_;
    return below.try_or_wait();
  }
  bool cancel() noexcept override { return static_cast<leaf_operation&>(this->below_).cancel(); }
};

template <class A, class Finish>
  requires(!leaf_by_itself<A>)
class [[nodiscard]] finished_next<A, Finish> {
 public:
  explicit finished_next(A&& below, Finish finish, bool starts = true)
      : below_(std::forward<A>(below)), finish_(finish), starts_(starts) {}
  finished_next(finished_next&&) = default;
  finished_next& operator=(finished_next&&) = delete;
  ~finished_next() = default;

  [[nodiscard]] finished_awaiter<A, Finish> operator co_await() && {
    return finished_awaiter<A, Finish>(std::forward<A>(below_), finish_, starts_);
  }

 private:
  A below_;
  Finish finish_;
  bool starts_;
};

}  // namespace detail

}  // namespace kioto
