// SPDX-License-Identifier: MIT
// Arithmetic on times overflowed at the ends of the range, before boot, and with units that the
// clock does not have.
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <ratio>
#include <vector>

#include <kioto/kioto.hpp>
#include <kioto/testing/paused.hpp>
#include <kioto/time/pause.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/streams.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;
using std::chrono::duration;
using std::chrono::hours;
using std::chrono::nanoseconds;
using time_point = steady::time_point;

namespace {

constexpr time_point before_boot = time_point() - 1h;

// A stop that was not requested, or an endless wait, fails here after a while of real time.
template <class Body>
void on_paused_clock(Body body) {
  runtime rt = testing::paused_runtime();
  rt.block_on(body());
}

}  // namespace

TEST_CASE("an interval that began before boot ticked in 292 years") {
  for (const missed_tick how : {missed_tick::burst, missed_tick::delay, missed_tick::skip}) {
    on_paused_clock([how]() -> task<> {
      const auto start = now();
      interval every = interval_at(before_boot, 10ms, how);
      const auto at = co_await every.tick();
      CHECK(at == before_boot);
      if (how == missed_tick::burst)
        CHECK(every.next() == before_boot + 10ms);
      else if (how == missed_tick::delay)
        CHECK(every.next() == start + 10ms);
      else
        CHECK((every.next() > start && every.next() <= start + 10ms &&
               (every.next() - before_boot) % 10ms == 0ms));
      co_await every.tick();
      CHECK(now() <= start + 10ms);
    });
  }
}

TEST_CASE("an interval whose first tick is at the end of the range overflowed") {
  for (const missed_tick how : {missed_tick::burst, missed_tick::delay, missed_tick::skip}) {
    on_paused_clock([how]() -> task<> {
      const auto start = now();
      for (const nanoseconds period : {nanoseconds(1), nanoseconds(10ms), nanoseconds::max()}) {
        interval first = interval_at(time_point::min(), period, how);
        const auto at = co_await first.tick();
        CHECK(at == time_point::min());
        CHECK(first.next() > time_point::min());
        if (how != missed_tick::burst) CHECK(first.next() > start);
        interval last(time_point::max(), period, how);
        auto hit = co_await select(biased, last.tick(), sleep(1h));
        CHECK(hit.index() == 1);
        last.reset_at(time_point::max() - 1ns);
        hit = co_await select(biased, last.tick(), sleep(1h));
        CHECK(hit.index() == 1);
        last.reset_after(hours::min());
        CHECK(last.next() == now());
        last.reset_after(hours::max());
        CHECK(last.next() == time_point::max());
      }
    });
  }
}

TEST_CASE("a skipped tick keeps the times itself, though the sum is out of range") {
  on_paused_clock([]() -> task<> {
    interval rare(before_boot, hours(24 * 365 * 200), missed_tick::skip);
    co_await rare.tick();
    CHECK(rare.next() == before_boot + hours(24 * 365 * 200));
    co_return;
  });
}

TEST_CASE("a duration of a rare unit overflowed on its way to nanoseconds") {
  using detail::saturate;
  using thirds = duration<std::int64_t, std::ratio<1, 3>>;
  using frames = duration<std::int64_t, std::ratio<1001, 30000>>;
  CHECK(saturate(thirds(1)) == 333'333'334ns);
  CHECK(saturate(thirds(3'000'000'000)) == 1'000'000'000s);  // a third of the product overflows
  CHECK(saturate(thirds(27'000'000'000)) == 9'000'000'000s);
  CHECK(saturate(thirds(28'000'000'000)) == nanoseconds::max());
  CHECK(saturate(thirds::max()) == nanoseconds::max());
  CHECK(saturate(thirds::min()) == 0ns);
  CHECK(saturate(frames(30000)) == 1001s);
  CHECK(saturate(frames(200'000'000'000)) == 6'673'333'333'333'333'334ns);
  CHECK(saturate(frames::max()) == nanoseconds::max());
  // Units that are longer than the range, which did not even compile.
  CHECK(saturate(duration<int, std::tera>(1)) == nanoseconds::max());
  CHECK(saturate(duration<int, std::exa>(0)) == 0ns);
  CHECK(saturate(duration<int, std::exa>(-1)) == 0ns);
  CHECK(saturate(hours::max()) == nanoseconds::max());
  CHECK(saturate(hours::min()) == 0ns);
  // Units that are shorter than the clock's round up.
  CHECK(saturate(duration<std::int64_t, std::pico>(1)) == 1ns);
  CHECK(saturate(duration<std::int64_t, std::pico>(1000)) == 1ns);
  CHECK(saturate(duration<std::int64_t, std::pico>::max()) == 9'223'372'036'854'776ns);
  CHECK(saturate(duration<std::int64_t, std::atto>(1)) == 1ns);
  CHECK(saturate(duration<std::int64_t, std::atto>::max()) == 9'223'372'037ns);
  // Counters that are narrower, wider or without a sign.
  CHECK(saturate(duration<std::int8_t, std::milli>(-128)) == 0ns);
  CHECK(saturate(duration<std::int8_t, std::milli>(127)) == 127ms);
  CHECK(saturate(duration<std::uint64_t, std::nano>(~std::uint64_t{0})) == nanoseconds::max());
  CHECK(saturate(duration<std::uint64_t, std::nano>(std::uint64_t{1} << 63)) == nanoseconds::max());
  CHECK(saturate(duration<std::uint32_t>(4'294'967'295U)) == 4'294'967'295s);
}

TEST_CASE("a duration that is no number, or out of range, as a floating point number") {
  using detail::saturate;
  using seconds = duration<double>;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  CHECK(saturate(seconds(std::nan(""))) == 0ns);
  CHECK(saturate(duration<float>(std::nanf(""))) == 0ns);
  CHECK(saturate(seconds(infinity)) == nanoseconds::max());
  CHECK(saturate(seconds(-infinity)) == 0ns);
  CHECK(saturate(seconds(1e300)) == nanoseconds::max());
  CHECK(saturate(seconds(-1e300)) == 0ns);
  CHECK(saturate(seconds(5e-324)) == 1ns);
  CHECK(saturate(seconds(0.1)) == 100ms);
  CHECK(saturate(duration<double, std::nano>(0x1p63)) == nanoseconds::max());
  CHECK(saturate(duration<double, std::nano>(0x1.fffffffffffffp62)).count() ==
        9'223'372'036'854'774'784);
  CHECK(saturate(duration<float>(9.223372e9F)) <= nanoseconds::max());
  CHECK(saturate(duration<float>(std::numeric_limits<float>::max())) == nanoseconds::max());
  CHECK(saturate(duration<long double, std::nano>(0x1p63L - 0.5L)) == nanoseconds::max());
}

TEST_CASE("a deadline saturates at both ends, and in every unit") {
  using coarse = std::chrono::time_point<steady, hours>;
  using fine = std::chrono::time_point<steady, duration<double>>;
  CHECK(deadline(coarse::max()).is_never());
  CHECK(deadline(coarse::min()).time() == time_point::min());
  CHECK(deadline(fine(duration<double>(1e300))).is_never());
  CHECK(deadline(fine(duration<double>(1.5))).time() == time_point(1500ms));
  CHECK(deadline(fine(duration<double>(-1.5))).time() == time_point(-1500ms));
  CHECK(deadline::after(duration<double>(std::nan(""))).has_passed());
  CHECK(deadline(time_point::min()).remaining() == 0ns);
  CHECK(deadline(time_point::max() - 1ns).remaining() > 0ns);
  CHECK(detail::saturating_add(time_point::min(), nanoseconds::min()) == time_point::min());
  CHECK(detail::saturating_add(time_point::min(), nanoseconds::max()) == time_point(-1ns));
  CHECK(detail::saturating_add(time_point::max(), nanoseconds::min()) == time_point(-1ns));
  CHECK(detail::saturating_add(time_point::max(), 1ns) == time_point::max());
  CHECK(detail::saturating_add(before_boot, 1h) == time_point());
}

TEST_CASE("sleeps and time-outs at the ends of the range end at once, or never") {
  on_paused_clock([]() -> task<> {
    using coarse = std::chrono::time_point<steady, hours>;
    const auto start = now();
    for (const time_point at : {time_point::min(), time_point::min() + 1ns, before_boot,
                                time_point(), time_point(1ns), start})
      co_await sleep_until(at);
    co_await sleep_until(coarse::min());
    co_await sleep(hours::min());
    co_await sleep(nanoseconds::min());
    co_await sleep(-1ns);
    co_await sleep(duration<double>(std::nan("")));
    CHECK(now() == start);

    using endless = decltype(sleep(1s));
    const auto ends_never = [](endless forever) -> task<bool> {
      auto hit = co_await select(std::move(forever), sleep(std::chrono::years(50)));
      co_return hit.index() == 1;
    };
    auto right = co_await ends_never(sleep_until(time_point::max()));
    CHECK(right);
    right = co_await ends_never(sleep_until(time_point::max() - 1ns));
    CHECK(right);
    right = co_await ends_never(sleep_until(coarse::max()));
    CHECK(right);
    CHECK(now() == start + std::chrono::years(150));
  });
  on_paused_clock([]() -> task<> {
    using coarse = std::chrono::time_point<steady, hours>;
    const auto start = now();
    const auto is_late = [](auto limit) -> task<bool> {
      bool late = false;
      try {
        co_await timeout(limit, sleep(1h));
      } catch (const timeout_error&) {
        late = true;
      }
      co_return late;
    };
    bool late = co_await is_late(0s);
    CHECK(late);
    late = co_await is_late(hours::min());
    CHECK(late);
    late = co_await is_late(duration<double>(std::nan("")));
    CHECK(late);
    late = co_await is_late(time_point::min());
    CHECK(late);
    late = co_await is_late(coarse::min());
    CHECK(late);
    late = co_await is_late(before_boot);
    CHECK(late);
    CHECK(now() == start);
    late = co_await is_late(hours::max());
    CHECK_FALSE(late);
    late = co_await is_late(coarse::max());
    CHECK_FALSE(late);
    late = co_await is_late(deadline::never());
    CHECK_FALSE(late);
  });
}

TEST_CASE("entries of a delay queue at the ends of the range come out at once, or never") {
  on_paused_clock([]() -> task<> {
    using coarse = std::chrono::time_point<steady, hours>;
    const auto start = now();
    delay_queue<int> queue;
    queue.insert_at(1, time_point::min());
    queue.insert_at(2, before_boot);
    queue.insert_at(3, coarse::min());
    queue.insert(4, hours::min());
    queue.insert(5, 0ns);
    queue.insert_at(6, start);
    queue.insert(0, hours::max());
    queue.insert_at(0, time_point::max());
    const auto far = queue.insert_at(0, coarse::max());
    int sum = 0;
    for (int i = 0; i != 6; ++i) {
      auto entry = co_await queue.next();
      REQUIRE(entry.has_value());
      sum += entry->value;
    }
    CHECK(sum == 21);
    CHECK(now() == start);
    auto none = co_await select(queue.next(), sleep(std::chrono::years(50)));
    CHECK(none.index() == 1);
    CHECK(queue.reset(far, hours::min()));
    auto entry = co_await queue.next();
    REQUIRE(entry.has_value());
    CHECK(entry->key == far);
  });
}

TEST_CASE("streams with a pace take every duration") {
  on_paused_clock([]() -> task<> {
    const auto start = now();
    auto quick = numbers(3) | streams::throttle(hours::min());
    const auto all = co_await drain(quick);
    CHECK(all == up_to(3));
    CHECK(now() == start);
    auto slow = numbers(3) | streams::throttle(hours::max());
    const auto first = co_await slow.next();
    CHECK(first == 0);
    CHECK(now() == start);
    auto second = co_await select(slow.next(), sleep(std::chrono::years(50)));
    CHECK(second.index() == 1);
  });
  on_paused_clock([]() -> task<> {
    auto never = streams::never<int>();
    auto impatient = never | streams::timeout(duration<double>(std::nan("")));
    auto late = co_await impatient.next();
    REQUIRE(late.has_value());
    CHECK(late->error() == errc::timed_out);
    auto whole = numbers(3) | streams::chunks_timeout(5, hours::max());
    const auto chunk = co_await whole.next();
    REQUIRE(chunk.has_value());
    CHECK(*chunk == up_to(3));
  });
}

// The clock overflowed when it went on from its end.
TEST_CASE("a paused clock that was moved to its end stays there") {
  on_paused_clock([]() -> task<> {
    auto forever = spawn([]() -> task<> { co_await sleep(hours::max()); });
    co_await time::advance(hours::max());
    CHECK(now() == time_point::max());
    CHECK_FALSE(forever.is_finished());
    co_await time::advance(1h);
    CHECK(now() == time_point::max());
    time::resume();
    CHECK(now() == time_point::max());
    time::pause();
    CHECK(now() == time_point::max());
    co_await sleep(0s);
    CHECK(deadline::after(1s).is_never());
    CHECK(deadline(before_boot).has_passed());
    forever.abort();
    auto r = co_await std::move(forever);
    CHECK(r.is_cancelled());
  });
}

TEST_CASE("a shutdown takes every limit") {
  for (const flavour f : {flavour::current_thread, flavour::four_workers}) {
    CHECK(make_runtime(f).shutdown(hours::max()));
    CHECK(make_runtime(f).shutdown(nanoseconds::max()));
    CHECK(make_runtime(f).shutdown(duration<double>(1e300)));
    CHECK(make_runtime(f).shutdown(60s));
    // What it says does not matter here: it may not have the time to end the threads.
    static_cast<void>(make_runtime(f).shutdown(hours::min()));
    static_cast<void>(make_runtime(f).shutdown(nanoseconds::min()));
    static_cast<void>(make_runtime(f).shutdown(duration<double>(std::nan(""))));
  }
}

TEST_CASE("idle threads of the blocking pool live for any duration") {
  for (const nanoseconds time : {nanoseconds::min(), nanoseconds(0), nanoseconds::max()}) {
    auto rt = runtime::builder().worker_threads(1).blocking_keep_alive(time).build();
    REQUIRE(rt.has_value());
    for (int i = 0; i != 3; ++i) {
      const int got = rt->block_on([]() -> task<int> {
        auto job = spawn_blocking([] { return 7; });
        auto r = co_await std::move(job);
        co_return r.value();
      });
      CHECK(got == 7);
    }
  }
  CHECK(runtime::builder().current_thread().blocking_keep_alive(hours::max()).build().has_value());
}
