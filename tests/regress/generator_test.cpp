// SPDX-License-Identifier: MIT
// Generators that pause, or cannot.
#include <kioto/async_generator.hpp>

#include <optional>
#include <utility>
#include <vector>

#include <kioto/streams.hpp>
#include <kioto/sync/oneshot.hpp>
#include <kioto/testing/paused.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

/// Elements each of which takes a scope whose child cannot be stopped at once.
async_generator<int> pages() {
  for (int i = 0;; ++i) {
    co_await scope([](task_scope& s) -> task<> {
      s.spawn([]() -> task<> { co_await shield(sleep(10ms)); });
      co_return;
    });
    co_yield int(i);
  }
}
async_generator<int> passes_on(async_generator<int> inner) {
  for (;;) {
    auto x = co_await inner.next();
    if (!x) co_return;
    co_yield int(*x);
  }
}
async_generator<int> merges(async_generator<int> inner) {
  auto merged = streams::merge(std::move(inner), streams::never<int>());
  for (;;) {
    auto x = co_await merged.next();
    if (!x) co_return;
    co_yield int(*x);
  }
}
/// Goes on after a stop, until it has to wait.
async_generator<int> ignores_stops() {
  for (int i = 0;; ++i) {
    auto ended = co_await as_result(scope([](task_scope& s) -> task<> {
      s.spawn([]() -> task<> { co_await sleep(10ms); });
      co_return;
    }));
    static_cast<void>(ended);
    co_yield int(i);
  }
}

/// The element that came together with a stop, and the result of the next call of next().
task<std::pair<bool, std::optional<int>>> asks_after_stop(async_generator<int> g) {
  bool element_came = false;
  {
    auto e = co_await select(g.next(), sleep(1ms));
    element_came = static_cast<bool>(e.template get<0>());
  }
  co_await sleep(20ms);
  auto next = co_await g.next();
  auto after = co_await g.next();
  CHECK(next == after);
  co_return std::pair(element_came, next);
}

task<> slow_to_stop() {
  co_await shield(sleep(10ms));
  co_await sleep(1h);
}
async_generator<int> in_scope() {
  co_await scope([](task_scope& s) -> task<> {
    s.spawn(slow_to_stop());
    co_return;
  });
  co_yield 1;
}
async_generator<int> in_shield() {
  co_await shield(sleep(50ms));
  co_yield 2;
}
async_generator<int> both() {
  auto merged = streams::merge(in_scope(), in_shield());
  for (;;) {
    auto x = co_await merged.next();
    if (!x) co_return;
    co_yield int(*x);
  }
}
task<> gives_up_after(async_generator<int>* g, std::chrono::milliseconds limit) {
  static_cast<void>(co_await select(g->next(), sleep(limit)));
}

async_generator<int> waits_long() {
  co_await sleep(1h);
  co_yield 1;
}
async_generator<int> gives_up_for(sync::oneshot::receiver<int>* x) {
  auto g = waits_long();
  static_cast<void>(co_await select(biased, g.next(), x->recv()));
  co_yield 7;
}
task<> gives_up_too(async_generator<int>* g, sync::oneshot::receiver<int>* y) {
  static_cast<void>(co_await select(biased, g->next(), y->recv()));
}

async_generator<int> asks(async_generator<int>* elsewhere) {
  for (;;) {
    auto x = co_await elsewhere->next();
    if (!x) co_return;
    co_yield int(*x);
  }
}
async_generator<int> slow_three() {
  for (int i = 0; i != 3; ++i) {
    co_await [](int n) -> task<> { co_await sleep(std::chrono::milliseconds(n)); }(10);
    co_yield int(i);
  }
}
async_generator<int> gives_up_inside(async_generator<int>* g) {
  static_cast<void>(co_await select(g->next(), sleep(1ms)));
  co_yield 8;
}

/// Yields a few times, and then ends as stopped although no stop was requested, like an operation
/// of a runtime that shuts down.
class stops_by_itself final : public detail::leaf_awaiter<stops_by_itself> {
 public:
  explicit stops_by_itself(int yields) noexcept : left_(yields) {}
  stops_by_itself(stops_by_itself&&) noexcept = default;
  detail::attempt try_or_wait() noexcept override {
    if (left_-- > 0) return give_way();
    return detail::attempt::stopped;
  }
  bool cancel() noexcept override { return false; }
  static void await_resume() noexcept {}

 private:
  int left_;
};

}  // namespace

// The request stayed with the generator, and stopped its consumer at a later next().
TEST_CASE("a stop that a generator received inside a scope leaked out at a later next()") {
  using make = async_generator<int> (*)();
  const make all[] = {
      [] { return pages(); },         [] { return passes_on(pages()); },
      [] { return merges(pages()); }, [] { return passes_on(merges(passes_on(pages()))); },
      [] { return ignores_stops(); }, [] { return passes_on(ignores_stops()); },
  };
  for (const make m : all) {
    INFO("generator " << &m - all);
    std::optional<std::pair<bool, std::optional<int>>> seen;
    bool cancelled = false;
    testing::run_paused([&]() -> task<> {
      auto consumer = spawn(asks_after_stop(m()));
      auto r = co_await consumer;
      cancelled = r.is_cancelled();
      if (!cancelled) seen = std::move(r).value();
    });
    CHECK_FALSE(cancelled);
    REQUIRE(seen.has_value());
    CHECK(seen->first);  // it was completed although a stop was requested: nothing is lost
    CHECK_FALSE(seen->second.has_value());  // it was stopped for good
  }
}

// Asked a second time, when no scope was left in it, the stopped generator paused as well.
TEST_CASE("a generator that was being stopped paused, and its consumer hung") {
  for (const auto second : {5ms, 12ms, 20ms, 45ms, 60ms}) {
    INFO("second stop after " << second.count() << " ms");
    bool ended = false, cancelled = true, has_next = true;
    testing::run_paused([&]() -> task<> {
      auto consumer = spawn([&]() -> task<> {
        auto g = passes_on(both());
        static_cast<void>(co_await select(gives_up_after(&g, 1ms), sleep(second)));
        auto next = co_await g.next();
        has_next = next.has_value();
      });
      auto r = co_await select(consumer, sleep(1h));
      if (auto& x = r.get<0>()) {
        ended = true;
        cancelled = x->is_cancelled();
      } else {
        consumer.abort();
        auto again = co_await select(consumer, sleep(1h));
        CHECK(again.get<0>().has_value());
      }
    });
    CHECK(ended);
    CHECK_FALSE(cancelled);
    CHECK_FALSE(has_next);
  }
}

TEST_CASE("a generator that was pausing within a paused one went on with the task that was gone") {
  on_every_scheduler([]() -> task<> {
    auto [tx, x] = sync::oneshot::channel<int>();
    auto [ty, y] = sync::oneshot::channel<int>();
    auto o = gives_up_for(&x);
    {
      // Both come at once: the inner generator begins to pause, and the outer one with it.
      auto h = spawn(gives_up_too(&o, &y));
      co_await sleep(2ms);
      static_cast<void>(tx.send(1));
      static_cast<void>(ty.send(1));
      static_cast<void>(co_await h);
    }
    auto e = co_await o.next();
    CHECK(e == 7);
  });
}

// It was left as if it ran: its next() resumed a frame that was suspended in another operation.
TEST_CASE("a generator that waited within a paused one which was destroyed did not go on") {
  testing::run_paused([]() -> task<> {
    auto inner = slow_three();
    std::vector<int> got;
    for (int round = 0; round != 3; ++round) {
      // Paused in one task, and destroyed; goes on in another one.
      auto h = spawn([&inner]() -> task<> {
        auto outer = asks(&inner);
        static_cast<void>(co_await select(outer.next(), sleep(1ms)));
      });
      static_cast<void>(co_await h);
      auto h2 = spawn([&inner]() -> task<> {
        {
          auto outer = passes_on(asks(&inner));
          static_cast<void>(co_await select(outer.next(), sleep(1ms)));
        }
        auto twice = gives_up_inside(&inner);
        static_cast<void>(co_await select(twice.next(), sleep(500us)));
      });
      static_cast<void>(co_await h2);
      auto e = co_await inner.next();
      if (e) got.push_back(*e);
    }
    CHECK(got == std::vector<int>{0, 1, 2});
    auto end = co_await inner.next();
    CHECK_FALSE(end.has_value());
  });
}

// The end of its shield was taken for a request, which stayed.
TEST_CASE(
    "a generator that paused while a shielded operation stopped by itself was stopped later") {
  std::vector<int> got;
  bool cancelled = true;
  testing::run_paused([&]() -> task<> {
    auto consumer = spawn([&]() -> task<> {
      auto g = []() -> async_generator<int> {
        auto r = co_await as_result(shield(stops_by_itself(5)));
        CHECK_FALSE(r.has_value());
        co_yield 1;
        co_await sleep(1ms);
        co_yield 2;
      }();
      auto impatience = []() -> task<> { co_await yield_now(); };
      static_cast<void>(co_await select(biased, g.next(), impatience()));
      for (;;) {
        auto x = co_await g.next();
        if (!x) break;
        got.push_back(*x);
      }
    });
    auto r = co_await consumer;
    cancelled = r.is_cancelled();
  });
  CHECK_FALSE(cancelled);
  CHECK(got == std::vector<int>{1, 2});
}
