// SPDX-License-Identifier: MIT Sources, adaptors that do not wait themselves, and consumers of
// streams.
#include <kioto/streams.hpp>

#include <list>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <kioto/join_set.hpp>
#include <kioto/sync/broadcast.hpp>
#include <kioto/sync/mpsc.hpp>
#include <kioto/sync/watch.hpp>
#include <kioto/testing/paused.hpp>
#include <kioto/time/interval.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/streams.hpp"
#include "support/tcp.hpp"

using namespace kioto;
using namespace kioto::streams;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {
using ints = std::vector<int>;

static_assert(stream<async_generator<int>>);
static_assert(stream<task_numbers>);
static_assert(stream<never<int>>);
static_assert(!stream<int>);
static_assert(!stream<ints>);
static_assert(std::is_same_v<stream_element<async_generator<std::string>>, std::string>);

struct text_lines {
  std::istringstream text;
  task<result<std::optional<std::string>>> next_line() {
    co_await yield_now();
    std::string line;
    if (std::getline(text, line)) {
      if (line == "bad") co_return std::make_error_code(std::errc::io_error);
      co_return std::optional<std::string>(std::move(line));
    }
    co_return std::optional<std::string>();
  }
};

}  // namespace

TEST_CASE("stream: from, once, empty, never, from_function") {
  on_every_scheduler([]() -> task<> {
    const std::list<std::string> words{"a", "b"};
    auto copied = co_await collect(from(words));
    CHECK(copied == std::vector<std::string>{"a", "b"});
    CHECK(words.size() == 2);
    CHECK(words.front() == "a");

    std::vector<std::unique_ptr<int>> owned;
    owned.push_back(std::make_unique<int>(7));
    auto moved = co_await collect(from(std::move(owned)));
    CHECK(*moved.at(0) == 7);

    const ints plain{1, 2, 3};
    auto squares =
        co_await collect(from(plain | std::views::transform([](int x) { return x * x; })));
    CHECK(squares == ints{1, 4, 9});

    auto one = co_await collect(once(std::string("x")));
    CHECK(one.size() == 1);
    auto none = co_await collect(streams::empty<int>());
    CHECK(none.empty());
    never<int> no;
    const auto late = co_await select(no.next(), sleep(1ms));
    CHECK(late.index() == 1);
    int left = 3;
    auto countdown = from_function([&left]() -> task<std::optional<int>> {
      co_await yield_now();
      co_return left == 0 ? std::nullopt : std::optional<int>(--left);
    });
    auto down = co_await collect(std::move(countdown));
    CHECK(down == ints{2, 1, 0});
  });
}

TEST_CASE("stream: pipelines refer to what has a name, and move the rest") {
  on_every_scheduler([]() -> task<> {
    auto g = numbers(6);
    auto doubled = g | map([](int x) { return 2 * x; }) | take(2);
    auto first = co_await drain(doubled);
    CHECK(first == ints{0, 2});
    auto rest = co_await collect(g);
    CHECK(rest == ints{2, 3, 4, 5});

    auto whole = numbers(6) | filter([](int x) { return x % 2 == 1; }) |
                 map([](int x) { return std::to_string(x); });
    auto strings = co_await collect(std::move(whole));
    CHECK(strings == std::vector<std::string>{"1", "3", "5"});
  });
}

TEST_CASE("stream: map, inspect, filter, filter_map") {
  on_every_scheduler([]() -> task<> {
    std::vector<int> seen;
    auto pipeline =
        slow_numbers(6) | inspect([&seen](const int& x) { seen.push_back(x); }) |
        filter_map([](int x) { return x % 3 == 0 ? std::optional<int>(x) : std::nullopt; }) |
        map([](int x) { return x + 1; });
    auto got = co_await collect(std::move(pipeline));
    CHECK(got == ints{1, 4});
    CHECK(seen == ints{0, 1, 2, 3, 4, 5});

    // A stream whose next() is a task, and a member as the function.
    auto from_tasks = task_numbers(3) |
                      map([](int x) { return std::string(std::size_t(x), 'x'); }) |
                      map(&std::string::size);
    auto sizes = co_await collect(std::move(from_tasks));
    CHECK(sizes == std::vector<std::size_t>{2, 1, 0});

    int calls = 0;
    auto nothing = numbers(3) | map([&calls](int) { ++calls; });
    auto units = co_await collect(std::move(nothing));
    CHECK(units.size() == 3);
    CHECK(calls == 3);
  });
}

TEST_CASE("stream: exceptions of functions, and of the stream, come out of next()") {
  on_every_scheduler([]() -> task<> {
    auto fails = [](int x) {
      if (x == 1) throw std::runtime_error("one");
      return x;
    };
    auto fails_later = [fails](int x) -> task<int> {
      co_await yield_now();
      co_return fails(x);
    };
    auto check = [](auto pipeline, int before, int behind) -> task<> {
      int taken = 0;
      std::string what;
      try {
        for (;;) {
          auto x = co_await pipeline.next();
          if (!x) break;
          ++taken;
        }
      } catch (const std::runtime_error& e) {
        what = e.what();
      }
      CHECK(what == "one");
      CHECK(taken == before);
      const auto left = co_await count(pipeline);
      CHECK(static_cast<int>(left) == behind);
    };
    // An adaptor without a frame goes on after an exception of its function; a generator has ended.
    co_await check(numbers(4) | map(fails), 1, 2);
    co_await check(numbers(4) | take_while([fails](int x) { return fails(x) >= 0; }), 1, 2);
    co_await check(numbers(4) | filter([fails](int x) { return fails(x) >= 0; }), 1, 0);
    co_await check(numbers(4) | then(fails_later), 1, 0);
    auto failing = [fails]() {
      return numbers(4) | filter([fails](int x) { return fails(x) < 9; });
    };
    co_await check(failing() | map([](int x) { return x; }) | take(9), 1, 0);
    co_await check(failing() | skip(0), 1, 0);
    co_await check(failing() | then([](int x) -> task<int> { co_return x; }), 1, 0);
    co_await check(chain(failing(), numbers(3)), 1, 0);
    co_await check(zip(failing(), numbers(3)), 1, 0);
    std::string what;
    try {
      static_cast<void>(co_await collect(failing()));
    } catch (const std::runtime_error& e) {
      what = e.what();
    }
    CHECK(what == "one");
  });
}

TEST_CASE("stream: take, take_while, skip, skip_while") {
  on_every_scheduler([]() -> task<> {
    auto g = numbers(10);
    auto two = co_await collect(g | take(2));
    CHECK(two == ints{0, 1});
    auto zero = co_await collect(g | take(0));
    CHECK(zero.empty());
    auto next = co_await g.next();
    CHECK(next == 2);  // nothing beyond was touched
    auto small = co_await collect(g | take_while([](int x) { return x < 5; }));
    CHECK(small == ints{3, 4});
    next = co_await g.next();
    CHECK(next == 6);  // 5 was looked at
    auto more_than_there_are = co_await collect(numbers(2) | take(5));
    CHECK(more_than_there_are == ints{0, 1});
    auto tail = co_await collect(numbers(5) | skip(3));
    CHECK(tail == ints{3, 4});
    auto from_three = co_await collect(numbers(5) | skip_while([](int x) { return x != 3; }));
    CHECK(from_three == ints{3, 4});

    auto ended = numbers(3) | take_while([](int x) { return x < 1; });
    auto all = co_await drain(ended);
    CHECK(all == ints{0});
    auto again = co_await ended.next();
    CHECK_FALSE(again.has_value());
    auto of_tasks = co_await collect(task_numbers(4) | take(2));
    CHECK(of_tasks == ints{3, 2});
  });
}

TEST_CASE("stream: then awaits one after the other") {
  on_every_scheduler([]() -> task<> {
    auto pipeline = numbers(4) | then([](int x) -> task<int> {
                      co_await sleep(1ms);
                      co_return x * 10;
                    });
    auto got = co_await collect(std::move(pipeline));
    CHECK(got == ints{0, 10, 20, 30});
    auto nothing = numbers(2) | then([](int) { return yield_now(); });
    const auto n = co_await count(std::move(nothing));
    CHECK(n == 2);
  });
}

TEST_CASE("stream: chain and zip") {
  on_every_scheduler([]() -> task<> {
    auto both = co_await collect(chain(numbers(2), slow_numbers(2), task_numbers(1)));
    CHECK(both == ints{0, 1, 0, 1, 0});
    auto pairs = co_await collect(zip(numbers(3), slow_numbers(2) | map([](int x) { return -x; })));
    CHECK(pairs == std::vector<std::pair<int, int>>{{0, 0}, {1, -1}});
  });
}

TEST_CASE("stream: chunks") {
  on_every_scheduler([]() -> task<> {
    auto got = co_await collect(numbers(5) | chunks(2));
    CHECK(got == std::vector<ints>{{0, 1}, {2, 3}, {4}});
    got = co_await collect(numbers(4) | chunks(2));
    CHECK(got == std::vector<ints>{{0, 1}, {2, 3}});
    got = co_await collect(numbers(0) | chunks(2));
    CHECK(got.empty());
  });
}

TEST_CASE("stream: collect, fold, for_each, count") {
  on_every_scheduler([]() -> task<> {
    auto unique = co_await collect<std::set<int>>(numbers(4) | map([](int x) { return x / 2; }));
    CHECK(unique == std::set<int>{0, 1});
    auto text =
        co_await (numbers(3) | map([](int x) { return char('a' + x); }) | collect<std::string>());
    CHECK(text == "abc");
    const int sum = co_await fold(numbers(5), 100, [](int a, int b) { return a + b; });
    CHECK(sum == 110);
    auto adds_slowly = [](int a, int b) -> task<int> {
      co_await yield_now();
      co_return a + b;
    };
    const int slow = co_await fold(numbers(5), 0, adds_slowly);
    CHECK(slow == 10);
    int seen = 0;
    auto sees = [&seen](int x) { seen += x; };
    co_await for_each(numbers(4), sees);
    CHECK(seen == 6);
    auto sees_slowly = [&seen](int x) -> task<> {
      co_await yield_now();
      seen += x;
    };
    co_await for_each(numbers(4), sees_slowly);
    CHECK(seen == 12);
    const auto n = co_await count(slow_numbers(7));
    CHECK(n == 7);
  });
}

TEST_CASE("stream: channels, intervals, sets and lines are sources") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = sync::mpsc::channel<int>(4);
    auto producer = spawn(
        [](sync::mpsc::sender<int> to) -> task<> {
          for (int i = 0; i != 10; ++i) {
            const auto sent = co_await to.send(i);
            CHECK(sent.has_value());
          }
        },
        std::move(tx));
    auto doubled = stream_of(std::move(rx)) | map([](int x) { return 2 * x; });
    auto got = co_await collect(std::move(doubled));
    CHECK(got.size() == 10);
    CHECK(got.back() == 18);
    auto p = co_await producer;
    CHECK(p.has_value());

    auto [news, listener] = sync::broadcast::channel<int>(2);
    for (int i = 0; i != 5; ++i) CHECK(news.send(i).has_value());
    {
      const auto closes = std::move(news);
    }
    int values = 0, lags = 0;
    auto heard = stream_of(listener);
    for (;;) {
      auto r = co_await heard.next();
      if (!r) break;
      ++(r->has_value() ? values : lags);
    }
    CHECK(values == 2);
    CHECK(lags == 1);

    interval every(1ms);
    const auto ticks = co_await count(stream_of(every) | take(3));
    CHECK(ticks == 3);

    join_set<int> set;
    for (int i = 0; i != 3; ++i) set.spawn([](int x) -> task<int> { co_return x; }, i);
    int sum = 0;
    auto ended = stream_of(set);
    for (;;) {
      auto r = co_await ended.next();
      if (!r) break;
      sum += std::move(*r).value();
    }
    CHECK(sum == 3);

    text_lines lines{std::istringstream("one\nbad\ntwo\n")};
    std::vector<std::string> good;
    int bad = 0;
    auto read = stream_of(lines);
    for (;;) {
      auto line = co_await read.next();
      if (!line) break;
      if (*line)
        good.push_back(**line);
      else
        ++bad;
    }
    CHECK(good == std::vector<std::string>{"one", "two"});
    CHECK(bad == 1);
  });
}

TEST_CASE("stream: a watch is a source of the values that were not seen") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = sync::watch::channel(0);
    rx.mark_changed();
    auto values = stream_of(std::move(rx));
    auto first = co_await values.next();
    CHECK(first == 0);
    CHECK(tx.send(1).has_value());
    CHECK(tx.send(2).has_value());
    auto second = co_await values.next();
    CHECK(second == 2);
    const auto none = co_await select(values.next(), sleep(1ms));
    CHECK(none.index() == 1);
    CHECK(tx.send(3).has_value());
    {
      const auto closes = std::move(tx);
    }
    auto last = co_await values.next();
    CHECK(last == 3);
    for (int i = 0; i != 2; ++i) {
      auto end = co_await values.next();
      CHECK_FALSE(end.has_value());
    }
  });
}

TEST_CASE("stream: a listener is a source") {
  on_every_scheduler([]() -> task<> {
    auto listener = co_await listen_somewhere();
    const auto address = listener.local_address().value();
    auto clients = spawn(
        [](net::socket_address to) -> task<> {
          for (int i = 0; i != 3; ++i) {
            const auto c = co_await net::tcp_stream::connect(to);
            CHECK(c.has_value());
          }
        },
        address);
    const auto accepted = co_await count(stream_of(listener) | take(3));
    CHECK(accepted == 3);
    auto r = co_await clients;
    CHECK(r.has_value());
  });
}

TEST_CASE("stream: nothing is lost when next() of a pipeline is cancelled") {
  on_every_scheduler([]() -> task<> {
    int cancelled = 0;
    auto pipeline = slow_numbers(30) | filter([](int x) { return x % 3 != 0; }) |
                    then([](int x) -> task<int> {
                      co_await sleep(1ms);
                      co_await yield_now();
                      co_return x;
                    }) |
                    map([](int x) { return x * 2; }) | skip(1) | chunks(4) | take(100);
    auto got = co_await drain_impatiently(pipeline, cancelled);
    ints flat;
    for (const auto& chunk : got) flat.insert(flat.end(), chunk.begin(), chunk.end());
    ints expected;
    for (int i = 2; i != 30; ++i)
      if (i % 3 != 0) expected.push_back(2 * i);
    CHECK(flat == expected);
    CHECK(cancelled > 0);

    auto others = chain(slow_numbers(5), slow_numbers(5));
    auto chained = co_await drain_impatiently(others, cancelled);
    CHECK(chained == ints{0, 1, 2, 3, 4, 0, 1, 2, 3, 4});
    auto zipped = zip(slow_numbers(5), slow_numbers(6));
    auto pairs = co_await drain_impatiently(zipped, cancelled);
    CHECK(pairs.size() == 5);
    CHECK(pairs.back() == std::pair<int, int>(4, 4));
  });
}

TEST_CASE("stream: adaptors of an empty stream are empty, and what has ended stays ended") {
  on_every_scheduler([]() -> task<> {
    auto check_ended = [](auto pipeline) -> task<> {
      for (int i = 0; i != 3; ++i) {
        auto x = co_await pipeline.next();
        CHECK_FALSE(x.has_value());
      }
    };
    auto same = [](int x) { return x; };
    auto yes = [](int) { return true; };
    auto slow = [](int x) -> task<int> { co_return x; };
    co_await check_ended(numbers(0) | map(same));
    co_await check_ended(numbers(0) | filter(yes));
    co_await check_ended(numbers(0) | take(3));
    co_await check_ended(numbers(3) | take(0));
    co_await check_ended(numbers(0) | take_while(yes));
    co_await check_ended(numbers(2) | skip(2));
    co_await check_ended(numbers(2) | skip_while(yes));
    co_await check_ended(numbers(0) | then(slow));
    co_await check_ended(numbers(0) | chunks(3));
    co_await check_ended(chain(numbers(0), numbers(0)));
    co_await check_ended(zip(numbers(3), numbers(0)));
    co_await check_ended(merge(numbers(0), numbers(0)));
  });
}

TEST_CASE("stream: very many ready elements through a deep pipeline need no stack") {
  on_every_scheduler([]() -> task<> {
    constexpr int many = 200'000;
    auto rare = numbers(many) | filter([](int x) { return x == many - 1; });
    auto last = co_await collect(std::move(rare));
    CHECK(last == ints{many - 1});
    auto yes = [](int) { return true; };
    auto same = [](int x) { return x; };
    auto deep = numbers(many) | map(same) | filter(yes) | skip(1) | map(same) | filter(yes) |
                skip_while([](int x) { return x < many / 2; }) | take(many) | map(same);
    const auto n = co_await count(std::move(deep));
    CHECK(n == many / 2);
    const auto merged = co_await count(merge(numbers(many), numbers(many)));
    CHECK(merged == 2 * many);
  });
}

TEST_CASE("stream: what waits in a pipeline goes when that is destroyed") {
  on_every_scheduler([]() -> task<> {
    int destroyed = 0;
    auto holds = [](int* count) -> async_generator<int> {
      const probe held(*count);
      co_await sleep(1000h);
      co_yield 1;
    };
    {
      auto pipeline = merge(holds(&destroyed) | filter([](int) { return true; }) | chunks(2),
                            chain(holds(&destroyed), holds(&destroyed)) | chunks(1));
      const auto none = co_await select(pipeline.next(), sleep(1ms));
      CHECK(none.index() == 1);
      CHECK(destroyed == 0);
    }
    CHECK(destroyed == 2);  // the third has not begun
  });
}
