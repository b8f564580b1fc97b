// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace kioto::detail {

/// Throws std::invalid_argument, naming `what`, because `count` is not between 1 and `most`.
[[noreturn]] void throw_bad_count(const char* what, std::size_t count, std::size_t most);

/// Returns `count` if it is between 1 and `most`; otherwise throws std::invalid_argument, which
/// names `what` and the limits.
constexpr std::size_t checked_count(const char* what, std::size_t count,
                                    std::size_t most = static_cast<std::size_t>(-1)) {
  if (count == 0 || count > most) throw_bad_count(what, count, most);
  return count;
}

}  // namespace kioto::detail
