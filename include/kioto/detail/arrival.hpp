// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <optional>
#include <utility>

#include <kioto/config.hpp>
#include <kioto/stream/stream.hpp>

namespace kioto::detail {

/// What came of a `next()`: an element, the exception in its place, or the end. For those who wait
/// for several things at once, and keep what came beside the first one.
template <class T>
class arrival {
 public:
  arrival() noexcept = default;

  /// Of what `take()` returns or throws.
  template <class Take>
  static arrival of(Take&& take) noexcept {
    arrival made;
    KIOTO_TRY {
      std::optional<T> next = std::forward<Take>(take)();
      if (next) made.element_.emplace(std::move(*next));
    }
    KIOTO_CATCH_ALL { made.error_ = std::current_exception(); }
    return made;
  }

  [[nodiscard]] bool has_element() const noexcept { return element_.has_value(); }
  [[nodiscard]] bool is_end() const noexcept { return !element_ && error_ == nullptr; }

  [[nodiscard]] const std::exception_ptr& error() const noexcept { return error_; }

  /// Hands it over, once: afterwards this is the end.
  std::optional<T> take() {
    if (error_ != nullptr) std::rethrow_exception(std::exchange(error_, nullptr));
    std::optional<T> element = std::move(element_);
    element_.reset();
    return element;
  }

 private:
  std::optional<T> element_;
  std::exception_ptr error_;
};

template <class T>
struct keeps_exception {
  template <class Below>
  arrival<T> operator()(Below& below) const noexcept {
    return arrival<T>::of([&below] { return below.await_resume(); });
  }
};

/// `stream.next()`, with what it throws as a value.
template <class S>
auto next_arrival(S& stream) {
  using finish = keeps_exception<stream_element<S>>;
  return finished_next<next_of<S>, finish>(stream.next(), finish());
}

}  // namespace kioto::detail
