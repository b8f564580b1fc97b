// SPDX-License-Identifier: MIT
// GCC 100897 and the sanitizers: symmetric transfer is no tail call below -O2, so a loop that
// awaits tasks which complete at once grows the stack by each of them.
// The idiom: count synchronous hops and go through the queue after some.

#include "probe.hpp"

namespace {

using probe::task;

constexpr int million = 1'000'000;

class ready_now {
 public:
  ready_now() {}
  bool await_ready() const noexcept { return true; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  int await_resume() const noexcept { return 1; }
};

task<long> ready_loop() {
  long total = 0;
  for (int i = 0; i < million; ++i) total += co_await ready_now();
  co_return total;
}

task<int> child(int i) {
  const int value = i & 1;
  co_return value;
}

// Awaits a child directly; every `limit`-th time through the queue, which unwinds the stack.
task<long> child_loop(int limit) {
  long total = 0;
  for (int i = 0; i < million; ++i) {
    if (limit != 0 && i % limit == 0) total += co_await probe::yield_then(0);
    const int value = co_await child(i);
    total += value;
  }
  co_return total;
}

task<int> recurse(int depth) {
  int below = 0;
  if (depth > 0) below = co_await recurse(depth - 1);
  co_return below + 1;
}

bool sums_to(task<long> t, long want) { return t.run() && t.get() == want; }

}  // namespace

int main() {
  PROBE_CHECK(sums_to(ready_loop(), million));
  PROBE_CHECK(sums_to(child_loop(64), million / 2));
  using enum probe::expectation;
  probe::known_bad("a million children that complete at once, without a budget", may_fail_anywhere,
                   [] { return sums_to(child_loop(0), million / 2); });
  probe::known_bad("recursion 100000 deep, without a budget", may_fail_anywhere, [] {
    auto t = recurse(100'000);
    const bool ended = t.run() && t.get() == 100'001;
    return ended;
  });
  return probe::result();
}
