// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include <kioto/config.hpp>

namespace kioto::detail {

/// Storage for a value that is constructed later. The owner keeps track of whether the value
/// exists.
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
  // Out of line: where g++ knows that the value was never constructed, but not that this is not
  // called, it warns about the destructor of T.
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
