// SPDX-License-Identifier: MIT
#pragma once

// What the tests of kioto::sync have in common.

#include <kioto/kioto.hpp>

#include "catch.hpp"
#include "runtimes.hpp"

namespace kioto_test {

/// Runs `body` where tasks run one at a time, in the order in which they become ready: so tests can
/// check the order, and which task waits.
template <class Body>
void in_order(Body body) {
  kioto::runtime rt = make_runtime(flavour::current_thread);
  rt.block_on(body());
  rt.block_on([]() -> kioto::task<> { co_await kioto::yield_now(); });
  CHECK(rt.metrics().tasks_alive == 0);
}

/// Lets all other tasks run until they wait. Only inside `in_order`.
inline kioto::task<> settle() {
  for (int i = 0; i != 4; ++i) co_await kioto::yield_now();
}

}  // namespace kioto_test
