// SPDX-License-Identifier: MIT
#include <kioto/time/deadline.hpp>

#include <chrono>
#include <limits>

#include <kioto/testing/paused.hpp>
#include <kioto/timeout.hpp>
#include <kioto/yield.hpp>

#include "support/catch.hpp"

using namespace kioto;
using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using steady = std::chrono::steady_clock;

TEST_CASE("durations become nanoseconds and saturate", "[deadline]") {
  using detail::saturate;
  CHECK(saturate(3ms) == 3'000'000ns);
  CHECK(saturate(-3ms) == 0ns);
  CHECK(saturate(0s) == 0ns);
  CHECK(saturate(std::chrono::hours(24 * 365 * 200)) ==
        nanoseconds(200LL * 365 * 24 * 3600 * 1000000000));
  CHECK(saturate(std::chrono::hours(24 * 365 * 300)) == nanoseconds::max());
  CHECK(saturate(std::chrono::hours::max()) == nanoseconds::max());
  CHECK(saturate(std::chrono::seconds::min()) == 0ns);
  CHECK(saturate(nanoseconds::max()) == nanoseconds::max());
  // Rounded up, so that nothing is early.
  CHECK(saturate(std::chrono::duration<double>(0.5e-9)) == 1ns);
  CHECK(saturate(std::chrono::duration<double>(1e300)) == nanoseconds::max());
  CHECK(saturate(std::chrono::duration<double>(-1e300)) == 0ns);
  CHECK(saturate(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())) == 0ns);
  CHECK(saturate(std::chrono::duration<unsigned, std::pico>(1500)) == 2ns);
  CHECK(saturate(std::chrono::duration<unsigned char>(255)) == 255s);
}

TEST_CASE("a deadline knows what remains of it", "[deadline]") {
  const runtime rt = testing::paused_runtime(auto_advance::off);
  const auto guard = rt.enter();
  const auto limit = deadline::after(3s);
  CHECK(limit.time() == now() + 3s);
  CHECK(limit.remaining() == 3s);
  CHECK_FALSE(limit.has_passed());
  CHECK_FALSE(limit.is_never());

  const deadline passed(now() - 1ns);
  CHECK(passed.has_passed());
  CHECK(passed.remaining() == 0ns);
  CHECK(deadline(now()).has_passed());
  CHECK(deadline::after(-5s).has_passed());
  CHECK(deadline::after(0s).has_passed());
}

TEST_CASE("a deadline that the clock cannot count never comes", "[deadline]") {
  for (const deadline never : {deadline(), deadline::never(), deadline::after(nanoseconds::max()),
                               deadline::after(std::chrono::hours::max())}) {
    CHECK(never.is_never());
    CHECK_FALSE(never.has_passed());
    CHECK(never.remaining() == nanoseconds::max());
    CHECK(never == deadline::never());
  }
  CHECK(deadline::after(1s) < deadline::never());
  CHECK(deadline::after(1h) > deadline(steady::now()));
}

TEST_CASE("one deadline bounds several operations together", "[deadline]") {
  testing::run_paused([]() -> task<> {
    const auto start = now();
    const auto limit = deadline::after(100ms);
    co_await timeout(limit, sleep(60ms));
    bool too_late = false;
    try {
      co_await timeout(limit, sleep(60ms));
    } catch (const timeout_error&) {
      too_late = true;
    }
    CHECK(too_late);
    CHECK(now() - start == 100ms);
    co_await sleep_until(deadline::after(5ms));
    CHECK(now() - start == 105ms);
    co_await timeout(deadline::never(), yield_now());
  });
}
