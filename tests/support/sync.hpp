// SPDX-License-Identifier: MIT
#pragma once

// What the tests of kioto::sync have in common.

#include <kioto/kioto.hpp>

#include "catch.hpp"
#include "runtimes.hpp"

namespace kioto_test {

/// Runs `body` where tasks run one at a time and in the order in which they became ready: the tests
/// of order and of who waits are exact here.
template <class Body>
void in_order(Body body) {
  kioto::runtime rt = make_runtime(flavour::current_thread);
  rt.block_on(body());
  rt.block_on([]() -> kioto::task<> { co_await kioto::yield_now(); });
  CHECK(rt.metrics().tasks_alive == 0);
}

/// Lets everybody else run until he waits. Only inside of `in_order`.
inline kioto::task<> settle() {
  for (int i = 0; i != 4; ++i) co_await kioto::yield_now();
}

}  // namespace kioto_test
