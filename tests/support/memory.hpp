// SPDX-License-Identifier: MIT
#pragma once

// Allocations that fail. The program has an operator new of its own
// (tests/memory/operator_new.cpp), and is therefore one of its own.

#include <cstddef>

namespace kioto_test {

enum class shortage {
  once,   ///< one allocation fails
  lasts,  ///< and so do all that follow
};

/// The allocation number `k`, counted from here, on whichever thread, fails.
void begin_shortage(long k, shortage how) noexcept;
/// Lets all allocations succeed again. True if one has failed meanwhile.
bool end_shortage() noexcept;

}  // namespace kioto_test
