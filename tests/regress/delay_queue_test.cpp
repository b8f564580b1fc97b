// SPDX-License-Identifier: MIT next() completes at once when a delay queue is empty, so there was
// no way to wait for the first insert.
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <kioto/kioto.hpp>
#include <kioto/testing/paused.hpp>
#include <kioto/time/pause.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

using queue_pointer = std::shared_ptr<delay_queue<std::string>>;

}  // namespace

TEST_CASE("nobody could wait for the first insert into a delay queue") {
  testing::run_paused([]() -> task<> {
    auto queue = std::make_shared<delay_queue<std::string>>();
    const auto start = now();
    auto waiting = spawn([](queue_pointer q) -> task<std::vector<std::string>> {
      std::vector<std::string> all;
      while (all.size() != 3) {
        auto entry = co_await q->wait_next();
        CHECK(entry.deadline <= now());
        all.push_back(std::move(entry.value));
      }
      co_return all;
    }(queue));
    co_await sleep(1h);
    CHECK_FALSE(waiting.is_finished());
    queue->insert("b", 2s);
    queue->insert("a", 1s);  // moves up while somebody waits
    const auto gone = queue->insert("gone", 500ms);
    CHECK(queue->try_remove(gone).has_value());
    co_await sleep(1h);  // empty again, and waited for
    CHECK(queue->empty());
    CHECK_FALSE(waiting.is_finished());
    queue->insert("c", 0s);
    auto all = co_await std::move(waiting);
    CHECK(all.value() == std::vector<std::string>{"a", "b", "c"});
    CHECK(now() == start + 2h);
  });
}

TEST_CASE("a delay queue that becomes empty again is still waited for") {
  testing::run_paused([]() -> task<> {
    delay_queue<int> queue;
    const auto only = queue.insert(1, 1s);
    auto waits = [](delay_queue<int>& q) -> task<int> {
      auto entry = co_await q.wait_next();
      co_return entry.value;
    };
    auto acts = [](delay_queue<int>& q, delay_key first) -> task<> {
      co_await sleep(10ms);
      CHECK(q.try_remove(first).has_value());
      co_await sleep(10ms);
      q.insert(2, 1s);
      co_await sleep(10ms);
      q.clear();
      co_await sleep(10ms);
      q.insert(3, std::chrono::hours::max());
      const auto last = q.insert(4, std::chrono::hours::max());
      co_await sleep(10ms);
      CHECK(q.reset(last, 5s));
    };
    const auto start = now();
    auto both = co_await when_all(waits(queue), acts(queue, only));
    CHECK(std::get<0>(both) == 4);
    CHECK(now() == start + 5050ms);
    CHECK(queue.size() == 1);
  });
}

TEST_CASE("in a select an entry that expires is taken by the branch that wins, or stays") {
  testing::run_paused([]() -> task<> {
    delay_queue<int> queue;
    int taken = 0;
    int inserted = 0;
    for (int round = 0; round != 300; ++round) {
      if (round % 3 == 0) {
        queue.insert(round, std::chrono::milliseconds(round % 5));
        ++inserted;
      }
      auto hit = co_await select(queue.wait_next(), sleep(std::chrono::milliseconds(round % 4)));
      if (hit.get<0>()) ++taken;
    }
    while (!queue.empty()) {
      auto left = co_await queue.next();
      CHECK(left.has_value());
      ++taken;
    }
    CHECK(taken == inserted);
  });
}

TEST_CASE("the clock of a test does not advance for an empty delay queue alone") {
  testing::run_paused([]() -> task<> {
    delay_queue<int> queue;
    auto hit = co_await select(queue.wait_next(), time::advance_until_idle());
    CHECK(hit.index() == 1);
    CHECK(*hit.get<1>() == 0ns);
  });
}

TEST_CASE("a task that waits for an insert ends with its runtime") {
  for (const flavour f : {flavour::current_thread, flavour::four_workers}) {
    bool destroyed = false;
    {
      runtime rt = make_runtime(f);
      rt.spawn([](bool* gone) -> task<> {
        delay_queue<int> queue;
        struct tells {
          explicit tells(bool* g) : gone_(g) {}
          tells(const tells&) = delete;
          ~tells() { *gone_ = true; }
          bool* gone_;
        } const last(gone);
        co_await queue.wait_next();
      }(&destroyed));
      rt.block_on([]() -> task<> { co_await sleep(2ms); });
    }
    CHECK(destroyed);
  }
}
