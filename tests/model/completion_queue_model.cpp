// SPDX-License-Identifier: MIT Ends of tasks against their consumer: waiting, giving up, going
// away.

#include <kioto/detail/task/completion_queue.hpp>

#include "relacy_policy.hpp"

using namespace kioto_model;

namespace {

constexpr int goes_on_unwoken = 1;
constexpr int frees_too_early = 2;
constexpr int looking_ends_the_wait = 3;

struct node {
  node* queue_next = nullptr;
  model_sync::var<int> value{0};
  model_sync::var<int> freed{0};
};
using queue = kioto::detail::basic_completion_queue<model_sync, node>;

struct base {
  queue q;
  node nodes[2];
  model_sync::var<int> waiter{0};  // what the consumer prepares for who wakes it
  model_sync::atomic<int> woken{0};
  int taken = 0;

  void produce(int which) {
    nodes[which].value.set(which + 1);
    if (q.push(&nodes[which]) == queue::pushed::wake) {
      check(waiter.get() == 1, "the waiter is visible");
      check(woken.exchange(1, std::memory_order_acq_rel) == 0, "woken once");
    }
  }
  void drain() {
    auto list = q.take();
    while (node* n = list.pop_front()) {
      check(n->value.get() == (n == &nodes[0] ? 1 : 2), "the value is visible");
      ++taken;
    }
  }
  void wait_for_wake() {
    while (woken.load(std::memory_order_acquire) == 0) model_sync::yield();
    woken.store(0, std::memory_order_relaxed);
    waiter.set(0);
  }
};

struct consumes : rl::test_suite<consumes, 3>, base {
  void thread(unsigned index) {
    if (index != 2) return produce(static_cast<int>(index));
    while (taken != 2) {
      drain();
      if (taken == 2) break;
      waiter.set(1);
      if (q.wait()) wait_for_wake();
    }
  }
};

struct gives_up : rl::test_suite<gives_up, 3>, base {
  void thread(unsigned index) {
    if (index != 2) return produce(static_cast<int>(index));
    waiter.set(1);
    if (q.wait() && !q.stop_waiting() && !planted(goes_on_unwoken)) wait_for_wake();
    waiter.set(0);
    while (taken != 2) {
      drain();
      model_sync::yield();
    }
  }
};

// It looks again while it waits, as another branch of its task does.
struct looks_again : rl::test_suite<looks_again, 3>, base {
  void thread(unsigned index) {
    if (index != 2) return produce(static_cast<int>(index));
    while (taken != 2) {
      waiter.set(1);
      if (q.wait()) {
        if (planted(looking_ends_the_wait)) static_cast<void>(q.stop_waiting());
        drain();
        wait_for_wake();
      }
      drain();
    }
  }
};

// The consumer goes away while two nodes are being pushed: the last one frees.
struct goes_away : rl::test_suite<goes_away, 3>, base {
  model_sync::var<int> core{1};
  model_sync::atomic<int> under_way{0};
  model_sync::atomic<int> frees{0};

  void drop(int references) {
    if (under_way.fetch_sub(references, std::memory_order_acq_rel) != references) return;
    core.set(0);
    frees.fetch_add(1, std::memory_order_relaxed);
  }
  void thread(unsigned index) {
    if (index != 2) {
      node& mine = nodes[index];
      mine.value.set(1);
      if (q.push(&mine) == queue::pushed::closed) {
        check(core.get() == 1, "the core is there");
        mine.freed.set(1);
        drop(1);
      }
      return;
    }
    under_way.store(planted(frees_too_early) ? 1 : 3, std::memory_order_relaxed);
    auto list = q.close();
    int settled = 1;
    while (node* n = list.pop_front()) {
      check(n->value.get() == 1, "the value is visible");
      n->freed.set(1);
      ++settled;
    }
    drop(planted(frees_too_early) ? 1 : settled);
  }
  void after() {
    check(frees.load(std::memory_order_relaxed) == 1, "freed once");
    check(nodes[0].freed.get() + nodes[1].freed.get() == 2, "every node was let go");
  }
};

}  // namespace

int main() {
  effort e;
  e.search_seconds = 1.5;
  e.random_seconds = 1.5;
  run_model<consumes>("two nodes for a consumer who waits", expect::passes, e);
  run_model<gives_up>("the consumer gives up waiting", expect::passes, e);
  run_model<looks_again>("the consumer looks while it waits", expect::passes, e);
  run_model<goes_away>("the consumer goes away", expect::passes, e);

  run_model<consumes>("push relaxed", expect::fails, weaken(op::compare_exchange, 8, "push"));
  run_model<consumes>("push not atomic", expect::fails, tear(op::compare_exchange, 8, "push"));
  run_model<consumes>("wait relaxed", expect::fails, weaken(op::compare_exchange, 8, "wait"));
  run_model<consumes>("wait not atomic", expect::fails, tear(op::compare_exchange, 8, "wait"));
  run_model<consumes>("take not atomic", expect::fails, tear(op::exchange, 8, "take"));
  run_model<gives_up>("goes on unwoken", expect::fails, logic(goes_on_unwoken));
  run_model<looks_again>("looking ends the wait", expect::fails, logic(looking_ends_the_wait));
  run_model<goes_away>("closing not atomic", expect::fails, tear(op::exchange, 8, "close"));
  run_model<goes_away>("freed too early", expect::fails, logic(frees_too_early));
  return finish_models();
}
