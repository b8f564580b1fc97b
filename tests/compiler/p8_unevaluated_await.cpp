// SPDX-License-Identifier: MIT
// GCC 112360: a co_await in the half of &&, || or ?: that must not run is started all the same, or
// its temporaries are destroyed without having been made.
// The idiom: an if statement.

#include "probe.hpp"

namespace {

using probe::counted;
using probe::task;

int started = 0;

task<bool> operation(counted guard) {
  ++started;
  const bool v = co_await probe::yield_then(true);
  guard.verify();
  co_return v;
}

task<bool> idiom(bool left) {
  bool both = left;
  if (both) both = co_await operation(counted());
  co_return both;
}
task<bool> naive_and(bool left) {
  bool both = left && (co_await operation(counted()));
  co_return both;
}
task<bool> naive_or(bool left) {
  bool any = left || (co_await operation(counted()));
  co_return any;
}
task<bool> naive_conditional(bool left) {
  bool chosen = left ? co_await operation(counted()) : false;
  co_return chosen;
}

template <class F>
bool evaluates(F make, bool left, bool want, int want_started) {
  started = 0;
  bool got = !want;
  {
    auto t = make(left);
    if (!t.run()) return false;
    got = t.get();
  }
  return got == want && started == want_started && probe::all_clean();
}

}  // namespace

int main() {
  PROBE_CHECK(evaluates(idiom, false, false, 0));
  PROBE_CHECK(evaluates(idiom, true, true, 1));
  using enum probe::expectation;
  probe::known_bad("co_await on the right of &&", broken_on_any_gcc, [] {
    return evaluates(naive_and, false, false, 0) && evaluates(naive_and, true, true, 1);
  });
  probe::known_bad("co_await on the right of ||", broken_on_any_gcc, [] {
    return evaluates(naive_or, true, true, 0) && evaluates(naive_or, false, true, 1);
  });
  probe::known_bad("co_await in a half of ?:", broken_on_any_gcc, [] {
    return evaluates(naive_conditional, false, false, 0) &&
           evaluates(naive_conditional, true, true, 1);
  });
  return probe::result();
}
