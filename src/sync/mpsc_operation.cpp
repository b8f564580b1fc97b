// SPDX-License-Identifier: MIT
// What the channel needs no template for.
#include <kioto/detail/sync/mpsc_operation.hpp>

#include <new>
#include <stdexcept>

namespace kioto::detail {

std::error_code mpsc_error(mpsc_outcome what) noexcept {
  switch (what) {
    case mpsc_outcome::full:
      return error::full;
    case mpsc_outcome::no_memory:
      return std::make_error_code(std::errc::not_enough_memory);
    case mpsc_outcome::done:
    case mpsc_outcome::closed:
      break;
  }
  return error::closed;
}

void throw_used_up_permit() {
  throw std::logic_error(
      "kioto::sync::mpsc: a permit has sent as many messages as it was for, or was moved from: ask "
      "permit::count(), and reserve() another one");
}
void throw_no_memory() { throw std::bad_alloc(); }

}  // namespace kioto::detail
