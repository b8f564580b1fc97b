// SPDX-License-Identifier: MIT
#include <kioto/try_all.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "support/catch.hpp"
#include "support/gate.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

task<result<int>> give(int value) {
  co_await yield_now();
  co_return value;
}
task<result<std::unique_ptr<int>>> boxed(int value) { co_return std::make_unique<int>(value); }
task<result<void>> fine() { co_return result<void>(); }
task<std::string> text() { co_return "text"; }
task<result<void>> fails(int yields, std::errc error) {
  for (int i = 0; i != yields; ++i) co_await yield_now();
  co_return std::make_error_code(error);
}
task<> throws(int yields) {
  for (int i = 0; i != yields; ++i) co_await yield_now();
  throw std::runtime_error("thrown");
}
task<result<int>> wait_with(probe p, gate& g) {
  co_await g.passed();
  (void)p;
  co_return 1;
}
task<> start_counted(int& started) {
  ++started;
  co_return;
}

}  // namespace

TEST_CASE("try_all: the values of the results, and of what gives no result") {
  on_every_scheduler([]() -> task<> {
    auto all = co_await try_all(give(1), text(), fine(), boxed(4), sleep(1ms));
    static_assert(
        std::is_same_v<decltype(all), result<std::tuple<int, std::string, std::monostate,
                                                        std::unique_ptr<int>, std::monostate>>>);
    CHECK(std::get<0>(*all) == 1);
    CHECK(std::get<1>(*all) == "text");
    CHECK(*std::get<3>(*all) == 4);

    auto plain = co_await try_all(text(), sleep(1ms));
    static_assert(std::is_same_v<decltype(plain), std::tuple<std::string, std::monostate>>);
    CHECK(std::get<0>(plain) == "text");
  });
}

TEST_CASE("try_all: the first failed result stops the others and is returned") {
  on_every_scheduler([]() -> task<> {
    gate never;
    int destroyed = 0;
    auto all =
        co_await try_all(wait_with(probe(destroyed), never), fails(9, std::errc::broken_pipe),
                         fails(3, std::errc::io_error), give(3));
    CHECK(all.error() == std::errc::io_error);
    CHECK(destroyed == 1);
    int started = 0;
    auto at_once = co_await try_all(fails(0, std::errc::io_error), start_counted(started));
    CHECK(at_once.error() == std::errc::io_error);
    CHECK(started == 0);
  });
}

TEST_CASE("try_all: the first exception stops the others and passes") {
  on_every_scheduler([]() -> task<> {
    gate never;
    int destroyed = 0;
    std::string message;
    try {
      auto all = co_await try_all(wait_with(probe(destroyed), never), throws(2), give(1));
      CHECK_FALSE(all.has_value());
    } catch (const std::runtime_error& e) {
      message = e.what();
    }
    CHECK(message == "thrown");
    CHECK(destroyed == 1);
  });
}

TEST_CASE("try_all: an exception after the first failure goes to the hook") {
  std::atomic<int> reported{0};
  auto builder = builder_for(flavour::one_worker);
  builder.on_unhandled_exception([&](const unhandled_exception_info&) { ++reported; });
  runtime rt = std::move(builder.build()).value();
  rt.block_on([]() -> task<> {
    auto all = co_await try_all(fails(1, std::errc::io_error), shield(throws(5)));
    CHECK(all.error() == std::errc::io_error);
  });
  CHECK(reported == 1);
}

TEST_CASE("try_all: a stop travels on, unless something failed before") {
  on_every_scheduler([]() -> task<> {
    gate never;
    auto h = spawn(
        [](gate* g) -> task<> {
          auto all = co_await try_all(g->passed(), give(3));
          (void)all;
          CHECK(false);
        },
        &never);
    while (never.waited() == 0) co_await yield_now();
    h.abort();
    auto ended = co_await std::move(h);
    CHECK(ended.is_cancelled());
  });
}

TEST_CASE("try_all: a range") {
  on_every_scheduler([]() -> task<> {
    std::vector<task<result<int>>> tasks;
    for (int i = 0; i != 50; ++i) tasks.push_back(give(i));
    const auto values = co_await try_all(std::move(tasks));
    static_assert(std::is_same_v<decltype(values), const result<std::vector<int>>>);
    CHECK(values->size() == 50);
    CHECK((*values)[49] == 49);

    std::vector<task<result<void>>> checks;
    for (int i = 0; i != 10; ++i)
      checks.push_back(fails(i + 1, i == 0 ? std::errc::io_error : std::errc::broken_pipe));
    const auto checked = co_await try_all(std::move(checks));
    static_assert(std::is_same_v<decltype(checked), const result<void>>);
    CHECK(checked.error() == std::errc::io_error);

    std::vector<task<std::string>> texts;
    for (int i = 0; i != 3; ++i) texts.push_back(text());
    const std::vector<std::string> all = co_await try_all(std::move(texts));
    CHECK(all.size() == 3);

    std::vector<task<>> plain;
    int started = 0;
    for (int i = 0; i != 3; ++i) plain.push_back(start_counted(started));
    co_await try_all(std::move(plain));
    CHECK(started == 3);
  });
}
