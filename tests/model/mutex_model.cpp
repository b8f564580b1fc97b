// SPDX-License-Identifier: MIT The mutex: every waiter gets it, and each holder sees what the one
// before wrote.

#include <kioto/detail/base/mutex.hpp>

#include "relacy_policy.hpp"

using namespace kioto_model;

namespace {

using mutex = kioto::detail::basic_mutex<model_sync, 1>;

struct holders : rl::test_suite<holders, 3> {
  mutex lock;
  model_sync::var<int> count{0};

  void thread(unsigned) {
    for (int i = 0; i != 2; ++i) {
      lock.lock();
      count.set(count.get() + 1);
      lock.unlock();
    }
  }
  void after() { check(count.get() == 6, "each alone"); }
};

struct tries : rl::test_suite<tries, 2> {
  mutex lock;
  model_sync::var<int> count{0};

  void thread(unsigned index) {
    if (index == 0) {
      lock.lock();
    } else {
      while (!lock.try_lock()) model_sync::yield();
    }
    count.set(count.get() + 1);
    lock.unlock();
  }
  void after() { check(count.get() == 2, "each alone"); }
};

}  // namespace

int main() {
  effort e;
  e.search_seconds = 1.5;
  e.random_seconds = 1.5;
  run_model<holders>("three who take it twice", expect::passes, e);
  run_model<tries>("one who takes it and one who tries", expect::passes, e);

  run_model<holders>("taken relaxed by who has waited", expect::fails,
                     weaken(op::exchange, 4, "lock_contended"));
  run_model<tries>("taken relaxed by who need not wait", expect::fails,
                   weaken(op::compare_exchange, 4, "try_lock"));
  run_model<holders>("released relaxed", expect::fails, weaken(op::exchange, 4, "unlock"));
  run_model<holders>("released in two steps", expect::fails, tear(op::exchange, 4, "unlock"));
  run_model<holders>("taken in two steps", expect::fails,
                     tear(op::compare_exchange, 4, "try_lock"));
  return finish_models();
}
