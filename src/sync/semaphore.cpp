// SPDX-License-Identifier: MIT
#include <kioto/sync/semaphore.hpp>

#include <stdexcept>

#include <fmt/format.h>

namespace kioto::detail {

void throw_foreign_permit() {
  throw std::logic_error("semaphore permits were merged that belong to different semaphores");
}

std::size_t refused_permits(std::size_t count) {
  throw std::invalid_argument(fmt::format("{} permits are more than a semaphore can have ({})",
                                          count, sync::semaphore::max_permits));
}

void refuse_more_permits(std::size_t count, std::size_t total) {
  throw std::overflow_error(
      fmt::format("{} more permits, beside the {} that there are, held or not, are more than a "
                  "semaphore can have ({})",
                  count, total, sync::semaphore::max_permits));
}

}  // namespace kioto::detail
