// SPDX-License-Identifier: MIT
#include <kioto/task_local.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <kioto/as_result.hpp>
#include <kioto/select.hpp>
#include <kioto/timeout.hpp>
#include <kioto/when_all.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

constinit task_local<int> number;
constinit task_local<std::string> name;

task<int> reads() {
  co_await yield_now();
  const int before = number.get();
  co_await sleep(1ms);
  co_return before == number.get() ? before : -1;
}
task<int> reads_deeply(int depth) {
  if (depth == 0) co_return co_await reads();
  co_return co_await reads_deeply(depth - 1);
}
task<int> tries() {
  co_await yield_now();
  co_return number.try_get() != nullptr ? *number.try_get() : -1;
}
task<> fails() {
  co_await yield_now();
  throw std::runtime_error("with " + std::to_string(number.get()));
}

// Without a wait before.
task<int> reads_at_once() { co_return number.try_get() != nullptr ? *number.try_get() : -1; }

/// Notes the value that it finds at its end.
class sees_at_end {
 public:
  explicit sees_at_end(std::vector<int>& seen) noexcept : seen_(&seen) {}
  sees_at_end(sees_at_end&& other) noexcept : seen_(std::exchange(other.seen_, nullptr)) {}
  sees_at_end& operator=(sees_at_end&&) = delete;
  ~sees_at_end() {
    if (seen_ != nullptr) seen_->push_back(number.try_get() != nullptr ? number.get() : -1);
  }

 private:
  std::vector<int>* seen_;
};
task<> holds(sees_at_end, std::vector<int>* seen, bool completes) {
  const sees_at_end local(*seen);
  if (completes)
    co_await yield_now();
  else
    co_await sleep(1000h);
}

}  // namespace

TEST_CASE("task_local: the value is there inside of the scope, and nowhere else") {
  on_every_scheduler([]() -> task<> {
    CHECK(number.try_get() == nullptr);
    CHECK_THROWS_AS(number.get(), std::logic_error);
    const int got = co_await number.scope(7, reads());
    CHECK(got == 7);
    CHECK(number.try_get() == nullptr);
    const int deep = co_await number.scope(8, reads_deeply(20));
    CHECK(deep == 8);
    // A leaf operation, nothing that could look.
    co_await number.scope(9, sleep(1ms));
    CHECK(number.try_get() == nullptr);
  });
  CHECK(number.try_get() == nullptr);
}

TEST_CASE("task_local: scopes nest, hide, and keys do not meet") {
  on_every_scheduler([]() -> task<> {
    auto inner = []() -> task<std::string> {
      co_await yield_now();
      const int outer_number = number.get();
      const int inner_number = co_await number.scope(2, reads());
      co_return name.get() + std::to_string(outer_number) + std::to_string(inner_number) +
          std::to_string(number.get());
    };
    const auto got = co_await name.scope("n", number.scope(1, inner()));
    CHECK(got == "n121");
  });
}

TEST_CASE("task_local: the value may be changed, and belongs to the scope") {
  on_every_scheduler([]() -> task<> {
    static constinit task_local<std::unique_ptr<int>> owned;
    auto body = []() -> task<int> {
      *owned.get() += 1;
      co_await yield_now();
      owned.with([](auto& p) { *p += 1; });
      co_return *owned.get();
    };
    const int got = co_await owned.scope(std::make_unique<int>(5), body());
    CHECK(got == 7);
  });
}

TEST_CASE("task_local: branches of combinators inherit it") {
  on_every_scheduler([]() -> task<> {
    auto body = []() -> task<int> {
      auto both = co_await when_all(reads(), number.scope(100, reads()));
      auto one = co_await select(biased, tries(), sleep(1000h));
      const int timed = co_await timeout(1000s, reads());
      const int outside = number.get();
      co_return std::get<0>(both) + std::get<1>(both) + *one.template get<0>() + timed + outside;
    };
    const int sum = co_await number.scope(1, body());
    CHECK(sum == 1 + 100 + 1 + 1 + 1);
  });
}

TEST_CASE("task_local: scopes are branches, too, each with its value") {
  on_every_scheduler([]() -> task<> {
    auto both = co_await when_all(number.scope(1, reads()), number.scope(2, reads()), tries());
    CHECK(std::get<0>(both) == 1);
    CHECK(std::get<1>(both) == 2);
    CHECK(std::get<2>(both) == -1);
  });
}

TEST_CASE("task_local: a spawned task does not inherit it") {
  on_every_scheduler([]() -> task<> {
    auto body = []() -> task<int> {
      auto h = spawn(tries());
      auto r = co_await h;
      co_return std::move(r).value();
    };
    const int got = co_await number.scope(1, body());
    CHECK(got == -1);
  });
}

TEST_CASE("task_local: exceptions pass") {
  on_every_scheduler([]() -> task<> {
    std::string what;
    try {
      co_await number.scope(3, fails());
    } catch (const std::runtime_error& e) {
      what = e.what();
    }
    CHECK(what == "with 3");
    CHECK(number.try_get() == nullptr);
  });
}

TEST_CASE("task_local: destructors see it on completion, also those of parameters") {
  on_every_scheduler([]() -> task<> {
    std::vector<int> seen;
    co_await number.scope(4, holds(sees_at_end(seen), &seen, true));
    CHECK(seen == std::vector<int>{4, 4});
  });
}

TEST_CASE("task_local: destructors see it when the operation is cancelled or never runs") {
  on_every_scheduler([]() -> task<> {
    std::vector<int> seen;
    auto h = spawn(
        [](std::vector<int>* s) -> task<> {
          co_await number.scope(5, holds(sees_at_end(*s), s, false));
        },
        &seen);
    for (int i = 0; i != 10; ++i) co_await yield_now();
    h.abort();
    auto r = co_await h;
    CHECK(r.is_cancelled());
    CHECK(seen == std::vector<int>{5, 5});

    // A loser of a select.
    seen.clear();
    const auto hit =
        co_await select(number.scope(6, holds(sees_at_end(seen), &seen, false)), sleep(1ms));
    CHECK(hit.index() == 1);
    CHECK(seen == std::vector<int>{6, 6});

    seen.clear();
    {
      const auto never = number.scope(7, holds(sees_at_end(seen), &seen, false));
    }
    CHECK(seen == std::vector<int>{7});
  });
}

TEST_CASE("task_local: a function is called with a value") {
  CHECK_THROWS_AS(number.sync_scope(1, [] {}), std::logic_error);
  on_every_scheduler([]() -> task<> {
    auto twice = [] { return number.sync_scope(number.get() * 2, [] { return number.get(); }); };
    const int got = number.sync_scope(4, twice);
    CHECK(got == 8);
    CHECK(number.try_get() == nullptr);
    co_await yield_now();
  });
}

TEST_CASE("task_local: a task that does not wait finds it, whatever it is a branch of") {
  on_every_scheduler([]() -> task<> {
    const auto [a, b] = co_await number.scope(5, when_all(reads_at_once(), reads_at_once()));
    CHECK(a == 5);
    CHECK(b == 5);
    CHECK(co_await number.scope(6, timeout(100s, reads_at_once())) == 6);
    CHECK(co_await timeout(100s, number.scope(7, reads_at_once())) == 7);
    const auto [c, d] =
        co_await when_all(number.scope(8, reads_at_once()), number.scope(9, reads_at_once()));
    CHECK(c == 8);
    CHECK(d == 9);
    CHECK(co_await number.scope(1, number.scope(2, timeout(100s, reads_at_once()))) == 2);
    CHECK(co_await reads_at_once() == -1);
  });
}
