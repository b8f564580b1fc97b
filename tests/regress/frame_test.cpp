// SPDX-License-Identifier: MIT
#include <utility>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;

namespace {

task<int> hold(probe p) {
  (void)p;
  co_return 1;
}

}  // namespace

// clang saw the whole life of the frame, put it into that of the caller, and with it dropped the
// header in front of it, which says how it is freed.
TEST_CASE("a task that is destroyed where it was made had its frame in that of its maker") {
  on_every_scheduler([]() -> task<> {
    int destroyed = 0;
    {
      auto unused = hold(probe(destroyed));
      auto moved = std::move(unused);
      (void)moved;
    }
    CHECK(destroyed == 1);
    {
      const auto unused = hold(probe(destroyed));
    }
    CHECK(destroyed == 2);
    co_return;
  });
}
