// SPDX-License-Identifier: MIT
#include <kioto/async_generator.hpp>

#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <kioto/as_result.hpp>
#include <kioto/scope.hpp>
#include <kioto/select.hpp>
#include <kioto/shield.hpp>
#include <kioto/task_local.hpp>
#include <kioto/when_all.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

async_generator<int> count_to(int n) {
  for (int i = 0; i != n; ++i) co_yield std::move(i);
}
async_generator<int> count_slowly(int n) {
  for (int i = 0; i != n; ++i) {
    co_await yield_now();
    co_yield int(i);
    co_await sleep(1ms);
  }
}
task<int> sum_of(async_generator<int> g) {
  int sum = 0;
  for (;;) {
    auto x = co_await g.next();
    if (!x) co_return sum;
    sum += *x;
  }
}

/// Counts its living objects, and whether one was used after its end.
class tracked {
 public:
  explicit tracked(int value) : value_(std::make_unique<int>(value)) { ++alive; }
  tracked(const tracked& other) : value_(std::make_unique<int>(*other.value_)) {
    ++alive;
    ++copies;
  }
  tracked(tracked&& other) noexcept : value_(std::move(other.value_)) { ++alive; }
  tracked& operator=(const tracked&) = delete;
  tracked& operator=(tracked&&) = delete;
  ~tracked() { --alive; }
  [[nodiscard]] int value() const { return value_ != nullptr ? *value_ : -1; }

  static inline int alive = 0;
  static inline int copies = 0;

 private:
  std::unique_ptr<int> value_;
};

async_generator<tracked> yields_in_every_way() {
  co_yield tracked(1);  // a temporary
  tracked local(2);
  co_yield local;  // copied
  CHECK(local.value() == 2);
  co_yield std::move(local);  // moved
  CHECK(local.value() == -1);
  const tracked fixed(3);
  co_yield fixed;  // copied
  co_yield 4;      // converted
  auto make = [](int x) { return tracked(x); };
  co_yield make(5);
}
async_generator<std::string> yields_strings() {
  co_yield "literal";
  co_yield std::string("a temporary that is long enough not to be stored in place");
  const std::string part = "part";
  co_yield part + "s that are joined to something that is long enough as well";
  std::string s = "moved, and long enough not to be stored in place, too";
  co_yield std::move(s);
}
async_generator<int&> yields_references(std::vector<int>* values) {
  for (int& v : *values) {
    co_yield v;
    co_await yield_now();
  }
}
async_generator<const std::string&> yields_const_references() {
  const std::string here = "in the frame";
  co_yield here;
  co_yield std::string("a temporary, which lives as long as it is the element");
}
async_generator<int> fails_after(int n) {
  for (int i = 0; i != n; ++i) {
    co_await yield_now();
    co_yield int(i);
  }
  throw std::runtime_error("enough");
}
task<int> delayed(int x) {
  co_await sleep(1ms);
  co_return x;
}
task<int> deep(int depth) {
  if (depth == 0) co_return co_await delayed(7);
  co_return co_await deep(depth - 1);
}
async_generator<int> awaits_tasks(int n) {
  for (int i = 0; i != n; ++i) {
    const int x = co_await delayed(i);
    co_yield int(x);
  }
}
async_generator<int> doubles(async_generator<int> inner) {
  for (;;) {
    auto x = co_await inner.next();
    if (!x) co_return;
    co_yield *x * 2;
  }
}
async_generator<int> holds(probe p) {
  const probe local = std::move(p);
  co_yield 1;
  co_await sleep(1000h);
  co_yield 2;
}

/// Waits for each element in a different way, each of which takes a while.
using slow = async_generator<int> (*)();
async_generator<int> slow_sleep() {
  for (int i = 0; i != 5; ++i) {
    co_await sleep(3ms);
    co_yield int(i);
  }
}
async_generator<int> slow_task() {
  for (int i = 0; i != 5; ++i) {
    co_await sleep(1ms);
    const int seven = co_await deep(20);
    CHECK(seven == 7);
    co_yield int(i);
  }
}
async_generator<int> slow_combinators() {
  for (int i = 0; i != 5; ++i) {
    auto both = co_await when_all(delayed(i), timeout(1000s, deep(3)), sleep(2ms));
    CHECK(std::get<1>(both) == 7);
    auto first = co_await select(sleep(1000h), delayed(5));
    CHECK(*first.template get<1>() == 5);
    co_yield std::get<0>(both);
  }
}
async_generator<int> slow_nested() { return doubles(doubles(slow_combinators())); }
async_generator<int> slow_shielded() {
  for (int i = 0; i != 5; ++i) {
    co_await shield(sleep(1ms));
    const int x = co_await shield(deep(2));
    CHECK(x == 7);
    auto both = co_await when_all(shield(delayed(1)), sleep(2ms), shield(sleep(3ms)));
    CHECK(std::get<0>(both) == 1);
    co_await shield(yield_now());
    co_yield int(i);
  }
}
async_generator<int> slow_yields() {
  for (int i = 0; i != 5; ++i) {
    for (int j = 0; j != 30; ++j) co_await yield_now();
    auto all = co_await when_all(delayed(i), []() -> task<> {
      for (int j = 0; j != 10; ++j) co_await yield_now();
    }());
    co_yield std::get<0>(all);
  }
}
async_generator<int> slow_blocking() {
  for (int i = 0; i != 5; ++i) {
    auto call = spawn_blocking([i] {
      std::this_thread::sleep_for(2ms);
      return i;
    });
    auto r = co_await call;
    co_yield std::move(r).value();
  }
}

// Cancels next() again and again, at all kinds of points.
task<std::vector<int>> take_impatiently(async_generator<int> g, int* cancelled) {
  std::vector<int> out;
  for (int round = 0;; ++round) {
    auto r = co_await select(biased, g.next(), [](int n) -> task<> {
      if (n % 7 == 6) co_await sleep(1ms);
      for (int i = 0; i != n % 4; ++i) co_await yield_now();
    }(round));
    if (auto& element = r.template get<0>()) {
      if (!*element) co_return out;
      out.push_back(**element);
    } else {
      ++*cancelled;
    }
  }
}

}  // namespace

TEST_CASE("async_generator: hands over elements until it ends, and then nothing") {
  on_every_scheduler([]() -> task<> {
    auto g = count_to(3);
    for (int i = 0; i != 3; ++i) {
      auto x = co_await g.next();
      CHECK(x == i);
    }
    for (int i = 0; i != 3; ++i) {
      auto x = co_await g.next();
      CHECK_FALSE(x.has_value());
    }
    async_generator<int> empty;
    auto x = co_await empty.next();
    CHECK_FALSE(x.has_value());
  });
}

TEST_CASE("async_generator: it may wait between elements") {
  on_every_scheduler([]() -> task<> {
    const int slow = co_await sum_of(count_slowly(5));
    CHECK(slow == 10);
    const int tasks = co_await sum_of(awaits_tasks(5));
    CHECK(tasks == 10);
  });
}

TEST_CASE("async_generator: a million elements need neither stack nor time without end") {
  on_every_scheduler([]() -> task<> {
    const int n = 1'000'000;
    auto g = count_to(n);
    int seen = 0;
    for (;;) {
      auto x = co_await g.next();
      if (!x) break;
      ++seen;
    }
    CHECK(seen == n);
  });
}

TEST_CASE("async_generator: generators nest deeply") {
  on_every_scheduler([]() -> task<> {
    auto g = count_slowly(2);
    for (int i = 0; i != 20; ++i) g = doubles(std::move(g));
    const int sum = co_await sum_of(std::move(g));
    CHECK(sum == 1 << 20);
  });
}

TEST_CASE("async_generator: temporaries are moved, lvalues copied") {
  on_every_scheduler([]() -> task<> {
    tracked::copies = 0;
    {
      auto g = yields_in_every_way();
      std::vector<int> values;
      for (;;) {
        auto x = co_await g.next();
        if (!x) break;
        values.push_back(x->value());
      }
      CHECK(values == std::vector<int>{1, 2, 2, 3, 4, 5});
      CHECK(tracked::copies == 2);
    }
    CHECK(tracked::alive == 0);
    std::vector<std::string> strings;
    auto s = yields_strings();
    for (;;) {
      auto x = co_await s.next();
      if (!x) break;
      strings.push_back(std::move(*x));
    }
    CHECK(strings.size() == 4);
    CHECK(strings.at(0) == "literal");
    CHECK(strings.at(2).size() == 62);
    CHECK(strings.at(3).substr(0, 5) == "moved");
  });
}

TEST_CASE("async_generator: references refer") {
  on_every_scheduler([]() -> task<> {
    std::vector<int> values{1, 2, 3};
    auto g = yields_references(&values);
    for (;;) {
      auto x = co_await g.next();
      if (!x) break;
      x->get() *= 10;
    }
    CHECK(values == std::vector<int>{10, 20, 30});
    auto c = yields_const_references();
    auto first = co_await c.next();
    CHECK(first->get() == "in the frame");
    auto second = co_await c.next();
    CHECK(second->get() == "a temporary, which lives as long as it is the element");
    auto third = co_await c.next();
    CHECK_FALSE(third.has_value());
  });
}

TEST_CASE("async_generator: exceptions travel, and end it") {
  on_every_scheduler([]() -> task<> {
    auto g = fails_after(2);
    auto outer = doubles(std::move(g));
    auto x = co_await outer.next();
    CHECK(x == 0);
    x = co_await outer.next();
    CHECK(x == 2);
    std::string what;
    try {
      x = co_await outer.next();
    } catch (const std::runtime_error& e) {
      what = e.what();
    }
    CHECK(what == "enough");
    x = co_await outer.next();
    CHECK_FALSE(x.has_value());
  });
}

TEST_CASE("async_generator: destroyed before its start, at an element, paused, at its end") {
  on_every_scheduler([]() -> task<> {
    int destroyed = 0;
    {
      auto g = holds(probe(destroyed));
    }
    CHECK(destroyed == 1);
    {
      auto g = holds(probe(destroyed));
      auto x = co_await g.next();
      CHECK(x == 1);
    }
    CHECK(destroyed == 2);
    {
      auto g = holds(probe(destroyed));
      auto x = co_await g.next();
      CHECK(x == 1);
      const auto late = co_await select(g.next(), sleep(1ms));
      CHECK(late.index() == 1);
      CHECK(destroyed == 2);
      g = async_generator<int>();
      CHECK(destroyed == 3);
    }
    {
      auto g = count_to(0);
      auto x = co_await g.next();
      CHECK_FALSE(x.has_value());
    }
  });
}

TEST_CASE("async_generator: the task that consumes it is aborted") {
  on_every_scheduler([]() -> task<> {
    int destroyed = 0;
    auto h = spawn(
        [](probe p) -> task<> {
          auto g = doubles(holds(std::move(p)));
          for (;;) {
            auto x = co_await g.next();
            if (!x) break;
          }
        },
        probe(destroyed));
    for (int i = 0; i != 10; ++i) co_await yield_now();
    h.abort();
    auto r = co_await h;
    CHECK(r.is_cancelled());
    CHECK(destroyed == 1);
  });
}

TEST_CASE("async_generator: nothing is lost when next() is cancelled, wherever it waits") {
  const std::vector<int> straight{0, 1, 2, 3, 4};
  const std::vector<int> twice_doubled{0, 4, 8, 12, 16};
  for (const slow make : {&slow_sleep, &slow_task, &slow_combinators, &slow_nested, &slow_shielded,
                          &slow_yields, &slow_blocking}) {
    on_every_scheduler([&, make]() -> task<> {
      int cancelled = 0;
      const auto got = co_await take_impatiently(make(), &cancelled);
      CHECK(got == (make == &slow_nested ? twice_doubled : straight));
      CHECK(cancelled > 0);
    });
  }
}

TEST_CASE("async_generator: pausing within pausing") {
  on_every_scheduler([]() -> task<> {
    // The generator pauses another one while it is paused itself.
    auto outer = [](slow make) -> async_generator<int> {
      auto g = make();
      for (int round = 0;; ++round) {
        auto r = co_await select(biased, g.next(), [](int n) -> task<> {
          for (int i = 0; i != n % 3; ++i) co_await yield_now();
        }(round));
        if (auto& element = r.template get<0>()) {
          if (!*element) co_return;
          co_yield std::move(**element);
        }
      }
    };
    for (const slow make : {&slow_sleep, &slow_combinators, &slow_shielded, &slow_yields}) {
      int cancelled = 0;
      const auto got = co_await take_impatiently(outer(make), &cancelled);
      CHECK(got == std::vector<int>{0, 1, 2, 3, 4});
    }
  });
}

TEST_CASE("async_generator: a paused one goes on in another task, on another runtime") {
  auto other = make_runtime(flavour::one_worker);
  on_every_scheduler([&other]() -> task<> {
    for (const slow make : {&slow_sleep, &slow_task, &slow_combinators, &slow_nested}) {
      auto g = make();
      std::vector<int> got;
      int handed_over = 0;
      for (bool ends = false; !ends; ++handed_over) {
        auto step = [](async_generator<int> mine,
                       std::vector<int>* out) -> task<std::pair<async_generator<int>, bool>> {
          auto r = co_await select(biased, mine.next(), sleep(1ms));
          bool end = false;
          if (auto& element = r.template get<0>()) {
            if (*element)
              out->push_back(**element);
            else
              end = true;
          }
          co_return std::pair<async_generator<int>, bool>(std::move(mine), end);
        };
        auto h = handed_over % 2 == 0 ? spawn(step, std::move(g), &got)
                                      : other.spawn(step, std::move(g), &got);
        auto r = co_await h;
        auto pair = std::move(r).value();
        g = std::move(pair.first);
        ends = pair.second;
      }
      CHECK(got.size() == 5);
      CHECK(handed_over > 5);
    }
  });
}

TEST_CASE("async_generator: one that waits in a scope is stopped for good") {
  on_every_scheduler([]() -> task<> {
    int destroyed = 0;
    auto make = [](int* d) -> async_generator<int> {
      co_yield 1;
      co_await scope([d](task_scope& s) -> task<> {
        s.spawn(
            [](int* count) -> task<> {
              const probe p(*count);
              co_await sleep(1000h);
            },
            d);
        co_await sleep(1000h);
      });
      co_yield 2;
    };
    auto g = make(&destroyed);
    auto x = co_await g.next();
    CHECK(x == 1);
    const auto late = co_await select(g.next(), sleep(2ms));
    CHECK(late.index() == 1);
    CHECK(destroyed <= 1);  // the child may not have started
    x = co_await g.next();
    CHECK_FALSE(x.has_value());
  });
}

TEST_CASE("async_generator: as_result around next() tells of the stop, within it nothing does") {
  on_every_scheduler([]() -> task<> {
    auto h = spawn([]() -> task<int> {
      auto inner = []() -> async_generator<int> {
        const auto r = co_await as_result(sleep(1000h));
        co_yield r ? 1 : 2;
      };
      auto g = inner();
      const auto r = co_await as_result(g.next());
      co_return r ? 0 : 5;
    });
    for (int i = 0; i != 10; ++i) co_await yield_now();
    h.abort();
    auto r = co_await h;
    CHECK(std::move(r).value() == 5);
  });
}

TEST_CASE("async_generator: elements that are always ready let others run") {
  auto rt = make_runtime(flavour::current_thread);
  rt.block_on([]() -> task<> {
    int runs = 0;
    auto other = spawn(
        [](int* n) -> task<> {
          for (;;) {
            ++*n;
            co_await yield_now();
          }
        },
        &runs);
    auto endless = []() -> async_generator<int> {
      for (int i = 0;; ++i) co_yield int(i);
    };
    auto g = endless();
    for (int i = 0; i != 1000; ++i) {
      auto x = co_await g.next();
      CHECK(x == i);
    }
    CHECK(runs >= 1000 / 128);
    other.abort();
    auto r = co_await other;
    CHECK(r.is_cancelled());
  });
}

TEST_CASE("async_generator: it sees the task locals of its consumer") {
  static constinit task_local<int> number;
  on_every_scheduler([]() -> task<> {
    auto reads = []() -> async_generator<int> {
      for (;;) {
        co_await yield_now();
        co_yield number.try_get() != nullptr ? number.get() : -1;
      }
    };
    auto g = reads();
    auto one = co_await number.scope(1, g.next());
    auto none = co_await g.next();
    auto two = co_await number.scope(2, g.next());
    CHECK(one == 1);
    CHECK(none == -1);
    CHECK(two == 2);
  });
}
