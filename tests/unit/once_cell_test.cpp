// SPDX-License-Identifier: MIT
#include <kioto/sync/once_cell.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <kioto/detail/base/manual_lifetime.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/sync.hpp"

using namespace kioto;
using namespace kioto_test;
using sync::once_cell;

namespace {
constinit once_cell<std::string> global;
}

TEST_CASE("a cell can be a global object that needs no initialisation") {
  CHECK(global.get() == nullptr);
  CHECK(global.set("set"));
  CHECK(*global.get() == "set");
}

TEST_CASE("a cell is initialised by the first one, and the others wait for that") {
  on_every_scheduler([]() -> task<> {
    once_cell<std::string> cell;
    std::atomic<int> calls{0};
    CHECK(cell.get() == nullptr);
    CHECK(!cell.is_initialized());
    auto make = [&calls]() -> task<std::string> {
      ++calls;
      for (int i = 0; i != 10; ++i) co_await yield_now();
      co_return "made once";
    };
    auto use = [&cell, &make]() -> task<const std::string*> {
      const std::string& value = co_await cell.get_or_init(make);
      co_return &value;
    };
    std::vector<join_handle<const std::string*>> tasks;
    for (int i = 0; i != 5; ++i) tasks.push_back(spawn(use()));
    for (auto& t : tasks) {
      auto end = co_await std::move(t);
      CHECK(std::move(end).value() == cell.get());
    }
    CHECK(calls == 1);
    CHECK(*cell.get() == "made once");
    const std::string& again = co_await cell.get_or_init(make);
    CHECK(&again == cell.get());
    CHECK(calls == 1);
  });
}

TEST_CASE("when an initialiser fails, its caller gets the error and the next one tries") {
  in_order([]() -> task<> {
    once_cell<int> cell;
    int calls = 0;
    auto fails = [&calls]() -> task<result<int>> {
      ++calls;
      co_await settle();
      co_return errc::connection_refused;
    };
    auto works = [&calls]() -> task<result<int>> {
      ++calls;
      co_await settle();
      co_return 7;
    };
    auto first = spawn([&]() -> task<std::error_code> {
      auto r = co_await cell.get_or_try_init(fails);
      co_return r.error_or({});
    });
    auto second = spawn([&]() -> task<int> {
      auto r = co_await cell.get_or_try_init(works);
      co_return r ? **r : 0;
    });
    auto third = spawn([&]() -> task<int> {
      auto r = co_await cell.get_or_try_init(fails);
      co_return r ? **r : 0;
    });
    auto a = co_await std::move(first);
    auto b = co_await std::move(second);
    auto c = co_await std::move(third);
    CHECK(std::move(a).value() == errc::connection_refused);
    CHECK(std::move(b).value() == 7);
    CHECK(std::move(c).value() == 7);
    CHECK(calls == 2);
    auto now = co_await cell.get_or_try_init(fails);
    REQUIRE(now.has_value());
    CHECK(*now == cell.get());
  });
}

TEST_CASE("when an initialiser throws, its caller gets the exception and the next one tries") {
  in_order([]() -> task<> {
    once_cell<int> cell;
    auto throws = []() -> task<int> {
      co_await settle();
      throw std::runtime_error("no value");
    };
    auto works = []() -> task<int> { co_return 7; };
    auto first = spawn([&]() -> task<> { co_await cell.get_or_init(throws); });
    co_await yield_now();
    auto second = spawn([&]() -> task<int> {
      const int& value = co_await cell.get_or_init(works);
      co_return value;
    });
    auto a = co_await std::move(first);
    CHECK(a.is_exception());
    auto b = co_await std::move(second);
    CHECK(std::move(b).value() == 7);
  });
}

TEST_CASE("when the one who initialises is cancelled, the next one does it") {
  in_order([]() -> task<> {
    once_cell<int> cell;
    auto never = []() -> task<int> {
      co_await sleep(std::chrono::hours(1));
      co_return 1;
    };
    auto works = []() -> task<int> { co_return 7; };
    auto first = spawn([&]() -> task<> { co_await cell.get_or_init(never); });
    co_await settle();
    auto second = spawn([&]() -> task<int> {
      const int& value = co_await cell.get_or_init(works);
      co_return value;
    });
    auto third = spawn([&]() -> task<> { co_await cell.get_or_init(never); });
    co_await settle();
    CHECK(!cell.is_initialized());
    CHECK(!cell.set(3));
    third.abort();
    first.abort();
    auto b = co_await std::move(second);
    CHECK(std::move(b).value() == 7);
    auto a = co_await std::move(first);
    CHECK(a.is_cancelled());
    auto c = co_await std::move(third);
    CHECK(c.is_cancelled());

    once_cell<int> late;
    auto hasty = spawn([&]() -> task<> {
      co_await timeout(std::chrono::milliseconds(1), late.get_or_init(never));
    });
    auto in_vain = co_await std::move(hasty);
    CHECK(in_vain.is_exception());
    CHECK(late.set(2));
  });
}

TEST_CASE("a cell can be set, once") {
  in_order([]() -> task<> {
    once_cell<std::unique_ptr<int>> cell;
    auto mine = std::make_unique<int>(3);
    CHECK(cell.set(std::move(mine)));
    CHECK(**cell.get() == 3);
    auto other = std::make_unique<int>(4);
    CHECK(!cell.set(std::move(other)));
    CHECK(other != nullptr);
    auto unused = []() -> task<std::unique_ptr<int>> { co_return nullptr; };
    const std::unique_ptr<int>& value = co_await cell.get_or_init(unused);
    CHECK(*value == 3);
  });
}

TEST_CASE("a constructor that throws leaves the cell empty") {
  struct picky {
    explicit picky(int x) : value(x) {
      if (x < 0) throw std::invalid_argument("negative");
    }
    int value;
  };
  once_cell<picky> cell;
  CHECK_THROWS_AS(cell.set(-1), std::invalid_argument);
  CHECK(!cell.is_initialized());
  CHECK(cell.set(1));
  CHECK(cell.get()->value == 1);
}

TEST_CASE("the value is destroyed with its cell, once") {
  int destroyed = 0;
  {
    once_cell<probe> cell;
    CHECK(cell.set(destroyed));
    CHECK(destroyed == 0);
  }
  CHECK(destroyed == 1);
  {
    once_cell<probe> empty;
  }
  CHECK(destroyed == 1);
}

TEST_CASE("a late value is made and destroyed when its owner says so") {
  int destroyed = 0;
  detail::manual_lifetime<probe> late;
  late.emplace(destroyed);
  CHECK(destroyed == 0);
  late.destroy();
  CHECK(destroyed == 1);
}
