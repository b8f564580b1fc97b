// SPDX-License-Identifier: MIT
#pragma once

// Includes the installed version of Catch2: 3, or else 2 (Debian 12).

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#define KIOTO_CATCH_VERSION 3
#else
#include <catch2/catch.hpp>
#define KIOTO_CATCH_VERSION 2
#endif

namespace kioto_test {

using Catch::Approx;

/// A string matcher: the text contains `part`.
inline auto contains(const char* part) {
#if KIOTO_CATCH_VERSION == 3
  return Catch::Matchers::ContainsSubstring(part);
#else
  return Catch::Matchers::Contains(part);
#endif
}

}  // namespace kioto_test
