// SPDX-License-Identifier: MIT
#include <kioto/scope.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <kioto/select.hpp>
#include <kioto/try_all.hpp>
#include <kioto/when_all.hpp>

#include "support/catch.hpp"
#include "support/gate.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

using counter = std::atomic<int>;

// A child that borrows from its parent to its very end.
class lives_in {
 public:
  explicit lives_in(counter& alive) : alive_(alive) { ++alive_; }
  lives_in(const lives_in& other) : alive_(other.alive_) { ++alive_; }
  lives_in& operator=(const lives_in&) = delete;
  ~lives_in() { --alive_; }

 private:
  counter& alive_;
};

task<> add(std::vector<int>& to, int index, int value) {
  co_await yield_now();
  to[static_cast<std::size_t>(index)] = value;
}
task<> count_up(counter& n) {
  co_await yield_now();
  ++n;
}
task<> wait_in(counter& alive, gate& g) {
  const lives_in here(alive);
  co_await g.passed();
}
task<> throws(const char* what) {
  co_await yield_now();
  throw std::runtime_error(what);
}
task<result<int>> fails(std::errc error) {
  co_await yield_now();
  co_return std::make_error_code(error);
}
task<result<int>> give_result(int value) { co_return value; }
task<int> give(int value) {
  co_await yield_now();
  co_return value;
}
task<> spawn_tree(task_scope& s, counter& n, int depth) {
  ++n;
  if (depth == 0) co_return;
  s.spawn(spawn_tree, std::ref(s), std::ref(n), depth - 1);
  s.spawn(spawn_tree, std::ref(s), std::ref(n), depth - 1);
}

}  // namespace

TEST_CASE("scope: returns when every child has ended, so children may borrow") {
  on_every_scheduler([]() -> task<> {
    std::vector<int> values(200);
    co_await scope([&](task_scope& s) -> task<> {
      for (int i = 0; i != 200; ++i) s.spawn(add, std::ref(values), i, i);
      co_return;
    });
    for (int i = 0; i != 200; ++i) CHECK(values[static_cast<std::size_t>(i)] == i);
  });
}

TEST_CASE("scope: children of children are waited for") {
  on_every_scheduler([]() -> task<> {
    counter n{0};
    co_await scope([&](task_scope& s) -> task<> { co_await spawn_tree(s, n, 10); });
    CHECK(n == 2047);
  });
}

TEST_CASE("scope: the value of the body, of any type") {
  on_every_scheduler([]() -> task<> {
    counter n{0};
    const auto made = co_await scope([&](task_scope& s) -> task<std::unique_ptr<int>> {
      s.spawn(count_up, std::ref(n));
      co_return std::make_unique<int>(4);
    });
    CHECK(*made == 4);
    CHECK(n == 1);
    int x = 0;
    int& same = co_await scope([&](task_scope&) -> task<int&> { co_return x; });
    CHECK(&same == &x);
    const auto empty = co_await scope([](task_scope&) -> task<int> { co_return 1; });
    CHECK(empty == 1);
  });
}

TEST_CASE("scope: children run in parallel with each other and with the body") {
  runtime rt = make_runtime(flavour::four_workers);
  rt.block_on([]() -> task<> {
    // Two children and the body meet while each blocks its thread.
    counter here{0};
    const auto meet = [](counter& n) {
      ++n;
      while (n.load() < 3) std::this_thread::yield();
    };
    co_await scope([&](task_scope& s) -> task<> {
      s.spawn([&]() -> task<> {
        meet(here);
        co_return;
      });
      s.spawn([&]() -> task<> {
        meet(here);
        co_return;
      });
      meet(here);
      co_return;
    });
    CHECK(here == 3);
  });
}

TEST_CASE("scope: spawn takes tasks, functions and closures, values and references") {
  on_every_scheduler([]() -> task<> {
    std::mutex mutex;
    std::vector<std::string> seen;
    const auto note = [&](std::string what) {
      const std::lock_guard lock(mutex);
      seen.push_back(std::move(what));
    };
    co_await scope([&](task_scope& s) -> task<> {
      auto by_value = [note](std::string text) -> task<> {
        co_await yield_now();
        note(std::move(text));
      };
      s.spawn(by_value, "closure");
      s.spawn(by_value("task"));
      auto by_reference = [note](const std::string& text) -> task<> {
        co_await yield_now();
        note(text);
      };
      s.spawn(by_reference, std::string("kept for the child"));
      auto moved = [](std::unique_ptr<int> p, std::vector<std::string>& to,
                      std::mutex& m) -> task<> {
        co_await yield_now();
        const std::lock_guard lock(m);
        to.push_back(std::to_string(*p));
      };
      s.spawn(moved, std::make_unique<int>(5), std::ref(seen), std::ref(mutex));
      co_return;
    });
    std::sort(seen.begin(), seen.end());
    CHECK(seen == std::vector<std::string>{"5", "closure", "kept for the child", "task"});
  });
}

TEST_CASE("scope: the handle of a child gives its value") {
  on_every_scheduler([]() -> task<> {
    const int sum = co_await scope([](task_scope& s) -> task<int> {
      auto a = s.spawn(give, 1);
      auto b = s.spawn(give, 2);
      auto first = co_await std::move(a);
      auto second = co_await std::move(b);
      co_return std::move(first).value() + std::move(second).value();
    });
    CHECK(sum == 3);
    // A handle may outlive the scope.
    join_handle<int> kept;
    co_await scope([&](task_scope& s) -> task<> {
      kept = s.spawn(give, 3);
      co_return;
    });
    CHECK(kept.is_finished());
    auto late = co_await std::move(kept);
    CHECK(std::move(late).value() == 3);
  });
}

TEST_CASE("scope: one child alone can be aborted") {
  on_every_scheduler([]() -> task<> {
    gate never;
    counter alive{0};
    counter done{0};
    co_await scope([&](task_scope& s) -> task<> {
      auto h = s.spawn(wait_in, std::ref(alive), std::ref(never));
      s.spawn(count_up, std::ref(done));
      while (never.waited() == 0) co_await yield_now();
      h.abort();
      auto ended = co_await std::move(h);
      CHECK(ended.is_cancelled());
      s.spawn(count_up, std::ref(done));
    });
    CHECK(alive == 0);
    CHECK(done == 2);
  });
}

TEST_CASE("scope: join waits for the children so far and goes on") {
  on_every_scheduler([]() -> task<> {
    counter n{0};
    co_await scope([&](task_scope& s) -> task<> {
      co_await s.join();
      for (int round = 1; round != 5; ++round) {
        for (int i = 0; i != 10; ++i) s.spawn(count_up, std::ref(n));
        co_await s.join();
        CHECK(n == 10 * round);
        CHECK(s.size() == 0);
      }
    });
  });
}

TEST_CASE("scope: join in a child says why it does not work") {
  on_every_scheduler([]() -> task<> {
    std::string message;
    try {
      co_await scope([](task_scope& s) -> task<> {
        s.spawn([&s]() -> task<> {
          co_await scope([&](task_scope& inner) -> task<> {
            inner.spawn([&s]() -> task<> { co_await s.join(); });
            co_return;
          });
        });
        co_return;
      });
    } catch (const std::logic_error& e) {
      message = e.what();
    }
    CHECK_THAT(message, contains("wait for itself"));
  });
}

TEST_CASE("scope: the first exception of a child stops the others and the body, and passes") {
  on_every_scheduler([]() -> task<> {
    gate never;
    counter alive{0};
    for (const bool body_waits : {true, false}) {
      std::string message;
      try {
        co_await scope([&](task_scope& s) -> task<> {
          const lives_in here(alive);
          for (int i = 0; i != 5; ++i) s.spawn(wait_in, std::ref(alive), std::ref(never));
          s.spawn(throws, "child");
          if (body_waits) co_await never.passed();
        });
      } catch (const std::runtime_error& e) {
        message = e.what();
      }
      CHECK(message == "child");
      CHECK(alive == 0);
    }
  });
}

TEST_CASE("scope: an exception of the body stops the children, and passes") {
  on_every_scheduler([]() -> task<> {
    gate never;
    counter alive{0};
    std::string message;
    try {
      co_await scope([&](task_scope& s) -> task<> {
        s.spawn(wait_in, std::ref(alive), std::ref(never));
        while (never.waited() == 0) co_await yield_now();
        throw std::runtime_error("body");
      });
    } catch (const std::runtime_error& e) {
      message = e.what();
    }
    CHECK(message == "body");
    CHECK(alive == 0);
  });
}

TEST_CASE("scope: a body that is no coroutine and throws leaves no child behind") {
  on_every_scheduler([]() -> task<> {
    gate never;
    counter alive{0};
    std::string message;
    try {
      co_await scope([&](task_scope& s) -> task<> {
        s.spawn(wait_in, std::ref(alive), std::ref(never));
        s.spawn(throws, "child");
        throw std::runtime_error("body");
      });
    } catch (const std::runtime_error& e) {
      message = e.what();
    }
    CHECK(message == "body");
    CHECK(alive == 0);
  });
}

TEST_CASE("scope: later exceptions go to the hook, the one that is reported does not") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    std::mutex mutex;
    std::vector<std::string> reported;
    auto builder = builder_for(f);
    builder.on_unhandled_exception([&](const unhandled_exception_info& info) {
      try {
        std::rethrow_exception(info.error);
      } catch (const std::exception& e) {
        const std::lock_guard lock(mutex);
        reported.emplace_back(e.what());
      }
    });
    runtime rt = std::move(builder.build()).value();
    rt.block_on([]() -> task<> {
      gate first;
      std::string message;
      try {
        co_await scope([&](task_scope& s) -> task<> {
          auto late = [&]() -> task<> {
            co_await shield(first.passed());
            throw std::runtime_error("late");
          };
          s.spawn(late);
          s.spawn(throws, "first");
          while (!s.is_stopping()) co_await shield(yield_now());
          first.open();
          throw std::runtime_error("body");
        });
      } catch (const std::runtime_error& e) {
        message = e.what();
      }
      CHECK(message == "first");
    });
    std::sort(reported.begin(), reported.end());
    CHECK(reported == std::vector<std::string>{"body", "late"});
  }
}

TEST_CASE("scope: the body may rethrow what a child threw, without a second report") {
  std::atomic<int> reported{0};
  auto builder = builder_for(flavour::four_workers);
  builder.on_unhandled_exception([&](const unhandled_exception_info&) { ++reported; });
  runtime rt = std::move(builder.build()).value();
  rt.block_on([]() -> task<> {
    std::string message;
    try {
      co_await scope([&](task_scope& s) -> task<> {
        auto h = s.spawn(throws, "child");
        auto r = co_await shield(h);
        std::move(r).value();
      });
    } catch (const std::runtime_error& e) {
      message = e.what();
    }
    CHECK(message == "child");
  });
  CHECK(reported == 0);
}

TEST_CASE("scope: a failed result of a child stops the others and is returned, or thrown") {
  on_every_scheduler([]() -> task<> {
    gate never;
    counter alive{0};
    const auto r = co_await scope([&](task_scope& s) -> task<result<int>> {
      s.spawn(wait_in, std::ref(alive), std::ref(never));
      s.spawn(give_result, 1);
      s.spawn(fails, std::errc::io_error);
      co_return 3;
    });
    CHECK(r.error() == std::errc::io_error);
    CHECK(alive == 0);
    std::error_code thrown;
    try {
      co_await scope([&](task_scope& s) -> task<> {
        s.spawn(fails, std::errc::io_error);
        co_await never.passed();
      });
    } catch (const std::system_error& e) {
      thrown = e.code();
    }
    CHECK(thrown == std::errc::io_error);
  });
}

TEST_CASE("scope: a failed result of the body stops the children and is returned") {
  on_every_scheduler([]() -> task<> {
    gate never;
    counter alive{0};
    const auto r = co_await scope([&](task_scope& s) -> task<result<int>> {
      s.spawn(wait_in, std::ref(alive), std::ref(never));
      while (never.waited() == 0) co_await yield_now();
      co_return std::make_error_code(std::errc::broken_pipe);
    });
    CHECK(r.error() == std::errc::broken_pipe);
    CHECK(alive == 0);
    const auto fine = co_await scope([&](task_scope& s) -> task<result<int>> {
      s.spawn(give_result, 1);
      co_return 7;
    });
    CHECK(fine.value() == 7);
  });
}

TEST_CASE("scope: cancel stops the children and the body, which may still return") {
  on_every_scheduler([]() -> task<> {
    gate never;
    counter alive{0};
    const int first = co_await scope([&](task_scope& s) -> task<int> {
      for (int i = 0; i != 10; ++i) s.spawn(wait_in, std::ref(alive), std::ref(never));
      auto r = co_await s.spawn(give, 6);
      s.cancel();
      CHECK(s.is_stopping());
      s.spawn(wait_in, std::ref(alive), std::ref(never));  // never runs
      co_return std::move(r).value();
    });
    CHECK(first == 6);
    CHECK(alive == 0);
  });
}

TEST_CASE("scope: what a body that cancel stopped leaves behind") {
  on_every_scheduler([]() -> task<> {
    gate never;
    bool behind = false;
    co_await scope([&](task_scope& s) -> task<> {
      s.cancel();
      co_await never.passed();
      behind = true;
    });
    CHECK_FALSE(behind);
    const auto r = co_await scope([&](task_scope& s) -> task<result<int>> {
      s.spawn([&s]() -> task<> {
        s.cancel();
        co_return;
      });
      co_await never.passed();
      co_return 1;
    });
    CHECK(r.error() == std::errc::operation_canceled);
    bool cancelled = false;
    try {
      const int n = co_await scope([&](task_scope& s) -> task<int> {
        s.cancel();
        co_await never.passed();
        co_return 1;
      });
      CHECK(n == 0);
    } catch (const task_cancelled&) {
      cancelled = true;
    }
    CHECK(cancelled);
  });
}

TEST_CASE("scope: a stop reaches the body and all children, and travels on when they have ended") {
  on_every_scheduler([]() -> task<> {
    for (const bool body_waits : {true, false}) {
      gate never;
      counter alive{0};
      std::atomic<bool> behind{false};
      auto h = spawn(
          [](gate* g, counter* n, std::atomic<bool>* b, bool waits) -> task<> {
            co_await scope([&](task_scope& s) -> task<> {
              const lives_in here(*n);
              for (int i = 0; i != 10; ++i) s.spawn(wait_in, std::ref(*n), std::ref(*g));
              if (waits) co_await g->passed();
            });
            b->store(true);
          },
          &never, &alive, &behind, body_waits);
      while (never.waited() != (body_waits ? 11 : 10)) co_await yield_now();
      h.abort();
      auto ended = co_await std::move(h);
      CHECK(ended.is_cancelled());
      CHECK(alive == 0);
      CHECK_FALSE(behind);
    }
  });
}

TEST_CASE("scope: if all complete although they were asked to stop, the value counts") {
  on_every_scheduler([]() -> task<> {
    gate g;
    counter got{0};
    auto h = spawn(
        [](gate* what, counter* to) -> task<> {
          const int v = co_await scope([&](task_scope& s) -> task<int> {
            s.spawn([what]() -> task<> { co_await shield(what->passed()); });
            co_return 5;
          });
          to->store(v);
          co_await sleep(100s);
          to->store(-1);
        },
        &g, &got);
    while (g.waited() == 0) co_await yield_now();
    h.abort();
    for (int i = 0; i != 10; ++i) co_await yield_now();
    CHECK(got == 0);
    g.open();
    auto ended = co_await std::move(h);
    CHECK(ended.is_cancelled());
    CHECK(got == 5);
  });
}

TEST_CASE("scope: with a stop pending, the body runs until it waits and children do not start") {
  on_every_scheduler([]() -> task<> {
    gate never;
    counter started{0};
    counter body{0};
    auto h = spawn(
        [](gate* g, counter* n, counter* b) -> task<> {
          const auto stopped = co_await as_result(g->passed());
          CHECK_FALSE(stopped.has_value());
          const int v = co_await scope([&](task_scope&) -> task<int> { co_return 2; });
          b->store(v);
          co_await scope([&](task_scope& s) -> task<> {
            s.spawn(count_up, std::ref(*n));
            ++*b;
            co_return;
          });
          b->store(-1);
        },
        &never, &started, &body);
    while (never.waited() == 0) co_await yield_now();
    h.abort();
    auto ended = co_await std::move(h);
    CHECK(ended.is_cancelled());
    CHECK(body == 3);
    CHECK(started == 0);
  });
}

TEST_CASE("scope: a shielded scope is not stopped") {
  on_every_scheduler([]() -> task<> {
    gate g;
    counter alive{0};
    counter got{0};
    auto h = spawn(
        [](gate* what, counter* n, counter* to) -> task<> {
          co_await shield(scope([&](task_scope& s) -> task<> {
            s.spawn(wait_in, std::ref(*n), std::ref(*what));
            co_await what->passed();
          }));
          to->store(1);
        },
        &g, &alive, &got);
    while (g.waited() != 2) co_await yield_now();
    h.abort();
    for (int i = 0; i != 20; ++i) co_await yield_now();
    CHECK(alive == 1);
    g.open();
    auto ended = co_await std::move(h);
    CHECK(ended.has_value());
    CHECK(got == 1);
  });
}

TEST_CASE("scope: no more children run at a time than the limit allows") {
  on_every_scheduler([]() -> task<> {
    for (const bool waits_for_room : {true, false}) {
      counter running{0};
      counter most{0};
      counter done{0};
      const auto child = [&]() -> task<> {
        const int now = ++running;
        int before = most;
        while (before < now && !most.compare_exchange_weak(before, now)) {
        }
        co_await yield_now();
        --running;
        ++done;
      };
      co_await scope(at_most(3), [&](task_scope& s) -> task<> {
        for (int i = 0; i != 100; ++i) {
          if (waits_for_room) {
            co_await s.vacancy();
            CHECK(s.size() <= 2);
          }
          s.spawn(child);
        }
      });
      CHECK(most <= 3);
      CHECK(done == 100);
    }
  });
}

TEST_CASE("scope: children that wait for a place never run once the scope is stopped") {
  on_every_scheduler([]() -> task<> {
    gate never;
    counter alive{0};
    counter started{0};
    std::vector<join_handle<>> handles;
    co_await scope(at_most(2), [&](task_scope& s) -> task<> {
      for (int i = 0; i != 2; ++i) s.spawn(wait_in, std::ref(alive), std::ref(never));
      for (int i = 0; i != 5; ++i) handles.push_back(s.spawn(count_up, std::ref(started)));
      while (never.waited() != 2) co_await yield_now();
      s.cancel();
    });
    CHECK(started == 0);
    for (auto& h : handles) {
      auto ended = co_await std::move(h);
      CHECK(ended.is_cancelled());
    }
  });
}

TEST_CASE("scope: two who wait for a place both get on, also if one of them is stopped") {
  on_every_scheduler([]() -> task<> {
    gate g;
    counter done{0};
    co_await scope(at_most(1), [&](task_scope& s) -> task<> {
      s.spawn([&]() -> task<> { co_await g.passed(); });
      while (g.waited() == 0) co_await yield_now();
      const auto use_a_place = [&]() -> task<> {
        co_await s.vacancy();
        s.spawn(count_up, std::ref(done));
      };
      auto a = spawn(use_a_place);
      auto b = spawn(use_a_place);
      auto c = spawn(use_a_place);
      for (int i = 0; i != 10; ++i) co_await yield_now();
      a.abort();
      g.open();
      auto first = co_await std::move(a);
      auto second = co_await std::move(b);
      auto third = co_await std::move(c);
      static_cast<void>(first);
      CHECK(second.has_value());
      CHECK(third.has_value());
    });
    CHECK(done >= 2);
  });
}

TEST_CASE("scope: nests in scopes, combinators and branches") {
  on_every_scheduler([]() -> task<> {
    counter n{0};
    counter alive{0};
    gate never;
    co_await scope([&](task_scope& outer) -> task<> {
      for (int i = 0; i != 10; ++i)
        outer.spawn([&]() -> task<> {
          co_await scope([&](task_scope& inner) -> task<> {
            for (int j = 0; j != 10; ++j) inner.spawn(count_up, std::ref(n));
            co_return;
          });
        });
      co_await outer.join();
      co_await scope([&](task_scope& inner) -> task<> {
        outer.spawn(count_up, std::ref(n));
        inner.spawn(count_up, std::ref(n));
        co_return;
      });
    });
    CHECK(n == 102);

    auto both = co_await when_all(scope([&](task_scope& s) -> task<int> {
                                    s.spawn(count_up, std::ref(n));
                                    co_return 1;
                                  }),
                                  scope([&](task_scope& s) -> task<int> {
                                    s.spawn(count_up, std::ref(n));
                                    co_return 2;
                                  }));
    CHECK(std::get<0>(both) + std::get<1>(both) == 3);
    CHECK(n == 104);

    auto hit = co_await select(scope([&](task_scope& s) -> task<> {
                                 s.spawn(wait_in, std::ref(alive), std::ref(never));
                                 co_return;
                               }),
                               sleep(1ms));
    CHECK(hit.index() == 1);
    CHECK(alive == 0);

    bool timed_out = false;
    try {
      co_await timeout(1ms, scope([&](task_scope& s) -> task<> {
                         s.spawn(wait_in, std::ref(alive), std::ref(never));
                         co_await never.passed();
                       }));
    } catch (const timeout_error&) {
      timed_out = true;
    }
    CHECK(timed_out);
    CHECK(alive == 0);

    const auto tried = co_await try_all(scope([&](task_scope& s) -> task<result<int>> {
                                          s.spawn(wait_in, std::ref(alive), std::ref(never));
                                          co_await never.passed();
                                          co_return 1;
                                        }),
                                        fails(std::errc::io_error));
    CHECK(tried.error() == std::errc::io_error);
    CHECK(alive == 0);

    const auto r = co_await as_result(scope([&](task_scope& s) -> task<int> {
      auto h = s.spawn(give, 3);
      auto hit_in = co_await select(h, never.passed());
      co_return std::move(*hit_in.get<0>()).value();
    }));
    CHECK(r.value() == 3);
  });
}

TEST_CASE("scope: shutting the runtime down ends the children before their parent") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    counter alive{0};
    std::atomic<bool> behind{false};
    gate never;
    {
      runtime rt = make_runtime(f);
      rt.spawn([&]() -> task<> {
        co_await scope([&](task_scope& s) -> task<> {
          for (int i = 0; i != 10; ++i) s.spawn(wait_in, std::ref(alive), std::ref(never));
          co_return;
        });
        behind = true;
      });
      while (never.waited() != 10) {
        if (f == flavour::current_thread)
          rt.block_on([]() -> task<> { co_await yield_now(); });
        else
          std::this_thread::yield();
      }
      CHECK(rt.metrics().tasks_alive >= 11);
      CHECK(rt.metrics().tasks_spawned >= 11);
      std::size_t waiting_children = 0;
      for (const auto& t : rt.dump())
        for (const auto& frame : t.awaits)
          if (frame.function.find("wait_in") != std::string::npos) ++waiting_children;
      CHECK(waiting_children == 10);
    }
    CHECK(alive == 0);
    CHECK_FALSE(behind);
  }
}

TEST_CASE("scope: a child has one frame, and nothing around it") {
  runtime rt = make_runtime(flavour::current_thread);
  gate never;
  counter alive{0};
  rt.block_on([](gate* g, counter* n, runtime* where) -> task<> {
    co_await scope([&](task_scope& s) -> task<> {
      s.spawn(wait_in, std::ref(*n), std::ref(*g));
      while (g->waited() == 0) co_await yield_now();
      std::size_t frames = 0;
      for (const auto& t : where->dump())
        if (!t.awaits.empty() && t.awaits.back().function.find("wait_in") != std::string::npos)
          frames = t.awaits.size();
      CHECK(frames == 1);
      s.cancel();
    });
  }(&never, &alive, &rt));
}

TEST_CASE("scope: a local runtime's children stay on its thread") {
  auto rt = std::move(runtime::builder().build_local()).value();
  const auto home = std::this_thread::get_id();
  rt.block_on([](std::thread::id here) -> task<> {
    gate never;
    co_await scope([&](task_scope& s) -> task<> {
      for (int i = 0; i != 10; ++i)
        s.spawn([&]() -> task<> {
          CHECK(std::this_thread::get_id() == here);
          co_await yield_now();
          CHECK(std::this_thread::get_id() == here);
          co_await never.passed();
        });
      while (never.waited() != 10) co_await yield_now();
      s.cancel();
    });
  }(home));
}

TEST_CASE("scope: a body with a name, and a scope that is never awaited") {
  on_every_scheduler([]() -> task<> {
    auto shared = std::make_shared<counter>(0);
    const auto body = [shared](task_scope& s) -> task<> {
      s.spawn(count_up, std::ref(*shared));
      co_return;
    };
    co_await scope(body);
    co_await scope(body);
    CHECK(*shared == 2);
    {
      auto unused = scope(body);
      (void)unused;
    }
    CHECK(*shared == 2);
    auto made = scope(body);
    co_await std::move(made);
    CHECK(*shared == 3);
  });
}

TEST_CASE("scope: sixty thousand children, in a tree and in a row") {
  on_every_scheduler([]() -> task<> {
    counter n{0};
    co_await scope([&](task_scope& s) -> task<> {
      for (int i = 0; i != 30000; ++i) s.spawn(count_up, std::ref(n));
      co_return;
    });
    CHECK(n == 30000);
    n = 0;
    co_await scope([&](task_scope& s) -> task<> { co_await spawn_tree(s, n, 14); });
    CHECK(n == 32767);
  });
}
