// SPDX-License-Identifier: MIT
#include <kioto/time/clock.hpp>

#include <chrono>
#include <thread>

#include <kioto/blocking.hpp>
#include <kioto/testing/paused.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

TEST_CASE("now is the time of the system where no clock was paused", "[clock]") {
  const auto before = steady::now();
  const auto here = now();
  CHECK(before <= here);
  CHECK(here <= steady::now());
  kioto_test::on_every_scheduler([]() -> task<> {
    const auto outside = steady::now();
    const auto inside = now();
    CHECK(outside <= inside);
    CHECK(inside <= steady::now());
    co_return;
  });
}

TEST_CASE("each runtime has a clock of its own", "[clock]") {
  const runtime stopped = testing::paused_runtime();
  runtime running = kioto_test::make_runtime(kioto_test::flavour::one_worker);
  steady::time_point first;
  {
    const auto guard = stopped.enter();
    first = now();
    std::this_thread::sleep_for(3ms);
    CHECK(now() == first);
    const auto inner = running.enter();
    CHECK(now() != first);
  }
  running.block_on([](steady::time_point since) -> task<> {
    while (now() - since < 3ms) co_await sleep(1ms);
  }(steady::now()));
  CHECK(now() >= first + 3ms - 1ms);
  const auto guard = stopped.enter();
  CHECK(now() == first);
}

TEST_CASE("blocking calls see the clock of their runtime", "[clock]") {
  testing::run_paused([]() -> task<> {
    co_await time::advance(1h);
    auto job = spawn_blocking([] { return now(); });
    auto seen = co_await std::move(job);
    CHECK(std::move(seen).value() == now());
  });
}
