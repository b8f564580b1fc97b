// SPDX-License-Identifier: MIT
// Acceptance behaviours of time: paused clocks, rounding, intervals, reproducible order.
#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include <kioto/kioto.hpp>
#include <kioto/select.hpp>
#include <kioto/testing/driven.hpp>
#include <kioto/testing/paused.hpp>
#include <kioto/time/interval.hpp>
#include "driver/time_driver.hpp"

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

namespace {

using times = std::vector<std::chrono::nanoseconds>;
using order = std::vector<int>;

task<> sleep_and_note(std::chrono::nanoseconds how_long, steady::time_point start,
                      std::shared_ptr<times> out) {
  co_await sleep(how_long);
  out->push_back(now() - start);
}

times random_sleeps() {
  auto out = std::make_shared<times>();
  testing::run_paused([out]() -> task<> {
    std::mt19937_64 random(42);
    const auto start = now();
    std::vector<join_handle<>> all;
    for (int i = 0; i != 5000; ++i) {
      all.push_back(
          spawn(sleep_and_note(std::chrono::microseconds(random() % 10'000'000), start, out)));
      // Half of them one after the other, half beside each other.
      co_await sleep_and_note(std::chrono::microseconds(random() % 100'000), start, out);
    }
    for (auto& h : all) {
      auto r = co_await std::move(h);
      CHECK(r.has_value());
    }
  });
  return *out;
}

task<> note_turns(int me, std::shared_ptr<order> out) {
  for (int i = 0; i != 3; ++i) {
    out->push_back(me);
    co_await yield_now();
  }
  co_await sleep(std::chrono::milliseconds(1 + me % 3));
  out->push_back(me);
}

order run_with(std::optional<std::uint64_t> seed) {
  auto out = std::make_shared<order>();
  auto rt = testing::paused_runtime(auto_advance::on, seed);
  rt.block_on([](std::shared_ptr<order> o) -> task<> {
    std::vector<join_handle<>> all;
    for (int i = 0; i != 20; ++i) all.push_back(spawn(note_turns(i, o)));
    for (auto& h : all) {
      auto r = co_await std::move(h);
      CHECK(r.has_value());
    }
  }(out));
  return *out;
}

task<int> ready(int value) { co_return value; }

order choices_with(std::uint64_t seed) {
  runtime rt = testing::paused_runtime(auto_advance::on, seed);
  return rt.block_on([]() -> task<order> {
    order out;
    for (int i = 0; i != 100; ++i) {
      auto hit = co_await select(ready(0), ready(1), ready(2), yield_now());
      out.push_back(static_cast<int>(hit.index()));
    }
    co_return out;
  });
}

// A timer that calls what it is given.
struct callback_timer : detail::timer_node {
  void fire() noexcept {
    if (then) then();
  }
  std::function<void()> then;
};
using callback_driver = detail::basic_time_driver<detail::std_sync, callback_timer>;

// Polls the tick by hand: the time that it gives, or nothing while it is pending.
class ticks_by_hand {
 public:
  ticks_by_hand(steady::time_point start, missed_tick how)
      : start_(start), every_(interval_at(start, 300ms, how)) {}

  std::optional<std::chrono::nanoseconds> poll() {
    if (!pending_) pending_.emplace(every_.tick());
    if (!pending_->poll()) return std::nullopt;
    const auto at = pending_->take() - start_;
    pending_.reset();
    return at;
  }

 private:
  steady::time_point start_;
  interval every_;
  std::optional<testing::driven<steady::time_point>> pending_;
};

void missed_ticks(missed_tick how, const std::function<void(ticks_by_hand&)>& after_650,
                  std::initializer_list<std::chrono::milliseconds> later) {
  runtime rt = testing::paused_runtime(auto_advance::off);
  const times expected(later.begin(), later.end());
  rt.block_on(
      [](missed_tick m, const std::function<void(ticks_by_hand&)>* check, times rest) -> task<> {
        const auto start = now();
        co_await time::advance(1ms);
        ticks_by_hand ticks(start, m);
        CHECK(ticks.poll() == 0ms);
        CHECK(ticks.poll() == std::nullopt);
        co_await time::advance(100ms);
        CHECK(ticks.poll() == std::nullopt);
        co_await time::advance(200ms);
        CHECK(ticks.poll() == 300ms);
        CHECK(ticks.poll() == std::nullopt);
        co_await time::advance(650ms);  // 951
        (*check)(ticks);
        CHECK(ticks.poll() == std::nullopt);
        for (const auto at : rest) {
          co_await time::advance(start + at - now() - 1ms);
          CHECK(ticks.poll() == std::nullopt);
          co_await time::advance(1ms);
          CHECK(ticks.poll() == at);
          CHECK(ticks.poll() == std::nullopt);
        }
      }(how, &after_650, expected));
}

}  // namespace

TEST_CASE("acceptance 15: the same seed gives the same order of tasks twice, another one another") {
  std::set<order> orders;
  for (std::uint64_t seed = 0; seed != 10; ++seed) {
    const order first = run_with(seed);
    CHECK(first.size() == 80);
    CHECK(first == run_with(seed));
    orders.insert(first);
  }
  CHECK(orders.size() == 10);
  // Without a seed: in turn.
  const order in_turn = run_with(std::nullopt);
  for (int i = 0; i != 60; ++i) CHECK(in_turn[static_cast<std::size_t>(i)] == i % 20);
}

TEST_CASE("acceptance 15: the same seed makes select choose the same branches twice") {
  std::set<order> sequences;
  for (std::uint64_t seed = 0; seed != 10; ++seed) {
    const order first = choices_with(seed);
    CHECK(std::set<int>(first.begin(), first.end()).size() >= 3);
    CHECK(first == choices_with(seed));
    sequences.insert(first);
  }
  CHECK(sequences.size() == 10);
}

TEST_CASE("acceptance 34: ten thousand random sleeps under a paused clock take the same course") {
  const times first = random_sleeps();
  CHECK(first.size() == 10'000);
  CHECK(first == random_sleeps());
}

TEST_CASE("acceptance 34: a paused clock does not time out a blocking call") {
  testing::run_paused([]() -> task<> {
    const auto start = now();
    auto job = spawn_blocking([] {
      std::this_thread::sleep_for(50ms);
      return 5;
    });
    auto r = co_await timeout(1ms, std::move(job));
    CHECK(std::move(r).value() == 5);
    CHECK(now() == start);
  });
}

TEST_CASE("acceptance 35: deadlines round up to the next millisecond and are never early") {
  testing::run_paused([]() -> task<> {
    const auto start = now();
    co_await sleep_until(start + 1ms + 1ns);
    CHECK(now() - start == 2ms);
  });
  // The same in a clock that was stopped at any time.
  runtime rt = make_runtime(flavour::current_thread);
  rt.block_on([]() -> task<> {
    for (int i = 0; i != 20; ++i) {
      std::this_thread::sleep_for(100us);
      time::pause();
      const auto start = now();
      co_await sleep_until(start + 1ms + 1ns);
      const auto elapsed = now() - start;
      CHECK(elapsed >= 1ms + 1ns);
      CHECK(elapsed <= 2ms);
      time::resume();
    }
  });
}

TEST_CASE("acceptance 35: a sleep of years is exact, and one without an end does not end") {
  testing::run_paused([]() -> task<> {
    const auto start = now();
    auto forever = spawn([]() -> task<> { co_await sleep(std::chrono::hours::max()); });
    co_await sleep(std::chrono::hours(24 * 365 * 5));
    CHECK(now() - start == std::chrono::hours(24 * 365 * 5));
    co_await sleep(std::chrono::hours(24 * 365 * 100));
    CHECK(now() - start == std::chrono::hours(24 * 365 * 105));
    CHECK_FALSE(forever.is_finished());
    forever.abort();
    auto r = co_await std::move(forever);
    CHECK(r.is_cancelled());
  });
}

TEST_CASE("acceptance 35: what a timer wakes may drop a hundred timers while they fire") {
  callback_driver driver(steady::time_point{});
  auto doomed = std::make_unique<std::deque<callback_timer>>(100);
  std::vector<callback_timer> first(1);
  int dropped = 0;
  first[0].then = [&] {
    for (callback_timer& t : *doomed) dropped += driver.cancel(t) ? 1 : 0;
    // Up to 31 are in the batch that is being fired; they stay alive until then.
    CHECK(dropped >= 100 - static_cast<int>(callback_driver::batch_size));
  };
  driver.insert(first[0], 10);
  for (callback_timer& t : *doomed) driver.insert(t, 10);
  CHECK(driver.process(10) + static_cast<std::size_t>(dropped) == 101);

  on_every_scheduler([]() -> task<> {
    for (int round = 0; round != 10; ++round) {
      const auto at = now() + 5ms;
      std::vector<join_handle<bool>> others;
      std::vector<abort_handle> aborts;
      for (int i = 0; i != 100; ++i) {
        others.push_back(spawn(
            [](steady::time_point when) -> task<bool> {
              co_await sleep_until(when);
              co_return now() >= when;
            },
            at));
        aborts.push_back(others.back().abort_handle());
      }
      auto killer = spawn(
          [](steady::time_point when, std::vector<abort_handle> all) -> task<> {
            co_await sleep_until(when);
            for (const auto& h : all) h.abort();
          },
          at, std::move(aborts));
      auto r = co_await std::move(killer);
      CHECK(r.has_value());
      for (auto& h : others) {
        auto ended = co_await std::move(h);
        CHECK((ended.is_cancelled() || std::move(ended).value()));
      }
    }
  });
}

TEST_CASE("acceptance 36: missed ticks in a burst") {
  missed_ticks(missed_tick::burst,
               [](ticks_by_hand& ticks) {
                 CHECK(ticks.poll() == 600ms);
                 CHECK(ticks.poll() == 900ms);
               },
               {1200ms, 1500ms, 1800ms});
}

TEST_CASE("acceptance 36: missed ticks delayed") {
  missed_ticks(missed_tick::delay, [](ticks_by_hand& ticks) { CHECK(ticks.poll() == 600ms); },
               {1251ms, 1551ms, 1851ms});
}

TEST_CASE("acceptance 36: missed ticks skipped") {
  missed_ticks(missed_tick::skip, [](ticks_by_hand& ticks) { CHECK(ticks.poll() == 600ms); },
               {1200ms, 1500ms, 1800ms});
}

TEST_CASE("acceptance 36: a period of zero is refused") {
  CHECK_THROWS_AS(interval(0ms), std::invalid_argument);
  CHECK_THROWS_AS(interval_at(now(), 0ms), std::invalid_argument);
}
