// SPDX-License-Identifier: MIT
// The strand: suspended by its owner, completed by a backend, stopped by anybody, borrowed by a
// dump.

#include <kioto/detail/task/suspension.hpp>

#include "relacy_policy.hpp"

using namespace kioto_model;
using suspension = kioto::detail::basic_suspension<model_sync>;

namespace {

constexpr int arm_forgets_completion = 1;

// A strand with one operation. Whoever comes to own the strand runs it.
struct strand {
  suspension word;
  suspension::ticket ticket{};
  model_sync::var<int> value{0};  // written by the backend, read by whoever runs the strand
  model_sync::var<int> frame{0};  // written by the owner, by each run
  model_sync::atomic<int> started{0};
  model_sync::atomic<int> ended{0};
  bool published = false;

  void run_after_completion() {
    frame.set(frame.get() + 1);
    check(value.get() == 7, "the value is visible");
    check(ended.exchange(1, std::memory_order_relaxed) == 0, "exactly one end");
  }
  // The owner, after a stop: the operation may still be with its backend.
  void run_after_stop() {
    frame.set(frame.get() + 1);
    if (word.has_fired(ticket.fired)) return run_after_completion();
    switch (word.arm({suspension::owned, ticket.fired}, true)) {
      case suspension::arm_result::suspended:
        return;
      case suspension::arm_result::fired:
        return run_after_completion();
      case suspension::arm_result::stop:
        check(false, "stop is ignored here");
    }
  }
  void suspend() {
    ticket = word.prepare();
    started.store(1, std::memory_order_release);
    frame.set(1);  // the owner's until it is armed
    if (planted(arm_forgets_completion)) {
      (void)word.arm(ticket, true);
      return;
    }
    if (word.try_arm(ticket)) return;
    switch (word.arm(ticket, false)) {
      case suspension::arm_result::suspended:
        break;
      case suspension::arm_result::fired:
        run_after_completion();
        break;
      case suspension::arm_result::stop:
        run_after_stop();
        break;
    }
  }
  void complete() {
    while (started.load(std::memory_order_acquire) == 0) model_sync::yield();
    value.set(7);
    if (word.complete(ticket.fired)) run_after_completion();
  }
  void after() { check(ended.load(std::memory_order_relaxed) == 1, "the strand went on"); }
};

struct completion : rl::test_suite<completion, 2>, strand {
  void thread(unsigned index) { index == 0 ? suspend() : complete(); }
  void after() { strand::after(); }
};

struct completion_and_stop : rl::test_suite<completion_and_stop, 3>, strand {
  void thread(unsigned index) {
    if (index == 0)
      suspend();
    else if (index == 1)
      complete();
    else if (word.request_stop())
      run_after_stop();
  }
  void after() {
    strand::after();
    check(word.stop_requested(), "stop is sticky");
  }
};

struct borrowed : rl::test_suite<borrowed, 3>, strand {
  void thread(unsigned index) {
    if (index == 0) {
      suspend();
    } else if (index == 1) {
      complete();
    } else {
      suspension::word seen = 0;
      if (word.try_borrow(seen)) {
        check(frame.get() == 1, "the frame is still while it is borrowed");
        if (!word.unborrow(seen)) run_after_completion();
      }
    }
  }
  void after() { strand::after(); }
};

}  // namespace

int main() {
  effort e;
  e.search_seconds = 1.5;
  e.random_seconds = 1.5;
  run_model<completion>("completion", expect::passes, e);
  run_model<completion_and_stop>("completion and stop", expect::passes, e);
  run_model<borrowed>("completion and a borrower", expect::passes, e);

  run_model<completion>("arm forgets a completion that came before", expect::fails,
                        logic(arm_forgets_completion));
  run_model<completion>("complete relaxed", expect::fails, weaken(op::bit_or, 4, "complete"));
  run_model<completion>("complete not atomic", expect::fails, tear(op::bit_or, 4, "complete"));
  run_model<completion>("complete what is suspended relaxed", expect::fails,
                        weaken(op::compare_exchange, 4, "complete"));
  run_model<completion_and_stop>("complete what is suspended not atomic", expect::fails,
                                 tear(op::compare_exchange, 4, "complete"));
  run_model<completion>("arm relaxed", expect::fails, weaken(op::compare_exchange, 4, "try_arm"));
  run_model<completion>("arm, failed, relaxed", expect::fails,
                        weaken(op::compare_exchange, 4, "arm"));
  run_model<completion_and_stop>("stop not atomic", expect::fails,
                                 tear(op::bit_or, 4, "request_stop"));
  run_model<borrowed>("borrow not atomic", expect::fails,
                      tear(op::compare_exchange, 4, "try_borrow"));
  run_model<borrowed>("borrow given back without a look", expect::fails,
                      tear(op::compare_exchange, 4, "unborrow"));
  return finish_models();
}
