// SPDX-License-Identifier: MIT
// GCC 106188, 106713: in a coroutine body without local variables whose first statement is
// `if (co_await …)` or `switch (co_await …)`, the frame is laid out wrong. The promise then has
// another address at the end than at the start, or the body never goes on.
// The idiom: put what was awaited into a local first.

#include "probe.hpp"

namespace {

using probe::task;
using probe::yield_then;

int reached = 0;

task<int> naive_return() { co_return (co_await yield_then(41)) + 1; }
task<> naive_if() {
  if ((co_await yield_then(1)) != 1) {
    reached = -1;
  } else {
    reached = 1;
  }
}
task<> naive_switch() {
  switch (co_await yield_then(2)) {
    case 2:
      reached = 2;
      break;
    default:
      reached = -1;
  }
}

task<int> named_return() {
  const int value = co_await yield_then(41);
  co_return value + 1;
}
task<> named_if() {
  const int value = co_await yield_then(1);
  if (value != 1) {
    reached = -1;
  } else {
    reached = 1;
  }
}
task<> named_switch() {
  const int value = co_await yield_then(2);
  switch (value) {
    case 2:
      reached = 2;
      break;
    default:
      reached = -1;
  }
}

template <class F>
bool runs(F make, int want) {
  reached = 0;
  {
    auto t = make();
    if (!t.run()) return false;
  }
  return reached == want && probe::all_clean();
}

template <class F>
bool returns(F make, int want) {
  int got = 0;
  {
    auto t = make();
    if (!t.run()) return false;
    got = t.get();
  }
  return got == want && probe::all_clean();
}

}  // namespace

int main() {
  PROBE_CHECK(returns(named_return, 42));
  PROBE_CHECK(runs(named_if, 1));
  PROBE_CHECK(runs(named_switch, 2));
  using enum probe::expectation;
  probe::known_bad("co_return of an awaited expression, no locals", broken_before_gcc_13,
                   [] { return returns(naive_return, 42); });
  probe::known_bad("if (co_await …), no locals", broken_before_gcc_13,
                   [] { return runs(naive_if, 1); });
  probe::known_bad("switch (co_await …), no locals", broken_before_gcc_13,
                   [] { return runs(naive_switch, 2); });
  return probe::result();
}
