// SPDX-License-Identifier: MIT
#include <kioto/or_return.hpp>
#include <kioto/or_throw.hpp>

#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

task<result<int>> ready(result<int> r) { co_return r; }
task<result<int>> later(result<int> r) {
  co_await sleep(1ms);
  co_return r;
}
task<result<void>> nothing(std::error_code e) {
  co_await yield_now();
  if (e) co_return e;
  co_return result<void>();
}
task<result<std::unique_ptr<int>>> owner() { co_return std::make_unique<int>(5); }

task<result<int>> sum(bool fails, int* reached, probe p) {
  (void)p;
  const int a = co_await or_return(ready(1));
  ++*reached;
  const result<int> second = fails ? result<int>(errc::broken_pipe) : result<int>(2);
  const int b = co_await or_return(later(second));
  ++*reached;
  co_await or_return(nothing({}));
  const auto c = co_await or_return(owner());
  co_return a + b + *c;
}

}  // namespace

TEST_CASE("or_return gives the value, or returns the error from here") {
  on_every_scheduler([]() -> task<> {
    int reached = 0;
    int destroyed = 0;
    const auto good = co_await sum(false, &reached, probe(destroyed));
    CHECK(good.value() == 8);
    CHECK(reached == 2);
    CHECK(destroyed == 1);
    reached = 0;
    const auto bad = co_await sum(true, &reached, probe(destroyed));
    CHECK((!bad && bad.error() == errc::broken_pipe));
    CHECK(reached == 1);
    CHECK(destroyed == 2);
  });
}

TEST_CASE("or_return ends a spawned task, a chain of awaits, and a branch of a timeout") {
  on_every_scheduler([]() -> task<> {
    const auto fails = []() -> task<result<int>> {
      const int value = co_await or_return(ready(errc::timed_out));
      co_return value;
    };
    auto h = spawn(fails);
    auto joined = co_await std::move(h);
    const auto from_task = std::move(joined).value();
    CHECK((!from_task && from_task.error() == errc::timed_out));
    const auto chain = [](auto inner) -> task<result<int>> {
      const int value = co_await or_return(inner());
      co_return value;
    };
    const auto from_chain = co_await chain(fails);
    CHECK((!from_chain && from_chain.error() == errc::timed_out));
    const auto from_branch = co_await timeout(10s, chain(fails));
    CHECK((!from_branch && from_branch.error() == errc::timed_out));
  });
}

TEST_CASE("or_return and or_throw pass exceptions and stops") {
  on_every_scheduler([]() -> task<> {
    const auto throws = []() -> task<result<int>> { throw std::runtime_error("on purpose"); };
    const auto waits = []() -> task<result<int>> {
      co_await sleep(100s);
      co_return 1;
    };
    const auto returns = [](auto inner) -> task<result<int>> {
      const int value = co_await or_return(inner());
      co_return value;
    };
    std::string said;
    try {
      const auto r = co_await returns(throws);
      CHECK(r.has_value());
    } catch (const std::runtime_error& e) {
      said = e.what();
    }
    CHECK(said == "on purpose");
    auto h = spawn(returns, waits);
    co_await sleep(1ms);
    h.abort();
    auto r = co_await std::move(h);
    CHECK(r.is_cancelled());
  });
}

TEST_CASE("or_throw gives the value, or throws std::system_error with the code") {
  on_every_scheduler([]() -> task<> {
    const int good = co_await or_throw(later(3));
    CHECK(good == 3);
    co_await or_throw(nothing({}));
    std::error_code seen;
    try {
      const int bad = co_await or_throw(later(errc::address_in_use));
      CHECK(bad == 0);
    } catch (const std::system_error& e) {
      seen = e.code();
    }
    CHECK(seen == errc::address_in_use);
  });
}
