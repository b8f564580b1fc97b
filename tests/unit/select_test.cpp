// SPDX-License-Identifier: MIT
#include <kioto/select.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/gate.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

task<int> give(int value) { co_return value; }
task<int> give_and_count(int value, int& started) {
  ++started;
  co_return value;
}
task<std::string> later(gate& g, std::string value) {
  co_await g.passed();
  co_return value;
}
task<int> waits_with(probe p, gate& g) {
  co_await g.passed();
  (void)p;
  co_return 1;
}
task<int> throws(const char* what) {
  co_await yield_now();
  throw std::runtime_error(what);
}
task<std::unique_ptr<int>> boxed(int value) { co_return std::make_unique<int>(value); }
task<int&> reference_to(int& value) { co_return value; }

// Ends only when the gate opens, however often it is asked to stop.
task<int> stubborn(gate& g, int value) {
  co_await shield(g.passed());
  co_return value;
}
task<> open_later(gate& g) {
  for (int i = 0; i != 10; ++i) co_await yield_now();
  g.open();
}

// Says "no" on its way out, which no stop can prevent.
class throws_when_stopped {
 public:
  static task<int> run(gate& g) {
    const auto stopped = co_await as_result(g.passed());
    if (!stopped) throw std::runtime_error("stopped");
    co_return 0;
  }
};

}  // namespace

TEST_CASE("select: the branch that completes is handed over, and the others stop before that") {
  on_every_scheduler([]() -> task<> {
    gate never;
    int destroyed = 0;
    auto hit = co_await select(waits_with(probe(destroyed), never), sleep(1ms), sleep(100s));
    CHECK(destroyed == 1);
    CHECK(hit.index() == 1);
    CHECK(hit.count() == 1);
    CHECK_FALSE(hit.has<0>());
    CHECK(hit.has<1>());
    CHECK_FALSE(hit.get<2>().has_value());
    static_assert(
        std::is_same_v<decltype(hit), select_result<int, std::monostate, std::monostate>>);
  });
}

TEST_CASE(
    "acceptance 15: in a biased select the first ready branch wins and later ones never start") {
  on_every_scheduler([]() -> task<> {
    gate never;
    int started = 0;
    for (int i = 0; i != 1000; ++i) {
      auto hit = co_await select(biased, never.passed(), give(1), give_and_count(2, started),
                                 consume_budget());
      CHECK(hit.index() == 1);
      CHECK(hit.count() == 1);
      CHECK(hit.get<1>() == 1);
    }
    CHECK(started == 0);
  });
}

TEST_CASE("acceptance 15: no branch of a select starves in 100,000 rounds") {
  on_every_scheduler([]() -> task<> {
    constexpr int rounds = 100000;
    std::array<int, 4> wins{};
    for (int i = 0; i != rounds; ++i) {
      auto hit = co_await select(give(0), consume_budget(), give(2), consume_budget());
      ++wins[hit.index()];
    }
    for (const int n : wins) {
      CHECK(n > rounds / 4 * 9 / 10);
      CHECK(n < rounds / 4 * 11 / 10);
    }
  });
}

TEST_CASE("select: every value that completed is handed over, in the order of completion") {
  on_every_scheduler([]() -> task<> {
    gate first;
    gate second;
    auto opener = spawn(open_later(second));
    auto hit = co_await select(biased, stubborn(second, 7), later(first, "x"), give(3));
    CHECK(hit.index() == 2);
    CHECK(hit.count() == 2);
    CHECK(hit.get<0>() == 7);
    CHECK_FALSE(hit.has<1>());
    CHECK(hit.get<2>() == 3);
    std::vector<int> visited;
    hit.visit([&](int x) { visited.push_back(x); }, [&](std::string&) { visited.push_back(-1); },
              [&](int x) { visited.push_back(x); });
    CHECK(visited == std::vector<int>{3, 7});
    const auto opened = co_await std::move(opener);
    CHECK(opened.has_value());
  });
}

TEST_CASE("select: a value that comes while the branch is asked to stop is not lost") {
  // Two threads open two gates at the same time; each gate that was opened before its branch could
  // stop is reported, and both are open at the end.
  on_every_scheduler([]() -> task<> {
    int both = 0;
    for (int i = 0; i != 200; ++i) {
      gate a;
      gate b;
      std::thread other([&] {
        a.open();
        b.open();
      });
      auto hit = co_await select(a.passed(), b.passed());
      const auto told = hit.count();
      if (told == 2) ++both;
      CHECK(told >= 1);
      other.join();
    }
    CHECK(both >= 0);
  });
}

TEST_CASE("select: a disabled branch is not started") {
  on_every_scheduler([]() -> task<> {
    int started = 0;
    for (int i = 0; i != 100; ++i) {
      auto hit = co_await select(when(false, give_and_count(1, started)), give(2),
                                 when(false, sleep(0ms)));
      CHECK(hit.index() == 1);
    }
    CHECK(started == 0);
    auto hit = co_await select(biased, when(true, give_and_count(1, started)), give(2));
    CHECK(hit.index() == 0);
    CHECK(started == 1);
  });
}

TEST_CASE("select: with every branch disabled it throws, or takes otherwise") {
  on_every_scheduler([]() -> task<> {
    std::string message;
    try {
      auto hit = co_await select(when(false, give(1)), when(false, give(2)));
      CHECK(hit.count() == 0);
    } catch (const std::logic_error& e) {
      message = e.what();
    }
    CHECK_THAT(message, contains("otherwise"));
    auto hit = co_await select(when(false, give(1)), when(false, give(2)), otherwise);
    CHECK(hit.index() == 2);
    CHECK(hit.has<2>());
    auto enabled = co_await select(when(false, give(1)), when(true, give(2)), otherwise);
    CHECK(enabled.index() == 1);
    CHECK(enabled.count() == 1);
    const int matched = hit.match([](int) { return 1; }, [](int) { return 2; }, [] { return 3; });
    CHECK(matched == 3);
  });
}

TEST_CASE("select: the exception of the first branch passes, after the others have ended") {
  on_every_scheduler([]() -> task<> {
    gate never;
    int destroyed = 0;
    std::string message;
    try {
      auto hit = co_await select(waits_with(probe(destroyed), never), throws("first"));
      CHECK(hit.count() == 0);
    } catch (const std::runtime_error& e) {
      message = e.what();
    }
    CHECK(message == "first");
    CHECK(destroyed == 1);
  });
}

TEST_CASE("select: an exception of a loser goes to the hook, and the winner's value counts") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    std::atomic<int> reported{0};
    auto builder = builder_for(f);
    builder.on_unhandled_exception([&](const unhandled_exception_info& info) {
      CHECK(info.error != nullptr);
      ++reported;
    });
    runtime rt = std::move(builder.build()).value();
    rt.block_on([]() -> task<> {
      gate never;
      auto hit = co_await select(biased, throws_when_stopped::run(never), give(5));
      CHECK(hit.index() == 1);
      CHECK(hit.count() == 1);
      CHECK(hit.get<1>() == 5);
    });
    CHECK(reported == 1);
  }
}

TEST_CASE("select: values that only move, references, and nothing") {
  on_every_scheduler([]() -> task<> {
    gate never;
    auto boxes = co_await select(boxed(4), never.passed());
    auto box = std::move(boxes).get<0>();
    CHECK(**box == 4);
    int x = 1;
    auto refs = co_await select(reference_to(x), never.passed());
    refs.get<0>()->get() = 2;
    CHECK(x == 2);
    auto again = co_await select(biased, boxed(6), never.passed());
    auto out = std::move(again).match([](std::unique_ptr<int> p) { return p; },
                                      [] { return std::unique_ptr<int>(); });
    CHECK(*out == 6);
    refs.match([](int& r) { r = 3; }, [] {});
    CHECK(x == 3);
  });
}

TEST_CASE("select: match returns what the handler of the first branch returns") {
  on_every_scheduler([]() -> task<> {
    gate never;
    auto hit = co_await select(give(20), later(never, "never"), never.passed());
    const long n = hit.match([](int v) { return v + 1; },
                             [](const std::string& s) { return static_cast<long>(s.size()); },
                             [] { return 0L; });
    CHECK(n == 21);
    const task<int> next = hit.match([](int v) { return give(v * 2); },
                                     [](std::string&) { return give(0); }, [] { return give(1); });
    CHECK(next.valid());
  });
}

TEST_CASE("select: a join handle that loses keeps its task running and its result") {
  on_every_scheduler([]() -> task<> {
    gate g;
    auto h = spawn(later(g, "done"));
    auto hit = co_await select(h, sleep(1ms));
    CHECK(hit.index() == 1);
    CHECK_FALSE(h.is_finished());
    g.open();
    auto end = co_await select(h, sleep(100s));
    CHECK(end.index() == 0);
    CHECK(std::move(*end.get<0>()).value() == "done");
  });
}

TEST_CASE("select: a range of branches") {
  on_every_scheduler([]() -> task<> {
    gate never;
    gate g;
    int destroyed = 0;
    std::vector<task<int>> tasks;
    for (int i = 0; i != 40; ++i) tasks.push_back(waits_with(probe(destroyed), never));
    tasks.push_back(stubborn(g, 9));
    g.open();
    auto hit = co_await select(std::move(tasks));
    CHECK(hit.size() == 41);
    CHECK(hit.index() == 40);
    CHECK(hit.order() == std::vector<std::size_t>{40});
    CHECK(hit.get(40) == 9);
    CHECK_FALSE(hit.has(0));
    // Those that came before the random start waited; those behind it never started.
    CHECK(destroyed == 40);

    std::vector<task<int>> ready;
    for (int i = 0; i != 3; ++i) ready.push_back(give(i));
    auto first = co_await select(biased, std::move(ready));
    CHECK(first.index() == 0);

    std::string message;
    try {
      auto none = co_await select(std::vector<task<int>>());
      CHECK(none.size() == 1);
    } catch (const std::logic_error& e) {
      message = e.what();
    }
    CHECK_THAT(message, contains("empty range"));
  });
}

TEST_CASE("select: sixteen branches") {
  on_every_scheduler([]() -> task<> {
    gate n;
    for (int i = 0; i != 50; ++i) {
      auto hit =
          co_await select(n.passed(), n.passed(), n.passed(), n.passed(), n.passed(), n.passed(),
                          n.passed(), n.passed(), n.passed(), n.passed(), n.passed(), n.passed(),
                          n.passed(), n.passed(), n.passed(), yield_now());
      CHECK(hit.index() == 15);
    }
  });
}

TEST_CASE("select: a loop of ready branches yields") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker}) {
    runtime rt = make_runtime(f);
    rt.block_on([]() -> task<> {
      bool others_ran = false;
      auto other = spawn(
          [](bool* ran) -> task<> {
            *ran = true;
            co_return;
          },
          &others_ran);
      int rounds = 0;
      for (; !others_ran && rounds != 10000; ++rounds) {
        auto hit = co_await select(give(1), give(2));
        CHECK(hit.count() == 1);
      }
      CHECK(rounds <= 129);
      auto ended = co_await std::move(other);
      CHECK(ended.has_value());
    });
  }
}

TEST_CASE("select: a loop of ready branches stops when it is asked to") {
  on_every_scheduler([]() -> task<> {
    std::atomic<bool> running{false};
    auto h = spawn(
        [](std::atomic<bool>* r) -> task<> {
          for (;;) {
            auto hit = co_await select(give(1), consume_budget());
            CHECK(hit.count() == 1);
            r->store(true);
          }
        },
        &running);
    while (!running.load()) co_await yield_now();
    h.abort();
    auto ended = co_await std::move(h);
    CHECK(ended.is_cancelled());
  });
}

TEST_CASE("select: with a stop pending, what need not wait still completes") {
  on_every_scheduler([]() -> task<> {
    std::atomic<int> seen{0};
    gate never;
    auto h = spawn(
        [](std::atomic<int>* n, gate* g) -> task<> {
          const auto stopped = co_await as_result(g->passed());
          CHECK_FALSE(stopped.has_value());
          auto hit = co_await select(biased, g->passed(), give(4));
          n->store(*hit.get<1>());
          auto nested = co_await timeout(100s, select(biased, g->passed(), give(5)));
          n->fetch_add(*nested.get<1>());
          auto none = co_await select(g->passed(), sleep(100s));
          CHECK(none.count() == 0);
          n->store(-1);
        },
        &seen, &never);
    while (never.waited() == 0) co_await yield_now();
    h.abort();
    auto ended = co_await std::move(h);
    CHECK(ended.is_cancelled());
    CHECK(seen == 9);
  });
}

TEST_CASE("select: nests in itself, in timeout, in as_result and in shield") {
  on_every_scheduler([]() -> task<> {
    gate never;
    auto inner = co_await select(select(never.passed(), sleep(100s)),
                                 timeout(1ms, select(yield_now())), timeout(100s, never.passed()));
    CHECK(inner.index() == 1);
    auto shielded = co_await shield(select(never.passed(), sleep(1ms)));
    CHECK(shielded.index() == 1);
    auto result = co_await as_result(select(biased, never.passed(), give(1)));
    CHECK(result.has_value());
    auto in_branch = co_await select(as_result(never.passed()), shield(sleep(1ms)));
    CHECK(in_branch.index() == 1);
    CHECK(in_branch.count() == 2);  // as_result makes a value of the stop
  });
}

namespace {

task<int> nested(int depth, gate& g) {
  if (depth == 0) {
    co_await g.passed();
    co_return 0;
  }
  auto hit = co_await select(biased, nested(depth - 1, g), sleep(1000s));
  co_return *hit.get<0>() + 1;
}

}  // namespace

TEST_CASE("select: twenty thousand of them, each in a branch of the one before") {
  on_every_scheduler([]() -> task<> {
    constexpr int depth = 20000;
    gate g;
    auto opener = spawn(
        [](gate* what) -> task<> {
          while (what->waited() == 0) co_await yield_now();
          what->open();
        },
        &g);
    const int sum = co_await nested(depth, g);
    CHECK(sum == depth);
    const auto opened = co_await std::move(opener);
    CHECK(opened.has_value());

    gate never;
    auto h = spawn(nested(depth, never));
    while (never.waited() == 0) co_await yield_now();
    h.abort();
    auto ended = co_await std::move(h);
    CHECK(ended.is_cancelled());
  });
}

TEST_CASE("select: an operation that is not awaited is destroyed unused") {
  on_every_scheduler([]() -> task<> {
    int destroyed = 0;
    gate g;
    {
      auto unused = select(waits_with(probe(destroyed), g), sleep(1s));
      auto moved = std::move(unused);
      (void)moved;
    }
    CHECK(destroyed == 1);
    auto op = select(give(3), g.passed());
    auto hit = co_await std::move(op);
    CHECK(hit.get<0>() == 3);
  });
}
