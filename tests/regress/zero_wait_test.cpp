// SPDX-License-Identifier: MIT
// Waits for what has passed already took until the next tick: a millisecond and more.
#include <chrono>
#include <optional>

#include <kioto/kioto.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/streams.hpp"
#include "support/sync.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

task<> raise(bool* flag) {
  *flag = true;
  co_return;
}

// Whether awaiting `operation` let another task run.
template <class Operation>
task<bool> suspends(Operation make) {
  co_await yield_now();  // with a fresh budget
  bool other_ran = false;
  auto other = spawn(raise(&other_ran));
  co_await make();
  const bool suspended = other_ran;
  auto r = co_await std::move(other);
  CHECK(r.has_value());
  co_return suspended;
}

}  // namespace

TEST_CASE("a sleep of no length waited for the next tick") {
  in_order([]() -> task<> {
    // On a clock that runs, far from the end of a tick as a rule: each of them many times.
    for (int i = 0; i != 20; ++i) {
      bool suspended = co_await suspends([] { return sleep(0ms); });
      CHECK_FALSE(suspended);
      suspended = co_await suspends([] { return sleep(-1h); });
      CHECK_FALSE(suspended);
      suspended = co_await suspends([] { return sleep(std::chrono::duration<double>(-0.0)); });
      CHECK_FALSE(suspended);
      suspended = co_await suspends([] { return sleep_until(now()); });
      CHECK_FALSE(suspended);
      suspended = co_await suspends([] { return sleep_until(now() - 1us); });
      CHECK_FALSE(suspended);
      suspended = co_await suspends([] { return sleep_until(deadline::after(0s)); });
      CHECK_FALSE(suspended);
      suspended = co_await suspends([] { return sleep(1ns); });  // never early, though
      CHECK(suspended);
    }
  });
}

TEST_CASE("a sleep of no length is ready in every combinator") {
  in_order([]() -> task<> {
    auto hit = co_await select(biased, sleep(0ms), sleep_until(now()));
    CHECK(hit.index() == 0);
    const auto start = now();
    bool late = false;
    try {
      co_await timeout(start, sleep(1h));
    } catch (const timeout_error&) {
      late = true;
    }
    CHECK(late);
    late = false;
    try {
      co_await timeout(0s, sleep(1h));
    } catch (const timeout_error&) {
      late = true;
    }
    CHECK(late);
    co_await when_all(sleep(0ms), sleep_until(now()), sleep(-1s));
  });
}

TEST_CASE("a loop of sleeps of no length yields when its budget is used up") {
  in_order([]() -> task<> {
    bool other_ran = false;
    auto other = spawn(raise(&other_ran));
    int rounds = 0;
    for (; !other_ran && rounds != 1000; ++rounds) co_await sleep(0ms);
    CHECK(other_ran);
    CHECK(rounds > 1);
    CHECK(rounds <= 129);
    auto r = co_await std::move(other);
    CHECK(r.has_value());
  });
}

TEST_CASE("a loop of sleeps of no length can be stopped") {
  on_every_scheduler([]() -> task<> {
    auto busy = spawn([]() -> task<> {
      for (;;) co_await sleep(0ms);
    });
    co_await sleep(1ms);
    busy.abort();
    auto r = co_await std::move(busy);
    CHECK(r.is_cancelled());
  });
}

TEST_CASE("the first element of a throttled stream waited for the next tick") {
  in_order([]() -> task<> {
    for (int i = 0; i != 20; ++i) {
      auto slow = numbers(2) | streams::throttle(1h);
      std::optional<int> first;
      const bool suspended = co_await suspends([&]() -> task<> { first = co_await slow.next(); });
      CHECK_FALSE(suspended);
      CHECK(first == 0);
    }
  });
}

TEST_CASE("an entry of a delay queue without delay waited for the next tick") {
  in_order([]() -> task<> {
    delay_queue<int> queue;
    for (int i = 0; i != 20; ++i) {
      queue.insert(1, 0ms);
      CHECK(queue.try_next().has_value());
      queue.insert(1, -1s);
      CHECK(queue.try_next().has_value());
      queue.insert_at(1, now());
      CHECK(queue.try_next().has_value());
      const auto later = queue.insert(1, 1h);
      CHECK_FALSE(queue.try_next().has_value());
      CHECK(queue.reset(later, 0s));
      CHECK(queue.try_next().has_value());
      CHECK(queue.empty());
    }
    // Those that were due before it come first.
    queue.insert(1, 1ms);
    co_await sleep(5ms);
    queue.insert(2, 0ms);
    auto entry = co_await queue.next();
    REQUIRE(entry.has_value());
    CHECK(entry->value == 1);
    entry = co_await queue.next();
    REQUIRE(entry.has_value());
    CHECK(entry->value == 2);
  });
}
