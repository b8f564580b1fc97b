// SPDX-License-Identifier: MIT
// A match that forgets a branch does not compile.
// expect: one handler for each branch
#include <kioto/select.hpp>
#include <kioto/yield.hpp>

kioto::task<int> work();

kioto::task<int> caller() {
  auto hit = co_await kioto::select(work(), kioto::yield_now());
#ifdef KIOTO_CONTROL
  co_return hit.match([](int n) { return n; }, [] { return 0; });
#else
  co_return hit.match([](int n) { return n; });
#endif
}
