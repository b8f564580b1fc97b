// SPDX-License-Identifier: MIT
// The branches of a forked task: completed by backends, run by whoever owns the task, kicked by a
// stop.

#include <array>

#include <kioto/detail/task/branch_queue.hpp>

#include "relacy_policy.hpp"

using namespace kioto_model;

namespace {

struct branch {
  branch* queue_next = nullptr;
  model_sync::var<int> value{0};
};
using branch_queue = kioto::detail::basic_branch_queue<model_sync, branch>;

struct base {
  branch_queue queue;
  std::array<branch, 2> branches;
  model_sync::var<int> strand{0};  // touched by the owner only
  model_sync::atomic<int> stop{0};
  model_sync::atomic<int> runs{0};
  model_sync::var<int> seen_stop{0};

  // The owner: runs what came, until it can give the task up.
  void run() {
    for (;;) {
      strand.set(strand.get() + 1);
      for (branch* b = queue.take(); b != nullptr;) {
        branch* const next = b->queue_next;
        check(b->value.get() == 3, "the value of the branch is visible");
        b->value.set(4);
        runs.fetch_add(1, std::memory_order_relaxed);
        b = next;
      }
      if (stop.load(std::memory_order_relaxed) != 0) seen_stop.set(1);
      strand.set(strand.get() + 1);
      if (queue.release()) return;
    }
  }
  void push(branch& b) {
    b.value.set(3);
    if (queue.push(&b)) run();
  }
  void kick() {
    stop.store(1, std::memory_order_relaxed);
    if (queue.kick()) run();
  }
};

struct two_branches : rl::test_suite<two_branches, 3>, base {
  void thread(unsigned index) {
    if (index == 0)
      run();
    else
      push(branches[index - 1]);
  }
  void after() { check(runs.load(std::memory_order_relaxed) == 2, "each branch is run once"); }
};

struct kicked : rl::test_suite<kicked, 3>, base {
  void thread(unsigned index) {
    if (index == 0)
      run();
    else if (index == 1)
      push(branches[0]);
    else
      kick();
  }
  void after() {
    check(runs.load(std::memory_order_relaxed) == 1, "the branch is run once");
    check(seen_stop.get() == 1, "the owner looked at the stop request after it was made");
  }
};

}  // namespace

int main() {
  effort e;
  e.search_seconds = 1.5;
  e.random_seconds = 1.5;
  run_model<two_branches>("two branches and the owner", expect::passes, e);
  run_model<kicked>("a branch, a stop and the owner", expect::passes, e);

  run_model<two_branches>("push not atomic", expect::fails, tear(op::compare_exchange, 8, "push"));
  run_model<two_branches>("push relaxed", expect::fails, weaken(op::compare_exchange, 8, "push"));
  run_model<two_branches>("take not atomic", expect::fails, tear(op::exchange, 8, "take"));
  run_model<two_branches>("release relaxed", expect::fails,
                          weaken(op::compare_exchange, 8, "release"));
  run_model<kicked>("kick not atomic", expect::fails, tear(op::compare_exchange, 8, "kick"));
  run_model<kicked>("kick relaxed", expect::fails, weaken(op::compare_exchange, 8, "kick"));
  return finish_models();
}
