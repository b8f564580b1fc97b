// SPDX-License-Identifier: MIT
// A barrier: groups, their leader, and waiters that leave before their group is complete.

#include <kioto/detail/sync/barrier_core.hpp>

#include "model_leaf.hpp"
#include "relacy_policy.hpp"

using namespace kioto_model;

namespace {

constexpr int left_anyway = 1;

class wait;
using core = kioto::detail::basic_barrier_core<model_sync, wait>;

class wait : public model_leaf<wait>, public kioto::detail::barrier_waiter {
 public:
  explicit wait(core& b) : barrier_(b) {}

  bool try_now() {
    came_.set(1);
    leader_ = barrier_.try_complete();
    return leader_;
  }
  bool link() {
    leader_ = !barrier_.arrive(*this);
    return !leader_;
  }
  bool withdraw() {
    const bool left = barrier_.leave(*this);
    return planted(left_anyway) || left;
  }
  void ended(bool value) {
    end_.set(!value ? 1 : leader_ ? 3 : 2);
    if (value && other_ != nullptr) check(other_->came_.get() == 1, "the other one came before");
  }
  void goes_with(wait& other) { other_ = &other; }
  bool passed() const { return end_.get() >= 2; }
  bool led() const { return end_.get() == 3; }

 private:
  core& barrier_;
  wait* other_ = nullptr;
  model_sync::var<int> came_{0};
  model_sync::var<int> end_{0};
  bool leader_ = false;
};

struct pair : rl::test_suite<pair, 2> {
  core c{2};
  wait a{c}, b{c};
  void before() {
    a.goes_with(b);
    b.goes_with(a);
  }
  void thread(unsigned index) { (index == 0 ? a : b).start(); }
  void after() {
    check(a.has_ended() && b.has_ended(), "both go on");
    check(a.led() != b.led(), "one of them leads");
  }
};

// Four in groups of two: each group has one leader.
struct two_groups : rl::test_suite<two_groups, 3> {
  core c{2};
  wait a{c}, b{c}, d{c}, e{c};
  void thread(unsigned index) {
    if (index == 2) e.start();
    (index == 0 ? a : index == 1 ? b : d).start();
  }
  void after() {
    check(a.passed() && b.passed() && d.passed() && e.passed(), "all go on");
    check(a.led() + b.led() + d.led() + e.led() == 2, "one leader for each group");
  }
};

// One leaves while the other comes: both go on, or the barrier is as if it had not come.
struct leaving : rl::test_suite<leaving, 3> {
  core c{2};
  wait a{c}, b{c}, d{c};
  void thread(unsigned index) {
    if (index == 0)
      a.start();
    else if (index == 1)
      b.start();
    else
      a.stop();
  }
  void after() {
    check(a.has_ended(), "it has ended");
    check(a.passed() == b.passed(), "both or none");
    if (a.passed()) return;
    check(!b.has_ended(), "the other one waits");
    d.start();
    check(b.passed() && d.led(), "and goes on with the next");
  }
};

}  // namespace

int main() {
  effort e;
  e.preemptions = 3;
  e.search_seconds = 1;
  e.random_seconds = 0.7;
  run_model<pair>("a pair", expect::passes, e);
  run_model<two_groups>("two groups", expect::passes, e);
  run_model<leaving>("one leaves", expect::passes, e);

  run_model<pair>("lock not atomic", expect::fails, tear(op::compare_exchange, 8, "lock"));
  run_model<pair>("lock relaxed", expect::fails, weaken(op::compare_exchange, 8, "lock"));
  run_model<pair>("unlock relaxed", expect::fails, weaken(op::store, 8, "unlock"));
  run_model<leaving>("left although the group is complete", expect::fails, logic(left_anyway));
  return finish_models();
}
