// SPDX-License-Identifier: MIT
#include <kioto/sync/watch.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/channel_values.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;
namespace watch = kioto::sync::watch;

namespace {

// Ends with the last value that it saw.
task<int> follow(watch::receiver<int> rx) {
  int last = *rx.borrow();
  for (;;) {
    const auto changed = co_await rx.changed();
    if (!changed) co_return last;
    const int now = *rx.borrow_and_update();
    CHECK(now >= last);
    last = now;
  }
}
task<> wait_closed(watch::sender<int> tx) { co_await tx.closed(); }
task<int> first_above(watch::receiver<int> rx, int limit) {
  const auto above = [limit](int v) { return v > limit; };
  const auto got = co_await rx.wait_for(above);
  co_return got ? **got : -1;
}

// Looks into its channel when it is destroyed.
class looks_back {
 public:
  explicit looks_back(int* seen) : seen_(seen) {}
  looks_back(looks_back&& other) noexcept
      : from(std::move(other.from)), seen_(std::exchange(other.seen_, nullptr)) {}
  looks_back& operator=(looks_back&&) = delete;
  ~looks_back() {
    if (seen_ != nullptr && from) *seen_ += from->receiver_count() != 0 ? 1 : 0;
  }
  std::unique_ptr<watch::sender<looks_back>> from;

 private:
  int* seen_;
};

}  // namespace

TEST_CASE("watch: the newest value is seen, and waited for") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = watch::channel<int>(0);
    CHECK(*rx.borrow() == 0);
    CHECK_FALSE(rx.borrow().has_changed());
    CHECK(rx.has_changed().value() == false);
    std::vector<join_handle<int>> followers;
    for (int i = 0; i != 40; ++i) followers.push_back(spawn(follow(rx)));
    CHECK(tx.receiver_count() == 41);
    for (int i = 1; i != 101; ++i) {
      CHECK(tx.send(i).has_value());
      if (i % 10 == 0) co_await yield_now();
    }
    CHECK(rx.has_changed().value());
    CHECK(rx.borrow().has_changed());
    const auto seen = rx.borrow_and_update();
    CHECK(*seen == 100);
    CHECK(seen.has_changed());
    CHECK(rx.has_changed().value() == false);
    {
      auto last = std::move(tx);
    }
    for (auto& f : followers) {
      auto last = co_await std::move(f);
      CHECK(std::move(last).value() == 100);
    }
  });
}

TEST_CASE("acceptance 39: watch: after the end the last value counts as a change once") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = watch::channel<std::string>("one");
    CHECK(tx.send("two").has_value());
    {
      auto last = std::move(tx);
    }
    CHECK(rx.has_changed().error() == error::closed);
    const auto changed = co_await rx.changed();
    CHECK(changed.has_value());
    CHECK(*rx.borrow() == "two");
    const auto end = co_await rx.changed();
    CHECK(end.error() == error::closed);
    CHECK(rx.has_changed().error() == error::closed);
  });
}

TEST_CASE("watch: without a receiver, send stores nothing and the others do") {
  auto [tx, rx] = watch::channel<int>(1);
  {
    auto gone = std::move(rx);
  }
  CHECK(tx.is_closed());
  auto refused = tx.send(2);
  CHECK(refused.error() == error::closed);
  CHECK(refused.rejected() == 2);
  CHECK(*tx.borrow() == 1);
  CHECK(*tx.send_replace(3) == 1);
  tx.send_modify([](int& v) { v += 10; });
  CHECK(*tx.borrow() == 13);
  auto again = tx.subscribe();
  CHECK_FALSE(tx.is_closed());
  CHECK(again.has_changed().value() == false);
  CHECK(*again.borrow() == 13);
}

TEST_CASE("watch: a change is made in a copy, and only counts if it says so") {
  auto [tx, rx] = watch::channel<std::vector<int>>({1, 2});
  const auto before = rx.borrow();
  CHECK(tx.send_if_modified([](std::vector<int>& v) {
    v.push_back(3);
    return true;
  }));
  CHECK(before->size() == 2);  // a snapshot stays as it is
  CHECK(rx.borrow_and_update()->size() == 3);
  CHECK_FALSE(tx.send_if_modified([](std::vector<int>& v) {
    v.clear();
    return false;
  }));
  CHECK(rx.has_changed().value() == false);
  CHECK(rx.borrow()->size() == 3);
  const auto fails = [](std::vector<int>& v) {
    v.clear();
    throw std::runtime_error("on purpose");
  };
  CHECK_THROWS_AS(tx.send_modify(fails), std::runtime_error);
  CHECK(rx.has_changed().value() == false);
  CHECK(rx.borrow()->size() == 3);
  tx.send_modify(
      [&rx](std::vector<int>& v) { v.push_back(static_cast<int>(rx.borrow()->size())); });
  CHECK(rx.borrow()->back() == 3);
}

TEST_CASE("watch: values can be marked as seen and as not seen") {
  auto [tx, rx] = watch::channel<int>(0);
  rx.mark_changed();
  CHECK(rx.has_changed().value());
  rx.mark_unchanged();
  CHECK_FALSE(rx.has_changed().value());
  CHECK(tx.send(1).has_value());
  auto copy = rx;
  rx.mark_unchanged();
  CHECK_FALSE(rx.has_changed().value());
  CHECK(copy.has_changed().value());
  CHECK(copy.same_channel(rx));
  rx = copy;
  CHECK(rx.has_changed().value());
}

TEST_CASE("watch: wait_for looks at the present value, at every newer one, and at the last") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = watch::channel<int>(5);
    const auto above_four = [](int v) { return v > 4; };
    const auto now = co_await rx.wait_for(above_four);
    CHECK(**now == 5);
    CHECK_FALSE(now->has_changed());
    auto waits = spawn(first_above(rx, 50));
    auto never = spawn(first_above(rx, 1000));
    for (int i = 1; i != 60; ++i) {
      CHECK(tx.send(i).has_value());
      co_await yield_now();
    }
    auto got = co_await std::move(waits);
    CHECK(std::move(got).value() > 50);
    CHECK(tx.send(2000).has_value());
    {
      auto last = std::move(tx);
    }
    auto at_the_end = co_await std::move(never);
    CHECK(std::move(at_the_end).value() == 2000);
    const auto end = co_await rx.wait_for([](int v) { return v < 0; });
    CHECK(end.error() == error::closed);
  });
}

TEST_CASE("watch: what the predicate throws reaches who waits") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = watch::channel<int>(0);
    auto h = spawn(
        [](watch::receiver<int> r) -> task<> {
          const auto picky = [](int v) {
            if (v == 1) throw std::runtime_error("on purpose");
            return false;
          };
          const auto got = co_await r.wait_for(picky);
          CHECK(got.has_value());
        },
        rx);
    for (int i = 0; i != 3; ++i) co_await yield_now();
    CHECK(tx.send(1).has_value());
    const auto r = co_await std::move(h);
    CHECK(r.is_exception());
  });
}

TEST_CASE("watch: a sender can wait until there is no receiver") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = watch::channel<int>(0);
    auto second = tx.subscribe();
    std::vector<join_handle<>> waiting;
    for (int i = 0; i != 40; ++i) waiting.push_back(spawn(wait_closed(tx)));
    for (int i = 0; i != 5; ++i) co_await yield_now();
    {
      auto gone = std::move(rx);
    }
    for (int i = 0; i != 5; ++i) co_await yield_now();
    CHECK_FALSE(waiting[0].is_finished());
    CHECK(tx.sender_count() >= 41);
    {
      auto gone = std::move(second);
    }
    for (auto& w : waiting) {
      const auto r = co_await std::move(w);
      CHECK(r.has_value());
    }
  });
}

TEST_CASE("watch: a wait that timed out has marked nothing") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = watch::channel<int>(0);
    const auto none = co_await timeout(1ms, rx.changed());
    CHECK(none.error() == errc::timed_out);
    CHECK(tx.send(1).has_value());
    co_await or_throw(rx.changed());
    CHECK(*rx.borrow() == 1);
  });
}

TEST_CASE("watch: senders on several threads lose no change") {
  auto [tx, rx] = watch::channel<int>(0);
  std::vector<std::thread> threads;
  for (int i = 0; i != 4; ++i)
    threads.emplace_back([t = tx] {
      for (int n = 0; n != 500; ++n) t.send_modify([](int& v) { ++v; });
    });
  for (auto& t : threads) t.join();
  CHECK(*rx.borrow() == 2000);
}

TEST_CASE("watch: a value lives as long as it is the newest or borrowed") {
  std::atomic<int> alive{0};
  {
    auto [tx, rx] = watch::channel<move_only>(move_only(alive, 1));
    CHECK(alive == 1);
    {
      const auto old = rx.borrow();
      CHECK(tx.send(move_only(alive, 2)).has_value());
      CHECK(alive == 2);
      CHECK(old->value() == 1);
    }
    CHECK(alive == 1);
    const auto replaced = tx.send_replace(move_only(alive, 3));
    CHECK(replaced->value() == 2);
    CHECK(rx.borrow()->value() == 3);
  }
  CHECK(alive == 0);
}

TEST_CASE("watch: a value may use its channel while it is destroyed") {
  int seen = 0;
  {
    auto [tx, rx] = watch::channel<looks_back>(looks_back(&seen));
    looks_back next(&seen);
    next.from = std::make_unique<watch::sender<looks_back>>(tx);
    CHECK(tx.send(std::move(next)).has_value());
    CHECK(tx.send(looks_back(&seen)).has_value());
    CHECK(seen == 1);
  }
}

TEST_CASE("watch: over-aligned values keep their alignment") {
  auto [tx, rx] = watch::channel<over_aligned>(over_aligned(1));
  CHECK(rx.borrow()->is_aligned());
  CHECK(tx.send(over_aligned(2)).has_value());
  CHECK(rx.borrow()->is_aligned());
  CHECK(rx.borrow()->value == 2);
}
