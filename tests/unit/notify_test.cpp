// SPDX-License-Identifier: MIT
#include <kioto/sync/notify.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/sync.hpp"

using namespace kioto;
using namespace kioto_test;
using sync::notify;
using names = std::vector<std::string>;

namespace {

[[maybe_unused]] constinit notify global;  // needs no initialisation

task<> wait_for(notify& n, std::string name, names& log) {
  co_await n.notified();
  log.push_back(std::move(name));
}
// True if a notification is stored; takes it.
task<bool> is_stored(notify& n) {
  auto probe = n.notified();
  const bool stored = probe.enable();
  if (stored) co_await probe;
  co_return stored;
}

}  // namespace

TEST_CASE("a notice comes before or after the wait") {
  on_every_scheduler([]() -> task<> {
    notify n;
    n.notify_one();
    co_await n.notified();
    auto later = spawn([](notify& m) -> task<> { co_await m.notified(); }(n));
    n.notify_one();
    auto end = co_await std::move(later);
    CHECK(end.has_value());
  });
}

TEST_CASE("no more than one notice is stored") {
  in_order([]() -> task<> {
    notify n;
    names log;
    n.notify_one();
    n.notify_one();
    n.notify_last();
    auto a = spawn(wait_for(n, "a", log));
    auto b = spawn(wait_for(n, "b", log));
    co_await settle();
    CHECK(log == names{"a"});
    n.notify_one();
    co_await settle();
    CHECK(log == names{"a", "b"});
    const bool stored = co_await is_stored(n);
    CHECK(!stored);
  });
}

TEST_CASE("notify_one wakes who came first, notify_last who came last") {
  in_order([]() -> task<> {
    notify n;
    names log;
    std::vector<join_handle<>> tasks;
    for (const char* name : {"a", "b", "c", "d"}) {
      tasks.push_back(spawn(wait_for(n, name, log)));
      co_await settle();
    }
    n.notify_one();
    n.notify_last();
    n.notify_last();
    co_await settle();
    CHECK(log == names{"a", "d", "c"});
    n.notify_last();
    co_await settle();
    CHECK(log == names{"a", "d", "c", "b"});
  });
}

TEST_CASE("notify_waiters wakes all who are there, however many, and stores nothing") {
  in_order([]() -> task<> {
    notify n;
    names log;
    std::vector<join_handle<>> tasks;
    for (int i = 0; i != 100; ++i) tasks.push_back(spawn(wait_for(n, std::to_string(i), log)));
    co_await settle();
    n.notify_waiters();
    co_await settle();
    REQUIRE(log.size() == 100);
    CHECK(log.front() == "0");
    CHECK(log[57] == "57");
    auto late = spawn(wait_for(n, "late", log));
    co_await settle();
    CHECK(log.size() == 100);
    n.notify_waiters();
    co_await settle();
    CHECK(log.size() == 101);
  });
}

TEST_CASE("acceptance 37: a notice that a cancelled waiter was given goes to the next") {
  in_order([]() -> task<> {
    notify n;
    names log;
    std::optional<sync::notified> first(n.notified());
    CHECK(!first->enable());
    auto second = spawn(wait_for(n, "second", log));
    co_await settle();
    n.notify_one();
    co_await settle();
    CHECK(log.empty());
    first.reset();
    co_await settle();
    CHECK(log == names{"second"});
  });
}

TEST_CASE("a notice that a cancelled waiter was given is stored if nobody else waits") {
  in_order([]() -> task<> {
    notify n;
    {
      auto first = n.notified();
      CHECK(!first.enable());
      n.notify_one();
      CHECK(first.enable());
    }
    const bool stored = co_await is_stored(n);
    CHECK(stored);
    {
      n.notify_one();
      auto second = n.notified();
      CHECK(second.enable());
    }
    const bool again = co_await is_stored(n);
    CHECK(again);
  });
}

TEST_CASE("a notice of notify_last goes on to who came last") {
  in_order([]() -> task<> {
    notify n;
    names log;
    auto a = spawn(wait_for(n, "a", log));
    co_await settle();
    auto b = spawn(wait_for(n, "b", log));
    co_await settle();
    {
      auto last = n.notified();
      last.enable();
      n.notify_last();
    }
    co_await settle();
    CHECK(log == names{"b"});
    n.notify_one();
    co_await settle();
  });
}

TEST_CASE("acceptance 37: notify_waiters completes who was created, and a later notice is stored") {
  in_order([]() -> task<> {
    notify n;
    auto created = n.notified();
    auto enabled = n.notified();
    CHECK(!enabled.enable());
    n.notify_waiters();
    n.notify_one();
    auto late = n.notified();
    co_await created;  // neither waits, nor takes the notice
    co_await enabled;
    co_await late;
    const bool stored = co_await is_stored(n);
    CHECK(!stored);
  });
}

TEST_CASE(
    "an enabled waiter is woken by the notices that come before it waits, and by later ones") {
  on_every_scheduler([]() -> task<> {
    notify n;
    {
      auto early = n.notified();
      CHECK(!early.enable());
      CHECK(!early.enable());
      n.notify_one();
      co_await early;
      CHECK(early.enable());
      co_await early;  // completes again, at once
    }
    {
      auto late = n.notified();
      CHECK(!late.enable());
      auto other = spawn([](notify& m) -> task<> {
        m.notify_one();
        co_return;
      }(n));
      co_await late;
      auto end = co_await std::move(other);
      CHECK(end.has_value());
    }
    const bool stored = co_await is_stored(n);
    CHECK(!stored);
  });
}

TEST_CASE("a wait that was cancelled keeps its place as long as its object lives") {
  in_order([]() -> task<> {
    notify n;
    names log;
    auto mine = n.notified();
    const auto in_vain = co_await timeout(std::chrono::milliseconds(1), as_result(mine));
    CHECK(!in_vain.has_value());
    auto other = spawn(wait_for(n, "other", log));
    co_await settle();
    n.notify_one();
    co_await settle();
    CHECK(log.empty());
    co_await mine;
    n.notify_one();
    co_await settle();
    CHECK(log == names{"other"});
  });
}

TEST_CASE("a cancelled wait leaves nothing behind") {
  in_order([]() -> task<> {
    notify n;
    names log;
    auto a = spawn(wait_for(n, "a", log));
    auto b = spawn(wait_for(n, "b", log));
    co_await settle();
    a.abort();
    co_await settle();
    CHECK(a.is_finished());
    n.notify_one();
    co_await settle();
    CHECK(log == names{"b"});
    const auto in_vain = co_await timeout(std::chrono::milliseconds(1), as_result(n.notified()));
    CHECK(!in_vain.has_value());
    n.notify_one();
    const bool stored = co_await is_stored(n);
    CHECK(stored);
  });
}

TEST_CASE("a notified moves until it is enabled, and was there since it was created") {
  in_order([]() -> task<> {
    notify n;
    auto created = n.notified();
    n.notify_waiters();
    auto moved = std::move(created);
    co_await moved;
    auto again = std::move(moved);
    co_await again;
  });
}

TEST_CASE("who is woken last may destroy the notify") {
  struct shared {
    notify n;
    std::atomic<int> there{0};
    std::atomic<int> waiting{3};
  };
  auto use = [](shared* s) -> task<> {
    {
      auto news = s->n.notified();
      news.enable();
      s->there.fetch_add(1);
      co_await news;
    }
    if (s->waiting.fetch_sub(1) == 1) delete s;
  };
  on_every_scheduler([use]() -> task<> {
    for (int round = 0; round != 200; ++round) {
      auto* s = new shared;
      std::vector<join_handle<>> tasks;
      for (int i = 0; i != 3; ++i) tasks.push_back(spawn(use(s)));
      while (s->there != 3) co_await yield_now();
      if (round % 2 == 0) {
        s->n.notify_waiters();
      } else {
        for (int i = 0; i != 3; ++i) s->n.notify_one();
      }
      for (auto& t : tasks) {
        auto end = co_await std::move(t);
        CHECK(end.has_value());
      }
    }
  });
}
