// SPDX-License-Identifier: MIT
#include <kioto/timeout.hpp>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/signal.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

task<int> five() { co_return 5; }
task<result<int>> slow(probe p) {
  (void)p;
  co_await sleep(100s);
  co_return 1;
}
task<int> slow_value() {
  co_await sleep(100s);
  co_return 1;
}

template <class T>
task<bool> times_out(T limit) {
  try {
    const int value = co_await timeout(limit, slow_value());
    co_return value == 0;
  } catch (const timeout_error&) {
    co_return true;
  }
}

// With recursion at this depth the native stack would overflow.
constexpr int depth = 100000;

task<int> at_each_level(int levels, bool waits) {
  if (levels == 0) {
    if (waits) co_await yield_now();
    co_return 0;
  }
  const int below = co_await timeout(100s, at_each_level(levels - 1, waits));
  co_return below + 1;
}
task<int> throws_below(int levels) {
  if (levels == 0) throw std::runtime_error("bottom");
  const int below = co_await timeout(100s, throws_below(levels - 1));
  co_return below + 1;
}

}  // namespace

TEST_CASE("timeout: the value wins, also when the deadline was over before") {
  on_every_scheduler([]() -> task<> {
    const int value = co_await timeout(10s, five());
    CHECK(value == 5);
    const int late = co_await timeout(std::chrono::steady_clock::now() - 1s, five());
    CHECK(late == 5);
    const int zero = co_await timeout(0s, five());
    CHECK(zero == 5);
    const int long_time = co_await timeout(std::chrono::hours::max(), five());
    CHECK(long_time == 5);
  });
}

TEST_CASE("timeout: an error for results, an exception for others, by duration and by deadline") {
  on_every_scheduler([]() -> task<> {
    int destroyed = 0;
    const auto begin = std::chrono::steady_clock::now();
    const auto r = co_await timeout(5ms, slow(probe(destroyed)));
    CHECK(std::chrono::steady_clock::now() - begin >= 5ms);
    CHECK((!r && r.error() == errc::timed_out));
    CHECK(destroyed == 1);
    const bool by_duration = co_await times_out(2ms);
    CHECK(by_duration);
    const bool by_deadline = co_await times_out(std::chrono::steady_clock::now() + 2ms);
    CHECK(by_deadline);
  });
}

TEST_CASE("timeout: nested, the inner one and the outer one") {
  on_every_scheduler([]() -> task<> {
    const auto nested = [](std::chrono::milliseconds inner) -> task<result<int>> {
      int destroyed = 0;
      const auto r = co_await timeout(inner, slow(probe(destroyed)));
      if (!r) co_return errc::connection_aborted;
      co_return r;
    };
    const auto inner_first = co_await timeout(10s, nested(2ms));
    CHECK((!inner_first && inner_first.error() == errc::connection_aborted));
    const auto outer_first = co_await timeout(2ms, nested(100s));
    CHECK((!outer_first && outer_first.error() == errc::timed_out));
  });
}

TEST_CASE("timeout: exceptions of the operation pass, and a stop goes through") {
  on_every_scheduler([]() -> task<> {
    const auto throws = []() -> task<int> {
      co_await yield_now();
      throw std::runtime_error("on purpose");
    };
    std::string said;
    try {
      const int value = co_await timeout(10s, throws());
      CHECK(value == 0);
    } catch (const std::runtime_error& e) {
      said = e.what();
    }
    CHECK(said == "on purpose");
    int destroyed = 0;
    const auto waits = [](int* count) -> task<> {
      const auto r = co_await timeout(100s, slow(probe(*count)));
      CHECK(r.has_value());
    };
    auto h = spawn(waits, &destroyed);
    co_await sleep(2ms);
    h.abort();
    auto r = co_await std::move(h);
    CHECK(r.is_cancelled());
    CHECK(destroyed <= 1);
  });
}

TEST_CASE("timeout: a leaf operation that outside completes while the time is over") {
  on_every_scheduler([]() -> task<> {
    for (int i = 0; i != 50; ++i) {
      signal s;
      const auto sets = [](signal* one) -> task<> {
        co_await sleep(1ms);
        one->set();
      };
      auto other = spawn(sets, &s);
      bool came = true;
      try {
        co_await timeout(1ms, s.wait());
      } catch (const timeout_error&) {
        came = false;
      }
      if (came) CHECK(s.is_set());
      auto ended = co_await std::move(other);
      CHECK(ended.has_value());
    }
  });
}

TEST_CASE("timeout: as deep as memory reaches") {
  on_every_scheduler([]() -> task<> {
    CHECK(co_await at_each_level(depth, false) == depth);
    // With a timer at each level.
    CHECK(co_await at_each_level(depth / 100, true) == depth / 100);
    bool thrown = false;
    try {
      co_await throws_below(1000);
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    CHECK(thrown);
  });
}

TEST_CASE("timeout: a task that ended in it is destroyed when the statement is over") {
  on_every_scheduler([]() -> task<> {
    const auto work = [](std::shared_ptr<int> held, bool waits) -> task<int> {
      if (waits) co_await yield_now();
      co_return *held;
    };
    const auto seven = std::make_shared<int>(7);
    for (const bool waits : {false, true, false}) {
      CHECK(co_await timeout(100s, work(seven, waits)) == 7);
      CHECK(seven.use_count() == 1);
    }
  });
}
