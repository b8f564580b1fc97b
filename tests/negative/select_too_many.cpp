// SPDX-License-Identifier: MIT
// Seventeen branches are a vector.
// expect: at most 16 branches
#include <kioto/select.hpp>
#include <kioto/yield.hpp>

using kioto::yield_now;

kioto::task<> caller() {
  auto hit = co_await kioto::select(yield_now(), yield_now(), yield_now(), yield_now(), yield_now(),
                                    yield_now(), yield_now(), yield_now(), yield_now(), yield_now(),
                                    yield_now(), yield_now(), yield_now(), yield_now(), yield_now(),
#ifndef KIOTO_CONTROL
                                    yield_now(),
#endif
                                    yield_now());
  (void)hit;
}
