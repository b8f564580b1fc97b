// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace kioto {

/// Which interface of the operating system drives sockets. `automatic` leaves it to the environment
/// variable `KIOTO_BACKEND`, which holds one of these names, and else to the library.
enum class backend : std::uint8_t { automatic, epoll, kqueue, io_uring };

}  // namespace kioto
