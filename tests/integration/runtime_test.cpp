// SPDX-License-Identifier: MIT
#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

using flag = std::shared_ptr<std::atomic<bool>>;
using counter = std::shared_ptr<std::atomic<int>>;

task<int> give(int value) { co_return value; }

task<int> ready_loop(int n) {
  int sum = 0;
  for (int i = 0; i != n; ++i) sum += co_await give(1);
  co_return sum;
}

task<> end_on(flag f) {
  while (!f->load()) co_await yield_now();
}

task<> respawn(flag stop, counter lived) {
  lived->fetch_add(1);
  if (!stop->load()) spawn(respawn(stop, lived));
  co_return;
}

task<int> throws() {
  co_await yield_now();
  throw std::runtime_error("on purpose");
}

task<> sleep_for_ever(probe p) {
  co_await sleep(100s);
  (void)p;
}

}  // namespace

TEST_CASE("a million ready awaits in a loop") {
  on_every_scheduler([]() -> task<> {
    const int sum = co_await ready_loop(1000000);
    CHECK(sum == 1000000);
  });
}

TEST_CASE("a chain of completions 200,000 long unwinds without recursion") {
  on_every_scheduler([]() -> task<> {
    struct chain {
      static task<int> link(int n) {
        if (n == 0) {
          co_await yield_now();
          co_return 0;
        }
        const int below = co_await link(n - 1);
        co_return below + 1;
      }
    };
    const int length = co_await chain::link(200000);
    CHECK(length == 200000);
  });
}

TEST_CASE("a chain of a million tasks, each awaiting the one before") {
  on_every_scheduler([]() -> task<> {
    const auto after = [](join_handle<int> previous) -> task<int> {
      auto r = co_await std::move(previous);
      co_return std::move(r).value() + 1;
    };
    auto last = spawn(give(0));
    for (int i = 0; i != 1000000; ++i) last = spawn(after(std::move(last)));
    auto r = co_await std::move(last);
    CHECK(std::move(r).value() == 1000000);
  });
}

TEST_CASE("acceptance 1: a chain of tasks that respawn themselves does not starve the others") {
  on_every_scheduler([]() -> task<> {
    auto stop = std::make_shared<std::atomic<bool>>(false);
    auto lived = std::make_shared<std::atomic<int>>(0);
    spawn(respawn(stop, lived));
    // Runs beside the chain, again and again, until the chain has grown.
    const auto finisher = [](flag f, counter c) -> task<int> {
      while (c->load() < 1000) co_await yield_now();
      f->store(true);
      co_return c->load();
    };
    auto h = spawn(finisher(stop, lived));
    auto r = co_await std::move(h);
    CHECK(std::move(r).value() >= 1000);
  });
}

TEST_CASE("acceptance 7: ten thousand tasks end while the runtime is dropped") {
  for (int round = 0; round != 5; ++round) {
    auto stop = std::make_shared<std::atomic<bool>>(false);
    {
      runtime rt = make_runtime(flavour::four_workers);
      for (int i = 0; i != 10000; ++i) rt.spawn(end_on(stop));
      std::thread other([&] { stop->store(true); });
      other.join();
    }
    CHECK(stop.use_count() == 1);
  }
}

TEST_CASE("acceptance 9: spawning after the runtime is gone gives a cancelled task") {
  std::optional<handle> kept;
  std::optional<join_handle<int>> before;
  std::optional<join_handle<int>> after;
  {
    runtime rt = make_runtime(flavour::four_workers);
    kept.emplace(rt.handle());
    const auto never = []() -> task<int> {
      co_await sleep(100s);
      co_return 1;
    };
    before.emplace(rt.spawn(never()));
  }
  after.emplace(kept->spawn(give(3)));
  CHECK(after->is_finished());
  CHECK(before->is_finished());
  runtime other = make_runtime(flavour::current_thread);
  other.block_on([](join_handle<int>* a, join_handle<int>* b) -> task<> {
    auto x = co_await std::move(*a);
    CHECK(x.is_cancelled());
    auto y = co_await std::move(*b);
    CHECK(y.is_cancelled());
  }(&*before, &*after));
}

TEST_CASE("acceptance 10: dropping the runtime destroys the tasks that never end") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    int destroyed = 0;
    {
      runtime rt = make_runtime(f);
      rt.spawn(sleep_for_ever(probe(destroyed)));
      rt.block_on([]() -> task<> { co_await yield_now(); });
    }
    CHECK(destroyed == 1);
  }
}

TEST_CASE("acceptance 11: shutdown has a deadline for blocking calls") {
  runtime rt = make_runtime(flavour::one_worker);
  auto release = std::make_shared<std::atomic<bool>>(false);
  auto started = std::make_shared<std::atomic<bool>>(false);
  auto blocked = rt.spawn_blocking([release, started] {
    started->store(true);
    while (!release->load()) std::this_thread::sleep_for(1ms);
  });
  while (!started->load()) std::this_thread::yield();
  const auto begin = std::chrono::steady_clock::now();
  CHECK_FALSE(rt.shutdown(100ms));
  CHECK(std::chrono::steady_clock::now() - begin < 5s);
  release->store(true);
}

TEST_CASE(
    "acceptance 14: block_in_place works with workers and nested, and says why it does not "
    "elsewhere") {
  runtime rt = make_runtime(flavour::one_worker);
  const int value = rt.block_on([]() -> task<int> {
    const handle h = handle::current();
    const int inner =
        block_in_place([&h] { return block_in_place([&h] { return h.block_on(give(5)); }); });
    co_return inner;
  });
  CHECK(value == 5);
  runtime single = make_runtime(flavour::current_thread);
  single.block_on([]() -> task<> {
    std::string said;
    try {
      block_in_place([] {});
    } catch (const std::logic_error& e) {
      said = e.what();
    }
    CHECK_FALSE(said.empty());
    co_return;
  });
}

TEST_CASE("acceptance 16: an aborted sleeper is cancelled and its objects destroyed") {
  on_every_scheduler([]() -> task<> {
    auto destroyed = std::make_shared<int>(0);
    auto h = spawn(sleep_for_ever(probe(*destroyed)));
    co_await yield_now();
    h.abort();
    auto r = co_await std::move(h);
    CHECK(r.is_cancelled());
    CHECK(*destroyed == 1);
  });
}

TEST_CASE("acceptance 18: an exception travels to the join handle and nowhere else") {
  on_every_scheduler([]() -> task<> {
    auto bad = spawn(throws());
    auto good = spawn(ready_loop(10));
    auto r = co_await std::move(bad);
    std::string what;
    try {
      (void)std::move(r).value();
    } catch (const std::runtime_error& e) {
      what = e.what();
    }
    CHECK(what == "on purpose");
    auto g = co_await std::move(good);
    CHECK(std::move(g).value() == 10);
  });
}

TEST_CASE("an exception that nobody awaits goes to the hook, and the runtime goes on") {
  std::atomic<int> seen{0};
  auto rt = runtime::builder()
                .current_thread()
                .on_unhandled_exception([&](const unhandled_exception_info&) { ++seen; })
                .build();
  REQUIRE(rt.has_value());
  rt->spawn(throws());
  rt->block_on([]() -> task<> {
    for (int i = 0; i != 10; ++i) co_await yield_now();
  });
  CHECK(seen == 1);
  CHECK(rt->block_on(give(4)) == 4);
}

TEST_CASE("acceptance 35: sleeps are never early, and long ones do not overflow") {
  on_every_scheduler([]() -> task<> {
    for (const auto delay : {1ns, 999999ns, 1000001ns, 3000000ns}) {
      const auto begin = std::chrono::steady_clock::now();
      co_await sleep(delay);
      CHECK(std::chrono::steady_clock::now() - begin >= delay);
    }
    for (const auto delay : {std::chrono::hours(24 * 365 * 5), std::chrono::hours::max()}) {
      auto h = spawn([](std::chrono::hours d) -> task<> { co_await sleep(d); }, delay);
      co_await sleep(2ms);
      CHECK_FALSE(h.is_finished());
      h.abort();
      auto r = co_await std::move(h);
      CHECK(r.is_cancelled());
    }
  });
}

TEST_CASE(
    "misuse: outside of a runtime and blocking inside a task are logic errors that name the fix") {
  CHECK_THROWS_WITH(kioto::spawn(give(1)), contains("outside of a kioto runtime"));
  CHECK_THROWS_AS(handle::current(), std::logic_error);
  runtime rt = make_runtime(flavour::one_worker);
  rt.block_on([]() -> task<> {
    const handle h = handle::current();
    std::string said;
    try {
      h.block_on(give(1));
    } catch (const std::logic_error& e) {
      said = e.what();
    }
    CHECK_THAT(said, contains("co_await"));
    co_return;
  });
}

TEST_CASE("shield delays a stop, as_result turns it into an error") {
  on_every_scheduler([]() -> task<> {
    auto steps = std::make_shared<std::atomic<int>>(0);
    const auto work = [](counter s) -> task<> {
      co_await shield(sleep(3ms));
      s->fetch_add(1);
      const auto r = co_await as_result(sleep(100s));
      if (!r && r.error() == errc::operation_canceled) s->fetch_add(10);
      co_await sleep(100s);
      s->fetch_add(100);
    };
    auto h = spawn(work(steps));
    co_await yield_now();
    h.abort();
    auto r = co_await std::move(h);
    CHECK(r.is_cancelled());
    // Aborted before its first run it does nothing at all.
    CHECK((steps->load() == 11 || steps->load() == 0));
  });
}

TEST_CASE("the dump names each task, where it was spawned and what it awaits") {
  on_every_scheduler([]() -> task<> {
    int dead = 0;
    auto h = spawn(sleep_for_ever(probe(dead)));
    co_await sleep(2ms);
    bool found = false;
    for (const task_dump& t : handle::current().dump())
      for (const auto& frame : t.awaits)
        if (frame.function.find("sleep_for_ever") != std::string::npos) found = true;
    CHECK(found);
    h.abort();
    auto r = co_await std::move(h);
    CHECK(r.is_cancelled());
  });
}

TEST_CASE("builder: settings that make no sense are refused") {
  CHECK(runtime::builder().worker_threads(0).build().error() == errc::invalid_argument);
  CHECK(runtime::builder().event_interval(0).build().error() == errc::invalid_argument);
  CHECK(runtime::builder().backend(backend::io_uring).build().error() == errc::not_supported);
}
