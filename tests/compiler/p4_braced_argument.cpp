// SPDX-License-Identifier: MIT
// GCC 98056: a braced list as an argument inside a co_await expression does not compile or breaks
// the compiler; tests/compiler/known_bad/braced_list.cpp records which compilers take it.
// The idiom: std::array or a span of something named.

#include <array>
#include <numeric>
#include <span>

#include "probe.hpp"

namespace {

using probe::task;
using probe::yield_then;

task<int> sum(std::array<int, 3> values) {
  const int zero = co_await yield_then(0);
  co_return std::accumulate(values.begin(), values.end(), zero);
}
task<int> sum_of(std::span<const int> values) {
  const int zero = co_await yield_then(0);
  co_return std::accumulate(values.begin(), values.end(), zero);
}

task<int> with_array() {
  const std::array<int, 3> values{1, 2, 3};
  const int total = co_await sum(values);
  co_return total;
}
task<int> with_span() {
  const int values[] = {1, 2, 3};
  const int total = co_await sum_of(values);
  co_return total;
}
// An array of trivial elements is an aggregate, but there is nothing to destroy twice.
task<int> with_temporary_array() {
  const int total = co_await sum(std::array<int, 3>{1, 2, 3});
  co_return total;
}

template <class F>
bool is_six(F make) {
  int got = 0;
  {
    auto t = make();
    if (!t.run()) return false;
    got = t.get();
  }
  return got == 6 && probe::all_clean();
}

}  // namespace

int main() {
  PROBE_CHECK(is_six(with_array));
  PROBE_CHECK(is_six(with_span));
  PROBE_CHECK(is_six(with_temporary_array));
  return probe::result();
}
