// SPDX-License-Identifier: MIT
#include <kioto/detail/time/timer_wheel.hpp>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <random>
#include <vector>

#include "support/catch.hpp"

namespace {

using kioto::detail::timer_list;
using kioto::detail::timer_node;
using kioto::detail::timer_wheel;

constexpr std::uint64_t span = std::uint64_t{1} << 36;

std::vector<timer_node*> drain(timer_list& list) {
  std::vector<timer_node*> out;
  while (timer_node* t = list.pop_front()) out.push_back(t);
  return out;
}

std::vector<timer_node*> advance(timer_wheel& wheel, std::uint64_t now) {
  timer_list expired;
  wheel.advance(now, expired);
  return drain(expired);
}

// Deadlines of every magnitude, often on and beside the borders of slots.
std::uint64_t random_delay(std::mt19937_64& random, unsigned bits) {
  const std::uint64_t power = std::uint64_t{1} << (random() % bits);
  switch (random() % 3) {
    case 0:
      return power + random() % 3;
    case 1:
      return power * (1 + random() % 63);
    default:
      return 1 + random() % power;
  }
}

}  // namespace

TEST_CASE("a timer expires exactly at its deadline, at every level", "[timer_wheel]") {
  for (const std::uint64_t start :
       {std::uint64_t{0}, std::uint64_t{63}, std::uint64_t{1} << 30, span - 1, 5 * span + 12345}) {
    for (unsigned shift = 0; shift != 40; ++shift) {
      for (const std::uint64_t delta : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{2}}) {
        const std::uint64_t deadline = start + (std::uint64_t{1} << shift) + delta;
        timer_wheel wheel(start);
        timer_node timer;
        REQUIRE(wheel.insert(timer, deadline));
        CHECK(timer.is_linked());
        CHECK(timer.deadline() == deadline);
        CHECK(wheel.next_expiration() <= deadline);
        CHECK(wheel.next_expiration() > start);
        CHECK(advance(wheel, deadline - 1).empty());
        CHECK(wheel.next_expiration() == deadline);
        CHECK(advance(wheel, deadline) == std::vector<timer_node*>{&timer});
        CHECK(wheel.empty());
        CHECK(wheel.next_expiration() == timer_wheel::never);
      }
    }
  }
}

TEST_CASE("a timer that is due already is not inserted", "[timer_wheel]") {
  timer_wheel wheel(100);
  timer_node timer;
  CHECK_FALSE(wheel.insert(timer, 0));
  CHECK_FALSE(wheel.insert(timer, 100));
  CHECK_FALSE(timer.is_linked());
  CHECK(wheel.empty());
}

TEST_CASE("time that goes backwards is ignored", "[timer_wheel]") {
  timer_wheel wheel(100);
  timer_node timer;
  REQUIRE(wheel.insert(timer, 110));
  CHECK(advance(wheel, 50).empty());
  CHECK(wheel.now() == 100);
  CHECK(advance(wheel, 110).size() == 1);
}

TEST_CASE("timers expire by deadline, and in order of insertion within a tick", "[timer_wheel]") {
  timer_wheel wheel;
  std::deque<timer_node> timers(6);
  REQUIRE(wheel.insert(timers[0], 5000));  // reaches level 0 only by cascading
  REQUIRE(wheel.insert(timers[1], 10));
  REQUIRE(wheel.insert(timers[2], 5000));
  REQUIRE(advance(wheel, 9).empty());
  REQUIRE(advance(wheel, 4992).size() == 1);
  REQUIRE(wheel.insert(timers[3], 5000));
  REQUIRE(wheel.insert(timers[4], 4999));
  REQUIRE(wheel.insert(timers[5], 6000));
  CHECK(advance(wheel, 1000000) ==
        std::vector<timer_node*>{&timers[4], &timers[0], &timers[2], &timers[3], &timers[5]});
}

TEST_CASE("a far timer in the present slot of the top level hides no nearer one", "[timer_wheel]") {
  timer_wheel wheel(7);
  timer_node far, near, farthest;
  REQUIRE(wheel.insert(far, span + 8));
  REQUIRE(wheel.insert(near, (std::uint64_t{3} << 30) + 1));
  REQUIRE(wheel.insert(farthest, timer_wheel::never));
  CHECK(wheel.next_expiration() <= near.deadline());
  CHECK(advance(wheel, near.deadline()) == std::vector<timer_node*>{&near});
  CHECK(advance(wheel, span + 7).empty());
  CHECK(advance(wheel, span + 8) == std::vector<timer_node*>{&far});
  CHECK(advance(wheel, 1000 * span).empty());
  CHECK(wheel.next_expiration() > 1000 * span);
  wheel.remove(farthest);
  CHECK(wheel.empty());
}

TEST_CASE("time near its end does not overflow", "[timer_wheel]") {
  constexpr std::uint64_t end = timer_wheel::never;
  timer_wheel wheel(end - 5 * span);
  timer_node last, before, nearer;
  REQUIRE(wheel.insert(last, end));
  REQUIRE(wheel.insert(before, end - 1));
  REQUIRE(wheel.insert(nearer, end - 3 * span));
  CHECK(advance(wheel, end - 3 * span - 1).empty());
  CHECK(advance(wheel, end - 3 * span) == std::vector<timer_node*>{&nearer});
  CHECK(advance(wheel, end - 2).empty());
  CHECK(advance(wheel, end - 1) == std::vector<timer_node*>{&before});
  CHECK(wheel.next_expiration() == end);
  wheel.remove(last);
}

TEST_CASE("an expired timer can be removed from the list it was moved to", "[timer_wheel]") {
  timer_wheel wheel;
  timer_node a, b, c;
  REQUIRE(wheel.insert(a, 5));
  REQUIRE(wheel.insert(b, 5));
  timer_list expired;
  wheel.advance(5, expired);
  REQUIRE(wheel.insert(c, 5 + 64));  // slot 5 again, at level 1
  wheel.remove(a);
  CHECK(drain(expired) == std::vector<timer_node*>{&b});
  CHECK(advance(wheel, 69) == std::vector<timer_node*>{&c});
}

TEST_CASE("drain returns every timer", "[timer_wheel]") {
  timer_wheel wheel;
  std::deque<timer_node> timers(40);
  for (std::size_t i = 0; i != timers.size(); ++i)
    REQUIRE(wheel.insert(timers[i], std::uint64_t{1} << i));
  timer_list all;
  wheel.drain(all);
  CHECK(drain(all).size() == timers.size());
  CHECK(wheel.empty());
}

TEST_CASE("random schedules expire as a sorted map says", "[timer_wheel]") {
  for (std::uint64_t seed = 0; seed != 12; ++seed) {
    std::mt19937_64 random(seed);
    const unsigned bits = seed < 4 ? 10 : seed < 8 ? 24 : 39;
    std::uint64_t now = seed % 2 == 0 ? 0 : random() >> 12;
    timer_wheel wheel(now);
    std::deque<timer_node> timers(300);
    std::multimap<std::uint64_t, timer_node*> expected;
    for (int step = 0; step != 4000; ++step) {
      timer_node& timer = timers[random() % timers.size()];
      if (timer.is_linked()) {
        if (random() % 4 == 0) {
          const auto [first, last] = expected.equal_range(timer.deadline());
          expected.erase(std::find_if(first, last, [&](auto& e) { return e.second == &timer; }));
          wheel.remove(timer);
        }
      } else {
        const std::uint64_t deadline = now + random_delay(random, bits);
        REQUIRE(wheel.insert(timer, deadline));
        expected.emplace(deadline, &timer);
      }
      const std::uint64_t next = wheel.next_expiration();
      REQUIRE(next > now);
      REQUIRE((expected.empty() ? next == timer_wheel::never : next <= expected.begin()->first));
      if (random() % 4 != 0) continue;
      switch (random() % 3) {
        case 0:
          now += random_delay(random, bits) / 4;
          break;
        case 1:
          now = expected.empty() ? now : next;
          break;
        default:
          now = expected.empty() ? now : expected.begin()->first;
          break;
      }
      std::vector<timer_node*> due;
      while (!expected.empty() && expected.begin()->first <= now) {
        due.push_back(expected.begin()->second);
        expected.erase(expected.begin());
      }
      REQUIRE(advance(wheel, now) == due);
      REQUIRE(wheel.empty() == expected.empty());
    }
    timer_list rest;
    wheel.drain(rest);
    REQUIRE(drain(rest).size() == expected.size());
  }
}

TEST_CASE("the earliest timer is found exactly, at every level", "[timer_wheel]") {
  std::mt19937_64 random(9);
  for (const std::uint64_t start :
       {std::uint64_t{0}, std::uint64_t{63}, std::uint64_t{1} << 30, span - 1, 5 * span + 12345}) {
    timer_wheel wheel(start);
    CHECK(wheel.earliest() == nullptr);
    std::deque<timer_node> timers;
    std::uint64_t first = timer_wheel::never;
    for (unsigned bits = 42; bits != 1; --bits) {
      for (int i = 0; i != 5; ++i) {
        const std::uint64_t deadline = start + random_delay(random, bits);
        timers.emplace_back();
        if (!wheel.insert(timers.back(), deadline)) {
          timers.pop_back();
          continue;
        }
        first = std::min(first, deadline);
        REQUIRE(wheel.earliest() != nullptr);
        CHECK(wheel.earliest()->deadline() == first);
      }
    }
    while (timer_node* t = wheel.earliest()) {
      first = t->deadline();
      const auto due = advance(wheel, first);
      CHECK_FALSE(due.empty());
      for (const timer_node* d : due) CHECK(d->deadline() == first);
    }
    CHECK(wheel.empty());
  }
}
