// SPDX-License-Identifier: MIT
#include <kioto/version.hpp>

namespace kioto {

version_info library_version() noexcept { return header_version; }

}  // namespace kioto
