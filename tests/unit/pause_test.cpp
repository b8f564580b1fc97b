// SPDX-License-Identifier: MIT
#include <kioto/time/pause.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include <kioto/kioto.hpp>
#include <kioto/testing/paused.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/tcp.hpp"

using namespace kioto;
using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;
using kioto_test::contains;
using kioto_test::flavour;

namespace {

using journal = std::shared_ptr<std::vector<std::chrono::nanoseconds>>;
journal make_journal() { return std::make_shared<std::vector<std::chrono::nanoseconds>>(); }

task<> sleeper(std::chrono::nanoseconds how_long, steady::time_point start, journal seen) {
  co_await sleep(how_long);
  seen->push_back(now() - start);
}

task<> blocks(std::chrono::milliseconds real_time, std::shared_ptr<std::atomic<bool>> done) {
  auto job = spawn_blocking([real_time, done] {
    std::this_thread::sleep_for(real_time);
    done->store(true);
  });
  auto r = co_await std::move(job);
  CHECK(r.has_value());
}

}  // namespace

TEST_CASE("a paused clock stands still, at a whole millisecond", "[pause]") {
  runtime rt = kioto_test::make_runtime(flavour::current_thread);
  rt.block_on([]() -> task<> {
    const auto before = now();
    time::pause();
    const auto at = now();
    CHECK(at >= before);
    CHECK(at.time_since_epoch() % 1ms == 0ns);
    std::this_thread::sleep_for(3ms);
    co_await yield_now();
    CHECK(now() == at);
  });
}

TEST_CASE("a paused clock jumps to the next timer when nothing else is to do", "[pause]") {
  const journal seen = make_journal();
  testing::run_paused([seen]() -> task<> {
    const auto start = now();
    std::vector<join_handle<>> all;
    for (const auto d : {3h, 1h, 2h}) all.push_back(spawn(sleeper(d, start, seen)));
    all.push_back(spawn(sleeper(1500us, start, seen)));
    for (auto& h : all) {
      auto r = co_await std::move(h);
      CHECK(r.has_value());
    }
    CHECK(now() - start == 3h);
  });
  // The ticks are whole milliseconds, so 1.5 ms are over after 2.
  CHECK(*seen == std::vector<std::chrono::nanoseconds>{2ms, 1h, 2h, 3h});
}

TEST_CASE("without auto-advance the clock moves only when it is told to", "[pause]") {
  runtime rt = testing::paused_runtime(auto_advance::off);
  rt.block_on([]() -> task<> {
    const auto start = now();
    const journal seen = make_journal();
    auto one = spawn(sleeper(1s, start, seen));
    auto two = spawn(sleeper(2s, start, seen));
    for (int i = 0; i != 10; ++i) co_await yield_now();
    CHECK(now() == start);
    CHECK_FALSE(one.is_finished());

    co_await time::advance(999ms);
    CHECK_FALSE(one.is_finished());
    co_await time::advance(1ms);
    CHECK(one.is_finished());  // it ran before advance() returned
    CHECK_FALSE(two.is_finished());
    CHECK(now() - start == 1s);
    co_await time::advance(10s);
    CHECK(two.is_finished());
    // In one step: the second one woke up late.
    CHECK(*seen == std::vector<std::chrono::nanoseconds>{1s, 11s});
    co_await time::advance(0s);
    co_await time::advance(-5s);
    CHECK(now() - start == 11s);
  });
}

TEST_CASE("advance_until_idle goes from timer to timer until none is left", "[pause]") {
  for (const auto mode : {auto_advance::off, auto_advance::on}) {
    runtime rt = testing::paused_runtime(mode);
    rt.block_on([]() -> task<> {
      const auto start = now();
      const journal seen = make_journal();
      auto chain = spawn(
          [](steady::time_point since, journal out) -> task<> {
            for (int i = 0; i != 3; ++i) co_await sleeper(10s, since, out);
          },
          start, seen);
      auto other = spawn(sleeper(25s, start, seen));
      auto forever = spawn(sleeper(std::chrono::nanoseconds::max(), start, seen));
      const auto moved = co_await time::advance_until_idle();
      CHECK(moved == 30s);
      CHECK(now() - start == 30s);
      CHECK(*seen == std::vector<std::chrono::nanoseconds>{10s, 20s, 25s, 30s});
      CHECK(chain.is_finished());
      CHECK(other.is_finished());
      CHECK_FALSE(forever.is_finished());
      forever.abort();
      const auto nothing = co_await time::advance_until_idle();
      CHECK(nothing == 0s);
    });
  }
}

TEST_CASE("several tasks wait until the runtime is idle", "[pause]") {
  testing::run_paused([]() -> task<> {
    const auto idle = []() -> task<std::chrono::nanoseconds> {
      co_return co_await time::advance_until_idle();
    };
    auto one = spawn(idle);
    auto two = spawn(idle);
    co_await sleep(5s);
    auto a = co_await std::move(one);
    auto b = co_await std::move(two);
    CHECK(std::move(a).value() == 5s);
    CHECK(std::move(b).value() == 5s);
  });
}

TEST_CASE("a clock that goes on does so from where it stood", "[pause]") {
  testing::run_paused([]() -> task<> {
    const auto start = now();
    co_await sleep(1h);
    time::resume();
    const auto at = now();
    CHECK(at - start >= 1h);
    CHECK(at - start < 2h);
    const auto real = steady::now();
    co_await sleep(5ms);
    CHECK(steady::now() - real >= 4ms);
    CHECK(now() - at >= 5ms);
    time::resume();  // nothing to do
    time::pause();
    const auto again = now();
    CHECK(again - at >= 5ms);
    co_await sleep(1h);
    CHECK(now() - again == 1h);
  });
}

TEST_CASE("who waits for idleness is released when the clock goes on", "[pause]") {
  runtime rt = testing::paused_runtime(auto_advance::off);
  rt.block_on([]() -> task<> {
    auto long_sleep = spawn([]() -> task<> { co_await sleep(1h); });
    // The pool is busy, so the runtime does not become idle before the clock goes on.
    auto release = std::make_shared<std::atomic<bool>>(false);
    auto job = spawn_blocking([release] {
      while (!release->load()) std::this_thread::sleep_for(1ms);
    });
    auto idle = spawn([]() -> task<> { co_await time::advance_until_idle(); });
    co_await yield_now();
    CHECK_FALSE(idle.is_finished());
    time::resume();
    auto r = co_await std::move(idle);
    CHECK(r.has_value());
    release->store(true);
    auto ended = co_await std::move(job);
    CHECK(ended.has_value());
    long_sleep.abort();
  });
}

TEST_CASE("a blocking call holds the clock, and its end lets it go on", "[pause]") {
  testing::run_paused([]() -> task<> {
    const auto start = now();
    auto done = std::make_shared<std::atomic<bool>>(false);
    auto job = spawn(blocks(20ms, done));
    co_await yield_now();
    co_await sleep(1h);
    CHECK(done->load());
    CHECK(now() - start == 1h);
    auto r = co_await std::move(job);
    CHECK(r.has_value());
  });
}

TEST_CASE("the clock goes on after each of many short blocking calls", "[pause]") {
  testing::run_paused([]() -> task<> {
    const auto start = now();
    for (int i = 0; i != 300; ++i) {
      auto one = spawn_blocking([] {});
      auto two = spawn_blocking([] { std::this_thread::yield(); });
      auto a = co_await std::move(one);
      CHECK(a.has_value());
      // The thread of the call may still be on its way out.
      co_await sleep(1s);
      auto b = co_await std::move(two);
      CHECK(b.has_value());
    }
    CHECK(now() - start == 300s);
  });
}

TEST_CASE("timeouts are exact under a paused clock", "[pause]") {
  testing::run_paused([]() -> task<> {
    const auto start = now();
    bool timed_out = false;
    try {
      co_await timeout(1h, sleep(2h));
    } catch (const timeout_error&) {
      timed_out = true;
    }
    CHECK(timed_out);
    CHECK(now() - start == 1h);
  });
}

TEST_CASE("a cancelled timer does not move the clock", "[pause]") {
  testing::run_paused([]() -> task<> {
    co_await timeout(1h, yield_now());
    const auto moved = co_await time::advance_until_idle();
    CHECK(moved == 0s);
  });
}

TEST_CASE("sockets go first: what has come does not time out", "[pause]") {
  runtime rt = testing::paused_runtime();
  rt.block_on([]() -> task<> {
    auto ends = co_await kioto_test::connected_pair();
    const auto start = now();
    for (int i = 0; i != 100; ++i) {
      const auto sent = co_await ends.a.write_all("ping");
      CHECK(sent.has_value());
      std::array<char, 4> got{};
      const auto read = co_await timeout(1ms, ends.b.read_exact(got));
      CHECK(read.has_value());
    }
    CHECK(now() == start);
    std::array<char, 4> more{};
    const auto none = co_await timeout(1h, ends.b.read(more));
    CHECK(none.error() == std::errc::timed_out);
    CHECK(now() - start == 1h);
  });
}

TEST_CASE("a local runtime has a clock that can be paused, too", "[pause]") {
  auto rt = std::move(runtime::builder().start_paused().build_local()).value();
  rt.block_on([]() -> task<> {
    const auto start = now();
    co_await sleep(24h);
    CHECK(now() - start == 24h);
  });
}

TEST_CASE("the hooks of parking may set timers of a paused clock", "[pause]") {
  int parked = 0;
  auto rt = std::move(runtime::builder()
                          .current_thread()
                          .start_paused()
                          .on_thread_park([&] {
                            if (++parked == 1) spawn([]() -> task<> { co_await sleep(1s); });
                          })
                          .build())
                .value();
  rt.block_on([]() -> task<> {
    const auto start = now();
    co_await sleep(10s);
    CHECK(now() - start == 10s);
  });
  CHECK(parked > 0);
}

TEST_CASE("a runtime with a paused clock shuts down", "[pause]") {
  for (const auto mode : {auto_advance::off, auto_advance::on}) {
    int destroyed = 0;
    {
      runtime rt = testing::paused_runtime(mode);
      rt.spawn([](kioto_test::probe) -> task<> { co_await sleep(1h); },
               kioto_test::probe(destroyed));
      rt.spawn([](kioto_test::probe) -> task<> { co_await shield(sleep(1h)); },
               kioto_test::probe(destroyed));
      rt.spawn([](kioto_test::probe) -> task<> { co_await time::advance_until_idle(); },
               kioto_test::probe(destroyed));
      rt.block_on([]() -> task<> { co_await yield_now(); });
    }
    CHECK(destroyed == 3);
  }
}

TEST_CASE("another thread may pause the clock and let it go on", "[pause]") {
  runtime rt = kioto_test::make_runtime(flavour::current_thread);
  for (int i = 0; i != 20; ++i) {
    std::thread other([&rt] {
      const auto guard = rt.enter();
      for (int n = 0; n != 20; ++n) {
        time::pause(auto_advance::off);
        std::this_thread::yield();
        time::resume();
      }
    });
    rt.block_on([]() -> task<> {
      const auto start = now();
      for (int n = 0; n != 3; ++n) co_await sleep(1ms);
      CHECK(now() - start >= 3ms);
    });
    other.join();
  }
}

TEST_CASE("pausing where that makes no sense says what to do", "[pause]") {
  CHECK_THROWS_WITH(time::pause(), contains("outside of a kioto runtime"));
  CHECK_THROWS_AS(time::resume(), std::logic_error);
  CHECK_THROWS_AS(time::advance(1s), std::logic_error);
  CHECK_THROWS_AS(time::advance_until_idle(), std::logic_error);

  runtime workers = kioto_test::make_runtime(flavour::one_worker);
  workers.block_on([]() -> task<> {
    CHECK_THROWS_WITH(time::pause(), contains("current_thread()"));
    CHECK_THROWS_AS(time::resume(), std::logic_error);
    CHECK_THROWS_AS(time::advance(1s), std::logic_error);
    co_return;
  });
  runtime rt = kioto_test::make_runtime(flavour::current_thread);
  rt.block_on([]() -> task<> {
    CHECK_THROWS_WITH(time::advance(1s), contains("kioto::time::pause()"));
    CHECK_THROWS_WITH(time::advance_until_idle(), contains("start_paused()"));
    co_return;
  });
  CHECK_THROWS_WITH(runtime::builder().worker_threads(1).start_paused().build(),
                    contains("current_thread()"));
}
