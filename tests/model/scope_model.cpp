// SPDX-License-Identifier: MIT A scope: the ends of its children against waits for them, failures,
// stops, and places.

#include <array>
#include <optional>

#include <kioto/detail/task/scope_children.hpp>

#include "relacy_policy.hpp"

using namespace kioto_model;

namespace {

constexpr int fires_before_it_has_ended = 1;
constexpr int borrows_after_it_has_ended = 2;
constexpr int asks_without_a_reference = 3;
constexpr int forgets_to_withdraw = 4;
constexpr int waits_unlinked = 5;
constexpr int leaves_without_the_message = 6;

struct tag {};

struct child : kioto::detail::list_node<tag> {
  child* queue_next = nullptr;
  model_sync::var<int> block{1};
  model_sync::atomic<int> references{1};
  model_sync::atomic<int> asked{0};

  void add_reference() noexcept {
    if (!planted(asks_without_a_reference)) references.fetch_add(1, std::memory_order_relaxed);
  }
  void drop_reference() noexcept {
    if (references.fetch_sub(1, std::memory_order_acq_rel) == 1) block.set(0);
  }
  void ask() {
    check(block.get() == 1, "who is asked is there");
    check(asked.fetch_add(1, std::memory_order_relaxed) == 0, "asked once");
    if (!planted(asks_without_a_reference)) drop_reference();
  }
};

struct waiter : kioto::detail::list_node<> {
  waiter* queue_next = nullptr;
  model_sync::atomic<int> fired{0};

  void fire() {
    check(fired.exchange(1, std::memory_order_acq_rel) == 0, "fired once for each wait");
  }
  void wait() {
    while (fired.load(std::memory_order_acquire) == 0) model_sync::yield();
    fired.store(0, std::memory_order_relaxed);
  }
};

using state = kioto::detail::basic_scope_children<model_sync, child, tag, waiter>;

// The frame of the parent: the scope, what children borrow, and what waits.
struct frame {
  std::optional<state> scope;
  std::array<child, 3> children;
  std::array<model_sync::var<int>, 3> borrowed;
  model_sync::var<int> failure{0};
  model_sync::atomic<int> message{0};
  waiter end;
  waiter place;
  bool waits_to_be_asked = false;  // a child that was started when another one ended

  void open(std::size_t count) {
    scope.emplace();
    for (std::size_t i = 0; i != count; ++i)
      check(scope->admit(children[i]) == state::admission::start, "it starts");
  }

  void work(child& c) {
    auto& mine = borrowed[static_cast<std::size_t>(&c - children.data())];
    mine.set(mine.get() + 1);
  }
  void end_of(child& c) {
    if (!planted(borrows_after_it_has_ended)) work(c);
    if (planted(fires_before_it_has_ended)) end.fire();
    state::released released;
    scope->ended(c, released);
    // The scope may be gone.
    if (planted(borrows_after_it_has_ended)) work(c);
    c.drop_reference();
    while (waiter* w = released.fired.pop_front())
      if (!planted(fires_before_it_has_ended)) w->fire();
    if (released.next != nullptr) {
      while (waits_to_be_asked && released.next->asked.load(std::memory_order_acquire) == 0)
        model_sync::yield();
      end_of(*released.next);
    }
  }

  void stop_all() {
    state::released released;
    if (scope->begin_to_stop(released)) {
      while (waiter* w = released.fired.pop_front()) w->fire();
      for (;;) {
        const auto next = scope->next_to_ask();
        if (next.child == nullptr) break;
        next.child->ask();
        if (next.has_to_start) end_of(*next.child);
      }
    }
    if (scope->begin_to_tell_body()) message.store(1, std::memory_order_release);
  }
  void fail(int code) {
    if (!scope->claim_failure()) return;
    failure.set(code);
    stop_all();
  }

  void wait_for_end() {
    if (scope->link_for_end(end) || planted(waits_unlinked)) end.wait();
  }
  // The body has ended; then the children have, and the parent goes on.
  void close() {
    if (scope->body_ended() && !planted(leaves_without_the_message)) {
      while (message.load(std::memory_order_acquire) == 0) model_sync::yield();
      message.store(0, std::memory_order_relaxed);
    }
    wait_for_end();
    check(message.load(std::memory_order_relaxed) == 0,
          "no message is left for a body that is gone");
    for (auto& b : borrowed) b.set(b.get() + 10);
    scope.reset();
  }
};

// The last of two children against the parent that begins to wait.
struct joins : rl::test_suite<joins, 3>, frame {
  void before() { open(2); }
  void thread(unsigned index) {
    if (index == 2)
      close();
    else
      end_of(children[index]);
  }
  void after() {
    check(borrowed[0].get() == 11 && borrowed[1].get() == 11, "both have ended before");
    check(children[0].block.get() == 0 && children[1].block.get() == 0, "their memory is freed");
  }
};

// The last child against a body that waits and gives up.
struct gives_up : rl::test_suite<gives_up, 2>, frame {
  waiter join;
  model_sync::var<int> withdrawn{0};
  void before() { open(1); }
  void thread(unsigned index) {
    if (index == 0) {
      end_of(children[0]);
    } else {
      if (scope->link_for_end(join)) {
        if (scope->unlink(join) || planted(forgets_to_withdraw))
          withdrawn.set(1);
        else
          join.wait();
      }
      close();
    }
  }
  void after() {
    if (withdrawn.get() == 1)
      check(join.fired.load(std::memory_order_relaxed) == 0, "a withdrawn waiter is not fired");
    check(borrowed[0].get() == 11, "it has ended before");
  }
};

// A child fails beside another one that ends, and beside the end of the body.
struct fails : rl::test_suite<fails, 3>, frame {
  void before() { open(2); }
  void thread(unsigned index) {
    if (index == 0) {
      fail(5);
      end_of(children[0]);
    } else if (index == 1) {
      end_of(children[1]);
    } else {
      close();
    }
  }
  void after() {
    check(failure.get() == 5, "the failure is visible");
    check(children[0].block.get() == 0 && children[1].block.get() == 0, "their memory is freed");
  }
};

// Two children fail: one failure counts.
struct both_fail : rl::test_suite<both_fail, 3>, frame {
  void before() { open(2); }
  void thread(unsigned index) {
    if (index == 2) {
      close();
    } else {
      fail(static_cast<int>(index) + 1);
      end_of(children[index]);
    }
  }
  void after() { check(failure.get() == 1 || failure.get() == 2, "one of them"); }
};

// A child is started beside a stop: it is asked, one way or the other.
struct started_late : rl::test_suite<started_late, 2>, frame {
  void before() { open(1); }
  void thread(unsigned index) {
    if (index == 0) {
      if (scope->admit(children[1]) == state::admission::start_stopped) {
        children[1].references.fetch_add(1, std::memory_order_relaxed);
        children[1].ask();
      }
      end_of(children[0]);
      while (children[1].asked.load(std::memory_order_acquire) == 0) model_sync::yield();
      end_of(children[1]);
    } else {
      stop_all();
      close();
    }
  }
  void after() { check(borrowed[1].get() == 11, "it has ended before"); }
};

// One place, two children, and a task that waits for the place.
struct one_place : rl::test_suite<one_place, 3>, frame {
  model_sync::atomic<int> got_on{0};
  void before() {
    scope.emplace();
    scope->set_limit(1);
    check(scope->admit(children[0]) == state::admission::start, "it starts");
    check(scope->admit(children[1]) == state::admission::later, "it waits for a place");
  }
  void thread(unsigned index) {
    if (index == 0) {
      end_of(children[0]);
    } else if (index == 1) {
      if (scope->link_for_place(place)) place.wait();
      got_on.store(1, std::memory_order_release);
    } else {
      while (got_on.load(std::memory_order_acquire) == 0) model_sync::yield();
      close();
    }
  }
  void after() { check(borrowed[0].get() == 11 && borrowed[1].get() == 11, "both have run"); }
};

// The same beside a stop: the child that waits is started by one of two, and asked once.
struct one_place_and_a_stop : rl::test_suite<one_place_and_a_stop, 3>, frame {
  model_sync::atomic<int> got_on{0};
  void before() {
    waits_to_be_asked = true;
    scope.emplace();
    scope->set_limit(1);
    check(scope->admit(children[0]) == state::admission::start, "it starts");
    check(scope->admit(children[1]) == state::admission::later, "it waits for a place");
  }
  void thread(unsigned index) {
    if (index == 0) {
      end_of(children[0]);
    } else if (index == 1) {
      if (scope->link_for_place(place)) place.wait();
      got_on.store(1, std::memory_order_release);
    } else {
      stop_all();
      while (got_on.load(std::memory_order_acquire) == 0) model_sync::yield();
      close();
    }
  }
  void after() { check(borrowed[0].get() == 11 && borrowed[1].get() == 11, "both have ended"); }
};

}  // namespace

int main() {
  effort e;
  e.search_seconds = 1.5;
  e.random_seconds = 1.0;
  run_model<joins>("two children and the parent", expect::passes, e);
  run_model<gives_up>("a body that stops waiting", expect::passes, e);
  run_model<fails>("a failure, another child and the parent", expect::passes, e);
  run_model<both_fail>("two failures and the parent", expect::passes, e);
  run_model<started_late>("a child started beside a stop", expect::passes, e);
  run_model<one_place>("one place", expect::passes, e);
  run_model<one_place_and_a_stop>("one place and a stop", expect::passes, e);

  run_model<joins>("the lock is not taken atomically", expect::fails,
                   tear(op::exchange, 1, "lock"));
  run_model<joins>("the lock is released relaxed", expect::fails, weaken(op::store, 1, "unlock"));
  run_model<joins>("the lock is taken relaxed", expect::fails, weaken(op::exchange, 1, "lock"));
  run_model<joins>("the last child fires before it has ended", expect::fails,
                   logic(fires_before_it_has_ended));
  run_model<joins>("a child borrows after it has ended", expect::fails,
                   logic(borrows_after_it_has_ended));
  run_model<joins>("the parent waits unlinked", expect::fails, logic(waits_unlinked));
  run_model<gives_up>("a waiter that was taken counts as withdrawn", expect::fails,
                      logic(forgets_to_withdraw));
  run_model<fails>("children are asked without a reference", expect::fails,
                   logic(asks_without_a_reference));
  run_model<fails>("the scope ends while a message is on its way", expect::fails,
                   logic(leaves_without_the_message));
  return finish_models();
}
