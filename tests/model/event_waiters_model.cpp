// SPDX-License-Identifier: MIT
// The waiters of a cancellation token against its cancellation and their own, and those of a task
// tracker against tasks that come and go.

#include <kioto/detail/task/tracker_count.hpp>

#include "relacy_policy.hpp"

using namespace kioto_model;

namespace {

constexpr int links_without_a_look = 1;
constexpr int removes_without_a_look = 2;

struct waiter : kioto::detail::basic_event_waiter<model_sync> {
  model_sync::atomic<int> fired{0};
  model_sync::var<int> owned_by_the_waiter{0};

  void fire() {
    owned_by_the_waiter.set(1);  // a race, if the waiter goes on before it is fired
    check(fired.exchange(1, std::memory_order_acq_rel) == 0, "fired once");
  }
  void wait_for_fire() {
    while (fired.load(std::memory_order_acquire) == 0) model_sync::yield();
    owned_by_the_waiter.set(2);
  }
};
using event_waiters = kioto::detail::basic_event_waiters<model_sync, waiter>;
using tracker_count = kioto::detail::basic_tracker_count<model_sync, waiter>;

// As a token does it: a flag that is set under the lock.
struct token {
  event_waiters waiters;
  model_sync::atomic<int> cancelled{0};
  model_sync::var<int> told{0};

  [[nodiscard]] bool is_cancelled() const { return cancelled.load(std::memory_order_acquire) != 0; }
  bool add(waiter& w) {
    if (planted(links_without_a_look)) return waiters.add(w, [] { return true; });
    return waiters.add(w, [this] { return !is_cancelled(); });
  }
  void cancel() {
    event_waiters::list woken;
    told.set(1);
    waiters.take_all(woken, [this] {
      cancelled.store(1, std::memory_order_release);
      return true;
    });
    while (waiter* w = woken.pop_front()) w->fire();
  }
  void wait(waiter& w) {
    if (add(w)) w.wait_for_fire();
    check(told.get() == 1, "what the canceller did is visible");
  }
};

struct waits : rl::test_suite<waits, 3>, token {
  waiter w[2];
  void thread(unsigned index) { index == 0 ? cancel() : wait(w[index - 1]); }
};

struct gives_up : rl::test_suite<gives_up, 3>, token {
  waiter w[2];
  void thread(unsigned index) {
    if (index == 0) return cancel();
    if (index == 2) return wait(w[1]);
    if (!add(w[0])) return;
    if (waiters.remove(w[0])) {
      w[0].owned_by_the_waiter.set(3);
      if (planted(removes_without_a_look)) w[0].fire();
    } else if (planted(removes_without_a_look)) {
      w[0].owned_by_the_waiter.set(3);  // goes on although it was taken
    } else {
      w[0].wait_for_fire();
    }
  }
};

struct tracker {
  tracker_count count;
  waiter w;
  model_sync::var<int> done[2]{};

  void close() {
    tracker_count::list woken;
    count.close(woken);
  }
  void end_task(int which) {
    done[which].set(1);
    tracker_count::list woken;
    count.leave(woken);
    while (waiter* one = woken.pop_front()) one->fire();
  }
  void wait() {
    if (!count.is_over() && count.add(w)) w.wait_for_fire();
  }
};

struct tasks_end : rl::test_suite<tasks_end, 3>, tracker {
  void before() {
    count.enter();
    count.enter();
    close();
  }
  void thread(unsigned index) {
    if (index != 2) return end_task(static_cast<int>(index));
    wait();
    check(done[0].get() + done[1].get() == 2, "what the tasks did is visible");
  }
};

// The tracker is closed and its only task ends, while another thread adds a task and waits: it must
// not be woken by the first end.
struct task_is_added : rl::test_suite<task_is_added, 3>, tracker {
  model_sync::atomic<int> entered{0};
  void before() {
    count.enter();
    close();
  }
  void thread(unsigned index) {
    if (index == 0) {
      end_task(0);
    } else if (index == 1) {
      count.enter();
      entered.store(1, std::memory_order_release);
      wait();
      check(done[1].get() == 1, "woken by the end of its own task");
    } else {
      while (entered.load(std::memory_order_acquire) == 0) model_sync::yield();
      end_task(1);
    }
  }
};

}  // namespace

int main() {
  effort e;
  e.search_seconds = 1.2;
  e.random_seconds = 1.2;
  run_model<waits>("token: two waiters and a cancellation", expect::passes, e);
  run_model<gives_up>("token: a waiter gives up", expect::passes, e);
  run_model<tasks_end>("tracker: the last tasks end", expect::passes, e);
  run_model<task_is_added>("tracker: a task is added as the last one ends", expect::passes, e);

  run_model<waits>("linked without a look at the token", expect::fails,
                   logic(links_without_a_look));
  run_model<waits>("lock relaxed", expect::fails, weaken(op::exchange, 1, "lock"));
  run_model<waits>("lock not atomic", expect::fails, tear(op::exchange, 1, "lock"));
  run_model<waits>("unlock relaxed", expect::fails, weaken(op::store, 1, "unlock"));
  run_model<gives_up>("goes on although it was taken", expect::fails,
                      logic(removes_without_a_look));
  run_model<tasks_end>("leave not atomic", expect::fails, tear(op::compare_exchange, 8, "leave"));
  run_model<tasks_end>("leave relaxed", expect::fails, weaken(op::compare_exchange, 8, "leave"));
  run_model<tasks_end>("the last leave relaxed", expect::fails, weaken(op::sub, 8, nullptr));
  return finish_models();
}
