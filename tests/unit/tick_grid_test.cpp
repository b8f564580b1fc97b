// SPDX-License-Identifier: MIT
#include <kioto/detail/time/tick_grid.hpp>

#include <chrono>
#include <cstdint>
#include <limits>

#include "support/catch.hpp"

using namespace std::chrono_literals;
using kioto::detail::tick_grid;
using steady = std::chrono::steady_clock;

TEST_CASE("a tick begins at a whole millisecond since the start", "[tick_grid]") {
  const steady::time_point start{1234567ns};
  const tick_grid grid(start);
  CHECK(grid.tick_at_or_after(start - 1s) == 0);
  CHECK(grid.tick_at_or_after(start) == 0);
  CHECK(grid.tick_at_or_after(start + 1ns) == 1);
  CHECK(grid.tick_at_or_after(start + 1ms) == 1);
  CHECK(grid.tick_at_or_before(start - 1s) == 0);
  CHECK(grid.tick_at_or_before(start + 2ms - 1ns) == 1);
  CHECK(grid.tick_at_or_before(start + 2ms) == 2);
  CHECK(grid.time_of(2) == start + 2ms);
}

TEST_CASE("the ticks of the runtimes are the whole milliseconds of the clock", "[tick_grid]") {
  const tick_grid grid = tick_grid::since_beginning();
  CHECK(grid.tick_at_or_after(steady::time_point(12345678ns)) == 13);
  CHECK(grid.time_of(13) == steady::time_point(13ms));
}

TEST_CASE("what a tick grid cannot count does not come", "[tick_grid]") {
  const tick_grid grid(steady::time_point(5s));
  CHECK(grid.time_of(std::numeric_limits<std::uint64_t>::max()) == steady::time_point::max());
  const std::uint64_t last = grid.tick_at_or_after(steady::time_point::max());
  CHECK(grid.time_of(last) == steady::time_point::max());
  CHECK(grid.time_of(last - 1) < steady::time_point::max());
}
