// SPDX-License-Identifier: MIT
#include <kioto/when_all.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "support/catch.hpp"
#include "support/gate.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

task<int> give(int value) { co_return value; }
task<int> give_late(int value) {
  co_await sleep(2ms);
  co_return value;
}
task<> append(std::string& to, char what, int times) {
  for (int i = 0; i != times; ++i) {
    to.push_back(what);
    co_await yield_now();
  }
}
task<std::unique_ptr<int>> boxed(int value) { co_return std::make_unique<int>(value); }
task<int&> reference_to(int& value) { co_return value; }
task<> fail_after(int yields, const char* what) {
  for (int i = 0; i != yields; ++i) co_await yield_now();
  throw std::runtime_error(what);
}
task<> count_up(int& n) {
  for (int i = 0; i != 20; ++i) co_await yield_now();
  ++n;
}
task<result<int>> fails() {
  co_await yield_now();
  co_return std::make_error_code(std::errc::io_error);
}
task<> wait_with(probe p, gate& g) {
  co_await g.passed();
  (void)p;
}

}  // namespace

TEST_CASE("when_all: the values come in the order of the branches, whichever completed first") {
  on_every_scheduler([]() -> task<> {
    auto all = co_await when_all(give_late(1), give(2), sleep(1ms), yield_now());
    static_assert(
        std::is_same_v<decltype(all), std::tuple<int, int, std::monostate, std::monostate>>);
    CHECK(std::get<0>(all) == 1);
    CHECK(std::get<1>(all) == 2);
  });
}

TEST_CASE("when_all: the branches take turns on one strand, in the order given") {
  on_every_scheduler([]() -> task<> {
    std::string text;  // shared without a lock
    co_await when_all(append(text, 'a', 3), append(text, 'b', 3), append(text, 'c', 1));
    CHECK(text == "abcabab");
  });
}

TEST_CASE("when_all: references, and values that only move") {
  on_every_scheduler([]() -> task<> {
    int x = 1;
    auto all = co_await when_all(reference_to(x), boxed(4));
    std::get<0>(all).get() = 7;
    CHECK(x == 7);
    CHECK(*std::get<1>(all) == 4);
  });
}

TEST_CASE("when_all: a failed result is a value, and stops nobody") {
  on_every_scheduler([]() -> task<> {
    int counted = 0;
    auto all = co_await when_all(fails(), count_up(counted));
    CHECK(std::get<0>(all).error() == std::errc::io_error);
    CHECK(counted == 1);
  });
}

TEST_CASE("when_all: the first exception passes after all have ended, the next go to the hook") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    std::atomic<int> reported{0};
    auto builder = builder_for(f);
    builder.on_unhandled_exception([&](const unhandled_exception_info&) { ++reported; });
    runtime rt = std::move(builder.build()).value();
    rt.block_on([]() -> task<> {
      int counted = 0;
      std::string message;
      try {
        co_await when_all(fail_after(9, "second"), count_up(counted), fail_after(3, "first"));
      } catch (const std::runtime_error& e) {
        message = e.what();
      }
      CHECK(message == "first");
      CHECK(counted == 1);
    });
    CHECK(reported == 1);
  }
}

TEST_CASE("when_all: a stop reaches every branch and travels on when all have ended") {
  on_every_scheduler([]() -> task<> {
    gate never;
    int destroyed = 0;
    auto h = spawn(
        [](int* d, gate* g) -> task<> {
          co_await when_all(wait_with(probe(*d), *g), give(1), wait_with(probe(*d), *g),
                            g->passed());
          CHECK(false);
        },
        &destroyed, &never);
    while (never.waited() != 3) co_await yield_now();
    h.abort();
    auto ended = co_await std::move(h);
    CHECK(ended.is_cancelled());
    CHECK(destroyed == 2);
  });
}

TEST_CASE("when_all: if every branch completes although it was asked to stop, the values count") {
  on_every_scheduler([]() -> task<> {
    gate g;
    std::atomic<int> sum{0};
    auto h = spawn(
        [](gate* what, std::atomic<int>* to) -> task<> {
          auto all = co_await when_all(shield(what->passed()), give(2));
          to->store(std::get<1>(all));
          co_await sleep(100s);
          to->store(-1);
        },
        &g, &sum);
    while (g.waited() == 0) co_await yield_now();
    h.abort();
    for (int i = 0; i != 10; ++i) co_await yield_now();
    g.open();
    auto ended = co_await std::move(h);
    CHECK(ended.is_cancelled());
    CHECK(sum == 2);
  });
}

TEST_CASE("when_all: a range") {
  on_every_scheduler([]() -> task<> {
    std::vector<task<int>> tasks;
    for (int i = 0; i != 100; ++i) tasks.push_back(i % 2 == 0 ? give(i) : give_late(i));
    const std::vector<int> values = co_await when_all(std::move(tasks));
    int sum = 0;
    for (const int v : values) sum += v;
    CHECK(values.size() == 100);
    CHECK(values[7] == 7);
    CHECK(sum == 4950);

    int counted = 0;
    std::vector<task<>> plain;
    for (int i = 0; i != 10; ++i) plain.push_back(count_up(counted));
    co_await when_all(std::move(plain));
    CHECK(counted == 10);

    const std::vector<int> none = co_await when_all(std::vector<task<int>>());
    CHECK(none.empty());

    std::vector<join_handle<int>> handles;
    for (int i = 0; i != 10; ++i) handles.push_back(spawn(give_late(i)));
    auto joined = co_await when_all(std::move(handles));
    CHECK(std::move(joined[9]).value() == 9);
  });
}

TEST_CASE("when_all: nests") {
  on_every_scheduler([]() -> task<> {
    auto all = co_await when_all(when_all(give(1), give_late(2)), timeout(100s, give_late(3)),
                                 as_result(give(4)));
    CHECK(std::get<1>(std::get<0>(all)) == 2);
    CHECK(std::get<1>(all) == 3);
    CHECK(std::get<2>(all).value() == 4);
  });
}
