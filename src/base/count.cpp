// SPDX-License-Identifier: MIT
#include <kioto/detail/base/count.hpp>

#include <stdexcept>

#include <fmt/format.h>

namespace kioto::detail {

void throw_bad_count(const char* what, std::size_t count, std::size_t most) {
  if (count == 0) throw std::invalid_argument(fmt::format("{} is 0: it must be at least 1", what));
  throw std::invalid_argument(fmt::format("{} is {}: {} is the most", what, count, most));
}

}  // namespace kioto::detail
