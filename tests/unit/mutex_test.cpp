// SPDX-License-Identifier: MIT
#include <kioto/sync/mutex.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/sync.hpp"

using namespace kioto;
using namespace kioto_test;
using sync::mutex;

namespace {

struct person {
  std::string name;
  int age = 0;
};

task<> append(mutex<std::vector<int>>& m, int what) {
  auto log = co_await m.lock();
  log->push_back(what);
}

// Constant-initialised: the order of initialisation does not matter.
constinit mutex<int> global(3);

}  // namespace

TEST_CASE("a mutex can be a global object that needs no initialisation") {
  CHECK(*global.try_lock() == 3);
}

TEST_CASE("a mutex guards its value, one task at a time") {
  on_every_scheduler([]() -> task<> {
    mutex<int> m(5);
    auto work = [](mutex<int>& shared) -> task<> {
      for (int i = 0; i != 200; ++i) {
        auto value = co_await shared.lock();
        const int before = *value;
        co_await yield_now();  // the guard goes with the task to another thread
        *value = before + 1;
      }
    };
    std::vector<join_handle<>> tasks;
    for (int i = 0; i != 4; ++i) tasks.push_back(spawn(work(m)));
    for (auto& t : tasks) {
      auto end = co_await std::move(t);
      CHECK(end.has_value());
    }
    auto value = co_await m.lock();
    CHECK(*value == 805);
  });
}

TEST_CASE("values are made in place, and taken out at the end") {
  mutex<std::string> text(std::in_place, 3, 'x');
  CHECK(*text.try_lock() == "xxx");
  mutex deduced(std::string("y"));
  static_assert(std::is_same_v<decltype(deduced), mutex<std::string>>);
  CHECK(deduced.try_lock()->size() == 1);
  CHECK(std::move(text).into_inner() == "xxx");
  mutex<std::unique_ptr<int>> pointer(std::make_unique<int>(3));
  CHECK(**pointer.try_lock() == 3);
  mutex<int> zero;
  CHECK(*zero.try_lock() == 0);
}

TEST_CASE("try_lock gets a free mutex only") {
  mutex<> m;
  auto held = m.try_lock();
  REQUIRE(static_cast<bool>(held));
  CHECK(!m.try_lock());
  held.unlock();
  CHECK(!held);
  held.unlock();
  auto again = m.try_lock();
  CHECK(static_cast<bool>(again));
  auto moved = std::move(again);
  CHECK(!again);
  CHECK(static_cast<bool>(moved));
  moved = sync::mutex_guard<>();
  CHECK(static_cast<bool>(m.try_lock()));
}

TEST_CASE("a mutex is handed over in the order of arrival, and nobody gets in between") {
  in_order([]() -> task<> {
    mutex<std::vector<int>> m;
    auto held = co_await m.lock();
    std::vector<join_handle<>> tasks;
    for (int i = 0; i != 5; ++i) {
      tasks.push_back(spawn(append(m, i)));
      co_await settle();
    }
    held.unlock();
    CHECK(!m.try_lock());  // it belongs to the first in line already
    co_await settle();
    CHECK(*m.try_lock() == std::vector<int>{0, 1, 2, 3, 4});
  });
}

TEST_CASE("a cancelled waiter loses its place, and the mutex is not lost") {
  in_order([]() -> task<> {
    mutex<std::vector<int>> m;
    auto held = co_await m.lock();
    auto a = spawn(append(m, 1));
    auto b = spawn(append(m, 2));
    co_await settle();
    a.abort();
    co_await settle();
    CHECK(a.is_finished());
    held.unlock();
    co_await settle();
    CHECK(*m.try_lock() == std::vector<int>{2});
  });
}

TEST_CASE("a mutex that was handed over to a task is its own, although it is cancelled then") {
  in_order([]() -> task<> {
    mutex<std::vector<int>> m;
    auto held = co_await m.lock();
    auto a = spawn(append(m, 1));
    auto b = spawn(append(m, 2));
    co_await settle();
    held.unlock();
    a.abort();
    co_await settle();
    CHECK(*m.try_lock() == std::vector<int>{1, 2});
  });
}

TEST_CASE("a wait with a deadline gives up its place") {
  on_every_scheduler([]() -> task<> {
    mutex<int> m(1);
    auto held = co_await m.lock();
    auto in_vain = co_await timeout(std::chrono::milliseconds(1), as_result(m.lock()));
    CHECK(!in_vain.has_value());
    held.unlock();
    auto in_time = co_await timeout(std::chrono::hours(1), m.lock());
    CHECK(*in_time == 1);
  });
}

TEST_CASE("an exception unlocks") {
  on_every_scheduler([]() -> task<> {
    mutex<int> m(1);
    auto failing = spawn([](mutex<int>& shared) -> task<> {
      auto value = co_await shared.lock();
      *value = 2;
      throw std::runtime_error("not poisoned");
    }(m));
    auto end = co_await std::move(failing);
    CHECK(end.is_exception());
    auto value = co_await m.lock();
    CHECK(*value == 2);
  });
}

TEST_CASE("a guard can be narrowed to a part of the value") {
  mutex<person> m(person{"Ada", 36});
  auto name = m.try_lock().map([](person& p) -> std::string& { return p.name; });
  CHECK(*name == "Ada");
  name->push_back('!');
  CHECK(!m.try_lock());
  auto letter = std::move(name).map([](std::string& s) -> char& { return s[0]; });
  CHECK(!name);
  *letter = 'a';
  letter.unlock();
  CHECK(m.try_lock()->name == "ada!");

  auto guard = m.try_lock();
  auto nothing = std::move(guard).try_map([](person&) -> int* { return nullptr; });
  CHECK(!nothing);
  REQUIRE(static_cast<bool>(guard));
  auto age = std::move(guard).try_map([](person& p) { return &p.age; });
  REQUIRE(static_cast<bool>(age));
  CHECK(!guard);
  CHECK(*age == 36);
}

TEST_CASE("owned guards keep the mutex alive") {
  on_every_scheduler([]() -> task<> {
    auto m = std::make_shared<mutex<person>>(person{"Ada", 36});
    const std::weak_ptr<mutex<person>> alive = m;
    {
      auto guard = co_await mutex<person>::lock_owned(std::move(m));
      CHECK(!mutex<person>::try_lock_owned(alive.lock()));
      guard->age = 37;
      auto age = std::move(guard).map([](person& p) -> int& { return p.age; });
      CHECK(*age == 37);
      CHECK(!alive.expired());
      age.unlock();
      CHECK(alive.expired());
    }
  });
}

TEST_CASE("threads wait for a mutex, and tasks must not block for it") {
  auto m = std::make_shared<mutex<int>>(1);
  kioto::runtime rt = make_runtime(flavour::one_worker);
  std::atomic<bool> locked{false};
  std::thread other;
  rt.block_on([&]() -> task<> {
    auto value = co_await m->lock();
    other = std::thread([m, &locked] {
      auto mine = m->blocking_lock();
      locked = true;
      *mine += 1;
    });
    co_await sleep(std::chrono::milliseconds(5));
    CHECK(!locked);
    *value = 10;
  });
  other.join();
  CHECK(*mutex<int>::blocking_lock_owned(m) == 11);
  rt.block_on([m]() -> task<> {
    CHECK_THROWS_AS(m->blocking_lock(), std::logic_error);
    auto value = block_in_place([&] { return m->blocking_lock(); });
    CHECK(*value == 11);
    co_return;
  });
}

TEST_CASE("the last one who locks a mutex may destroy it") {
  struct shared {
    mutex<> m;
    std::atomic<int> users{4};
  };
  auto use = [](shared* s) -> task<> {
    auto guard = co_await s->m.lock();
    co_await yield_now();
    const bool last = s->users.fetch_sub(1) == 1;
    guard.unlock();
    if (last) delete s;
  };
  on_every_scheduler([use]() -> task<> {
    for (int round = 0; round != 300; ++round) {
      auto* s = new shared;
      std::vector<join_handle<>> tasks;
      for (int i = 0; i != 4; ++i) tasks.push_back(spawn(use(s)));
      for (auto& t : tasks) {
        auto end = co_await std::move(t);
        CHECK(end.has_value());
      }
    }
  });
}
