// SPDX-License-Identifier: MIT
// A task runs once: a combinator takes it as an rvalue.
// expect: a task that has a name is given as std::move
#include <kioto/select.hpp>
#include <kioto/time/sleep.hpp>

kioto::task<int> work();

kioto::task<> caller() {
  auto t = work();
#ifdef KIOTO_CONTROL
  auto hit = co_await kioto::select(std::move(t), kioto::sleep(std::chrono::seconds(1)));
#else
  auto hit = co_await kioto::select(t, kioto::sleep(std::chrono::seconds(1)));
#endif
  (void)hit;
}
