// SPDX-License-Identifier: MIT
// A chain of frames that returned early through or_return was destroyed by recursion: 300,000 of
// them overflowed the stack. However frames end, the innermost goes first, one by one.
#include <memory>
#include <stdexcept>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include <kioto/as_result.hpp>
#include <kioto/async_generator.hpp>
#include <kioto/or_return.hpp>
#include <kioto/shield.hpp>
#include <kioto/timeout.hpp>
#include <kioto/when_all.hpp>
#include <kioto/yield.hpp>

#include "support/catch.hpp"
#include "support/gate.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

constexpr int depth = KIOTO_SANITIZED != 0 ? 100'000 : 1'000'000;
constexpr int branch_depth = depth / 4;
const std::error_code failure = std::make_error_code(std::errc::io_error);

// Checks when it is destroyed that the inner ones were destroyed before.
class level {
 public:
  level(int* innermost, int at) noexcept : innermost_(innermost), at_(at) {}
  level(const level&) = delete;
  level& operator=(const level&) = delete;
  ~level() {
    if (*innermost_ == at_ - 1) *innermost_ = at_;
  }

 private:
  int* innermost_;
  int at_;
};

task<result<int>> returns(int n, int* ended) {
  const level here(ended, n);
  if (n == 0) {
    co_await yield_now();
    co_return failure;
  }
  const int value = co_await or_return(returns(n - 1, ended));
  co_return value + 1;
}
task<result<int>> returns_at_once(int n) {
  if (n == 0) co_return failure;
  const int value = co_await or_return(returns_at_once(n - 1));
  co_return value + 1;
}
task<result<int>> returns_wrapped(int n) {
  if (n == 0) {
    co_await yield_now();
    co_return failure;
  }
  auto next = returns_wrapped(n - 1);
  const int value = co_await shield(or_return(as_result(shield(std::move(next)))));
  co_return value + 1;
}
task<int> throws(int n, int* ended) {
  const level here(ended, n);
  if (n == 0) {
    co_await yield_now();
    throw std::runtime_error("on purpose");
  }
  const int value = co_await throws(n - 1, ended);
  co_return value + 1;
}
task<int> waits(int n, gate* g, int* ended) {
  const level here(ended, n);
  if (n == 0) {
    co_await g->passed();
    co_return 0;
  }
  const int value = co_await waits(n - 1, g, ended);
  co_return value + 1;
}

// In branches, each within another.
task<result<int>> returns_in_branches(int n) {
  if (n == 0) {
    co_await yield_now();
    co_return failure;
  }
  const int value = co_await or_return(timeout(1h, returns_in_branches(n - 1)));
  co_return value + 1;
}
task<int> throws_in_branches(int n) {
  if (n == 0) {
    co_await yield_now();
    throw std::runtime_error("on purpose");
  }
  const int value = co_await timeout(1h, throws_in_branches(n - 1));
  co_return value + 1;
}
task<int> waits_in_branches(int n, gate* g, int* ended) {
  const level here(ended, n);
  if (n == 0) {
    co_await g->passed();
    co_return 0;
  }
  auto both = co_await when_all(waits_in_branches(n - 1, g, ended), yield_now());
  co_return std::get<0>(both) + 1;
}
async_generator<int> generates(int n, bool in_branches, gate* g, int* ended) {
  if (in_branches) {
    const int value = co_await waits_in_branches(n, g, ended);
    co_yield value;
  } else {
    const int value = co_await waits(n, g, ended);
    co_yield value;
  }
}

template <class Make>
task<> stopped_while_waiting(Make make, int levels) {
  gate g;
  int ended = -1;
  auto h = spawn(make(&g, &ended));
  while (g.waited() == 0) co_await sleep(100us);
  h.abort();
  auto r = co_await h;
  CHECK(r.is_cancelled());
  CHECK(ended == levels);
}

}  // namespace

TEST_CASE("regress: a deep chain of early returns") {
  on_every_scheduler([]() -> task<> {
    int ended = -1;
    {
      auto r = co_await returns(depth, &ended);
      CHECK(r.error() == failure);
    }
    CHECK(ended == depth);
    auto at_once = co_await returns_at_once(depth);
    CHECK(at_once.error() == failure);
    auto wrapped = co_await returns_wrapped(depth / 2);
    CHECK(wrapped.error() == failure);
  });
}

TEST_CASE("regress: a deep chain of early returns ends a spawned task") {
  on_every_scheduler([]() -> task<> {
    int ended = -1;
    auto h = spawn(returns(depth, &ended));
    auto joined = co_await h;
    CHECK(ended == depth);
    CHECK(std::move(joined).value().error() == failure);
  });
}

TEST_CASE("regress: a deep chain of exceptions, and one of stopped frames") {
  make_runtime(flavour::one_worker).block_on([]() -> task<> {
    int ended = -1;
    bool threw = false;
    try {
      const int value = co_await throws(depth / 10, &ended);
      CHECK(value == -1);
    } catch (const std::runtime_error&) {
      threw = true;
    }
    CHECK(threw);
    CHECK(ended == depth / 10);
    const auto chain = [](gate* g, int* e) { return waits(depth, g, e); };
    co_await stopped_while_waiting(chain, depth);
  });
}

TEST_CASE("regress: deep chains of branches") {
  make_runtime(flavour::one_worker).block_on([]() -> task<> {
    auto r = co_await returns_in_branches(branch_depth);
    CHECK(r.error() == failure);
    bool threw = false;
    try {
      const int value = co_await throws_in_branches(branch_depth / 4);
      CHECK(value == -1);
    } catch (const std::runtime_error&) {
      threw = true;
    }
    CHECK(threw);
    const auto chain = [](gate* g, int* e) { return waits_in_branches(branch_depth, g, e); };
    co_await stopped_while_waiting(chain, branch_depth);
  });
}

TEST_CASE("regress: a generator that is destroyed while it is paused in a deep chain") {
  make_runtime(flavour::one_worker).block_on([]() -> task<> {
    for (const bool in_branches : {false, true}) {
      gate g;
      int ended = -1;
      const int levels = in_branches ? branch_depth : depth;
      {
        auto elements = generates(levels, in_branches, &g, &ended);
        const auto take_one = [&]() -> task<> {
          const auto none = co_await elements.next();
          CHECK_FALSE(none.has_value());
        };
        auto h = spawn(take_one);
        while (g.waited() == 0) co_await sleep(100us);
        h.abort();
        auto r = co_await h;
        CHECK(r.is_cancelled());
        CHECK(ended == -1);
      }
      CHECK(ended == levels);
    }
  });
}
