// SPDX-License-Identifier: MIT
// An I/O error cannot be dropped silently.
// expect: nodiscard|unused-result
// flags: -Werror=unused-result
#include <kioto/result.hpp>

kioto::result<int> operation();

int caller() {
#ifdef KIOTO_CONTROL
  auto result = operation();
  return result ? *result : 0;
#else
  operation();
  return 0;
#endif
}
