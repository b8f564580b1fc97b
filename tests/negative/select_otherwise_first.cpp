// SPDX-License-Identifier: MIT The branch that is left when all others are disabled comes last.
// expect: `otherwise` is the last branch
#include <kioto/select.hpp>
#include <kioto/yield.hpp>

kioto::task<> caller(bool enabled) {
#ifdef KIOTO_CONTROL
  auto hit = co_await kioto::select(kioto::when(enabled, kioto::yield_now()), kioto::otherwise);
#else
  auto hit = co_await kioto::select(kioto::otherwise, kioto::when(enabled, kioto::yield_now()));
#endif
  (void)hit;
}
