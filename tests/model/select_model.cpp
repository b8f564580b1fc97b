// SPDX-License-Identifier: MIT
// The branches of a select: completed from outside, stopped by the one that came first, and by a
// stop of the task. The last one to end lets the task go on.

#include <array>

#include <kioto/detail/task/branch_queue.hpp>
#include <kioto/detail/task/suspension.hpp>

#include "relacy_policy.hpp"

using namespace kioto_model;
using suspension = kioto::detail::basic_suspension<model_sync>;

namespace {

constexpr int cancel_ends_what_has_completed = 1;
constexpr int goes_on_before_the_loser_has_ended = 2;
constexpr int gives_up_without_a_look = 3;

// A leaf operation: whoever takes it decides, its backend or its owner.
struct branch {
  branch* queue_next = nullptr;
  suspension word;
  suspension::ticket ticket{};
  model_sync::atomic<int> taken{0};
  model_sync::var<int> value{0};
  bool ended = false;
  bool completed = false;
};
using branch_queue = kioto::detail::basic_branch_queue<model_sync, branch>;

template <std::size_t N>
struct select {
  suspension task;  // owned all the time: the task is forked
  branch_queue queue;
  std::array<branch, N> branches;
  model_sync::var<int> strand{0};  // touched by the owner only
  model_sync::atomic<int> started{0};
  model_sync::atomic<int> resumed{0};
  std::size_t live = 0;
  bool stopping = false;
  bool stop_seen = false;
  bool done = false;
  branch* ready = nullptr;  // to be run by the owner

  void push_ready(branch& b) {
    b.queue_next = ready;
    ready = &b;
  }

  // The owner, what follows.

  void begin() {
    strand.set(1);
    for (branch& b : branches) {
      if (stopping) {  // never starts
        b.ended = true;
        b.taken.store(1, std::memory_order_relaxed);
        started.fetch_add(1, std::memory_order_release);
        continue;
      }
      ++live;
      b.ticket = b.word.prepare();
      started.fetch_add(1, std::memory_order_release);
      switch (b.word.arm(b.ticket, false)) {
        case suspension::arm_result::suspended:
          break;
        case suspension::arm_result::fired:
          end(b, true);
          break;
        case suspension::arm_result::stop:
          check(false, "nobody stops it but the owner");
      }
    }
    if (!done) run();
  }
  void end(branch& b, bool with_value) {
    check(!b.ended, "a branch ends once");
    b.ended = true;
    b.completed = with_value;
    if (with_value) check(b.value.get() == 7, "the value is visible");
    --live;
    if (with_value && !stopping) stop_branches();
    if (live == 0 || (planted(goes_on_before_the_loser_has_ended) && with_value && !done)) {
      done = true;
      resumed.fetch_add(1, std::memory_order_relaxed);
      // The frame goes on, and the branches are gone.
      for (branch& each : branches) each.value.set(0);
    }
  }
  void stop_branches() {
    stopping = true;
    for (branch& b : branches)
      if (!b.ended && b.word.request_stop()) push_ready(b);
  }
  // As task_header::enter(), for a branch that waits in its leaf.
  void enter(branch& b) {
    if (!b.word.has_fired(b.ticket.fired)) {
      if (b.taken.exchange(1, std::memory_order_acq_rel) == 0 ||
          planted(cancel_ends_what_has_completed))
        return end(b, false);
      if (b.word.arm({suspension::owned, b.ticket.fired}, true) ==
          suspension::arm_result::suspended)
        return;
    }
    end(b, true);
  }
  // As task_header::run_branches().
  void run() {
    for (;;) {
      strand.set(strand.get() + 1);
      for (branch* b = queue.take(); b != nullptr;) {
        branch* const next = b->queue_next;
        push_ready(*b);
        b = next;
      }
      if (!stop_seen && task.stop_requested()) {
        stop_seen = true;
        stop_branches();
      }
      if (ready != nullptr) {
        branch* const b = ready;
        ready = b->queue_next;
        enter(*b);
        if (done) return;
        continue;
      }
      strand.set(strand.get() + 1);
      if (planted(gives_up_without_a_look)) {
        (void)queue.release();
        return;
      }
      if (queue.release()) return;
    }
  }

  // Others.

  void complete(std::size_t index) {
    while (started.load(std::memory_order_acquire) <= static_cast<int>(index)) model_sync::yield();
    branch& b = branches[index];
    if (b.taken.exchange(1, std::memory_order_acq_rel) != 0) return;  // withdrawn
    b.value.set(7);
    if (b.word.complete(b.ticket.fired) && queue.push(&b)) run();
  }
  void abort() {
    if (task.request_stop()) check(false, "a forked task is owned");
    if (queue.kick()) run();
  }
};

struct two : rl::test_suite<two, 3>, select<2> {
  void thread(unsigned index) {
    if (index == 0)
      begin();
    else
      complete(index - 1);
  }
  void after() {
    check(resumed.load(std::memory_order_relaxed) == 1, "the task goes on once");
    check(branches[0].completed || branches[1].completed, "one of them completed");
    check(branches[0].ended && branches[1].ended, "both have ended before");
  }
};

struct one_and_a_stop : rl::test_suite<one_and_a_stop, 3>, select<1> {
  void thread(unsigned index) {
    if (index == 0)
      begin();
    else if (index == 1)
      complete(0);
    else
      abort();
  }
  void after() {
    check(resumed.load(std::memory_order_relaxed) == 1, "the task goes on once");
    check(branches[0].ended, "the branch has ended before");
  }
};

struct two_and_a_stop : rl::test_suite<two_and_a_stop, 3>, select<2> {
  void thread(unsigned index) {
    if (index == 0)
      begin();
    else if (index == 1)
      complete(1);
    else
      abort();
  }
  void after() {
    check(resumed.load(std::memory_order_relaxed) == 1, "the task goes on once");
    check(branches[0].ended && branches[1].ended, "both have ended before");
  }
};

}  // namespace

int main() {
  effort e;
  e.search_seconds = 1.5;
  e.random_seconds = 1.5;
  run_model<two>("two branches complete", expect::passes, e);
  run_model<one_and_a_stop>("a branch completes beside a stop", expect::passes, e);
  run_model<two_and_a_stop>("one of two completes beside a stop", expect::passes, e);

  run_model<two>("a cancel ends what has completed", expect::fails,
                 logic(cancel_ends_what_has_completed));
  run_model<two>("goes on before the loser has ended", expect::fails,
                 logic(goes_on_before_the_loser_has_ended));
  run_model<two>("gives the task up without a look", expect::fails, logic(gives_up_without_a_look));
  run_model<two>("push not atomic", expect::fails, tear(op::compare_exchange, 8, "push"));
  run_model<two>("push relaxed", expect::fails, weaken(op::compare_exchange, 8, "push"));
  run_model<two>("release not atomic", expect::fails, tear(op::compare_exchange, 8, "release"));
  run_model<two>("take not atomic", expect::fails, tear(op::exchange, 8, "take"));
  run_model<two>("stop of a branch not atomic", expect::fails, tear(op::bit_or, 4, "request_stop"));
  run_model<one_and_a_stop>("kick not atomic", expect::fails,
                            tear(op::compare_exchange, 8, "kick"));
  run_model<one_and_a_stop>("kick relaxed", expect::fails, weaken(op::compare_exchange, 8, "kick"));
  return finish_models();
}
