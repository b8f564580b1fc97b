// SPDX-License-Identifier: MIT
// The locals of a stopped body were destroyed while children still used them.
#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <kioto/detail/task/leaf_awaiter.hpp>

#include "support/catch.hpp"
#include "support/gate.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

// State that the parts of a test share.
class world {
 public:
  gate body_waits;
  gate body_stopped;
  std::atomic<int> running{0};  // children
  std::atomic<int> alive{0};    // of what is lent
  std::atomic<int> seen{0};     // by children, at their end, alive
  std::atomic<int> missed{0};
  std::vector<std::string> gone;  // in the order of destruction
};

// A local that is lent to children.
class loan {
 public:
  loan(world& w, const char* name) : world_(w), name_(std::make_unique<std::string>(name)) {
    ++world_.alive;
  }
  loan(const loan&) = delete;
  loan& operator=(const loan&) = delete;
  ~loan() {
    --world_.alive;
    world_.gone.push_back(*name_);
  }
  [[nodiscard]] bool is(const char* name) const { return *name_ == name; }

 private:
  world& world_;
  std::unique_ptr<std::string> name_;
};

// Never completes; notes when it begins to wait, and when it is withdrawn.
class [[nodiscard]] waits_for_stop final : public detail::leaf_awaiter<waits_for_stop> {
 public:
  explicit waits_for_stop(world& w) noexcept : world_(w) {}
  waits_for_stop(waits_for_stop&& other) noexcept
      : leaf_awaiter(static_cast<leaf_awaiter&&>(other)), world_(other.world_) {}

  detail::attempt try_or_wait() noexcept override {
    world& w = world_;  // suspended, this may be gone
    const auto result = wait([]() noexcept { return true; });
    if (result == detail::attempt::suspended) w.body_waits.open();
    if (result == detail::attempt::stopped) w.body_stopped.open();
    return result;
  }
  bool cancel() noexcept override {
    world_.body_stopped.open();
    return true;
  }
  static void await_resume() noexcept {}

 private:
  world& world_;
};

// Uses what it borrowed after the body was told to stop.
task<> borrows(world& w, const loan& lent, const char* name, int loans) {
  ++w.running;
  co_await shield(w.body_stopped.passed());
  for (int i = 0; i != 3; ++i) co_await shield(yield_now());
  if (w.alive == loans) {
    ++w.seen;
    CHECK(lent.is(name));
  } else {
    ++w.missed;
  }
}
task<> inner_part(world& w, task_scope& s, int children = 2) {
  const loan local(w, "inner");
  s.spawn(borrows(w, local, "inner", 2));
  while (w.running < children) co_await yield_now();
  co_await waits_for_stop(w);
}
// Lends a local of its own, and one of a frame that it awaits.
task<> lends(world& w, task_scope& s) {
  const loan local(w, "outer");
  s.spawn(borrows(w, local, "outer", 2));
  co_await inner_part(w, s);
  FAIL_CHECK("it was not stopped");
}

void check_ended_in_order(const world& w, int children = 2) {
  CHECK(w.seen == children);
  CHECK(w.missed == 0);
  CHECK(w.alive == 0);
  CHECK(w.gone == std::vector<std::string>{"inner", "outer"});
}

task<> throws_when_waiting(world& w) {
  co_await w.body_waits.passed();
  throw std::runtime_error("child");
}
task<result<void>> fails_when_waiting(world& w) {
  co_await w.body_waits.passed();
  co_return std::errc::connection_reset;
}
task<> cancels_when_waiting(world& w, task_scope& s) {
  co_await w.body_waits.passed();
  s.cancel();
}
task<> in_scope(world& w) {
  co_await scope([&w](task_scope& s) { return lends(w, s); });
}

}  // namespace

TEST_CASE("a stop of the parent destroyed what a scope's children borrowed from its body") {
  on_every_scheduler([]() -> task<> {
    world w;
    auto parent = spawn(in_scope(w));
    co_await w.body_waits.passed();
    parent.abort();
    const auto ended = co_await parent;
    CHECK(ended.is_cancelled());
    check_ended_in_order(w);
  });
}

TEST_CASE("a stop that was pending before the body waited did, too") {
  on_every_scheduler([]() -> task<> {
    world w;
    auto parent = spawn(
        [](world* at) -> task<> {
          co_await scope([at](task_scope& s) -> task<> {
            s.spawn(
                [](task_scope* all) -> task<> {
                  all->cancel();
                  co_return;
                },
                &s);
            co_await shield(s.join());
            const loan local(*at, "outer");
            // Stopping already: it never runs, and its parameter goes before the local does.
            s.spawn(borrows(*at, local, "outer", 1));
            co_await waits_for_stop(*at);
          });
        },
        &w);
    const auto ended = co_await parent;
    CHECK(ended.has_value());
    CHECK(w.gone == std::vector<std::string>{"outer"});
    CHECK(w.seen + w.missed == 0);
  });
}

TEST_CASE("a child that throws destroyed what others borrowed from the body") {
  on_every_scheduler([]() -> task<> {
    world w;
    std::string said;
    try {
      co_await scope([&w](task_scope& s) {
        s.spawn(throws_when_waiting(w));
        return lends(w, s);
      });
    } catch (const std::runtime_error& e) {
      said = e.what();
    }
    CHECK(said == "child");
    check_ended_in_order(w);
  });
}

TEST_CASE("a child that fails destroyed what others borrowed from the body") {
  on_every_scheduler([]() -> task<> {
    world w;
    const auto ended = co_await scope([&w](task_scope& s) -> task<result<void>> {
      const loan local(w, "outer");
      s.spawn(borrows(w, local, "outer", 2));
      s.spawn(fails_when_waiting(w));
      co_await inner_part(w, s);
      co_return {};
    });
    CHECK(ended.error() == std::errc::connection_reset);
    check_ended_in_order(w);
  });
}

TEST_CASE("a body that joins last lost its locals when a child failed") {
  on_every_scheduler([]() -> task<> {
    world w;
    const auto ended = co_await scope([&w](task_scope& s) -> task<result<void>> {
      const loan local(w, "outer");
      s.spawn(
          [](world* at, const loan* lent) -> task<> {
            at->body_waits.open();
            co_await shield(at->body_stopped.passed());
            for (int i = 0; i != 20; ++i) co_await shield(yield_now());
            CHECK(lent->is("outer"));
            ++(at->alive == 1 ? at->seen : at->missed);
          },
          &w, &local);
      s.spawn(
          [](world* at) -> task<result<void>> {
            co_await at->body_waits.passed();
            at->body_stopped.open();
            co_return std::errc::connection_reset;
          },
          &w);
      co_await s.join();
      co_return {};
    });
    CHECK(ended.error() == std::errc::connection_reset);
    CHECK(w.seen == 1);
    CHECK(w.missed == 0);
    CHECK(w.alive == 0);
  });
}

TEST_CASE("cancel() destroyed what children borrowed from the body") {
  on_every_scheduler([]() -> task<> {
    world w;
    co_await scope([&w](task_scope& s) {
      s.spawn(cancels_when_waiting(w, s));
      return lends(w, s);
    });
    check_ended_in_order(w);
  });
}

TEST_CASE("a body that cancels its own scope lost its locals while children ran") {
  on_every_scheduler([]() -> task<> {
    world w;
    co_await scope([&w](task_scope& s) -> task<> {
      const loan local(w, "outer");
      gate runs;
      s.spawn(
          [](world* at, const loan* lent, gate* g) -> task<> {
            g->open();
            co_await borrows(*at, *lent, "outer", 2);
          },
          &w, &local, &runs);
      co_await runs.passed();
      s.cancel();
      co_await inner_part(w, s, 1);
    });
    // What the inner part lends goes to a child that never runs.
    check_ended_in_order(w, 1);
  });
}

TEST_CASE("a scope that lost a select, or timed out, did") {
  on_every_scheduler([]() -> task<> {
    {
      world w;
      const auto r = co_await select(in_scope(w), w.body_waits.passed());
      CHECK(r.index() == 1);
      check_ended_in_order(w);
    }
    {
      world w;
      bool timed_out = false;
      try {
        co_await timeout(5ms, in_scope(w));
      } catch (const timeout_error&) {
        timed_out = true;
      }
      CHECK(timed_out);
      check_ended_in_order(w);
    }
    {
      world w;  // without a frame around it
      const auto r = co_await select(scope([&w](task_scope& s) { return lends(w, s); }),
                                     w.body_waits.passed());
      CHECK(r.index() == 1);
      check_ended_in_order(w);
    }
  });
}

TEST_CASE("a scope in a shield, or below as_result, did") {
  on_every_scheduler([]() -> task<> {
    {
      world w;
      co_await shield(scope([&w](task_scope& s) {
        s.spawn(cancels_when_waiting(w, s));
        return lends(w, s);
      }));
      check_ended_in_order(w);
    }
    {
      world w;
      auto parent = spawn(
          [](world* at) -> task<std::error_code> {
            const auto r = co_await as_result(in_scope(*at));
            check_ended_in_order(*at);
            co_return r.error();
          },
          &w);
      co_await w.body_waits.passed();
      parent.abort();
      auto ended = co_await parent;
      CHECK(std::move(ended).value() == std::errc::operation_canceled);
    }
  });
}

TEST_CASE("frames below an as_result in the body go before the body goes on") {
  on_every_scheduler([]() -> task<> {
    world w;
    co_await scope([&w](task_scope& s) -> task<> {
      s.spawn(cancels_when_waiting(w, s));
      const loan local(w, "outer");
      const auto alone = [](world* at) -> task<> {
        const loan inner(*at, "inner");
        co_await waits_for_stop(*at);
      };
      const auto r = co_await as_result(alone(&w));
      CHECK(r.error() == std::errc::operation_canceled);
      CHECK(w.gone == std::vector<std::string>{"inner"});
    });
    CHECK(w.gone == std::vector<std::string>{"inner", "outer"});
  });
}

TEST_CASE("a scope within a stopped generator destroyed what its children borrowed") {
  on_every_scheduler([]() -> task<> {
    world w;
    const auto numbers = [](world* at) -> async_generator<int> {
      co_yield 1;
      co_await in_scope(*at);
      co_yield 2;
    };
    auto consumer = spawn(
        [](async_generator<int> g) -> task<> {
          for (;;) {
            const auto n = co_await g.next();
            if (!n) break;
          }
        },
        numbers(&w));
    co_await w.body_waits.passed();
    consumer.abort();
    const auto ended = co_await consumer;
    CHECK(ended.is_cancelled());
    check_ended_in_order(w);
  });
}

TEST_CASE("a scope within a body: both keep what they lent") {
  on_every_scheduler([]() -> task<> {
    world w;
    std::atomic<int> outer_seen{0};
    auto parent = spawn(
        [](world* at, std::atomic<int>* seen) -> task<> {
          co_await scope([at, seen](task_scope& s) -> task<> {
            const std::string local = "a local of the outer body, too long for the small buffer";
            s.spawn(
                [](world* with, const std::string* lent, std::atomic<int>* count) -> task<> {
                  ++*count;
                  co_await shield(with->body_stopped.passed());
                  for (int i = 0; i != 20; ++i) co_await shield(yield_now());
                  if (lent->size() == 56) ++*count;
                },
                at, &local, seen);
            while (*seen == 0) co_await yield_now();
            co_await in_scope(*at);
          });
        },
        &w, &outer_seen);
    co_await w.body_waits.passed();
    parent.abort();
    const auto ended = co_await parent;
    CHECK(ended.is_cancelled());
    check_ended_in_order(w);
    CHECK(outer_seen == 2);
  });
}

TEST_CASE("what a stopped body lends may start children when it goes") {
  on_every_scheduler([]() -> task<> {
    class starts {
     public:
      starts(task_scope& s, std::atomic<int>& ran) : scope_(s), ran_(ran) {}
      starts(const starts&) = delete;
      starts& operator=(const starts&) = delete;
      ~starts() {
        const auto child = [](std::atomic<int>* n) -> task<> {
          ++*n;
          co_return;
        };
        scope_.spawn(child(&ran_));
        CHECK(scope_.size() == 1);
      }

     private:
      task_scope& scope_;
      std::atomic<int>& ran_;
    };
    world w;
    std::atomic<int> ran{0};
    co_await scope([&](task_scope& s) -> task<> {
      s.spawn(cancels_when_waiting(w, s));
      const starts last(s, ran);
      co_await waits_for_stop(w);
    });
    CHECK(ran == 0);  // the scope was stopping
  });
}

TEST_CASE("destructors of a stopped body read the task locals around it") {
  static constinit task_local<std::string> name;
  on_every_scheduler([]() -> task<> {
    class reads {
     public:
      explicit reads(std::string& to) : to_(to) {}
      reads(const reads&) = delete;
      reads& operator=(const reads&) = delete;
      ~reads() { to_ = name.get(); }

     private:
      std::string& to_;
    };
    world w;
    std::string seen;
    const auto parent = [](world* at, std::string* to) -> task<> {
      co_await scope([at, to](task_scope& s) -> task<> {
        s.spawn(cancels_when_waiting(*at, s));
        const reads last(*to);
        co_await waits_for_stop(*at);
      });
    };
    co_await name.scope("around", parent(&w, &seen));
    CHECK(seen == "around");
  });
}

namespace {

constinit task_local<std::string> label;

class reads_label {
 public:
  explicit reads_label(std::string& to) : to_(to) {}
  reads_label(const reads_label&) = delete;
  reads_label& operator=(const reads_label&) = delete;
  ~reads_label() { to_ = label.get(); }

 private:
  std::string& to_;
};

// The body awaits the part that lends in a combinator.
template <class Await>
task<> lends_in(world& w, Await await) {
  co_await scope([&](task_scope& s) -> task<> {
    const loan local(w, "outer");
    s.spawn(borrows(w, local, "outer", 2));
    s.spawn(cancels_when_waiting(w, s));
    static_cast<void>(co_await await(inner_part(w, s)));
    FAIL_CHECK("it was not stopped");
  });
  check_ended_in_order(w);
}

task<> nests(world& w, task_scope& s, int depth) {
  if (depth == 0) {
    static_cast<void>(s);
    co_await waits_for_stop(w);
  } else {
    const std::string has_a_destructor(40, 'x');
    static_cast<void>(co_await when_all(nests(w, s, depth - 1), yield_now()));
    CHECK(has_a_destructor.size() == 40);
  }
}

}  // namespace

TEST_CASE("what a branch within the body lends stays, too") {
  on_every_scheduler([]() -> task<> {
    {
      world w;
      co_await lends_in(w, [](task<> part) -> task<> { co_await std::move(part); });
    }
    {
      world w;
      co_await lends_in(w, [](task<> part) { return timeout(1h, std::move(part)); });
    }
    {
      world w;
      co_await lends_in(w, [](task<> part) { return select(std::move(part), sleep(1h)); });
    }
    {
      world w;
      co_await lends_in(w, [](task<> part) { return when_all(std::move(part), yield_now()); });
    }
    {
      world w;
      co_await lends_in(w, [](task<> part) { return label.scope("x", std::move(part)); });
    }
    {
      world w;  // combinators without frames between them
      co_await lends_in(w, [](task<> part) {
        return timeout(1h, when_all(timeout(2h, std::move(part)), sleep(1h)));
      });
    }
  });
}

TEST_CASE("destructors in a kept branch read its task locals") {
  on_every_scheduler([]() -> task<> {
    world w;
    std::string seen;
    const auto part = [](world* at, std::string* to) -> task<> {
      const reads_label last(*to);
      co_await waits_for_stop(*at);
    };
    co_await scope([&](task_scope& s) -> task<> {
      const loan local(w, "outer");
      s.spawn(borrows(w, local, "outer", 1));
      s.spawn(cancels_when_waiting(w, s));
      while (w.running < 1) co_await yield_now();
      co_await label.scope("of the branch", part(&w, &seen));
    });
    CHECK(seen == "of the branch");
    CHECK(w.seen == 1);
  });
}

TEST_CASE("what a stopped branch lent goes before the body goes on after as_result") {
  on_every_scheduler([]() -> task<> {
    world w;
    co_await scope([&w](task_scope& s) -> task<> {
      const loan local(w, "outer");
      s.spawn(cancels_when_waiting(w, s));
      const auto part = [](world* at) -> task<> {
        const loan inner(*at, "inner");
        co_await waits_for_stop(*at);
      };
      const auto r = co_await as_result(timeout(1h, part(&w)));
      CHECK(r.error() == std::errc::operation_canceled);
      CHECK(w.gone == std::vector<std::string>{"inner"});
    });
    CHECK(w.gone == std::vector<std::string>{"inner", "outer"});
  });
}

TEST_CASE("a branch of the body that lost goes at once, whatever the children do") {
  on_every_scheduler([]() -> task<> {
    world w;
    gate end;
    co_await scope([&](task_scope& s) -> task<> {
      s.spawn([](gate* g) -> task<> { co_await g->passed(); }, &end);
      const auto part = [](world* at) -> task<> {
        const loan inner(*at, "inner");
        co_await waits_for_stop(*at);
      };
      const auto r = co_await select(part(&w), w.body_waits.passed());
      CHECK(r.index() == 1);
      CHECK(w.gone == std::vector<std::string>{"inner"});
      CHECK(s.size() == 1);
      end.open();
    });
  });
}

TEST_CASE("children of an outer scope borrow from the body of an inner one") {
  on_every_scheduler([]() -> task<> {
    for (const bool has_inner_child : {false, true}) {
      world w;
      co_await scope([&w, has_inner_child](task_scope& outer) -> task<> {
        const loan local(w, "outer");
        outer.spawn(borrows(w, local, "outer", 2));
        outer.spawn(cancels_when_waiting(w, outer));
        co_await scope([&w, &outer, has_inner_child](task_scope& inner) -> task<> {
          const loan mine(w, "inner");
          outer.spawn(borrows(w, mine, "inner", 2));
          if (has_inner_child) inner.spawn([]() -> task<> { co_await sleep(1h); });
          while (w.running < 2) co_await yield_now();
          co_await waits_for_stop(w);
        });
      });
      check_ended_in_order(w);
    }
  });
}

TEST_CASE("a deep nest of branches within a stopped body ends") {
  on_every_scheduler([]() -> task<> {
    world w;
    co_await scope([&w](task_scope& s) -> task<> {
      s.spawn(cancels_when_waiting(w, s));
      s.spawn([](world* at) -> task<> { co_await shield(at->body_stopped.passed()); }, &w);
      // Deeper than what is kept: its local goes earlier, so the child looks at nothing.
      const auto deep = [](world* at, task_scope* in) -> task<> { co_await nests(*at, *in, 5000); };
      co_await deep(&w, &s);
    });
    CHECK(w.alive == 0);
  });
}
