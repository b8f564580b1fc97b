// SPDX-License-Identifier: MIT
#include <kioto/stream/merge.hpp>
#include <kioto/stream/stream_map.hpp>

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <kioto/streams.hpp>
#include <kioto/sync/mpsc.hpp>
#include <kioto/testing/paused.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/streams.hpp"

using namespace kioto;
using namespace kioto::streams;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

using ints = std::vector<int>;

async_generator<int> range(int from, int to, std::chrono::milliseconds pause) {
  for (int i = from; i != to; ++i) {
    if (pause != 0ms)
      co_await sleep(pause);
    else
      co_await yield_now();
    co_yield int(i);
  }
}
async_generator<int> fails() {
  co_yield -1;
  throw std::runtime_error("failed");
}

}  // namespace

TEST_CASE("merge: all elements of all streams, in the order in which they come") {
  on_every_scheduler([]() -> task<> {
    auto all = co_await collect(merge(range(0, 10, 0ms), range(10, 20, 1ms), task_numbers(3)));
    CHECK(all.size() == 23);
    auto one = co_await collect(merge(numbers(3)));
    CHECK(one == ints{0, 1, 2});
    auto none = co_await collect(merge(numbers(0), numbers(0)));
    CHECK(none.empty());
  });
  testing::run_paused([]() -> task<> {
    auto all = co_await collect(merge(range(0, 3, 10ms), range(10, 12, 7ms)));
    CHECK(all == ints{10, 0, 11, 1, 2});
  });
}

TEST_CASE("merge: streams that are always ready take turns") {
  on_every_scheduler([]() -> task<> {
    auto merged = merge(numbers(100), numbers(100) | map([](int x) { return x + 1000; }),
                        numbers(100) | map([](int x) { return x + 2000; }));
    std::map<int, int> seen;
    for (int i = 0; i != 30; ++i) {
      auto x = co_await merged.next();
      ++seen[*x / 1000];
    }
    CHECK(seen == std::map<int, int>{{0, 10}, {1, 10}, {2, 10}});
  });
}

TEST_CASE("merge: nothing is lost when next() is cancelled") {
  on_every_scheduler([]() -> task<> {
    int cancelled = 0;
    auto merged = merge(range(0, 10, 0ms), range(10, 20, 1ms), range(20, 30, 2ms),
                        range(30, 40, 1ms) | filter([](int) { return true; }));
    auto all = co_await drain_impatiently(merged, cancelled);
    CHECK(sorted(all) == up_to(40));
    CHECK(cancelled > 0);
    // Merged streams merge, and generators may hold them.
    auto outer = [](auto inner) -> async_generator<int> {
      for (;;) {
        auto x = co_await inner.next();
        if (!x) co_return;
        co_yield int(*x);
      }
    };
    auto nested = outer(merge(outer(merge(range(0, 5, 1ms), range(5, 10, 0ms))),
                              merge(range(10, 15, 1ms), range(15, 20, 2ms))));
    all = co_await drain_impatiently(nested, cancelled);
    CHECK(sorted(all) == up_to(20));
  });
}

TEST_CASE("merge: an exception comes in its turn, and the others go on") {
  on_every_scheduler([]() -> task<> {
    auto merged = merge(fails(), numbers(5));
    ints got;
    int failures = 0;
    for (bool more = true; more;) {
      try {
        auto x = co_await merged.next();
        if (x)
          got.push_back(*x);
        else
          more = false;
      } catch (const std::runtime_error&) {
        ++failures;
      }
    }
    CHECK(failures == 1);
    CHECK(sorted(got) == ints{-1, 0, 1, 2, 3, 4});
  });
}

TEST_CASE("merge: of channels, beside their senders on other threads") {
  on_every_scheduler([]() -> task<> {
    auto [tx1, rx1] = sync::mpsc::channel<int>(2);
    auto [tx2, rx2] = sync::mpsc::unbounded_channel<int>();
    auto first = spawn(
        [](sync::mpsc::sender<int> tx) -> task<> {
          for (int i = 0; i != 200; ++i) {
            const auto sent = co_await tx.send(i);
            CHECK(sent.has_value());
          }
        },
        std::move(tx1));
    auto second = spawn(
        [](sync::mpsc::unbounded_sender<int> tx) -> task<> {
          for (int i = 200; i != 400; ++i) {
            CHECK(tx.send(i).has_value());
            if (i % 7 == 0) co_await yield_now();
          }
        },
        std::move(tx2));
    int cancelled = 0;
    auto merged = merge(stream_of(std::move(rx1)), stream_of(std::move(rx2)));
    auto all = co_await drain_impatiently(merged, cancelled);
    CHECK(sorted(all) == up_to(400));
    auto a = co_await first;
    auto b = co_await second;
    CHECK(a.has_value());
    CHECK(b.has_value());
  });
}

TEST_CASE("stream_map: elements carry the key of their stream") {
  on_every_scheduler([]() -> task<> {
    stream_map<std::string, async_generator<int>> map;
    auto nothing = co_await map.next();
    CHECK_FALSE(nothing.has_value());
    CHECK_FALSE(map.insert("a", range(0, 10, 0ms)).has_value());
    CHECK_FALSE(map.insert("b", range(10, 20, 1ms)).has_value());
    CHECK(map.insert("b", range(20, 25, 1ms)).has_value());
    CHECK(map.size() == 2);
    CHECK(map.contains("a"));
    CHECK(map.keys() == std::vector<std::string>{"a", "b"});
    std::map<std::string, ints> got;
    for (;;) {
      auto x = co_await map.next();
      if (!x) break;
      got[x->first].push_back(x->second);
    }
    CHECK(got["a"] == up_to(10));
    CHECK(got["b"] == ints{20, 21, 22, 23, 24});
    CHECK(map.empty());
    CHECK_FALSE(map.contains("a"));

    // Refilled after its end.
    map.insert("c", numbers(1));
    auto x = co_await map.next();
    CHECK(x->first == "c");
  });
}

TEST_CASE("stream_map: streams that are always ready take turns") {
  on_every_scheduler([]() -> task<> {
    stream_map<int, async_generator<int>> map;
    for (int i = 0; i != 4; ++i) map.insert(int(i), numbers(100));
    std::map<int, int> seen;
    for (int i = 0; i != 40; ++i) {
      auto x = co_await map.next();
      ++seen[x->first];
    }
    CHECK(seen == std::map<int, int>{{0, 10}, {1, 10}, {2, 10}, {3, 10}});
  });
}

TEST_CASE("stream_map: streams come and go, and go on elsewhere") {
  on_every_scheduler([]() -> task<> {
    stream_map<int, async_generator<int>> map;
    for (int i = 0; i != 20; ++i) map.insert(int(i), range(i * 10, i * 10 + 10, i % 3 * 1ms));
    ints got;
    for (int i = 0; i != 50; ++i) {
      auto x = co_await map.next();
      got.push_back(x->second);
    }
    auto removed = map.remove(13);
    CHECK(map.remove(13) == std::nullopt);
    CHECK_FALSE(map.contains(13));
    auto moved = std::move(map);
    auto rest = co_await drain(moved);
    for (const auto& x : rest) got.push_back(x.second);
    if (removed) {
      auto from_removed = co_await drain(*removed);
      got.insert(got.end(), from_removed.begin(), from_removed.end());
    }
    CHECK(sorted(got) == up_to(200));
  });
}

TEST_CASE("stream_map: nothing is lost when next() is cancelled") {
  on_every_scheduler([]() -> task<> {
    stream_map<int, async_generator<int>> map;
    for (int i = 0; i != 10; ++i) map.insert(int(i), range(i * 10, i * 10 + 10, i % 3 * 1ms));
    int cancelled = 0;
    auto all = co_await drain_impatiently(map, cancelled);
    ints values;
    for (const auto& x : all) values.push_back(x.second);
    CHECK(sorted(values) == up_to(100));
    CHECK(cancelled > 0);
  });
}

TEST_CASE("stream_map: an exception comes out, and its stream is gone when it has ended") {
  on_every_scheduler([]() -> task<> {
    stream_map<int, async_generator<int>> map;
    map.insert(1, fails());
    map.insert(2, numbers(3));
    int failures = 0, elements = 0;
    for (bool more = true; more;) {
      try {
        auto x = co_await map.next();
        if (x)
          ++elements;
        else
          more = false;
      } catch (const std::runtime_error&) {
        ++failures;
      }
    }
    CHECK(failures == 1);
    CHECK(elements == 4);
  });
}
