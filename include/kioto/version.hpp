// SPDX-License-Identifier: MIT
#pragma once

// The build system parses these three lines.
#define KIOTO_VERSION_MAJOR 0
#define KIOTO_VERSION_MINOR 1
#define KIOTO_VERSION_PATCH 0

/// Comparable in `#if`: 10000 * major + 100 * minor + patch.
#define KIOTO_VERSION \
  (KIOTO_VERSION_MAJOR * 10000 + KIOTO_VERSION_MINOR * 100 + KIOTO_VERSION_PATCH)

namespace kioto {

/// A version of kioto.
struct version_info {
  int major_number;
  int minor_number;
  int patch_number;
};

/// The version of the headers that this translation unit includes.
inline constexpr version_info header_version{KIOTO_VERSION_MAJOR, KIOTO_VERSION_MINOR,
                                             KIOTO_VERSION_PATCH};

/// The version of the library that the program runs with. It differs from `header_version` if the
/// shared library was replaced without recompiling the program.
[[nodiscard]] version_info library_version() noexcept;

}  // namespace kioto
