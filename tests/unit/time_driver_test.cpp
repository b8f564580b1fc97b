// SPDX-License-Identifier: MIT
#include "driver/time_driver.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using kioto::detail::timer_insert;
using kioto::detail::timer_node;
using steady = std::chrono::steady_clock;

template <class Timer>
using driver_of = kioto::detail::basic_time_driver<kioto::detail::std_sync, Timer>;

// A timer that calls what it is given.
struct timer : timer_node {
  void fire() noexcept {
    ++fired;
    if (then) then();
  }
  int fired = 0;
  std::function<void()> then;
};
using time_driver = driver_of<timer>;

}  // namespace

TEST_CASE("deadlines round up and the clock rounds down", "[time_driver]") {
  const steady::time_point start{1'000'000'000ns};
  const time_driver driver(start);
  CHECK(driver.tick_at_or_after(start) == 0);
  CHECK(driver.tick_at_or_after(start - 1s) == 0);
  CHECK(driver.tick_at_or_after(start + 1ns) == 1);
  CHECK(driver.tick_at_or_after(start + 1ms) == 1);
  CHECK(driver.tick_at_or_after(start + 1ms + 1ns) == 2);
  CHECK(driver.tick_at_or_before(start - 1ns) == 0);
  CHECK(driver.tick_at_or_before(start + 1ms - 1ns) == 0);
  CHECK(driver.tick_at_or_before(start + 1ms) == 1);
  CHECK(driver.time_of(0) == start);
  CHECK(driver.time_of(5) == start + 5ms);
}

TEST_CASE("points in time out of range saturate", "[time_driver]") {
  for (const steady::time_point start :
       {steady::time_point{}, steady::now(), steady::time_point::min(), steady::time_point{-5s}}) {
    time_driver driver(start);
    const std::uint64_t last = driver.tick_at_or_after(steady::time_point::max());
    CHECK(last >= 9'000'000'000'000);
    CHECK(last < time_driver::never);
    CHECK(driver.time_of(last) == steady::time_point::max());
    CHECK(driver.time_of(time_driver::never) == steady::time_point::max());
    timer forever, years;
    CHECK(driver.insert(forever, steady::time_point::max()) == timer_insert::inserted_earliest);
    CHECK(driver.insert(years, start + std::chrono::hours(24 * 365 * 5)) ==
          timer_insert::inserted_earliest);
    CHECK(driver.process(start + std::chrono::hours(24 * 365 * 5) - 1ms) == 0);
    CHECK(driver.process(start + std::chrono::hours(24 * 365 * 5)) == 1);
    CHECK(years.fired == 1);
    CHECK(driver.cancel(forever));
  }
}

TEST_CASE("insert says whether the driver has to wake earlier", "[time_driver]") {
  time_driver driver(steady::time_point{});
  timer a, b, c, d, e;
  CHECK(driver.next_tick() == time_driver::never);
  CHECK_FALSE(driver.next_deadline().has_value());
  CHECK(driver.insert(a, 100) == timer_insert::inserted_earliest);
  CHECK(driver.next_tick() == 100);
  CHECK(driver.insert(b, 100) == timer_insert::inserted);
  CHECK(driver.insert(c, 101) == timer_insert::inserted);
  CHECK(driver.insert(d, 99) == timer_insert::inserted_earliest);
  CHECK(driver.next_deadline() == driver.time_of(99));
  CHECK(driver.process(98) == 0);
  CHECK(driver.process(99) == 1);
  CHECK(driver.next_tick() == 100);
  CHECK(driver.insert(e, 99) == timer_insert::elapsed);
  CHECK_FALSE(e.cancelled_by_shutdown());
  CHECK_FALSE(e.is_linked());
  CHECK_FALSE(driver.cancel(e));
  CHECK(driver.process(1000) == 3);
  CHECK(driver.next_tick() == time_driver::never);
  CHECK(e.fired == 0);
}

TEST_CASE("set and cancelled timeouts do not each wake the driver", "[time_driver]") {
  time_driver driver(steady::time_point{});
  timer t;
  CHECK(driver.insert(t, 100) == timer_insert::inserted_earliest);
  for (std::uint64_t i = 0; i != 10; ++i) {
    CHECK(driver.cancel(t));
    CHECK_FALSE(driver.cancel(t));
    CHECK(driver.insert(t, 101 + i) == timer_insert::inserted);
  }
  CHECK(driver.process(100) == 0);
  CHECK(driver.next_tick() == 110);
  CHECK(driver.process(110) == 1);
  CHECK(t.fired == 1);
}

TEST_CASE("the exact first deadline forgets timers that were cancelled", "[time_driver]") {
  time_driver driver(steady::time_point{});
  timer a, b, forever;
  CHECK_FALSE(driver.earliest_deadline().has_value());
  driver.insert(forever, steady::time_point::max());
  CHECK_FALSE(driver.earliest_deadline().has_value());
  driver.insert(a, 100);
  driver.insert(b, 5000);
  CHECK(driver.earliest_deadline() == driver.time_of(100));
  CHECK(driver.cancel(a));
  CHECK(driver.next_tick() == 100);
  CHECK(driver.earliest_deadline() == driver.time_of(5000));
  CHECK(driver.cancel(b));
  CHECK(driver.cancel(forever));
}

TEST_CASE("a callback may insert its timer again", "[time_driver]") {
  time_driver driver(steady::time_point{});
  timer t;
  std::uint64_t tick = 10;
  t.then = [&] {
    if (t.fired < 5) driver.insert(t, tick += 10);
  };
  driver.insert(t, tick);
  for (std::uint64_t now = 0; now != 100; ++now) driver.process(now);
  CHECK(t.fired == 5);
  CHECK(tick == 50);
}

TEST_CASE("a callback cancels timers that are due as well", "[time_driver]") {
  time_driver driver(steady::time_point{});
  // The first 32 form a batch: they are about to fire when the first one does.
  std::deque<timer> timers(100);
  std::vector<bool> cancelled;
  for (timer& t : timers) driver.insert(t, 10);
  timers[0].then = [&] {
    for (timer& t : timers) cancelled.push_back(driver.cancel(t));
  };
  CHECK(driver.process(10) == time_driver::batch_size);
  REQUIRE(cancelled.size() == timers.size());
  for (std::size_t i = 0; i != timers.size(); ++i) {
    CHECK(cancelled[i] == (i >= time_driver::batch_size));
    CHECK(timers[i].fired == (cancelled[i] ? 0 : 1));
  }
  CHECK(driver.next_tick() == time_driver::never);
}

TEST_CASE("a callback may destroy its timer", "[time_driver]") {
  struct doomed : timer_node {
    explicit doomed(int& n) : count(n) {}
    void fire() noexcept {
      ++count;
      delete this;
    }
    int& count;
  };
  driver_of<doomed> driver(steady::time_point{});
  int count = 0;
  for (std::uint64_t i = 0; i != 200; ++i) driver.insert(*new doomed(count), 1 + i % 7);
  driver.process(3);
  driver.shutdown();
  CHECK(count == 200);
}

TEST_CASE("shutdown fires what is left and refuses the rest", "[time_driver]") {
  time_driver driver(steady::time_point{});
  std::deque<timer> timers(100);
  for (std::size_t i = 0; i != timers.size(); ++i) driver.insert(timers[i], 1 + 1000 * i * i);
  CHECK(driver.process(1) == 1);
  driver.shutdown();
  for (std::size_t i = 0; i != timers.size(); ++i) {
    CHECK(timers[i].fired == 1);
    CHECK(timers[i].cancelled_by_shutdown() == (i != 0));
  }
  timer late;
  CHECK(driver.insert(late, 1000000) == timer_insert::elapsed);
  CHECK(late.cancelled_by_shutdown());
  CHECK_FALSE(driver.cancel(late));
  CHECK(driver.process() == 0);
  driver.shutdown();
  CHECK(late.fired == 0);
}

TEST_CASE("no timer fires before its deadline", "[time_driver]") {
  time_driver driver(steady::time_point{});
  struct stamped : timer {
    steady::time_point deadline;
    steady::duration early{-1h};
  };
  std::deque<stamped> timers(200);
  std::mt19937 random(3);
  for (stamped& t : timers) {
    t.deadline = steady::now() + std::chrono::microseconds(random() % 30000);
    t.then = [&t] { t.early = t.deadline - steady::now(); };
    if (driver.insert(t, t.deadline) == timer_insert::elapsed) t.fire();
  }
  while (driver.next_tick() != time_driver::never) {
    std::this_thread::sleep_until(*driver.next_deadline());
    driver.process();
  }
  for (const stamped& t : timers) {
    CHECK(t.fired == 1);
    CHECK(t.early <= 0ns);
  }
}

TEST_CASE("a hundred thousand timers are inserted and cancelled", "[time_driver]") {
  time_driver driver(steady::time_point{});
  std::deque<timer> timers(100000);
  std::mt19937_64 random(1);
  for (timer& t : timers)
    REQUIRE(driver.insert(t, 1 + random() % 3600000) != timer_insert::elapsed);
  for (timer& t : timers) REQUIRE(driver.cancel(t));
  CHECK(driver.process(3600001) == 0);
  CHECK(driver.next_tick() == time_driver::never);
}

TEST_CASE("each timer fires or is cancelled, never both", "[time_driver]") {
  struct raced : timer_node {
    void fire() noexcept { outcomes.fetch_add(1, std::memory_order_release); }
    std::atomic<int> outcomes{0};
  };
  driver_of<raced> driver(steady::time_point{});
  constexpr int count = 2000;
  constexpr int threads = 3;
  std::atomic<std::uint64_t> now{0};
  std::atomic<int> running{threads};
  std::vector<std::unique_ptr<std::deque<raced>>> timers;
  std::vector<std::thread> users;
  std::atomic<int> cancelled{0};
  for (int i = 0; i != threads; ++i) {
    timers.push_back(std::make_unique<std::deque<raced>>(count));
    users.emplace_back([&, &mine = *timers.back()] {
      std::mt19937_64 random(7);
      for (raced& t : mine) {
        const std::uint64_t at = now.load(std::memory_order_relaxed) + 1 + random() % 100;
        if (driver.insert(t, at) == timer_insert::elapsed) t.outcomes.fetch_add(1);
        raced& other = mine[random() % mine.size()];
        if (driver.cancel(other)) {
          other.outcomes.fetch_add(1);
          cancelled.fetch_add(1);
        }
      }
      running.fetch_sub(1);
    });
  }
  std::thread second([&] {
    while (running.load() != 0) driver.process(now.load());
  });
  while (running.load() != 0) driver.process(now.fetch_add(1) + 1);
  for (std::thread& t : users) t.join();
  second.join();
  driver.process(now.load() + 1000);
  for (auto& mine : timers)
    for (raced& t : *mine) REQUIRE(t.outcomes.load(std::memory_order_acquire) == 1);
  CHECK(cancelled.load() > 0);
}
