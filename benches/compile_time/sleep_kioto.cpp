// SPDX-License-Identifier: MIT
#ifdef NARROW
#include <kioto/runtime.hpp>
#include <kioto/time/sleep.hpp>
#else
#include <kioto/kioto.hpp>
#endif

using namespace std::chrono_literals;

kioto::task<int> answer() {
  co_await kioto::sleep(10ms);
  co_return 42;
}

int main() { return kioto::run(answer()) == 42 ? 0 : 1; }
