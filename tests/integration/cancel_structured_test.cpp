// SPDX-License-Identifier: MIT
// Combinators and scopes, in each other and over each other, cancelled at every point of their
// life.
#include <atomic>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include <kioto/scope.hpp>
#include <kioto/select.hpp>
#include <kioto/try_all.hpp>
#include <kioto/when_all.hpp>
#include <kioto/when_any.hpp>

#include "support/cancel_harness.hpp"
#include "support/catch.hpp"
#include "support/gate.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

/// What a subject waits for and borrows: `alive` counts what must be gone when it has ended.
struct world : std::enable_shared_from_this<world> {
  gate g;
  std::atomic<int> alive{0};
};
using world_pointer = std::shared_ptr<world>;
using on_world = task<bool> (*)(world&);

class lives {
 public:
  explicit lives(world& w) : world_(w) { ++world_.alive; }
  lives(const lives&) = delete;
  lives& operator=(const lives&) = delete;
  ~lives() { --world_.alive; }

 private:
  world& world_;
};

// Subjects that ended while something that they had started was alive. Counted, because a subject
// ends beside the assertions of who drives it, and assertions are for one thread at a time.
std::atomic<int> ended_too_early{0};

// However it ends, what it started has ended before.
task<bool> checked(on_world wait, world_pointer w) {
  class check_at_end {
   public:
    explicit check_at_end(world& of) : world_(of) {}
    check_at_end(const check_at_end&) = delete;
    check_at_end& operator=(const check_at_end&) = delete;
    ~check_at_end() {
      if (world_.alive != 0) ++ended_too_early;
    }

   private:
    world& world_;
  };
  const check_at_end check(*w);
  co_return co_await wait(*w);
}
task<> open(world_pointer w) {
  w->g.open();
  co_return;
}
task<std::function<subject()>> with_world(on_world wait) {
  auto w = std::make_shared<world>();
  co_return [w, wait] {
    return subject{[w, wait] { return checked(wait, w); }, [w] { return open(w); }};
  };
}
void at_every_point_of(on_world wait) {
  on_every_scheduler(
      [wait]() -> task<> { return at_every_point([wait] { return with_world(wait); }); });
  CHECK(ended_too_early.exchange(0) == 0);
}

task<int> leaf(world& w) {
  const lives here(w);
  co_await w.g.passed();
  co_return 1;
}
task<result<int>> leaf_result(world& w) {
  const lives here(w);
  co_await w.g.passed();
  co_return 1;
}
task<> forever(world& w) {
  const lives here(w);
  co_await sleep(1000s);
}
task<> child(world& w) {
  const lives here(w);
  co_await w.g.passed();
  co_await yield_now();
}
task<> parent(task_scope& s, world& w, int depth) {
  const lives here(w);
  if (depth != 0) {
    s.spawn(parent, std::ref(s), std::ref(w), depth - 1);
    s.spawn(child, std::ref(w));
  }
  co_await w.g.passed();
}

task<bool> select_leaves(world& w) {
  auto hit = co_await select(w.g.passed(), sleep(1000s));
  co_return hit.has<0>();
}
task<bool> select_tasks(world& w) {
  auto hit = co_await select(forever(w), leaf(w), leaf(w));
  co_return hit.get<1>() == 1 || hit.get<2>() == 1;
}
task<bool> select_conditional(world& w) {
  auto hit = co_await select(when(false, forever(w)), when(true, leaf(w)), otherwise);
  co_return hit.index() == 1;
}
task<bool> select_a_range(world& w) {
  std::vector<task<int>> tasks;
  for (int i = 0; i != 5; ++i) tasks.push_back(leaf(w));
  auto hit = co_await select(std::move(tasks));
  co_return hit.get(hit.index()) == 1;
}
task<bool> select_in_select(world& w) {
  auto hit = co_await select(select(forever(w), select(leaf(w), sleep(1000s))), forever(w));
  co_return hit.index() == 0 && hit.get<0>()->index() == 1;
}
task<bool> all_of_them(world& w) {
  auto all = co_await when_all(leaf(w), w.g.passed(), leaf(w));
  co_return std::get<0>(all) == 1 && std::get<2>(all) == 1;
}
task<bool> all_of_a_range(world& w) {
  std::vector<task<int>> tasks;
  for (int i = 0; i != 5; ++i) tasks.push_back(leaf(w));
  const auto all = co_await when_all(std::move(tasks));
  co_return all.size() == 5;
}
task<bool> any_of_them(world& w) {
  const auto first = co_await when_any(forever(w), leaf(w));
  co_return first.index() == 1;
}
task<bool> try_all_of_them(world& w) {
  const auto all = co_await try_all(leaf_result(w), leaf(w), leaf_result(w));
  co_return all.has_value();
}
task<bool> timeout_around(world& w) {
  const auto all = co_await timeout(1000s, when_all(leaf(w), select(w.g.passed(), forever(w))));
  co_return std::get<0>(all) == 1;
}
task<bool> select_around_adaptors(world& w) {
  auto hit = co_await select(or_throw(leaf_result(w)), forever(w), timeout(1000s, forever(w)));
  co_return hit.get<0>() == 1;
}
task<int> leaf_of_its_own(world_pointer w) {
  co_await w->g.passed();
  co_return 1;
}
task<bool> join_in_select(world& w) {
  auto h = spawn(leaf_of_its_own(w.shared_from_this()));  // may outlive the subject
  auto hit = co_await select(h, sleep(1000s));
  co_return std::move(*hit.get<0>()).value() == 1;
}

task<bool> scope_of_children(world& w) {
  const int v = co_await scope([&](task_scope& s) -> task<int> {
    for (int i = 0; i != 4; ++i) s.spawn(child, std::ref(w));
    co_return 7;
  });
  co_return v == 7;
}
task<bool> scope_whose_body_waits(world& w) {
  const int v = co_await scope([&](task_scope& s) -> task<int> {
    for (int i = 0; i != 4; ++i) s.spawn(child, std::ref(w));
    co_await leaf(w);
    co_return 7;
  });
  co_return v == 7;
}
task<bool> scope_with_join(world& w) {
  co_await scope([&](task_scope& s) -> task<> {
    for (int i = 0; i != 4; ++i) s.spawn(child, std::ref(w));
    co_await s.join();
    s.spawn(child, std::ref(w));
  });
  co_return true;
}
task<bool> scope_with_handles(world& w) {
  const int v = co_await scope([&](task_scope& s) -> task<int> {
    auto a = s.spawn(leaf, std::ref(w));
    auto b = s.spawn(leaf, std::ref(w));
    auto first = co_await std::move(a);
    auto second = co_await std::move(b);
    co_return std::move(first).value() + std::move(second).value();
  });
  co_return v == 2;
}
task<bool> scope_with_a_limit(world& w) {
  co_await scope(at_most(2), [&](task_scope& s) -> task<> {
    for (int i = 0; i != 6; ++i) {
      co_await s.vacancy();
      s.spawn(child, std::ref(w));
      s.spawn(child, std::ref(w));
    }
  });
  co_return true;
}
task<bool> scope_of_a_tree(world& w) {
  co_await scope([&](task_scope& s) -> task<> { co_await parent(s, w, 5); });
  co_return true;
}
task<bool> scope_that_cancels(world& w) {
  co_await scope([&](task_scope& s) -> task<> {
    for (int i = 0; i != 4; ++i) s.spawn(forever, std::ref(w));
    co_await leaf(w);
    s.cancel();
  });
  co_return true;
}
task<bool> scope_whose_child_cancels(world& w) {
  co_await scope([&](task_scope& s) -> task<> {
    for (int i = 0; i != 4; ++i) s.spawn(forever, std::ref(w));
    s.spawn([&]() -> task<> {
      co_await leaf(w);
      s.cancel();
    });
    co_await forever(w);
  });
  co_return true;
}
task<bool> scope_that_fails(world& w) {
  const auto r = co_await scope([&](task_scope& s) -> task<result<int>> {
    for (int i = 0; i != 4; ++i) s.spawn(forever, std::ref(w));
    s.spawn([&]() -> task<result<void>> {
      co_await leaf(w);
      co_return std::make_error_code(std::errc::io_error);
    });
    co_await forever(w);
    co_return 1;
  });
  co_return r.error() == std::errc::io_error;
}
task<bool> scope_in_scope(world& w) {
  co_await scope([&](task_scope& outer) -> task<> {
    for (int i = 0; i != 3; ++i)
      outer.spawn([&]() -> task<> {
        co_await scope([&](task_scope& inner) -> task<> {
          for (int j = 0; j != 3; ++j) inner.spawn(child, std::ref(w));
          outer.spawn(child, std::ref(w));
          co_await leaf(w);
        });
      });
    co_return;
  });
  co_return true;
}
task<bool> scopes_in_branches(world& w) {
  auto hit = co_await select(scope([&](task_scope& s) -> task<> {
                               s.spawn(forever, std::ref(w));
                               co_return;
                             }),
                             timeout(1000s, scope([&](task_scope& s) -> task<int> {
                                       s.spawn(child, std::ref(w));
                                       co_await leaf(w);
                                       co_return 3;
                                     })));
  co_return hit.get<1>() == 3;
}
task<bool> branches_in_scopes(world& w) {
  const int v = co_await scope([&](task_scope& s) -> task<int> {
    auto h = s.spawn([&]() -> task<int> {
      auto hit = co_await select(leaf(w), forever(w));
      co_return *hit.get<0>();
    });
    auto hit = co_await select(h, sleep(1000s));
    co_return std::move(*hit.get<0>()).value();
  });
  co_return v == 1;
}

}  // namespace

TEST_CASE("cancel at every suspension: select") {
  for (const on_world wait : {&select_leaves, &select_tasks, &select_conditional, &select_a_range})
    at_every_point_of(wait);
}
TEST_CASE("cancel at every suspension: select in select, around adaptors and joins") {
  for (const on_world wait : {&select_in_select, &select_around_adaptors, &join_in_select})
    at_every_point_of(wait);
}
TEST_CASE("cancel at every suspension: when_all, when_any, try_all, timeout") {
  for (const on_world wait :
       {&all_of_them, &all_of_a_range, &any_of_them, &try_all_of_them, &timeout_around})
    at_every_point_of(wait);
}
TEST_CASE("cancel at every suspension: scope") {
  for (const on_world wait : {&scope_of_children, &scope_whose_body_waits, &scope_with_join,
                              &scope_with_handles, &scope_with_a_limit, &scope_of_a_tree})
    at_every_point_of(wait);
}
TEST_CASE("cancel at every suspension: scopes that stop themselves") {
  for (const on_world wait : {&scope_that_cancels, &scope_whose_child_cancels, &scope_that_fails})
    at_every_point_of(wait);
}
TEST_CASE("cancel at every suspension: scopes in scopes, in branches and around them") {
  for (const on_world wait : {&scope_in_scope, &scopes_in_branches, &branches_in_scopes})
    at_every_point_of(wait);
}
