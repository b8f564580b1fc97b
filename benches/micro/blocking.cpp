// SPDX-License-Identifier: MIT
// Calls that block.
#include "bench.hpp"

using namespace kioto;

namespace {

task<bool> spawn_blocking_10k() {
  int sum = 0;
  for (int i = 0; i != 10000; ++i) {
    auto r = co_await spawn_blocking([] { return 1; });
    sum += std::move(r).value();
  }
  co_return sum == 10000;
}

task<bool> block_in_place_10k() {
  int sum = 0;
  for (int i = 0; i != 10000; ++i) sum += block_in_place([] { return 1; });
  co_return sum == 10000;
}

const bench::group blocking{
    {"spawn_blocking", 10000, bench::spawned(spawn_blocking_10k)},
    {"block_in_place", 10000, bench::spawned(block_in_place_10k), bench::mt},
};

}  // namespace
