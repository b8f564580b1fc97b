// SPDX-License-Identifier: MIT
#include <kioto/stream/buffered.hpp>
#include <kioto/stream/for_each_concurrent.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <kioto/cancellation_token.hpp>
#include <kioto/streams.hpp>
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

/// How many are running, and the maximum so far.
struct crew {
  std::atomic<int> now{0};
  std::atomic<int> most{0};
  std::atomic<int> done{0};
  std::atomic<int> begun{0};
};
class at_work {
 public:
  explicit at_work(crew& c) : crew_(c) {
    const int now = ++crew_.now;
    for (int most = crew_.most; most < now && !crew_.most.compare_exchange_weak(most, now);) {
    }
  }
  at_work(const at_work&) = delete;
  at_work& operator=(const at_work&) = delete;
  ~at_work() { --crew_.now; }

 private:
  crew& crew_;
};
task<int> work(crew* c, int x) {
  const at_work working(*c);
  for (int i = 0; i != x % 3; ++i) co_await yield_now();
  co_await sleep(std::chrono::milliseconds((x * 7) % 4));
  ++c->done;
  co_return x;
}
task<> work_void(crew* c, int x) { static_cast<void>(co_await work(c, x)); }
task<int> work_or_fail(crew* c, int x, int bad) {
  const int same = co_await work(c, x);
  if (x == bad) throw std::runtime_error("bad");
  co_return same;
}
task<int> slow_same(int x) {
  for (int i = 0; i != x % 3; ++i) co_await yield_now();
  co_await sleep(std::chrono::milliseconds((x * 7) % 4));
  co_return x;
}

}  // namespace

TEST_CASE("for_each_concurrent: all elements, no more than the limit at a time") {
  on_every_scheduler([]() -> task<> {
    for (const std::size_t limit : {std::size_t{1}, std::size_t{3}, std::size_t{100}}) {
      crew c;
      auto each = [&c](int x) { return work_void(&c, x); };
      co_await for_each_concurrent(slow_numbers(20), limit, each);
      CHECK(c.done == 20);
      CHECK(c.now == 0);
      CHECK(c.most <= static_cast<int>(limit));
      co_await for_each_concurrent(numbers(40), limit, each);
      CHECK(c.done == 60);
      co_await for_each_concurrent(task_numbers(40), limit, each);
      CHECK(c.done == 100);
      co_await (numbers(0) | for_each_concurrent(limit, each));
      CHECK(c.done == 100);
    }
  });
}

TEST_CASE("for_each_concurrent: they run at the same time") {
  testing::run_paused([]() -> task<> {
    const auto start = now();
    auto each = [](int) { return sleep(10ms); };
    co_await for_each_concurrent(numbers(100), 10, each);
    CHECK(now() - start == 100ms);
  });
}

TEST_CASE("for_each_concurrent: the first failure stops the others") {
  on_every_scheduler([]() -> task<> {
    crew c;
    std::string what;
    auto each = [&c](int x) { return work_or_fail(&c, x, 5); };
    try {
      co_await for_each_concurrent(numbers(1000), 4, each);
    } catch (const std::runtime_error& e) {
      what = e.what();
    }
    CHECK(what == "bad");
    CHECK(c.now == 0);
    CHECK(c.done < 1000);

    auto failing = []() -> async_generator<int> {
      co_yield 1;
      co_await yield_now();
      throw std::runtime_error("stream");
    };
    what.clear();
    try {
      co_await for_each_concurrent(failing(), 4, each);
    } catch (const std::runtime_error& e) {
      what = e.what();
    }
    CHECK(what == "stream");
    CHECK(c.now == 0);

    auto throws_at_once = [](int) -> task<> { throw std::runtime_error("at once"); };
    what.clear();
    try {
      co_await for_each_concurrent(numbers(3), 2, throws_at_once);
    } catch (const std::runtime_error& e) {
      what = e.what();
    }
    CHECK(what == "at once");
  });
}

TEST_CASE("for_each_concurrent: a task that ended is destroyed at once, many need no stack") {
  on_every_scheduler([]() -> task<> {
    int destroyed = 0;
    int wrong = 0;
    int begun = 0;
    auto each = [&](int) -> task<> {
      return [](probe, int* b, int* d, int* w) -> task<> {
        // Two places: at most one other one is alive.
        if (++*b - *d > 2) ++*w;
        co_await yield_now();
      }(probe(destroyed), &begun, &destroyed, &wrong);
    };
    co_await for_each_concurrent(numbers(20'000), 2, each);
    CHECK(destroyed == 20'000);
    CHECK(wrong == 0);
  });
}

TEST_CASE("for_each_concurrent: it stops when it is cancelled, and pauses in a generator") {
  on_every_scheduler([]() -> task<> {
    crew c;
    auto each = [&c](int x) { return work_void(&c, x); };
    {
      const auto late =
          co_await select(for_each_concurrent(slow_numbers(100'000), 5, each), sleep(5ms));
      CHECK(late.index() == 1);
      CHECK(c.now == 0);
    }
    crew d;
    auto inside = [](crew* whose) -> async_generator<int> {
      auto visit = [whose](int x) { return work_void(whose, x); };
      co_await for_each_concurrent(slow_numbers(30), 5, visit);
      co_yield whose->done.load();
    };
    int cancelled = 0;
    auto g = inside(&d);
    auto got = co_await drain_impatiently(g, cancelled);
    CHECK(got == ints{30});
    CHECK(cancelled > 0);
    CHECK(d.most > 1);
  });
}

TEST_CASE("buffered: results in the order of the stream, no more than the limit at a time") {
  on_every_scheduler([]() -> task<> {
    for (const std::size_t limit : {std::size_t{1}, std::size_t{3}, std::size_t{100}}) {
      crew c;
      auto pipeline = numbers(30) | map([&c](int x) { return work(&c, x); }) | buffered(limit);
      auto got = co_await collect(std::move(pipeline));
      CHECK(got == up_to(30));
      CHECK(c.most <= static_cast<int>(limit));
      if (limit > 1) CHECK(c.most > 1);
      auto slow =
          slow_numbers(10) | map([&c](int x) { return work_void(&c, x); }) | buffered(limit);
      const auto n = co_await count(std::move(slow));
      CHECK(n == 10);
      auto none = numbers(0) | map([&c](int x) { return work(&c, x); }) | buffered(limit);
      const auto zero = co_await count(std::move(none));
      CHECK(zero == 0);
    }
  });
}

TEST_CASE("buffered_unordered: results in the order of completion") {
  testing::run_paused([]() -> task<> {
    auto late = [](int x) -> task<int> {
      co_await sleep(std::chrono::milliseconds(100 - 10 * x));
      co_return x;
    };
    auto pipeline = numbers(4) | map(late) | buffered_unordered(3);
    auto got = co_await collect(std::move(pipeline));
    CHECK(got == ints{2, 1, 0, 3});
    const auto start = now();
    auto ordered = numbers(4) | map(late) | buffered(4);
    got = co_await collect(std::move(ordered));
    CHECK(got == up_to(4));
    CHECK(now() - start == 100ms);
  });
}

TEST_CASE("buffered: nothing is lost when next() is cancelled") {
  on_every_scheduler([]() -> task<> {
    int cancelled = 0;
    auto ordered = slow_numbers(30) | map(&slow_same) | buffered(5);
    auto got = co_await drain_impatiently(ordered, cancelled);
    CHECK(got == up_to(30));
    auto unordered = slow_numbers(30) | map(&slow_same) | buffered_unordered(5);
    got = co_await drain_impatiently(unordered, cancelled);
    CHECK(sorted(got) == up_to(30));
    CHECK(cancelled > 0);
  });
}

TEST_CASE("buffered: what has begun goes on between elements, and is aborted with the stream") {
  on_every_scheduler([]() -> task<> {
    auto state = std::make_shared<crew>();
    auto count_up = [state](int x) -> task<int> {
      return [](std::shared_ptr<crew> c, int same) -> task<int> {
        ++c->begun;
        if (same > 2) {
          const at_work working(*c);
          co_await sleep(1000h);
        }
        ++c->done;
        co_return same;
      }(state, x);
    };
    {
      auto pipeline = numbers(30) | map(count_up) | buffered(4);
      auto first = co_await pipeline.next();
      CHECK(first == 0);
      while (state->done != 3) co_await yield_now();  // while nobody asks
      for (int i = 1; i != 3; ++i) {
        auto x = co_await pipeline.next();
        CHECK(x == i);
      }
      const auto none = co_await select(pipeline.next(), sleep(1ms));
      CHECK(none.index() == 1);
      CHECK(state->begun <= 7);  // the three that were handed over, and four
    }
    while (state->now != 0) co_await yield_now();
    CHECK(state->done == 3);
  });
}

TEST_CASE("buffered: handles of tasks are operations, and so is whatever can be awaited") {
  on_every_scheduler([]() -> task<> {
    auto spawned = numbers(10) | map([](int x) { return spawn(slow_same(x)); }) | buffered(3);
    int next = 0;
    for (;;) {
      auto x = co_await spawned.next();
      if (!x) break;
      CHECK(std::move(*x).value() == next);
      ++next;
    }
    CHECK(next == 10);
    const auto n = co_await count(numbers(5) | map([](int) { return sleep(1ms); }) | buffered(2));
    CHECK(n == 5);
    auto owned =
        numbers(3) |
        map([](int x) -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(x); }) |
        buffered_unordered(2);
    int sum = 0;
    for (;;) {
      auto x = co_await owned.next();
      if (!x) break;
      sum += **x;
    }
    CHECK(sum == 3);
  });
}

TEST_CASE("buffered: failures come in their place") {
  on_every_scheduler([]() -> task<> {
    crew c;
    auto pipeline = numbers(10) | map([&c](int x) { return work_or_fail(&c, x, 3); }) | buffered(4);
    ints got;
    std::string what;
    try {
      for (;;) {
        auto x = co_await pipeline.next();
        if (!x) break;
        got.push_back(*x);
      }
    } catch (const std::runtime_error& e) {
      what = e.what();
    }
    CHECK(what == "bad");
    CHECK(got == ints{0, 1, 2});

    auto failing = []() -> async_generator<int> {
      for (int i = 0; i != 3; ++i) co_yield int(i);
      throw std::runtime_error("stream");
    };
    auto other = failing() | map([&c](int x) { return work(&c, x); }) | buffered(4);
    got.clear();
    try {
      for (;;) {
        auto x = co_await other.next();
        if (!x) break;
        got.push_back(*x);
      }
    } catch (const std::runtime_error& e) {
      what = e.what();
    }
    CHECK(what == "stream");
    CHECK(got == ints{0, 1, 2});
    auto after = co_await other.next();
    CHECK_FALSE(after.has_value());
  });
}
