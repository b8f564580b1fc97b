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
#include "support/flag.hpp"
#include "support/runtimes.hpp"
#include "support/signal.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

using counter = std::shared_ptr<std::atomic<int>>;

task<int> give(int value) { co_return value; }

task<int> ready_loop(int n) {
  int sum = 0;
  for (int i = 0; i != n; ++i) sum += co_await give(1);
  co_return sum;
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

task<> wait_for(signal& s, shared_probe end) {
  (void)end;
  co_await s.wait();
}

template <class Probe>
task<> sleep_for_ever(Probe p) {
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

TEST_CASE("acceptance 7: ten thousand tasks are woken from outside while the runtime is dropped") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    for (int round = 0; round != 5; ++round) {
      INFO("scheduler " << static_cast<int>(f) << " round " << round);
      auto signals = std::make_unique<std::array<signal, 10000>>();
      std::atomic<int> gone{0};
      std::atomic<bool> begun{false};
      std::thread other;
      {
        runtime rt = make_runtime(f);
        for (signal& s : *signals) rt.spawn(wait_for(s, shared_probe(gone)));
        rt.block_on([]() -> task<> { co_await yield_now(); });
        other = std::thread([&] {
          for (signal& s : *signals) {
            s.set();
            begun = true;
          }
        });
        while (!begun) std::this_thread::yield();
      }
      // Whether it was woken or stopped, each has ended when the runtime is gone.
      CHECK(gone == 10000);
      other.join();
    }
  }
}

TEST_CASE("a runtime is dropped while its last tasks are being woken from outside") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    for (int round = 0; round != 100; ++round) {
      std::array<signal, 2> signals;
      std::atomic<int> gone{0};
      runtime rt = make_runtime(f);
      for (signal& s : signals) rt.spawn(wait_for(s, shared_probe(gone)));
      rt.block_on([]() -> task<> { co_await yield_now(); });
      std::thread other([&] {
        for (signal& s : signals) s.set();
      });
      std::optional<runtime>(std::move(rt)).reset();
      CHECK(gone == 2);
      other.join();
    }
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
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    for (const bool background : {false, true}) {
      INFO("scheduler " << static_cast<int>(f) << " background " << background);
      runtime rt = make_runtime(f);
      const flag release = make_flag();
      const flag started = make_flag();
      const flag ended = make_flag();
      auto blocked = rt.spawn_blocking([release, started, ended] {
        started->store(true);
        comes_true(*release);
        ended->store(true);
      });
      if (f == flavour::current_thread) rt.block_on([]() -> task<> { co_await yield_now(); });
      REQUIRE(comes_true(*started));
      if (background)
        rt.shutdown_background();
      else
        CHECK_FALSE(rt.shutdown(100ms));
      CHECK_FALSE(ended->load());  // it was not waited for
      auto late = rt.spawn_blocking([] { return 4; });
      CHECK(late.is_finished());
      release->store(true);
      CHECK(comes_true(*ended));
      runtime other = make_runtime(flavour::current_thread);
      other.block_on([](join_handle<int>* refused) -> task<> {
        auto r = co_await std::move(*refused);
        CHECK(r.is_cancelled());
      }(&late));
    }
  }
}

TEST_CASE("acceptance 11: a blocking call that has begun is waited for, and its value counts") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    std::optional<join_handle<int>> kept;
    {
      runtime rt = make_runtime(f);
      const flag started = make_flag();
      kept.emplace(rt.spawn_blocking([started] {
        started->store(true);
        std::this_thread::sleep_for(20ms);
        return 7;
      }));
      if (f == flavour::current_thread) rt.block_on([]() -> task<> { co_await yield_now(); });
      REQUIRE(comes_true(*started));
    }
    CHECK(kept->is_finished());
    runtime other = make_runtime(flavour::current_thread);
    const int value = other.block_on([](join_handle<int>* h) -> task<int> {
      auto r = co_await std::move(*h);
      co_return std::move(r).value();
    }(&*kept));
    CHECK(value == 7);
  }
}

TEST_CASE("acceptance 14: block_in_place works with workers, nested, and with block_on inside") {
  for (const flavour f : {flavour::one_worker, flavour::four_workers}) {
    runtime rt = make_runtime(f);
    const int value = rt.block_on([]() -> task<int> {
      const handle h = handle::current();
      // More operations than a run has a budget for: none of them starves.
      const auto many = []() -> task<int> {
        int sum = 0;
        for (int i = 0; i != 1000; ++i) {
          co_await consume_budget();
          ++sum;
        }
        co_return sum;
      };
      const int inner =
          block_in_place([&] { return block_in_place([&] { return h.block_on(many()); }); });
      co_return inner;
    });
    CHECK(value == 1000);
  }
}

TEST_CASE("acceptance 14: what a task had woken before block_in_place runs while it blocks") {
  for (const flavour f : {flavour::one_worker, flavour::four_workers}) {
    runtime rt = make_runtime(f);
    for (int round = 0; round != 20; ++round) {
      const bool came = rt.block_on([]() -> task<bool> {
        const auto sets = [](flag it) -> task<> {
          it->store(true);
          co_return;
        };
        const auto yields = [](flag it) -> task<> {
          co_await yield_now();  // deferred
          it->store(true);
        };
        const flag woken = make_flag();
        const flag deferred = make_flag();
        spawn(yields, deferred);
        co_await yield_now();
        spawn(sets, woken);
        const bool both =
            block_in_place([&] { return comes_true(*woken) && comes_true(*deferred); });
        co_return both;
      });
      CHECK(came);
    }
  }
}

TEST_CASE("acceptance 14: block_in_place says why it does not work on a single thread") {
  const auto says = []() -> task<std::string> {
    std::string said;
    try {
      block_in_place([] {});
    } catch (const std::logic_error& e) {
      said = e.what();
    }
    co_return said;
  };
  const char* const reason = "only when running on the multi-threaded runtime";
  CHECK_THAT(make_runtime(flavour::current_thread).block_on(says()), contains(reason));
  CHECK_THAT(runtime::builder().build_local().value().block_on(says()), contains(reason));
  int outside = 0;
  block_in_place([&] { outside = 1; });
  CHECK(outside == 1);
}

TEST_CASE("acceptance 16: an aborted sleeper is cancelled and its objects destroyed") {
  on_every_scheduler([]() -> task<> {
    for (const bool dropped : {false, true}) {
      for (const bool has_run : {false, true}) {
        auto gone = std::make_shared<std::atomic<int>>(0);
        auto h = spawn(sleep_for_ever(shared_probe(*gone)));
        if (has_run) co_await sleep(1ms);
        const auto stop = h.abort_handle();
        h.abort();
        if (dropped) {
          h.detach();
          for (int i = 0; i != 20000 && !stop.is_finished(); ++i) co_await sleep(1ms);
        } else {
          auto r = co_await std::move(h);
          CHECK(r.is_cancelled());
        }
        CHECK(*gone == 1);
      }
    }
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
    const auto outer = [](probe p) -> task<> { co_await sleep_for_ever(std::move(p)); };
    auto h = spawn(outer(probe(dead)));
    std::optional<task_dump> found;
    // It may not have come to its sleep yet.
    for (int i = 0; i != 20000 && !found; ++i) {
      co_await sleep(1ms);
      for (const task_dump& t : handle::current().dump())
        if (t.id == h.id() && t.now == task_dump::state::suspended && t.awaits.size() == 2)
          found = t;
    }
    CHECK(found.has_value());
    if (found) {
      CHECK_THAT(found->spawned_at.file_name(), contains("runtime_test"));
      CHECK_THAT(found->awaits[1].function, contains("sleep_for_ever"));
      CHECK(found->awaits[1].line != 0);
      const std::string text = found->to_string();
      CHECK_THAT(text, contains("sleep_for_ever"));
      CHECK_THAT(text, contains("suspended"));
    }
    // A dump gives back what it borrows: the task can still be woken and stopped.
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
