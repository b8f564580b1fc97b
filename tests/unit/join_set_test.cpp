// SPDX-License-Identifier: MIT
#include <kioto/join_set.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

using flag = std::shared_ptr<std::atomic<bool>>;
flag make_flag() { return std::make_shared<std::atomic<bool>>(false); }

task<int> value(int x) { co_return x; }
task<int> value_after(int x, flag f) {
  while (!f->load()) co_await yield_now();
  co_return x;
}
task<int> fails() {
  throw std::runtime_error("failed");
  co_return 0;
}
task<int> never() {
  co_await sleep(1000h);
  co_return 0;
}
task<> does_nothing() { co_return; }
task<> void_fails() {
  throw std::runtime_error("failed");
  co_return;
}

task<int> never_counted(shared_probe) {
  co_await sleep(1000h);
  co_return 0;
}

}  // namespace

TEST_CASE("join_set: results come in the order in which the tasks end") {
  on_every_scheduler([]() -> task<> {
    join_set<int> set;
    CHECK(set.empty());
    auto nothing = co_await set.join_next();
    CHECK_FALSE(nothing.has_value());

    std::vector<flag> flags;
    for (int i = 0; i != 5; ++i) {
      flags.push_back(make_flag());
      set.spawn(value_after, i, flags.back());
    }
    CHECK(set.size() == 5);
    CHECK_FALSE(set.try_join_next().has_value());
    for (const int i : {3, 0, 4, 1, 2}) {
      *flags[static_cast<std::size_t>(i)] = true;
      auto r = co_await set.join_next();
      CHECK(r.has_value());
      CHECK(std::move(*r).value() == i);
    }
    nothing = co_await set.join_next();
    CHECK_FALSE(nothing.has_value());
  });
}

TEST_CASE("join_set: many tasks, more than a block of its notes holds") {
  on_every_scheduler([]() -> task<> {
    join_set<int> set;
    for (int round = 0; round != 3; ++round) {
      std::set<int> seen;
      for (int i = 0; i != 1000; ++i) set.spawn(value(i));
      for (;;) {
        auto r = co_await set.join_next();
        if (!r) break;
        seen.insert(std::move(*r).value());
      }
      CHECK(seen.size() == 1000);
    }
  });
}

TEST_CASE("join_set: ids, exceptions and cancellation are in the result") {
  on_every_scheduler([]() -> task<> {
    join_set<int> set;
    const task_id failing = set.spawn(fails()).id();
    auto r = co_await set.join_next();
    CHECK(r.has_value());
    CHECK(r->is_exception());
    CHECK(r->id() == failing);
    const auto stop = set.spawn(never());
    stop.abort();
    r = co_await set.join_next();
    CHECK(r.has_value());
    CHECK(r->is_cancelled());
    CHECK(r->id() == stop.id());
    CHECK(stop.is_finished());
  });
}

TEST_CASE("join_set: blocking calls and tasks of another runtime") {
  auto other = make_runtime(flavour::one_worker);
  on_every_scheduler([&other]() -> task<> {
    join_set<int> set;
    set.spawn_blocking([](int a) { return a; }, 1);
    set.spawn_blocking_on(other.handle(), [] { return 2; });
    set.spawn_on(other.handle(), value(3));
    set.spawn_on(other.handle(), value, 4);
    int sum = 0;
    for (;;) {
      auto r = co_await set.join_next();
      if (!r) break;
      sum += std::move(*r).value();
    }
    CHECK(sum == 10);
  });
}

TEST_CASE("join_set: join_all returns all values") {
  on_every_scheduler([]() -> task<> {
    join_set<int> set;
    auto none = co_await set.join_all();
    CHECK(none.empty());
    for (int i = 0; i != 100; ++i) set.spawn(value(i));
    auto all = co_await set.join_all();
    CHECK(all.size() == 100);
    CHECK(std::accumulate(all.begin(), all.end(), 0) == 4950);
    CHECK(set.empty());

    join_set<> nothings;
    nothings.spawn(does_nothing());
    nothings.spawn(does_nothing());
    co_await nothings.join_all();
    CHECK(nothings.empty());

    join_set<std::unique_ptr<int>> pointers;
    pointers.spawn([]() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(5); });
    auto moved = co_await pointers.join_all();
    CHECK(*moved.at(0) == 5);
  });
}

TEST_CASE("join_set: join_all aborts the others when one fails, waits for them and throws") {
  on_every_scheduler([]() -> task<> {
    join_set<int> set;
    std::atomic<int> ended{0};
    for (int i = 0; i != 5; ++i) set.spawn(never_counted(shared_probe(ended)));
    set.spawn(value(1));
    set.spawn(fails());
    std::string what;
    try {
      co_await set.join_all();
    } catch (const std::runtime_error& e) {
      what = e.what();
    }
    CHECK(what == "failed");
    CHECK(ended == 5);
    CHECK(set.empty());

    // The set is as good as new.
    set.spawn(value(1));
    auto all = co_await set.join_all();
    CHECK(all.size() == 1);

    // A failure that was taken before does not count.
    set.spawn(fails());
    auto r = co_await set.join_next();
    CHECK(r->is_exception());
    set.spawn(value(1));
    all = co_await set.join_all();
    CHECK(all.size() == 1);

    join_set<> nothings;
    nothings.spawn(void_fails());
    bool caught = false;
    try {
      co_await nothings.join_all();
    } catch (const std::runtime_error&) {
      caught = true;
    }
    CHECK(caught);

    set.spawn(never()).abort();
    caught = false;
    try {
      co_await set.join_all();
    } catch (const task_cancelled&) {
      caught = true;
    }
    CHECK(caught);
  });
}

TEST_CASE("join_set: shutdown aborts and waits") {
  on_every_scheduler([]() -> task<> {
    join_set<int> set;
    co_await set.shutdown();
    std::atomic<int> ended{0};
    for (int i = 0; i != 20; ++i) set.spawn(never_counted(shared_probe(ended)));
    set.spawn(value(1));
    co_await set.shutdown();
    CHECK(ended == 20);
    CHECK(set.empty());
  });
}

TEST_CASE("join_set: destroying and assigning it aborts its tasks") {
  on_every_scheduler([]() -> task<> {
    std::atomic<int> ended{0};
    {
      join_set<int> set;
      for (int i = 0; i != 20; ++i) set.spawn(never_counted(shared_probe(ended)));
      set.spawn(value(1));
      for (int i = 0; i != 5; ++i) co_await yield_now();
    }
    while (ended != 20) co_await yield_now();

    join_set<int> a;
    a.spawn(never_counted(shared_probe(ended)));
    join_set<int> b(std::move(a));
    CHECK(b.size() == 1);
    CHECK(a.empty());
    b = std::move(a);
    while (ended != 21) co_await yield_now();
  });
}

TEST_CASE("join_set: detached tasks run on") {
  on_every_scheduler([]() -> task<> {
    auto f = make_flag();
    std::atomic<int> ended{0};
    join_set<> set;
    for (int i = 0; i != 3; ++i)
      set.spawn(
          [](flag g, shared_probe) -> task<> {
            while (!g->load()) co_await yield_now();
          },
          f, shared_probe(ended));
    set.spawn(does_nothing());
    set.detach_all();
    CHECK(set.empty());
    CHECK(ended == 0);
    *f = true;
    while (ended != 3) co_await yield_now();
  });
}

TEST_CASE("join_set: it goes while its tasks end on other threads") {
  auto rt = make_runtime(flavour::four_workers);
  std::atomic<int> ended{0};
  for (int round = 0; round != 200; ++round) {
    rt.block_on(
        [](std::atomic<int>* count) -> task<> {
          join_set<> set;
          for (int i = 0; i != 20; ++i)
            set.spawn([](shared_probe) -> task<> { co_return; }, shared_probe(*count));
          co_await yield_now();
        },
        &ended);
  }
  while (ended != 200 * 20) std::this_thread::yield();
}

TEST_CASE("join_set: a set is used outside of the runtime of its tasks, and outlives it") {
  join_set<int> set;
  {
    auto rt = make_runtime(flavour::one_worker);
    for (int i = 0; i != 10; ++i) set.spawn_on(rt.handle(), never());
  }
  int cancelled = 0;
  while (auto r = set.try_join_next()) cancelled += r->is_cancelled() ? 1 : 0;
  CHECK(cancelled == 10);
}
