// SPDX-License-Identifier: MIT
// zip waited for the other stream after one had ended.
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <kioto/kioto.hpp>
#include <kioto/testing/paused.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/streams.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

async_generator<int> fails_after(int n) {
  for (int i = 0; i != n; ++i) co_yield int(i);
  throw std::runtime_error("the stream failed");
}
async_generator<int> ends_after(std::chrono::milliseconds time) {
  co_await sleep(time);
  co_return;
}

template <class Z>
task<bool> has_ended_in(Z& zipped, std::chrono::milliseconds time) {
  const auto start = now();
  auto pair = co_await timeout(1h, zipped.next());
  co_return !pair.has_value() && now() - start == time;
}

}  // namespace

TEST_CASE("zip waited for the other stream after one had ended") {
  testing::run_paused([]() -> task<> {
    auto right = streams::zip(streams::never<int>(), streams::empty<int>());
    bool ended = co_await has_ended_in(right, 0ms);
    CHECK(ended);
    auto left = streams::zip(streams::empty<int>(), streams::never<int>());
    ended = co_await has_ended_in(left, 0ms);
    CHECK(ended);
    // While the other one waits already, with or without a frame of its own.
    auto later = streams::zip(streams::never<int>(), ends_after(5ms));
    ended = co_await has_ended_in(later, 5ms);
    CHECK(ended);
    auto slow = streams::zip(ends_after(5ms), ends_after(1h));
    ended = co_await has_ended_in(slow, 5ms);
    CHECK(ended);
    auto of_tasks = streams::zip(task_numbers(0), streams::never<int>());
    ended = co_await has_ended_in(of_tasks, 0ms);
    CHECK(ended);
    auto nested = streams::zip(streams::zip(numbers(1), streams::never<int>()), numbers(0));
    ended = co_await has_ended_in(nested, 0ms);
    CHECK(ended);
  });
}

TEST_CASE("zip ends for good, and asks nobody any more") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = sync::mpsc::unbounded_channel<int>();
    auto zipped = streams::zip(streams::stream_of(rx), numbers(2));
    for (int i = 0; i != 3; ++i) CHECK(tx.send(10 + i));
    for (int i = 0; i != 2; ++i) {
      auto pair = co_await zipped.next();
      CHECK((pair && pair->first == 10 + i && pair->second == i));
    }
    auto end = co_await zipped.next();
    CHECK_FALSE(end.has_value());
    // The third message was the element that the other side had by then.
    CHECK(tx.send(13));
    end = co_await zipped.next();
    CHECK_FALSE(end.has_value());
    const auto left = rx.try_recv();
    CHECK((left && *left == 13));
  });
}

TEST_CASE("the end of one stream of a zip takes nothing out of the other that waits") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = sync::mpsc::unbounded_channel<int>();
    auto zipped = streams::zip(streams::stream_of(rx), ends_after(2ms));
    const auto end = co_await zipped.next();
    CHECK_FALSE(end.has_value());
    CHECK(tx.send(1));
    const auto kept = rx.try_recv();
    CHECK((kept && *kept == 1));
  });
}

TEST_CASE("an exception of one stream of a zip does not wait for the other") {
  testing::run_paused([]() -> task<> {
    for (const bool is_first : {true, false}) {
      std::string what;
      try {
        if (is_first) {
          auto zipped = streams::zip(fails_after(0), streams::never<int>());
          co_await zipped.next();
        } else {
          auto zipped = streams::zip(streams::never<int>(), fails_after(0));
          co_await zipped.next();
        }
      } catch (const std::runtime_error& e) {
        what = e.what();
      }
      CHECK(what == "the stream failed");
    }
  });
}

TEST_CASE("of two exceptions in a zip one is thrown and the other reported") {
  std::atomic<int> reported{0};
  auto rt = runtime::builder()
                .current_thread()
                .on_unhandled_exception([&](const unhandled_exception_info&) { ++reported; })
                .build();
  REQUIRE(rt.has_value());
  rt->block_on([]() -> task<> {
    // The second one is running when the first has failed.
    auto fails_late = []() -> async_generator<int> {
      co_await shield(sleep(5ms));
      throw std::runtime_error("late");
      co_yield 0;
    };
    auto fails = []() -> async_generator<int> {
      co_await sleep(1ms);
      throw std::runtime_error("first");
      co_yield 0;
    };
    auto zipped = streams::zip(fails_late(), fails());
    std::string what;
    try {
      co_await zipped.next();
    } catch (const std::runtime_error& e) {
      what = e.what();
    }
    CHECK(what == "first");
  });
}

TEST_CASE("a cancelled next of a zip loses nothing") {
  on_every_scheduler([]() -> task<> {
    int cancelled = 0;
    auto zipped = streams::zip(slow_numbers(20), slow_numbers(25));
    const auto all = co_await drain_impatiently(zipped, cancelled);
    CHECK(cancelled > 0);
    CHECK(all.size() == 20);
    bool right = true;
    for (std::size_t i = 0; i != all.size(); ++i)
      right = right && all[i].first == static_cast<int>(i) && all[i].second == static_cast<int>(i);
    CHECK(right);
  });
}

TEST_CASE("a zip takes elements that can only be moved, and cannot be assigned") {
  struct fixed {
    explicit fixed(int n) : number(n) {}
    fixed(fixed&&) noexcept = default;
    fixed& operator=(fixed&&) = delete;
    const int number;
  };
  on_every_scheduler([]() -> task<> {
    auto some = [](int n) -> async_generator<fixed> {
      for (int i = 0; i != n; ++i) co_yield fixed(i);
    };
    auto zipped = streams::zip(some(3), some(2));
    int sum = 0;
    for (;;) {
      auto pair = co_await zipped.next();
      if (!pair) break;
      sum += pair->first.number + pair->second.number;
    }
    CHECK(sum == 2);
  });
}
