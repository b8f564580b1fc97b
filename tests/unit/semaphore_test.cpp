// SPDX-License-Identifier: MIT
#include <kioto/sync/semaphore.hpp>

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
using sync::semaphore;

namespace {

[[maybe_unused]] constinit semaphore global(2);  // needs no initialisation

task<> take(semaphore& s, std::size_t n, std::string name, std::vector<std::string>& log) {
  auto permit = co_await s.acquire_many(n);
  log.push_back(permit ? name : name + " closed");
}
task<> take_and_keep(semaphore& s, std::size_t n, sync::semaphore_permit& to) {
  auto permit = co_await s.acquire_many(n);
  if (permit) to = std::move(*permit);
}

}  // namespace

TEST_CASE("permits are taken without waiting while they last, and come back") {
  semaphore s(2);
  {
    auto a = s.try_acquire();
    auto b = s.try_acquire();
    REQUIRE(a.has_value());
    REQUIRE(b.has_value());
    CHECK(a->count() == 1);
    CHECK(s.available_permits() == 0);
    auto c = s.try_acquire();
    REQUIRE(!c.has_value());
    CHECK(c.error() == error::full);
    a->release();
    CHECK(a->count() == 0);
    CHECK(s.available_permits() == 1);
    CHECK(s.try_acquire_many(2).error_or({}) == error::full);
  }
  CHECK(s.available_permits() == 2);
  CHECK(s.try_acquire_many(2).has_value());
  CHECK(s.try_acquire_many(0).has_value());
}

TEST_CASE("permits move, merge, split, and can be forgotten") {
  semaphore s(5);
  semaphore other(1);
  {
    sync::semaphore_permit empty;
    CHECK(empty.count() == 0);
    auto all = s.try_acquire_many(5).value();
    auto two = all.split(2);
    REQUIRE(two.has_value());
    CHECK(all.count() == 3);
    CHECK(two->count() == 2);
    CHECK(!all.split(4).has_value());
    CHECK(all.count() == 3);
    all.merge(std::move(*two));
    CHECK(all.count() == 5);
    all.merge(std::move(empty));
    CHECK(all.count() == 5);
    empty.merge(std::move(*all.split(1)));
    CHECK(empty.count() == 1);

    auto foreign = other.try_acquire().value();
    CHECK_THROWS_AS(all.merge(std::move(foreign)), std::logic_error);
    CHECK(foreign.count() == 1);
    CHECK(all.count() == 4);

    auto none = all.split(0);
    REQUIRE(none.has_value());
    CHECK(none->count() == 0);
    sync::semaphore_permit moved(std::move(all));
    CHECK(moved.count() == 4);
    moved = std::move(*moved.split(3));
    CHECK(moved.count() == 3);
    CHECK(s.available_permits() == 1);
    moved.forget();
  }
  CHECK(s.available_permits() == 2);
  CHECK(other.available_permits() == 1);
}

TEST_CASE("permits can be added and taken away") {
  semaphore s(0);
  s.add_permits(3);
  CHECK(s.available_permits() == 3);
  CHECK(s.forget_permits(2) == 2);
  CHECK(s.forget_permits(2) == 1);
  CHECK(s.forget_permits(2) == 0);
  CHECK(s.available_permits() == 0);
}

TEST_CASE("more permits than a semaphore can have are refused") {
  CHECK_THROWS_AS(semaphore(semaphore::max_permits + 1), std::invalid_argument);
  semaphore s(semaphore::max_permits);
  CHECK_THROWS_AS(s.acquire_many(semaphore::max_permits + 1), std::invalid_argument);
  CHECK_THROWS_AS(s.add_permits(1), std::overflow_error);
  CHECK(s.available_permits() == semaphore::max_permits);
  auto all = s.try_acquire_many(semaphore::max_permits);
  REQUIRE(all.has_value());
  CHECK(s.available_permits() == 0);
}

TEST_CASE("permits are handed out in the order of arrival, and nobody overtakes who wants many") {
  in_order([]() -> task<> {
    semaphore s(0);
    std::vector<std::string> log;
    auto a = spawn(take(s, 1, "a", log));
    co_await settle();
    auto b = spawn(take(s, 3, "b", log));
    co_await settle();
    auto c = spawn(take(s, 1, "c", log));
    co_await settle();
    CHECK(log.empty());

    s.add_permits(1);
    co_await settle();
    CHECK(log == std::vector<std::string>{"a"});  // and gave its permit to b
    s.add_permits(1);
    co_await settle();
    CHECK(log == std::vector<std::string>{"a"});
    CHECK(s.available_permits() == 0);
    CHECK(s.try_acquire().error_or({}) == error::full);
    s.add_permits(1);
    co_await settle();
    CHECK(log == std::vector<std::string>{"a", "b", "c"});
    CHECK(s.available_permits() == 3);
  });
}

TEST_CASE("one release serves as many as it can") {
  in_order([]() -> task<> {
    semaphore s(0);
    std::vector<std::string> log;
    std::vector<sync::semaphore_permit> kept(3);
    std::vector<join_handle<>> tasks;
    for (std::size_t n = 0; n != 3; ++n) {
      tasks.push_back(spawn(take_and_keep(s, n + 1, kept[n])));
      co_await settle();
    }
    s.add_permits(4);
    co_await settle();
    CHECK(kept[0].count() == 1);
    CHECK(kept[1].count() == 2);
    CHECK(kept[2].count() == 0);
    CHECK(s.available_permits() == 0);  // the last has gathered one
    s.add_permits(3);
    co_await settle();
    CHECK(kept[2].count() == 3);
    CHECK(s.available_permits() == 1);
  });
}

TEST_CASE("acceptance 37: a cancelled acquire_many gives back what it has gathered") {
  in_order([]() -> task<> {
    semaphore s(2);
    std::vector<std::string> log;
    auto many = spawn(take(s, 5, "many", log));
    co_await settle();
    CHECK(s.available_permits() == 0);
    auto one = spawn(take(s, 1, "one", log));
    auto two = spawn(take(s, 2, "two", log));
    co_await settle();
    s.add_permits(1);
    co_await settle();
    CHECK(log.empty());

    many.abort();
    co_await settle();
    CHECK(log == std::vector<std::string>{"one", "two"});
    CHECK(s.available_permits() == 3);
    auto end = co_await std::move(many);
    CHECK(end.is_cancelled());
  });
}

TEST_CASE("a cancelled waiter in the middle of the line leaves the others as they are") {
  in_order([]() -> task<> {
    semaphore s(0);
    std::vector<std::string> log;
    auto a = spawn(take(s, 1, "a", log));
    auto b = spawn(take(s, 1, "b", log));
    auto c = spawn(take(s, 1, "c", log));
    co_await settle();
    b.abort();
    co_await settle();
    s.add_permits(1);
    co_await settle();
    CHECK(log == std::vector<std::string>{"a", "c"});
    CHECK(s.available_permits() == 1);
  });
}

TEST_CASE("a closed semaphore gives nothing more, to those who wait and to those who come") {
  in_order([]() -> task<> {
    semaphore s(2);
    std::vector<std::string> log;
    auto held = s.try_acquire();
    auto a = spawn(take(s, 2, "a", log));
    auto b = spawn(take(s, 1, "b", log));
    co_await settle();
    CHECK(!s.is_closed());
    s.close();
    CHECK(s.is_closed());
    CHECK(s.available_permits() == 1);  // what a had gathered
    co_await settle();
    CHECK(log == std::vector<std::string>{"a closed", "b closed"});
    auto late = co_await s.acquire();
    REQUIRE(!late.has_value());
    CHECK(late.error() == error::closed);
    CHECK(s.try_acquire().error_or({}) == error::closed);
    CHECK(held->count() == 1);
    held->release();
    CHECK(s.available_permits() == 2);
    s.close();
    CHECK(s.available_permits() == 2);
  });
}

TEST_CASE("an operation that completed and is dropped gives its permits back") {
  semaphore s(3);
  {
    auto operation = s.acquire_many(2);
    CHECK(operation.try_or_wait() == detail::attempt::ready);
    CHECK(s.available_permits() == 1);
  }
  CHECK(s.available_permits() == 3);
}

TEST_CASE("owned permits keep the semaphore alive") {
  on_every_scheduler([]() -> task<> {
    auto s = std::make_shared<semaphore>(3);
    const std::weak_ptr<semaphore> alive = s;
    {
      auto a = co_await semaphore::acquire_owned(s);
      auto b = co_await semaphore::acquire_many_owned(std::move(s), 2);
      REQUIRE(a.has_value());
      REQUIRE(b.has_value());
      CHECK(b->count() == 2);
      CHECK(semaphore::try_acquire_owned(alive.lock()).error_or({}) == error::full);
      a->release();
      auto c = semaphore::try_acquire_many_owned(alive.lock(), 1);
      CHECK(c.has_value());
      CHECK(!alive.expired());
    }
    CHECK(alive.expired());
  });
}

TEST_CASE("who waits for an owned permit keeps the semaphore alive") {
  in_order([]() -> task<> {
    auto s = std::make_shared<semaphore>(1);
    const std::weak_ptr<semaphore> alive = s;
    auto held = semaphore::try_acquire_owned(s);
    auto waiting = spawn([](std::shared_ptr<semaphore> mine) -> task<> {
      auto permit = co_await semaphore::acquire_owned(std::move(mine));
      CHECK(permit.has_value());
    }(std::move(s)));
    co_await settle();
    held->release();
    co_await settle();
    CHECK(alive.expired());
    auto end = co_await std::move(waiting);
    CHECK(end.has_value());
  });
}

TEST_CASE("threads wait for permits, and tasks must not block for them") {
  auto s = std::make_shared<semaphore>(0);
  std::thread other([s] {
    auto one = s->blocking_acquire();
    auto two = s->blocking_acquire_many(2);
    CHECK(one.has_value());
    CHECK(two.has_value());
    one->forget();
    two->forget();
    CHECK(s->blocking_acquire().error_or({}) == error::closed);
  });
  s->add_permits(2);
  s->add_permits(1);
  while (s->available_permits() != 0) std::this_thread::yield();
  s->close();
  other.join();

  in_order([s]() -> task<> {
    CHECK_THROWS_AS(s->blocking_acquire(), std::logic_error);
    co_return;
  });
}

TEST_CASE("a permit taken by one task is seen by the next one of another thread") {
  on_every_scheduler([]() -> task<> {
    semaphore s(1);
    int counter = 0;
    auto count = [](semaphore& sem, int& c) -> task<> {
      for (int i = 0; i != 200; ++i) {
        auto permit = co_await sem.acquire();
        ++c;
        co_await yield_now();
      }
    };
    std::vector<join_handle<>> tasks;
    for (int i = 0; i != 4; ++i) tasks.push_back(spawn(count(s, counter)));
    for (auto& t : tasks) {
      auto end = co_await std::move(t);
      CHECK(end.has_value());
    }
    CHECK(counter == 800);
    CHECK(s.available_permits() == 1);
  });
}
