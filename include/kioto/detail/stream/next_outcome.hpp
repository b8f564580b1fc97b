// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <optional>
#include <utility>

#include <kioto/config.hpp>
#include <kioto/stream/stream.hpp>

namespace kioto::detail {

/// The outcome of a `next()`: an element, an exception in its place, or the end. For operations
/// that wait for several streams at once, and keep what arrived in addition to the first one.
template <class T>
class next_outcome {
 public:
  next_outcome() noexcept = default;

  /// Stores what `take()` returns or throws. It returns an optional of an element or of a
  /// `next_outcome`. If moving the element throws, it is lost, and the exception takes its place.
  template <class Take>
  void receive(Take&& take) noexcept {
    element_.reset();
    error_ = nullptr;
    KIOTO_TRY {
      auto next = std::forward<Take>(take)();
      if (next) put(*next);
    }
    KIOTO_CATCH_ALL { error_ = std::current_exception(); }
  }
  void fail(std::exception_ptr error) noexcept { error_ = std::move(error); }

  [[nodiscard]] bool has_element() const noexcept { return element_.has_value(); }
  [[nodiscard]] bool is_end() const noexcept { return !element_ && error_ == nullptr; }

  [[nodiscard]] const std::exception_ptr& error() const noexcept { return error_; }

  /// Returns or rethrows the outcome, once: afterwards this is the end.
  std::optional<T> take() {
    if (error_ != nullptr) std::rethrow_exception(std::exchange(error_, nullptr));
    const clears_at_exit at_exit{element_};  // also if the move throws
    return std::move(element_);
  }

 private:
  template <class>
  friend class next_outcome;

  struct clears_at_exit {
    std::optional<T>& element;
    ~clears_at_exit() { element.reset(); }
  };

  template <class U>
  void put(U& element) {
    element_.emplace(std::move(element));
  }
  template <class U>
  void put(next_outcome<U>& other) {
    if (other.error_ != nullptr)
      error_ = std::move(other.error_);
    else if (other.element_)
      element_.emplace(std::move(*other.element_));
  }

  std::optional<T> element_;
  std::exception_ptr error_;
};

template <class T>
struct keeps_exception {
  template <class Below>
  next_outcome<T> operator()(Below& below) const {
    next_outcome<T> came;
    came.receive([&below] { return below.await_resume(); });
    return came;
  }
};

/// `stream.next()` with a `next_outcome` as its result, so that an exception becomes a value.
template <class S>
auto next_arrival(S& stream) {
  using finish = keeps_exception<stream_element<S>>;
  return finished_next<next_of<S>, finish>(stream.next(), finish());
}

}  // namespace kioto::detail
