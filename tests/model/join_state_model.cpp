// SPDX-License-Identifier: MIT
// A task and its join handle: the end of the task against waiting, giving up, and detaching.

#include <kioto/detail/task/join_state.hpp>

#include "relacy_policy.hpp"

using namespace kioto_model;

namespace {

struct waiter {
  model_sync::atomic<int> fired{0};
  int unused = 0;
};
using join_state = kioto::detail::basic_join_state<model_sync, waiter>;

struct base {
  join_state state;
  waiter w;
  model_sync::var<int> result{0};
  model_sync::var<int> block{1};  // freed by setting it to 0
  model_sync::atomic<int> frees{0};

  void free_block() {
    block.set(0);
    frees.fetch_add(1, std::memory_order_relaxed);
  }
  void end_task() {
    result.set(5);
    const auto end = state.finish();
    if (end.detached)
      free_block();
    else if (end.waiter != nullptr)
      check(end.waiter->fired.exchange(1, std::memory_order_acq_rel) == 0, "fired once");
  }
  void let_go() {
    if (!state.detach()) {
      check(result.get() == 5, "the result is visible");
      free_block();
    }
  }
  void wait_for_fire() {
    while (w.fired.load(std::memory_order_acquire) == 0) model_sync::yield();
  }
  void after() { check(frees.load(std::memory_order_relaxed) == 1, "the block is freed once"); }
};

struct detaches : rl::test_suite<detaches, 2>, base {
  void thread(unsigned index) { index == 0 ? end_task() : let_go(); }
  void after() { base::after(); }
};

struct awaits : rl::test_suite<awaits, 2>, base {
  void thread(unsigned index) {
    if (index == 0) {
      end_task();
    } else {
      if (state.link(&w)) wait_for_fire();
      check(state.is_done(), "a waiter wakes when the task is done");
      check(result.get() == 5, "the result is visible");
      let_go();
    }
  }
  void after() { base::after(); }
};

struct gives_up : rl::test_suite<gives_up, 2>, base {
  void thread(unsigned index) {
    if (index == 0) {
      end_task();
    } else {
      if (state.link(&w) && !state.unlink(&w)) wait_for_fire();
      let_go();
    }
  }
  void after() { base::after(); }
};

}  // namespace

int main() {
  effort e;
  e.search_seconds = 1.5;
  e.random_seconds = 1.5;
  run_model<detaches>("the handle detaches", expect::passes, e);
  run_model<awaits>("the handle waits", expect::passes, e);
  run_model<gives_up>("the handle gives up waiting", expect::passes, e);

  run_model<detaches>("finish relaxed", expect::fails, weaken(op::exchange, 8, "finish"));
  run_model<detaches>("finish not atomic", expect::fails, tear(op::exchange, 8, "finish"));
  run_model<detaches>("detach not atomic", expect::fails, tear(op::compare_exchange, 8, "detach"));
  run_model<awaits>("link not atomic", expect::fails, tear(op::compare_exchange, 8, "link"));
  run_model<gives_up>("unlink not atomic", expect::fails, tear(op::compare_exchange, 8, "unlink"));
  run_model<detaches>("detach relaxed", expect::fails, weaken(op::compare_exchange, 8, "detach"));
  return finish_models();
}
