// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace kioto::detail {

/// Throws std::invalid_argument: `what` was given a count that is not from 1 to `most`.
[[noreturn]] void throw_bad_count(const char* what, std::size_t count, std::size_t most);

/// A count that a caller gives, from 1 to `most`; throws std::invalid_argument, which names `what`
/// and the limits, for any other.
constexpr std::size_t checked_count(const char* what, std::size_t count,
                                    std::size_t most = static_cast<std::size_t>(-1)) {
  if (count == 0 || count > most) throw_bad_count(what, count, most);
  return count;
}

}  // namespace kioto::detail
