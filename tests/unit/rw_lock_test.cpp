// SPDX-License-Identifier: MIT
#include <kioto/sync/rw_lock.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/sync.hpp"

using namespace kioto;
using namespace kioto_test;
using sync::rw_lock;

namespace {

[[maybe_unused]] constinit rw_lock<int> global(4);  // needs no initialisation

struct person {
  std::string name;
  int age = 0;
};

task<> read_once(rw_lock<int>& lock, int name, std::vector<int>& log) {
  auto value = co_await lock.read();
  log.push_back(name);
}
task<> write_once(rw_lock<int>& lock, int name, std::vector<int>& log) {
  auto value = co_await lock.write();
  log.push_back(name);
}

}  // namespace

TEST_CASE("many readers or one writer") {
  rw_lock<int> lock(7);
  {
    auto a = lock.try_read();
    auto b = lock.try_read();
    REQUIRE(static_cast<bool>(a));
    REQUIRE(static_cast<bool>(b));
    CHECK(*a + *b == 14);
    static_assert(std::is_same_v<decltype(*a), const int&>);
    CHECK(!lock.try_write());
    a.unlock();
    CHECK(!lock.try_write());
    b.unlock();
    auto w = lock.try_write();
    REQUIRE(static_cast<bool>(w));
    *w = 8;
    CHECK(!lock.try_read());
    CHECK(!lock.try_write());
  }
  CHECK(*lock.try_read() == 8);
  CHECK(std::move(lock).into_inner() == 8);
  rw_lock<> nothing;
  CHECK(static_cast<bool>(nothing.try_write()));
}

TEST_CASE("a writer that waits keeps later readers out") {
  in_order([]() -> task<> {
    rw_lock<int> lock(0);
    std::vector<int> log;
    auto reader = co_await lock.read();
    auto w = spawn(write_once(lock, 1, log));
    co_await settle();
    auto r = spawn(read_once(lock, 2, log));
    co_await settle();
    CHECK(log.empty());
    CHECK(!lock.try_read());
    reader.unlock();
    co_await settle();
    CHECK(log == std::vector<int>{1, 2});
  });
}

TEST_CASE("readers in line go together, behind a writer") {
  in_order([]() -> task<> {
    rw_lock<int> lock(0);
    std::vector<int> log;
    auto writer = co_await lock.write();
    auto a = spawn(read_once(lock, 1, log));
    auto b = spawn(read_once(lock, 2, log));
    co_await settle();
    auto w = spawn(write_once(lock, 3, log));
    co_await settle();
    auto c = spawn(read_once(lock, 4, log));
    co_await settle();
    writer.unlock();
    co_await settle();
    CHECK(log == std::vector<int>{1, 2, 3, 4});
  });
}

TEST_CASE("acceptance 37: when a writer that waits is cancelled, the readers behind it go on") {
  in_order([]() -> task<> {
    rw_lock<int> lock(0);
    std::vector<int> log;
    auto reader = co_await lock.read();
    auto w = spawn(write_once(lock, 1, log));
    co_await settle();
    auto r = spawn(read_once(lock, 2, log));
    co_await settle();
    CHECK(log.empty());
    w.abort();
    co_await settle();
    CHECK(log == std::vector<int>{2});
    reader.unlock();
    CHECK(static_cast<bool>(lock.try_write()));
  });
}

TEST_CASE("a writer becomes a reader without letting another writer in") {
  in_order([]() -> task<> {
    rw_lock<int> lock(0);
    std::vector<int> log;
    auto writer = co_await lock.write();
    auto r = spawn(read_once(lock, 1, log));
    co_await settle();
    auto w = spawn(write_once(lock, 2, log));
    co_await settle();
    *writer = 5;
    auto reader = std::move(writer).downgrade();
    CHECK(!writer);
    CHECK(*reader == 5);
    co_await settle();
    CHECK(log == std::vector<int>{1});
    reader.unlock();
    co_await settle();
    CHECK(log == std::vector<int>{1, 2});
  });
}

TEST_CASE("writers exclude readers and writers, on every scheduler") {
  on_every_scheduler([]() -> task<> {
    rw_lock<std::vector<int>> lock(std::vector<int>(2, 0));
    auto write = [](rw_lock<std::vector<int>>& shared) -> task<> {
      for (int i = 0; i != 100; ++i) {
        auto pair = co_await shared.write();
        ++(*pair)[0];
        co_await yield_now();
        ++(*pair)[1];
      }
    };
    auto read = [](rw_lock<std::vector<int>>& shared) -> task<bool> {
      bool same = true;
      for (int i = 0; i != 100; ++i) {
        auto pair = co_await shared.read();
        const int before = (*pair)[0];
        co_await yield_now();
        same = same && (*pair)[0] == before && (*pair)[1] == before;
      }
      co_return same;
    };
    std::vector<join_handle<>> writers;
    std::vector<join_handle<bool>> readers;
    for (int i = 0; i != 2; ++i) writers.push_back(spawn(write(lock)));
    for (int i = 0; i != 3; ++i) readers.push_back(spawn(read(lock)));
    for (auto& t : readers) {
      auto end = co_await std::move(t);
      CHECK(std::move(end).value());
    }
    for (auto& t : writers) {
      auto end = co_await std::move(t);
      CHECK(end.has_value());
    }
    auto pair = co_await lock.read();
    CHECK(*pair == std::vector<int>{200, 200});
  });
}

TEST_CASE("guards of a rw_lock can be narrowed to a part of the value") {
  rw_lock<person> lock(person{"Ada", 36});
  {
    auto name = lock.try_write().map([](person& p) -> std::string& { return p.name; });
    *name = "Grace";
    auto read_name = std::move(name).downgrade();
    CHECK(*read_name == "Grace");
    CHECK(static_cast<bool>(lock.try_read()));
    CHECK(!lock.try_write());
  }
  auto age = lock.try_read().map([](const person& p) -> const int& { return p.age; });
  CHECK(*age == 36);
  CHECK(!lock.try_write());
  auto none = std::move(age).try_map([](const int&) -> const int* { return nullptr; });
  CHECK(!none);
  CHECK(static_cast<bool>(age));
}

TEST_CASE("owned guards keep the rw_lock alive") {
  on_every_scheduler([]() -> task<> {
    auto lock = std::make_shared<rw_lock<int>>(1);
    const std::weak_ptr<rw_lock<int>> alive = lock;
    auto writer = co_await rw_lock<int>::write_owned(std::move(lock));
    *writer = 2;
    CHECK(!rw_lock<int>::try_read_owned(alive.lock()));
    auto reader = std::move(writer).downgrade();
    auto second = co_await rw_lock<int>::read_owned(alive.lock());
    CHECK(*second == 2);
    CHECK(!rw_lock<int>::try_write_owned(alive.lock()));
    reader.unlock();
    CHECK(!alive.expired());
    second.unlock();
    CHECK(alive.expired());
  });
}

TEST_CASE("threads wait for a rw_lock, and tasks must not block for it") {
  auto lock = std::make_shared<rw_lock<int>>(1);
  auto held = lock->blocking_read();
  std::atomic<bool> written{false};
  std::thread other([lock, &written] {
    auto mine = lock->blocking_write();
    written = true;
    *mine += 1;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  CHECK(!written);
  held.unlock();
  other.join();
  CHECK(*rw_lock<int>::blocking_read_owned(lock) == 2);
  CHECK(*rw_lock<int>::blocking_write_owned(lock) == 2);
  in_order([lock]() -> task<> {
    CHECK_THROWS_AS(lock->blocking_read(), std::logic_error);
    CHECK_THROWS_AS(lock->blocking_write(), std::logic_error);
    co_return;
  });
}
