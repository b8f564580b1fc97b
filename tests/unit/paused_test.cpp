// SPDX-License-Identifier: MIT
#include <kioto/testing/paused.hpp>

#include <chrono>
#include <stdexcept>
#include <string>

#include <kioto/kioto.hpp>

#include "support/catch.hpp"

using namespace kioto;
using namespace std::chrono_literals;

TEST_CASE("run_paused returns what the task returns", "[paused]") {
  const auto answer = testing::run_paused(
      [](std::string name) -> task<std::string> {
        co_await sleep(24h);
        co_return "hello " + name;
      },
      "world");
  CHECK(answer == "hello world");
  CHECK(testing::run_paused([]() -> task<int> { co_return 3; }()) == 3);
  CHECK_THROWS_AS(testing::run_paused([]() -> task<> {
                    co_await yield_now();
                    throw std::out_of_range("x");
                  }),
                  std::out_of_range);
}

TEST_CASE("a paused runtime advances by itself only if it may", "[paused]") {
  runtime by_itself = testing::paused_runtime();
  by_itself.block_on([]() -> task<> {
    const auto start = now();
    co_await sleep(1h);
    CHECK(now() - start == 1h);
  });
  runtime by_hand = testing::paused_runtime(auto_advance::off);
  by_hand.block_on([]() -> task<> {
    auto h = spawn([]() -> task<> { co_await sleep(1h); });
    for (int i = 0; i != 100; ++i) co_await yield_now();
    CHECK_FALSE(h.is_finished());
    co_await time::advance(1h);
    CHECK(h.is_finished());
  });
}
