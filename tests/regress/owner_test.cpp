// SPDX-License-Identifier: MIT Owners that were destroyed while an operation on them was waiting:
// blocks of running tasks were freed, and waits never ended.
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/gate.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

task<> waits() { co_await sleep(1h); }
task<> pass(gate* g) { co_await g->passed(); }
task<> pass_shared(std::shared_ptr<gate> g) { co_await g->passed(); }
task<> joins(join_handle<>* handle) { static_cast<void>(co_await *handle); }
template <class Do>
std::string says(Do work) {
  return last_words([&work] {
    runtime rt = make_runtime(flavour::current_thread);
    rt.block_on(work());
  });
}

}  // namespace

TEST_CASE("a join handle was let go of while it was awaited") {
  const auto check = [](const std::string& said) {
    CHECK_THAT(said, contains("a join_handle of task "));
    CHECK_THAT(said, contains("owner_test.cpp:"));
    CHECK_THAT(said, contains("while it was awaited"));
    CHECK(said.find("it went on") == std::string::npos);
  };
  SECTION("destroyed") {
    check(says([]() -> task<> {
      auto handle = std::make_unique<join_handle<>>(spawn(waits()));
      auto waiter = spawn(joins(handle.get()));
      co_await yield_now();
      handle.reset();
    }));
  }
  SECTION("assigned to") {
    check(says([]() -> task<> {
      auto handle = spawn(waits());
      auto waiter = spawn(joins(&handle));
      co_await yield_now();
      handle = spawn(waits());
    }));
  }
  SECTION("detached") {
    check(says([]() -> task<> {
      auto handle = spawn(waits());
      auto waiter = spawn(joins(&handle));
      co_await yield_now();
      handle.detach();
    }));
  }
  SECTION("by a branch beside the one that waits") {
    check(says([]() -> task<> {
      auto handle = spawn(waits());
      const auto drops = [](join_handle<>* h) -> task<> {
        h->detach();
        co_return;
      };
      auto both = co_await when_all(joins(&handle), drops(&handle));
      static_cast<void>(both);
    }));
  }
  SECTION("when the task had ended, and its waiter had not run yet") {
    check(says([]() -> task<> {
      gate g;
      auto handle = spawn(pass(&g));
      auto waiter = spawn(joins(&handle));
      co_await yield_now();
      g.open();
      // Runs after the task that passes, and before the one that waits for that.
      const auto drops = [](join_handle<>* h) -> task<> {
        if (h->is_finished()) h->detach();
        co_return;
      };
      auto dropper = spawn(drops(&handle));
      static_cast<void>(co_await dropper);
    }));
  }
  SECTION("an abort_on_drop") {
    check(says([]() -> task<> {
      std::optional<abort_on_drop<>> owner(spawn(waits()));
      auto waiter = spawn(
          [](std::optional<abort_on_drop<>>* o) -> task<> { static_cast<void>(co_await **o); },
          &owner);
      co_await yield_now();
      owner.reset();
    }));
  }
}

TEST_CASE("a join handle may go once the wait for it has ended, however that ended") {
  on_every_scheduler([]() -> task<> {
    const auto g = std::make_shared<gate>();
    {
      auto handle = spawn(pass_shared(g));
      const auto r = co_await select(handle, sleep(1ms));  // withdrawn
      CHECK(r.index() == 1);
    }
    {
      auto handle = spawn(pass_shared(g));
      auto waiter = spawn(joins(&handle));
      co_await sleep(1ms);
      waiter.abort();
      static_cast<void>(co_await waiter);
      handle.detach();
    }
    {
      auto handle = spawn(pass_shared(g));
      auto moved = std::make_unique<join_handle<>>(std::move(handle));
      g->open();
      const auto ended = co_await *moved;
      CHECK(ended.has_value());
      moved.reset();
    }
    for (int i = 0; i != 100; ++i) {  // both complete
      auto one = spawn(pass_shared(g));
      auto two = spawn(pass_shared(g));
      const auto r = co_await select(one, two);
      static_cast<void>(r.index());
    }
    {
      auto handle = spawn(pass_shared(g));
      static_cast<void>(co_await std::move(handle));
    }
  });
}

TEST_CASE("a join set was let go of, or awaited twice, while it was awaited") {
  const auto check = [](const std::string& said) {
    CHECK_THAT(said, contains("kioto: a join_set was awaited while"));
    CHECK(said.find("it went on") == std::string::npos);
  };
  const auto next = [](join_set<>* set) -> task<> { static_cast<void>(co_await set->join_next()); };
  SECTION("destroyed") {
    check(says([&]() -> task<> {
      auto set = std::make_unique<join_set<>>();
      set->spawn(waits());
      auto waiter = spawn(next(set.get()));
      co_await yield_now();
      set.reset();
    }));
  }
  SECTION("assigned to") {
    check(says([&]() -> task<> {
      join_set<> set;
      set.spawn(waits());
      auto waiter = spawn(next(&set));
      co_await yield_now();
      set = join_set<>();
    }));
  }
  SECTION("detached") {
    check(says([&]() -> task<> {
      join_set<> set;
      set.spawn(waits());
      auto waiter = spawn([](join_set<>* s) -> task<> { co_await s->join_all(); }, &set);
      co_await yield_now();
      set.detach_all();
    }));
  }
  SECTION("awaited twice") {
    check(says([&]() -> task<> {
      join_set<> set;
      set.spawn(waits());
      auto both = co_await when_all(next(&set), next(&set));
      static_cast<void>(both);
    }));
  }
}

TEST_CASE("looking into a join set took the place of who waits in it") {
  on_every_scheduler([]() -> task<> {
    gate g;
    join_set<> set;
    set.spawn(pass(&g));
    const auto next = [](join_set<>* s) -> task<bool> {
      const auto r = co_await s->join_next();
      co_return r.has_value();
    };
    const auto looks = [](join_set<>* s, gate* at) -> task<bool> {
      const bool found = s->try_join_next().has_value();
      at->open();
      co_return found;
    };
    const auto both = co_await timeout(10s, when_all(next(&set), looks(&set, &g)));
    CHECK(std::get<0>(both));
    CHECK_FALSE(std::get<1>(both));
    {
      // And it may go once the wait has ended.
      join_set<> other;
      other.spawn(waits());
      const auto r = co_await select(other.join_next(), sleep(1ms));
      CHECK(r.index() == 1);
    }
  });
}

TEST_CASE("a task tracker went while somebody waited for it") {
  on_every_scheduler([]() -> task<> {
    auto tracker = std::make_unique<task_tracker>();
    auto waiting = spawn([](task_tracker* t) -> task<> { co_await t->wait(); }, tracker.get());
    co_await sleep(1ms);
    std::optional<task_tracker_token> token(tracker->token());
    tracker->close();
    tracker.reset();
    token.reset();  // the last one that was counted
    const auto ended = co_await waiting;
    CHECK(ended.has_value());

    auto other = std::make_unique<task_tracker>();
    auto stopped = spawn([](task_tracker* t) -> task<> { co_await t->wait(); }, other.get());
    co_await sleep(1ms);
    other.reset();
    stopped.abort();
    const auto end = co_await stopped;
    CHECK(end.is_cancelled());
  });
}

TEST_CASE("an object went while somebody waited in it") {
  const auto check = [](const std::string& said) {
    CHECK_THAT(said, contains("while an operation on it was waiting"));
    CHECK(said.find("it went on") == std::string::npos);
  };
  SECTION("a mutex") {
    check(says([]() -> task<> {
      auto m = std::make_unique<sync::mutex<int>>(0);
      auto held = co_await m->lock();
      auto waiter = spawn(
          [](sync::mutex<int>* at) -> task<> {
            auto guard = co_await at->lock();
            static_cast<void>(*guard);
          },
          m.get());
      co_await yield_now();
      m.reset();
    }));
  }
  SECTION("a semaphore") {
    check(says([]() -> task<> {
      auto s = std::make_unique<sync::semaphore>(0);
      auto waiter = spawn(
          [](sync::semaphore* at) -> task<> {
            auto permit = co_await at->acquire();
            static_cast<void>(permit);
          },
          s.get());
      co_await yield_now();
      s.reset();
    }));
  }
  SECTION("a notify") {
    check(says([]() -> task<> {
      auto n = std::make_unique<sync::notify>();
      auto waiter = spawn([](sync::notify* at) -> task<> { co_await at->notified(); }, n.get());
      co_await yield_now();
      n.reset();
    }));
  }
  SECTION("a barrier") {
    check(says([]() -> task<> {
      auto b = std::make_unique<sync::barrier>(2);
      auto waiter = spawn(
          [](sync::barrier* at) -> task<> { static_cast<void>(co_await at->wait()); }, b.get());
      co_await yield_now();
      b.reset();
    }));
  }
  SECTION("a set_once") {
    check(says([]() -> task<> {
      auto o = std::make_unique<sync::set_once<int>>();
      auto waiter =
          spawn([](sync::set_once<int>* at) -> task<> { static_cast<void>(co_await at->wait()); },
                o.get());
      co_await yield_now();
      o.reset();
    }));
  }
  SECTION("the receiver of a channel") {
    check(says([]() -> task<> {
      auto [tx, rx] = sync::mpsc::channel<int>(1);
      auto owned = std::make_unique<sync::mpsc::receiver<int>>(std::move(rx));
      auto waiter = spawn(
          [](sync::mpsc::receiver<int>* at) -> task<> { static_cast<void>(co_await at->recv()); },
          owned.get());
      co_await yield_now();
      owned.reset();
      static_cast<void>(tx);
    }));
  }
  SECTION("the receiver of a oneshot") {
    check(says([]() -> task<> {
      auto [tx, rx] = sync::oneshot::channel<int>();
      auto owned = std::make_unique<sync::oneshot::receiver<int>>(std::move(rx));
      auto waiter =
          spawn([](sync::oneshot::receiver<int>* at) -> task<> { static_cast<void>(co_await *at); },
                owned.get());
      co_await yield_now();
      owned.reset();
      static_cast<void>(tx);
    }));
  }
}
