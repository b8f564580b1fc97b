// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include <kioto/config.hpp>

namespace kioto::detail {

/// Room for a value that is made later. Whoever owns this knows whether it is there.
template <class T>
class late_value {
 public:
  constexpr late_value() noexcept : nothing_() {}
  late_value(const late_value&) = delete;
  late_value& operator=(const late_value&) = delete;
  ~late_value() {}

  template <class... Args>
  void emplace(Args&&... args) {
    std::construct_at(std::addressof(value_), std::forward<Args>(args)...);
  }
  // Out of line: where it is known that the value was never made, and the compiler cannot know that
  // this is not called, g++ warns of what it finds in the destructor of T.
  KIOTO_NOINLINE void destroy() noexcept { std::destroy_at(std::addressof(value_)); }
  [[nodiscard]] T& get() noexcept { return value_; }
  [[nodiscard]] const T& get() const noexcept { return value_; }

 private:
  union {
    char nothing_;
    T value_;
  };
};

}  // namespace kioto::detail
