// SPDX-License-Identifier: MIT Adaptors that use the clock, which is paused.
#include <kioto/stream/chunks.hpp>
#include <kioto/stream/pace.hpp>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <kioto/streams.hpp>
#include <kioto/testing/paused.hpp>

#include "support/catch.hpp"
#include "support/streams.hpp"

using namespace kioto;
using namespace kioto::streams;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {
using ints = std::vector<int>;

async_generator<int> fails_after(int n) {
  for (int i = 0; i != n; ++i) co_yield int(i);
  co_await sleep(1ms);
  throw std::runtime_error("failed");
}

/// The elements up to the exception, and what that says.
template <class S>
task<std::string> drain_until_failure(S& stream, std::vector<stream_element<S>>& got) {
  try {
    for (;;) {
      auto next = co_await stream.next();
      if (!next) co_return "";
      got.push_back(std::move(*next));
    }
  } catch (const std::runtime_error& e) {
    co_return e.what();
  }
}

}  // namespace

TEST_CASE("stream, time: throttle keeps elements apart") {
  testing::run_paused([]() -> task<> {
    const auto start = now();
    std::vector<std::chrono::milliseconds> at;
    auto slow = numbers(3) | throttle(10ms);
    for (;;) {
      auto x = co_await slow.next();
      if (!x) break;
      at.push_back(std::chrono::duration_cast<std::chrono::milliseconds>(now() - start));
    }
    CHECK(at == std::vector<std::chrono::milliseconds>{0ms, 10ms, 20ms});
  });
}

TEST_CASE("stream, time: timeout tells of each gap once and goes on") {
  testing::run_paused([]() -> task<> {
    auto gaps = []() -> async_generator<int> {
      co_yield 1;
      co_await sleep(5ms);
      co_yield 2;
      co_await sleep(500ms);
      co_yield 3;
    };
    auto timed = gaps() | streams::timeout(10ms);
    std::vector<int> got;
    for (;;) {
      auto r = co_await timed.next();
      if (!r) break;
      got.push_back(r->has_value() ? **r : -1);
      if (!r->has_value()) CHECK(r->error() == std::errc::timed_out);
    }
    CHECK(got == ints{1, 2, -1, 3});
  });
}

TEST_CASE("stream, time: chunks_timeout hands over what there is when time is over") {
  testing::run_paused([]() -> task<> {
    auto uneven = []() -> async_generator<int> {
      for (int i = 0; i != 5; ++i) co_yield int(i);
      co_await sleep(100ms);
      co_yield 5;
      co_await sleep(5ms);
      co_yield 6;
      co_await sleep(100ms);
      co_yield 7;
    };
    auto got = co_await collect(uneven() | chunks_timeout(3, 10ms));
    CHECK(got == std::vector<ints>{{0, 1, 2}, {3, 4}, {5, 6}, {7}});
    int cancelled = 0;
    auto again = uneven() | chunks_timeout(3, 10ms);
    got = co_await drain_impatiently(again, cancelled);
    ints flat;
    for (const auto& chunk : got) flat.insert(flat.end(), chunk.begin(), chunk.end());
    CHECK(flat == ints{0, 1, 2, 3, 4, 5, 6, 7});
    CHECK(cancelled > 0);
  });
}

TEST_CASE("stream, time: what the stream throws comes after what it gave before") {
  testing::run_paused([]() -> task<> {
    auto sized = fails_after(3) | chunks(2);
    std::vector<ints> got;
    auto what = co_await drain_until_failure(sized, got);
    CHECK(got == std::vector<ints>{{0, 1}, {2}});
    CHECK(what == "failed");
    auto timed = fails_after(3) | chunks_timeout(2, 1h);
    got.clear();
    what = co_await drain_until_failure(timed, got);
    CHECK(got == std::vector<ints>{{0, 1}, {2}});
    CHECK(what == "failed");
    ints elements;
    auto throttled = fails_after(2) | throttle(1ms);
    what = co_await drain_until_failure(throttled, elements);
    CHECK(elements == ints{0, 1});
    CHECK(what == "failed");
    std::vector<result<int>> results;
    auto limited = fails_after(2) | streams::timeout(10ms);
    what = co_await drain_until_failure(limited, results);
    CHECK(results.size() == 2);
    CHECK(what == "failed");
    const auto after = co_await limited.next();
    CHECK_FALSE(after.has_value());
  });
}

TEST_CASE("stream, time: empty streams, and elements that only move") {
  testing::run_paused([]() -> task<> {
    auto a = co_await collect(numbers(0) | throttle(1h));
    CHECK(a.empty());
    auto b = co_await collect(numbers(0) | streams::timeout(1h));
    CHECK(b.empty());
    auto c = co_await collect(numbers(0) | chunks_timeout(3, 1h));
    CHECK(c.empty());
    auto own = [](int x) { return std::make_unique<int>(x); };
    auto d = co_await collect(numbers(3) | map(own) | throttle(1ms) | streams::timeout(1h) |
                              chunks_timeout(2, 1h));
    CHECK(d.size() == 2);
    CHECK(**d.at(1).at(0) == 2);
  });
}

TEST_CASE("stream, time: failed results pass; timeout adds its own among them") {
  testing::run_paused([]() -> task<> {
    auto results = []() -> async_generator<result<int>> {
      co_yield result<int>(1);
      co_yield result<int>(make_error_code(error::full));
      co_await sleep(1h);
      co_yield result<int>(2);
    };
    auto got = co_await collect(results() | streams::timeout(1s));
    CHECK(got.size() == 4);
    CHECK(got.at(0).value() == 1);
    CHECK(got.at(1).error() == error::full);
    CHECK(got.at(2).error() == std::errc::timed_out);
    CHECK(got.at(3).value() == 2);
  });
}

TEST_CASE("stream, time: nothing is lost when next() is cancelled") {
  testing::run_paused([]() -> task<> {
    int cancelled = 0;
    auto slow = numbers(10) | throttle(5ms);
    auto got = co_await drain_impatiently(slow, cancelled);
    CHECK(got == ints{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
    CHECK(cancelled > 0);
    auto timed = slow_numbers(10) | throttle(5ms) | streams::timeout(2ms);
    int timeouts = 0;
    ints values;
    auto results = co_await drain_impatiently(timed, cancelled);
    for (auto& r : results) {
      if (r)
        values.push_back(*r);
      else
        ++timeouts;
    }
    CHECK(values == ints{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
    CHECK(timeouts <= 10);
    CHECK(timeouts > 0);
  });
}
