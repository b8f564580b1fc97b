// SPDX-License-Identifier: MIT
#include <kioto/task.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

static_assert(!std::is_copy_constructible_v<task<int>> && !std::is_copy_assignable_v<task<int>>);
static_assert(std::is_nothrow_move_constructible_v<task<int>>);

task<int> marks(int* started) {
  ++*started;
  co_return 1;
}
task<int&> refers(int* to) {
  co_await yield_now();
  co_return *to;
}
task<std::unique_ptr<int>> owns() { co_return std::make_unique<int>(7); }
task<int> throws(probe p) {
  (void)p;
  co_await yield_now();
  throw std::runtime_error("on purpose");
}
task<> holds(probe p) {
  (void)p;
  co_return;
}

}  // namespace

TEST_CASE("a task does nothing before it is awaited, and may be dropped before") {
  on_every_scheduler([]() -> task<> {
    int started = 0;
    int destroyed = 0;
    {
      const auto never = marks(&started);
      const auto held = holds(probe(destroyed));
      CHECK(destroyed == 0);
    }
    CHECK(started == 0);
    CHECK(destroyed == 1);
    auto once = marks(&started);
    CHECK(once.valid());
    const int one = co_await std::move(once);
    CHECK(one == 1);
    CHECK(started == 1);
    CHECK_FALSE(once.valid());
  });
}

TEST_CASE("a task is moved and assigned: what was there is destroyed") {
  on_every_scheduler([]() -> task<> {
    int first = 0;
    int second = 0;
    task<> a = holds(probe(first));
    task<> b = holds(probe(second));
    a = std::move(b);
    CHECK(first == 1);
    CHECK(second == 0);
    task<> c = std::move(a);
    CHECK_FALSE(a.valid());
    co_await std::move(c);
    CHECK(second == 1);
  });
}

TEST_CASE("results: references, values that only move") {
  on_every_scheduler([]() -> task<> {
    int here = 1;
    int& there = co_await refers(&here);
    CHECK(&there == &here);
    const auto owned = co_await owns();
    CHECK(*owned == 7);
    auto reference = spawn(refers(&here));
    auto referred = co_await std::move(reference);
    CHECK(&std::move(referred).value() == &here);
  });
}

TEST_CASE("an exception goes to who awaits, after the parameters are destroyed with the child") {
  on_every_scheduler([]() -> task<> {
    int destroyed = 0;
    std::string said;
    try {
      const int value = co_await throws(probe(destroyed));
      CHECK(value == 0);
    } catch (const std::runtime_error& e) {
      said = e.what();
    }
    CHECK(said == "on purpose");
    CHECK(destroyed == 1);
  });
}

TEST_CASE("a stop destroys the frames from the innermost to the outermost") {
  on_every_scheduler([]() -> task<> {
    class order {
     public:
      order(std::string& out, char name) : out_(out), name_(name) {}
      order(const order&) = delete;
      order& operator=(const order&) = delete;
      ~order() { out_ += name_; }

     private:
      std::string& out_;
      char name_;
    };
    struct chain {
      static task<> third(std::string* out, std::atomic<bool>* reached) {
        const order a(*out, 'a');
        const order b(*out, 'b');
        *reached = true;
        co_await sleep(100s);
      }
      static task<> second(std::string* out, std::atomic<bool>* reached) {
        const order c(*out, 'c');
        co_await third(out, reached);
      }
      static task<> first(std::string* out, std::atomic<bool>* reached) {
        const order d(*out, 'd');
        co_await second(out, reached);
      }
    };
    std::string out;
    std::atomic<bool> reached{false};
    auto h = spawn(chain::first(&out, &reached));
    while (!reached) co_await yield_now();
    h.abort();
    auto r = co_await std::move(h);
    CHECK(r.is_cancelled());
    CHECK(out == "bacd");
  });
}
