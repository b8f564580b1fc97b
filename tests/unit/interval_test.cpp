// SPDX-License-Identifier: MIT
#include <kioto/time/interval.hpp>

#include <chrono>
#include <stdexcept>
#include <vector>

#include <kioto/kioto.hpp>
#include <kioto/testing/paused.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

TEST_CASE("the first tick is due at once, the others a period apart", "[interval]") {
  testing::run_paused([]() -> task<> {
    const auto start = now();
    interval every(300ms);
    CHECK(every.period() == 300ms);
    CHECK(every.missed() == missed_tick::burst);
    for (int i = 0; i != 5; ++i) {
      CHECK(every.next() == start + i * 300ms);
      const auto at = co_await every.tick();
      CHECK(at == start + i * 300ms);
      CHECK(now() == at);
    }
  });
}

TEST_CASE("an interval starts when it is told to, also in the past", "[interval]") {
  testing::run_paused([]() -> task<> {
    const auto start = now();
    interval later = interval_at(start + 1s, 10ms);
    auto at = co_await later.tick();
    CHECK(at == start + 1s);
    CHECK(now() == start + 1s);
    interval before = interval_at(start + 980ms, 10ms);
    for (const auto due : {980ms, 990ms, 1000ms, 1010ms}) {
      at = co_await before.tick();
      CHECK(at == start + due);
    }
    CHECK(now() == start + 1010ms);
  });
}

TEST_CASE("ticks are never early", "[interval]") {
  kioto_test::on_every_scheduler([]() -> task<> {
    const auto start = now();
    interval every = interval_at(start + 700us, 1300us);
    for (int i = 0; i != 10; ++i) {
      const auto at = co_await every.tick();
      CHECK(at == start + 700us + i * 1300us);
      CHECK(now() >= at);
    }
  });
}

TEST_CASE("a small delay does not count as a missed tick", "[interval]") {
  for (const missed_tick m : {missed_tick::burst, missed_tick::delay, missed_tick::skip}) {
    runtime rt = testing::paused_runtime(auto_advance::off);
    rt.block_on([](missed_tick how) -> task<> {
      const auto start = now();
      interval every(100ms, how);
      auto at = co_await every.tick();
      co_await time::advance(105ms);
      at = co_await every.tick();
      CHECK(at == start + 100ms);
      CHECK(every.next() == start + 200ms);
      co_await time::advance(101ms);  // 206
      at = co_await every.tick();
      CHECK(at == start + 200ms);
      CHECK(every.next() == start + (how == missed_tick::delay ? 306ms : 300ms));
    }(m));
  }
}

TEST_CASE("an interval can be reset", "[interval]") {
  testing::run_paused([]() -> task<> {
    interval every(1s);
    auto at = co_await every.tick();
    const auto start = now();
    co_await sleep(300ms);
    every.reset();
    at = co_await every.tick();
    CHECK(at == start + 1300ms);
    every.reset_immediately();
    at = co_await every.tick();
    CHECK(at == start + 1300ms);
    every.reset_after(20ms);
    at = co_await every.tick();
    CHECK(at == start + 1320ms);
    every.reset_at(start + 5s);
    at = co_await every.tick();
    CHECK(at == start + 5s);
    at = co_await every.tick();
    CHECK(at == start + 6s);
    every.reset_after(std::chrono::hours::max());
    CHECK(every.next() == steady::time_point::max());
  });
}

TEST_CASE("a cancelled tick is not consumed", "[interval]") {
  testing::run_paused([]() -> task<> {
    interval every(1s);
    auto at = co_await every.tick();
    const auto start = now();
    for (int i = 0; i != 3; ++i) {
      bool in_time = true;
      try {
        at = co_await timeout(200ms, every.tick());
      } catch (const timeout_error&) {
        in_time = false;
      }
      CHECK_FALSE(in_time);
    }
    at = co_await every.tick();
    CHECK(at == start + 1s);
  });
}

TEST_CASE("huge periods do not overflow", "[interval]") {
  testing::run_paused([]() -> task<> {
    for (const missed_tick how : {missed_tick::burst, missed_tick::delay, missed_tick::skip}) {
      interval every(std::chrono::hours::max(), how);
      auto at = co_await every.tick();
      CHECK(at == now());
      CHECK(every.next() == steady::time_point::max());
      interval late = interval_at(now() - 1h, std::chrono::hours::max(), how);
      at = co_await late.tick();
      // In 292 years, or at the end of the range, depending on the time since boot.
      CHECK(late.next() >= steady::time_point::max() - 1h);
    }
  });
}

TEST_CASE("a period that is not positive is refused", "[interval]") {
  CHECK_THROWS_WITH(interval(0s), kioto_test::contains("greater than zero"));
  CHECK_THROWS_AS(interval(-1ms), std::invalid_argument);
  CHECK_THROWS_AS(interval_at(now(), 0ns), std::invalid_argument);
}
