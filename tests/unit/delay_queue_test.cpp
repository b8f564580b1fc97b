// SPDX-License-Identifier: MIT
#include <kioto/time/delay_queue.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <kioto/kioto.hpp>
#include <kioto/testing/paused.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

TEST_CASE("entries come out in the order of their deadlines", "[delay_queue]") {
  testing::run_paused([]() -> task<> {
    const auto start = now();
    delay_queue<std::string> queue;
    const auto c = queue.insert("c", 3s);
    const auto a = queue.insert("a", 1s);
    const auto b = queue.insert_at("b", start + 2s);
    CHECK(queue.size() == 3);
    CHECK(queue.peek() == a);
    CHECK(queue.deadline(c) == start + 3s);
    for (const auto& [key, name, at] :
         {std::tuple(a, "a", 1s), std::tuple(b, "b", 2s), std::tuple(c, "c", 3s)}) {
      auto entry = co_await queue.next();
      REQUIRE(entry.has_value());
      CHECK(entry->value == name);
      CHECK(entry->key == key);
      CHECK(entry->deadline == start + at);
      CHECK(now() == start + at);
      CHECK_FALSE(queue.contains(key));
    }
    CHECK(queue.empty());
    // An empty queue ends the loop, but can be filled again.
    auto none = co_await queue.next();
    CHECK_FALSE(none.has_value());
    CHECK_FALSE(queue.peek().has_value());
    queue.insert("d", 5ms);
    auto d = co_await queue.next();
    REQUIRE(d.has_value());
    CHECK(d->value == "d");
  });
}

TEST_CASE("an entry whose time is over comes out at once", "[delay_queue]") {
  testing::run_paused([]() -> task<> {
    const auto start = now();
    delay_queue<int> queue;
    queue.insert(1, 0s);
    queue.insert(2, -5s);
    queue.insert_at(3, start - 1h);
    CHECK(queue.peek().has_value());
    int sum = 0;
    for (int i = 0; i != 3; ++i) {
      auto entry = co_await queue.next();
      REQUIRE(entry.has_value());
      sum += entry->value;
    }
    CHECK(sum == 6);
    CHECK(now() == start);
    CHECK_FALSE(queue.try_next().has_value());
  });
}

TEST_CASE("entries are removed and reset by their keys", "[delay_queue]") {
  testing::run_paused([]() -> task<> {
    const auto start = now();
    delay_queue<std::string> queue;
    const auto a = queue.insert("a", 1s);
    const auto b = queue.insert("b", 2s);
    const auto c = queue.insert("c", 3s);
    auto removed = queue.remove(a);
    CHECK(removed.value == "a");
    CHECK(removed.deadline == start + 1s);
    CHECK_FALSE(queue.contains(a));
    CHECK(queue.reset(b, 10s));
    CHECK(queue.reset_at(c, start + 20s));
    CHECK(queue.reset_at(c, start + 500ms));
    auto first = co_await queue.next();
    REQUIRE(first.has_value());
    CHECK(first->value == "c");
    CHECK(now() - start == 500ms);
    auto second = co_await queue.next();
    REQUIRE(second.has_value());
    CHECK(second->value == "b");
    CHECK(now() - start == 10s);

    CHECK_FALSE(queue.try_remove(a).has_value());
    CHECK_FALSE(queue.reset(a, 1s));
    CHECK_FALSE(queue.deadline(a).has_value());
    CHECK_THROWS_AS(queue.remove(a), std::out_of_range);
    CHECK_THROWS_WITH(queue.remove(delay_key()), kioto_test::contains("no entry with this key"));
  });
}

TEST_CASE("a key is never given twice", "[delay_queue]") {
  const runtime rt = testing::paused_runtime(auto_advance::off);
  const auto guard = rt.enter();
  delay_queue<int> queue;
  const auto old = queue.insert(1, 1s);
  CHECK(queue.remove(old).value == 1);
  const auto fresh = queue.insert(2, 1s);  // in the same place
  CHECK(fresh != old);
  CHECK_FALSE(queue.contains(old));
  CHECK_FALSE(queue.try_remove(old).has_value());
  CHECK(queue.contains(fresh));
  queue.clear();
  queue.compact();
  CHECK_FALSE(queue.contains(fresh));
  const auto next = queue.insert(3, 1s);
  CHECK(next != fresh);
  CHECK_FALSE(queue.contains(fresh));
}

TEST_CASE("who waits for the next entry takes notice of changes", "[delay_queue]") {
  // Tasks of one thread share the queue, as branches of one task would.
  testing::run_paused([]() -> task<> {
    const auto start = now();
    delay_queue<int> queue;
    const auto last = queue.insert(3, 1h);
    auto other = spawn(
        [](delay_queue<int>* q, delay_key key) -> task<> {
          co_await sleep(10s);
          q->insert(1, 5s);  // before the one that is waited for
          co_await sleep(10s);
          q->reset(key, 30min);
          co_await sleep(10s);
          q->insert(2, 0s);  // due at once
          co_await sleep(10s);
          q->remove(key);  // now it is empty
        },
        &queue, last);
    auto e = co_await queue.next();
    REQUIRE(e.has_value());
    CHECK(e->value == 1);
    CHECK(now() - start == 15s);
    e = co_await queue.next();
    REQUIRE(e.has_value());
    CHECK(e->value == 2);
    CHECK(now() - start == 30s);
    e = co_await queue.next();
    CHECK_FALSE(e.has_value());
    CHECK(now() - start == 40s);
    auto r = co_await std::move(other);
    CHECK(r.has_value());
  });
}

TEST_CASE("a reset to a later time lets the waiter wait on", "[delay_queue]") {
  testing::run_paused([]() -> task<> {
    const auto start = now();
    delay_queue<int> queue;
    const auto key = queue.insert(1, 10s);
    auto other = spawn(
        [](delay_queue<int>* q, delay_key k) -> task<> {
          for (int i = 0; i != 5; ++i) {
            co_await sleep(9s);
            CHECK(q->reset(k, 10s));
          }
        },
        &queue, key);
    auto e = co_await queue.next();
    CHECK(e.has_value());
    CHECK(now() - start == 55s);
    auto r = co_await std::move(other);
    CHECK(r.has_value());
  });
}

TEST_CASE("a cancelled wait loses no entry", "[delay_queue]") {
  testing::run_paused([]() -> task<> {
    delay_queue<int> queue;
    queue.insert(7, 1s);
    for (int i = 0; i != 3; ++i) {
      bool timed_out = false;
      try {
        co_await timeout(100ms, queue.next());
      } catch (const timeout_error&) {
        timed_out = true;
      }
      CHECK(timed_out);
    }
    queue.insert(8, 2s);  // nobody waits now
    auto e = co_await queue.next();
    REQUIRE(e.has_value());
    CHECK(e->value == 7);
  });
}

TEST_CASE("a shielded wait for a queue comes to its end in a shutdown", "[delay_queue]") {
  runtime rt = kioto_test::make_runtime(kioto_test::flavour::current_thread);
  rt.spawn([]() -> task<> {
    delay_queue<int> queue;
    queue.insert(1, 50ms);
    co_await shield(queue.next());
  });
  rt.block_on([]() -> task<> { co_await yield_now(); });
  CHECK(rt.shutdown(10s));
}

TEST_CASE("entries are never early", "[delay_queue]") {
  kioto_test::on_every_scheduler([]() -> task<> {
    delay_queue<int> queue;
    std::mt19937 random(5);
    for (int i = 0; i != 50; ++i) queue.insert(i, std::chrono::microseconds(random() % 20000));
    steady::time_point previous{};
    for (int i = 0; i != 50; ++i) {
      auto e = co_await queue.next();
      REQUIRE(e.has_value());
      CHECK(now() >= e->deadline);
      CHECK(e->deadline >= previous - 1ms);
      previous = e->deadline;
    }
    auto e = co_await queue.next();
    CHECK_FALSE(e.has_value());
  });
}

TEST_CASE("a delay queue agrees with a sorted list", "[delay_queue]") {
  testing::run_paused([]() -> task<> {
    using whole = std::chrono::milliseconds;
    std::mt19937_64 random(11);
    delay_queue<int> queue;
    std::map<int, std::pair<delay_key, steady::time_point>> expected;
    int serial = 0;
    for (int round = 0; round != 3000; ++round) {
      const auto delay = whole(random() % (std::uint64_t{1} << (random() % 34)));
      switch (random() % 6) {
        case 0:
        case 1:
          expected[serial] = {queue.insert(serial, delay), now() + delay};
          ++serial;
          break;
        case 2:
          if (!expected.empty()) {
            auto which = expected.begin();
            std::advance(which, static_cast<long>(random() % expected.size()));
            CHECK(queue.reset(which->second.first, delay));
            which->second.second = now() + delay;
          }
          break;
        case 3:
          if (!expected.empty()) {
            auto which = expected.begin();
            std::advance(which, static_cast<long>(random() % expected.size()));
            CHECK(queue.remove(which->second.first).value == which->first);
            expected.erase(which);
          }
          break;
        case 4:
          if (random() % 16 == 0) queue.compact();
          break;
        default: {
          const auto before = now();
          auto e = co_await queue.next();
          REQUIRE(e.has_value() == !expected.empty());
          if (!e) break;
          auto earliest = steady::time_point::max();
          for (const auto& [id, entry] : expected) earliest = std::min(earliest, entry.second);
          CHECK(expected.at(e->value).second == earliest);
          CHECK(e->deadline == earliest);
          CHECK(now() == std::max(before, earliest));
          expected.erase(e->value);
        }
      }
      REQUIRE(queue.size() == expected.size());
    }
  });
}

TEST_CASE("memory is freed when it is asked for", "[delay_queue]") {
  const runtime rt = testing::paused_runtime(auto_advance::off);
  const auto guard = rt.enter();
  delay_queue<int> queue;
  CHECK(queue.capacity() == 0);
  std::vector<delay_key> keys;
  for (int i = 0; i != 1000; ++i) keys.push_back(queue.insert(i, 1h));
  CHECK(queue.capacity() == 1024);
  for (int i = 0; i != 1000; ++i)
    if (i != 500) CHECK(queue.remove(keys[static_cast<std::size_t>(i)]).value == i);
  CHECK(queue.capacity() == 1024);
  queue.compact();
  CHECK(queue.capacity() == 64);
  CHECK(queue.contains(keys[500]));
  for (int i = 0; i != 1000; ++i) keys[static_cast<std::size_t>(i)] = queue.insert(i, 1h);
  CHECK(queue.capacity() == 1024);
  for (int i = 0; i != 1000; ++i) CHECK(queue.remove(keys[static_cast<std::size_t>(i)]).value == i);
  queue.clear();
  queue.compact();
  CHECK(queue.capacity() == 0);
  CHECK(queue.empty());
}

TEST_CASE("a delay queue may be made before the clock that it is used under", "[delay_queue]") {
  runtime rt = testing::paused_runtime();
  std::this_thread::sleep_for(5ms);
  delay_queue<int> queue;  // made later than the clock of the runtime says
  rt.block_on([](delay_queue<int>* q) -> task<> {
    const auto start = now();
    q->insert(1, 2ms);
    auto e = co_await q->next();
    CHECK(e.has_value());
    CHECK(now() - start == 2ms);
  }(&queue));
}

TEST_CASE("a delay queue owns its values and moves", "[delay_queue]") {
  const runtime rt = testing::paused_runtime(auto_advance::off);
  const auto guard = rt.enter();
  int destroyed = 0;
  {
    delay_queue<kioto_test::probe> queue;
    for (int i = 0; i != 10; ++i) queue.insert(kioto_test::probe(destroyed), 1h);
    CHECK(destroyed == 0);
    delay_queue<kioto_test::probe> other(std::move(queue));
    CHECK(other.size() == 10);
    delay_queue<kioto_test::probe> third;
    third.insert(kioto_test::probe(destroyed), 1h);
    third = std::move(other);
    CHECK(destroyed == 1);
    CHECK(third.size() == 10);
    const auto key = third.insert(kioto_test::probe(destroyed), 1h);
    CHECK(third.try_remove(key).has_value());
    CHECK(destroyed == 2);
  }
  CHECK(destroyed == 12);
}
