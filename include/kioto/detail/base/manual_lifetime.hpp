// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include <kioto/config.hpp>

namespace kioto::detail {

/// Room for a value that is made later. Whoever owns this knows whether it is there.
template <class T>
class manual_lifetime {
 public:
  constexpr manual_lifetime() noexcept : nothing_() {}
  manual_lifetime(const manual_lifetime&) = delete;
  manual_lifetime& operator=(const manual_lifetime&) = delete;
  ~manual_lifetime() {}

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
