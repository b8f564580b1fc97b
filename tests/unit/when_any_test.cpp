// SPDX-License-Identifier: MIT
#include <kioto/when_any.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "support/catch.hpp"
#include "support/gate.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

task<int> give(int value) {
  co_await yield_now();
  co_return value;
}
task<int> wait_with(probe p, gate& g) {
  co_await g.passed();
  (void)p;
  co_return 1;
}
task<std::unique_ptr<int>> boxed(int value) { co_return std::make_unique<int>(value); }
task<> throws() {
  co_await yield_now();
  throw std::runtime_error("thrown");
}
task<probe> gives_probe(int& destroyed) {
  co_await shield(sleep(1ms));
  co_return probe(destroyed);
}
task<> start_counted(int& started) {
  ++started;
  co_return;
}

}  // namespace

TEST_CASE("when_any: the value of the first branch, after the others have ended") {
  on_every_scheduler([]() -> task<> {
    gate never;
    int destroyed = 0;
    auto first = co_await when_any(wait_with(probe(destroyed), never), boxed(3), sleep(100s));
    static_assert(
        std::is_same_v<decltype(first), std::variant<int, std::unique_ptr<int>, std::monostate>>);
    CHECK(first.index() == 1);
    CHECK(*std::get<1>(first) == 3);
    CHECK(destroyed == 1);
  });
}

TEST_CASE("when_any: one that completes at once keeps the later ones from starting") {
  on_every_scheduler([]() -> task<> {
    int started = 0;
    auto first = co_await when_any(consume_budget(), start_counted(started));
    CHECK(first.index() == 0);
    CHECK(started == 0);
  });
}

TEST_CASE("when_any: the value of a later branch is destroyed") {
  on_every_scheduler([]() -> task<> {
    int destroyed = 0;
    auto first = co_await when_any(gives_probe(destroyed), give(1));
    CHECK(first.index() == 1);
    CHECK(destroyed == 1);
  });
}

TEST_CASE("when_any: the exception of the first passes, that of others goes to the hook") {
  std::atomic<int> reported{0};
  auto builder = builder_for(flavour::one_worker);
  builder.on_unhandled_exception([&](const unhandled_exception_info&) { ++reported; });
  runtime rt = std::move(builder.build()).value();
  rt.block_on([]() -> task<> {
    gate never;
    int destroyed = 0;
    std::string message;
    try {
      auto first =
          co_await when_any(wait_with(probe(destroyed), never), throws(), shield(throws()));
      CHECK(first.index() == 9);
    } catch (const std::runtime_error& e) {
      message = e.what();
    }
    CHECK(message == "thrown");
    CHECK(destroyed == 1);
  });
  CHECK(reported == 1);
}

TEST_CASE("when_any: a stop travels on when all have ended") {
  on_every_scheduler([]() -> task<> {
    gate never;
    int destroyed = 0;
    auto h = spawn(
        [](gate* g, int* d) -> task<> {
          auto first = co_await when_any(g->passed(), wait_with(probe(*d), *g));
          (void)first;
          CHECK(false);
        },
        &never, &destroyed);
    while (never.waited() != 2) co_await yield_now();
    h.abort();
    auto ended = co_await std::move(h);
    CHECK(ended.is_cancelled());
    CHECK(destroyed == 1);
  });
}

TEST_CASE("when_any: a range") {
  on_every_scheduler([]() -> task<> {
    gate never;
    int destroyed = 0;
    std::vector<task<int>> tasks;
    for (int i = 0; i != 20; ++i) tasks.push_back(wait_with(probe(destroyed), never));
    tasks.push_back(give(7));
    const auto first = co_await when_any(std::move(tasks));
    CHECK(first.index() == 20);
    CHECK(*first == 7);
    CHECK(destroyed == 20);

    std::string message;
    try {
      auto none = co_await when_any(std::vector<task<int>>());
      CHECK(*none == 0);
    } catch (const std::logic_error& e) {
      message = e.what();
    }
    CHECK_THAT(message, contains("empty range"));
  });
}
