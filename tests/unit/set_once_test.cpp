// SPDX-License-Identifier: MIT
#include <kioto/sync/set_once.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/sync.hpp"

using namespace kioto;
using namespace kioto_test;
using sync::set_once;

namespace {
[[maybe_unused]] constinit set_once<int> global;  // needs no initialisation
}

TEST_CASE("a value is set once and seen by all who wait, before and after") {
  on_every_scheduler([]() -> task<> {
    set_once<std::string> cell;
    CHECK(!cell.is_set());
    CHECK(cell.get() == nullptr);
    auto wait = [&cell]() -> task<const std::string*> {
      const std::string& value = co_await cell.wait();
      co_return &value;
    };
    std::vector<join_handle<const std::string*>> tasks;
    for (int i = 0; i != 3; ++i) tasks.push_back(spawn(wait()));
    co_await yield_now();
    CHECK(cell.set("value"));
    CHECK(cell.is_set());
    for (auto& t : tasks) {
      auto end = co_await std::move(t);
      CHECK(std::move(end).value() == cell.get());
    }
    const std::string& late = co_await cell.wait();
    CHECK(late == "value");
  });
}

TEST_CASE("the second value is refused, and stays with its owner") {
  set_once<std::unique_ptr<int>> cell;
  CHECK(cell.set(std::make_unique<int>(1)));
  auto second = std::make_unique<int>(2);
  CHECK(!cell.set(std::move(second)));
  CHECK(second != nullptr);
  CHECK(**cell.get() == 1);
}

TEST_CASE("a constructor that throws leaves the place free") {
  struct picky {
    explicit picky(int x) : value(x) {
      if (x < 0) throw std::invalid_argument("negative");
    }
    int value;
  };
  set_once<picky> cell;
  CHECK_THROWS_AS(cell.set(-1), std::invalid_argument);
  CHECK(!cell.is_set());
  CHECK(cell.set(1));
  CHECK(cell.get()->value == 1);
}

TEST_CASE("a cancelled wait for a value leaves the others waiting") {
  in_order([]() -> task<> {
    set_once<int> cell;
    int seen = 0;
    auto wait = [&]() -> task<> {
      const int& value = co_await cell.wait();
      seen += value;
    };
    auto a = spawn(wait());
    auto b = spawn(wait());
    auto c = spawn(wait());
    co_await settle();
    b.abort();
    co_await settle();
    CHECK(b.is_finished());
    cell.set(1);
    co_await settle();
    CHECK(seen == 2);
  });
}

TEST_CASE("a value is destroyed with the object that it was set in") {
  int destroyed = 0;
  {
    set_once<probe> cell;
    CHECK(cell.set(destroyed));
    CHECK(destroyed == 0);
  }
  CHECK(destroyed == 1);
  {
    set_once<probe> empty;
  }
  CHECK(destroyed == 1);
}

TEST_CASE("threads wait for a value, and tasks must not block for it") {
  auto cell = std::make_shared<set_once<int>>();
  int seen = 0;
  std::thread other([cell, &seen] { seen = cell->blocking_wait(); });
  in_order([cell]() -> task<> {
    CHECK_THROWS_AS(cell->blocking_wait(), std::logic_error);
    CHECK(cell->set(5));
    co_return;
  });
  other.join();
  CHECK(seen == 5);
}

TEST_CASE("who sees the value may destroy the object") {
  for (int round = 0; round != 300; ++round) {
    auto* cell = new set_once<int>;
    std::thread other([cell] {
      while (!cell->is_set()) std::this_thread::yield();
      delete cell;
    });
    cell->set(1);
    other.join();
  }
}
