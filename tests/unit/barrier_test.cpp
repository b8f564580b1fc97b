// SPDX-License-Identifier: MIT
#include <kioto/sync/barrier.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/sync.hpp"

using namespace kioto;
using namespace kioto_test;
using sync::barrier;

namespace {

struct tally {
  int passed = 0;
  int leaders = 0;
};
task<> pass(barrier& b, tally& t) {
  const auto result = co_await b.wait();
  ++t.passed;
  if (result.is_leader()) ++t.leaders;
}

}  // namespace

TEST_CASE("a barrier lets groups go, each with one leader, again and again") {
  in_order([]() -> task<> {
    barrier b(3);
    for (int generation = 0; generation != 3; ++generation) {
      tally t;
      std::vector<join_handle<>> tasks;
      for (int i = 0; i != 2; ++i) tasks.push_back(spawn(pass(b, t)));
      co_await settle();
      CHECK(t.passed == 0);
      const auto mine = co_await b.wait();
      CHECK(mine.is_leader());
      co_await settle();
      CHECK(t.passed == 2);
      CHECK(t.leaders == 0);
    }
  });
}

TEST_CASE("a barrier of one or none does not wait") {
  on_every_scheduler([]() -> task<> {
    barrier none(0);
    barrier one(1);
    for (int i = 0; i != 3; ++i) {
      const auto a = co_await none.wait();
      const auto b = co_await one.wait();
      CHECK(a.is_leader());
      CHECK(b.is_leader());
    }
  });
  CHECK_THROWS_AS(barrier(std::size_t{1} << 31), std::invalid_argument);
}

TEST_CASE("a cancelled waiter leaves the barrier as it was") {
  in_order([]() -> task<> {
    barrier b(3);
    tally t;
    auto a = spawn(pass(b, t));
    auto c = spawn(pass(b, t));
    co_await settle();
    a.abort();
    co_await settle();
    auto d = spawn(pass(b, t));
    co_await settle();
    CHECK(t.passed == 0);
    auto e = spawn(pass(b, t));
    co_await settle();
    CHECK(t.passed == 3);
    CHECK(t.leaders == 1);
    auto end = co_await std::move(a);
    CHECK(end.is_cancelled());
  });
}

TEST_CASE("a task that is cancelled after its group is complete goes on") {
  in_order([]() -> task<> {
    barrier b(2);
    tally t;
    auto a = spawn(pass(b, t));
    co_await settle();
    const auto mine = co_await b.wait();
    CHECK(mine.is_leader());
    a.abort();
    co_await settle();
    CHECK(t.passed == 1);
  });
}

TEST_CASE("tasks in phases never meet one of another phase") {
  on_every_scheduler([]() -> task<> {
    constexpr int width = 4;
    constexpr int phases = 50;
    barrier b(width);
    std::atomic<int> in_phase{0};
    std::atomic<int> wrong{0};
    std::atomic<int> leaders{0};
    auto work = [&]() -> task<> {
      for (int phase = 0; phase != phases; ++phase) {
        in_phase.fetch_add(1);
        const auto one = co_await b.wait();
        if (in_phase.load() != width * (phase + 1)) ++wrong;
        if (one.is_leader()) ++leaders;
        co_await b.wait();
      }
    };
    std::vector<join_handle<>> tasks;
    for (int i = 0; i != width; ++i) tasks.push_back(spawn(work()));
    for (auto& t : tasks) {
      auto end = co_await std::move(t);
      CHECK(end.has_value());
    }
    CHECK(wrong == 0);
    CHECK(leaders == phases);
  });
}

TEST_CASE("threads wait at a barrier, and tasks must not block at it") {
  auto b = std::make_shared<barrier>(3);
  std::atomic<int> leaders{0};
  std::vector<std::thread> threads;
  for (int i = 0; i != 3; ++i)
    threads.emplace_back([b, &leaders] {
      if (b->blocking_wait().is_leader()) ++leaders;
    });
  for (auto& t : threads) t.join();
  CHECK(leaders == 1);
  in_order([b]() -> task<> {
    CHECK_THROWS_AS(b->blocking_wait(), std::logic_error);
    co_return;
  });
}
