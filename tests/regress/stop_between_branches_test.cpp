// SPDX-License-Identifier: MIT
// A combinator that was asked to stop when its first branches had ended and the next one was about
// to start never ended.
#include <string>
#include <tuple>

#include <kioto/async_generator.hpp>
#include <kioto/select.hpp>
#include <kioto/try_all.hpp>
#include <kioto/when_all.hpp>
#include <kioto/yield.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;

namespace {

task<> at_once() { co_return; }
task<> soon(int yields) {
  for (int i = 0; i != yields; ++i) co_await yield_now();
}

// Not inlined: g++ 12 believes that moving the string reads beyond it (-Warray-bounds).
KIOTO_NOINLINE std::string long_text(char c) { return std::string(100, c); }

}  // namespace

TEST_CASE("regress: a combinator is asked to stop between two of its branches") {
  on_every_scheduler([]() -> task<> {
    for (int yields = 0; yields != 4; ++yields) {
      for (int others = 0; others != 4; ++others) {
        auto hit =
            co_await select(biased, when_all(soon(yields), at_once(), soon(yields)), soon(others));
        CHECK(hit.count() >= 1);
      }
    }
  });
}

TEST_CASE("regress: what has a branch that never started does not complete") {
  on_every_scheduler([]() -> task<> {
    auto text = []() -> task<std::string> { co_return long_text('x'); };
    auto slow_text = [](int yields) -> task<std::string> {
      for (int i = 0; i != yields; ++i) co_await yield_now();
      co_return long_text('y');
    };
    for (int yields = 0; yields != 4; ++yields) {
      for (int others = 0; others != 4; ++others) {
        auto all =
            co_await select(biased, when_all(slow_text(yields), text(), text()), soon(others));
        if (auto& texts = all.get<0>()) CHECK(std::get<2>(*texts) == long_text('x'));
        auto tried =
            co_await select(biased, try_all(slow_text(yields), text(), text()), soon(others));
        if (auto& texts = tried.get<0>()) CHECK(std::get<2>(*texts) == long_text('x'));
      }
    }
  });
}

TEST_CASE("regress: the same, within a generator that pauses") {
  on_every_scheduler([]() -> task<> {
    auto numbers = []() -> async_generator<int> {
      for (int i = 0; i != 40; ++i) {
        auto inner =
            co_await select(biased, when_all(soon(i % 3), at_once(), soon(1)), soon(i % 2));
        co_yield int(i) + 0 * static_cast<int>(inner.count());
      }
    };
    auto g = numbers();
    int expected = 0;
    for (int round = 0;; ++round) {
      auto r = co_await select(biased, g.next(), soon(round % 5));
      auto& next = r.get<0>();
      if (!next) continue;
      if (!*next) break;
      CHECK(**next == expected);
      ++expected;
    }
    CHECK(expected == 40);
  });
}
