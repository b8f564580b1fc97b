// SPDX-License-Identifier: MIT
// The counting core: fast paths, the line, the gathering head, cancellation and close.

#include <kioto/detail/sync/semaphore_core.hpp>

#include "model_leaf.hpp"
#include "relacy_policy.hpp"

using namespace kioto_model;
using kioto::detail::grant;

namespace {

constexpr int lost_permits = 1;
constexpr int withdrawn_anyway = 2;

class acquire;
using core = kioto::detail::basic_semaphore_core<model_sync, acquire>;

// A task that takes permits, uses what they protect, and gives them back.
class acquire : public model_leaf<acquire>,
                public kioto::detail::basic_semaphore_waiter<model_sync> {
 public:
  acquire(core& s, std::size_t n, model_sync::var<int>* guarded = nullptr)
      : basic_semaphore_waiter(n), semaphore_(s), guarded_(guarded) {}

  bool try_now() {
    const grant now = semaphore_.try_acquire(wanted());
    if (now == grant::none) return false;
    set_state(now);
    return true;
  }
  bool link() { return semaphore_.enqueue(*this); }
  bool withdraw() {
    const bool withdrawn = semaphore_.cancel(*this);
    if (planted(withdrawn_anyway)) return true;
    return withdrawn;
  }
  void ended(bool value) {
    if (!value) {
      end_.set(grant::none);
      return;
    }
    end_.set(state());
    check(state() == grant::granted || state() == grant::closed, "it ended somehow");
    if (state() == grant::closed || planted(lost_permits)) return;
    if (guarded_ != nullptr) guarded_->set(guarded_->get() + 1);
    semaphore_.release(wanted());
  }
  grant how() const { return end_.get(); }

 private:
  core& semaphore_;
  model_sync::var<int>* guarded_;
  model_sync::var<grant> end_{grant::queued};
};

// One permit, three tasks: mutual exclusion, hand-over, and no waiter is forgotten.
struct exclusion : rl::test_suite<exclusion, 3> {
  core s{1};
  model_sync::var<int> guarded{0};
  acquire a{s, 1, &guarded}, b{s, 1, &guarded}, c{s, 1, &guarded};
  void thread(unsigned index) { (index == 0 ? a : index == 1 ? b : c).start(); }
  void after() {
    check(a.has_ended() && b.has_ended() && c.has_ended(), "everybody had his turn");
    check(guarded.get() == 3, "nothing is lost");
    check(s.available() == 1, "the permit is back");
  }
};

// The head gathers two permits that come one by one; another task waits behind it.
struct batch : rl::test_suite<batch, 3> {
  core s{1};
  model_sync::var<int> guarded{0};
  acquire two{s, 2, &guarded}, one{s, 1};
  void thread(unsigned index) {
    if (index == 0)
      two.start();
    else if (index == 1)
      one.start();
    else
      s.release(1);
  }
  void after() {
    check(two.has_ended() && one.has_ended(), "everybody had his turn");
    check(s.available() == 2, "the permits are back");
  }
};

// The head has gathered one of two and is cancelled: that one goes to the next waiter.
struct batch_cancelled : rl::test_suite<batch_cancelled, 3> {
  core s{1};
  acquire two{s, 2}, one{s, 1};
  void thread(unsigned index) {
    if (index == 0)
      two.start();
    else if (index == 1)
      one.start();
    else
      two.stop();
  }
  void after() {
    check(one.has_ended() && one.how() == grant::granted, "the next is served");
    check(two.has_ended() && two.how() == grant::none, "the cancelled one has ended");
    check(s.available() == 1, "the permit is back");
  }
};

// A permit that comes while its waiter is cancelled.
struct granted_or_cancelled : rl::test_suite<granted_or_cancelled, 3> {
  core s{0};
  model_sync::var<int> guarded{0};
  acquire one{s, 1, &guarded};
  void thread(unsigned index) {
    if (index == 0) {
      one.start();
    } else if (index == 1) {
      guarded.set(1);
      s.release(1);
    } else {
      one.stop();
    }
  }
  void after() {
    check(one.has_ended(), "it has ended");
    check(guarded.get() == (one.how() == grant::granted ? 2 : 1), "the release is seen");
    check(s.available() == 1, "the permit is not lost");
  }
};

// A permit in the word, taken without the line, and one given away for good meanwhile.
struct fast_paths : rl::test_suite<fast_paths, 3> {
  core s{1};
  model_sync::var<int> guarded{0};
  model_sync::atomic<int> forgotten{0};
  void thread(unsigned index) {
    if (index == 2) {
      if (s.forget(1) == 1) {
        guarded.set(guarded.get() + 1);
        forgotten.store(1, std::memory_order_relaxed);
      }
    } else if (s.try_acquire(1) == grant::granted) {
      guarded.set(guarded.get() + 1);
      s.release(1);
    }
  }
  void after() {
    check(s.available() + static_cast<std::size_t>(forgotten.load(std::memory_order_relaxed)) == 1,
          "no permit is lost");
  }
};

// Closing, while one waits with a gathered permit and another gives one back.
struct closing : rl::test_suite<closing, 3> {
  core s{1};
  model_sync::var<int> earlier{0};
  acquire two{s, 2};
  void thread(unsigned index) {
    if (index == 0) {
      two.start();
    } else if (index == 1) {
      earlier.set(1);
      check(s.close(), "it closes once");
    } else {
      s.release(1);
      const grant now = s.try_acquire(1);
      if (now == grant::closed) check(earlier.get() == 1, "closing is seen");
      if (now == grant::granted) s.release(1);
    }
  }
  void after() {
    check(two.has_ended(), "nobody waits for ever");
    check(s.available() == 2, "the permits are back");
    check(s.try_acquire(1) == grant::closed, "it stays closed");
  }
};

// Closing against cancelling.
struct closed_or_cancelled : rl::test_suite<closed_or_cancelled, 3> {
  core s{1};
  acquire two{s, 2};
  void thread(unsigned index) {
    if (index == 0)
      two.start();
    else if (index == 1)
      (void)s.close();
    else
      two.stop();
  }
  void after() {
    check(two.has_ended(), "it has ended");
    check(two.how() != grant::granted, "there were not enough");
    check(s.available() == 1, "the gathered permit is back");
  }
};

// One comes back in front of one that has gathered, or is about to, while permits come.
struct comes_back : rl::test_suite<comes_back, 3> {
  core s{0};
  acquire one{s, 1}, two{s, 2};
  void before() {
    check(s.enqueue(one), "there is nothing");
    two.start();
    check(s.cancel(one), "it leaves, and keeps its turn");
  }
  void thread(unsigned index) {
    if (index == 0)
      one.start();
    else
      s.release(1);
  }
  void after() {
    check(one.has_ended() && one.how() == grant::granted, "it was served");
    check(two.has_ended() && two.how() == grant::granted, "and so was the other");
    check(s.available() == 2, "the permits are back");
  }
};

}  // namespace

int main() {
  effort e;
  e.preemptions = 3;
  e.search_seconds = 1;
  e.random_seconds = 0.7;
  run_model<exclusion>("three tasks, one permit", expect::passes, e);
  run_model<batch>("the head gathers permits", expect::passes, e);
  run_model<batch_cancelled>("the head is cancelled while it gathers", expect::passes, e);
  run_model<granted_or_cancelled>("granted or cancelled", expect::passes, e);
  run_model<fast_paths>("without the line", expect::passes, e);
  run_model<closing>("close", expect::passes, e);
  run_model<closed_or_cancelled>("closed or cancelled", expect::passes, e);
  run_model<comes_back>("back in front of the head", expect::passes, e);

  using std::memory_order_acquire;
  using std::memory_order_release;
  run_model<fast_paths>("release relaxed", expect::fails,
                        weaken(op::compare_exchange, 8, "compare_exchange", memory_order_release));
  run_model<fast_paths>("acquire relaxed", expect::fails,
                        weaken(op::compare_exchange, 8, "compare_exchange", memory_order_acquire));
  run_model<fast_paths>("acquire not atomic", expect::fails,
                        tear(op::compare_exchange, 8, "compare_exchange", memory_order_acquire));
  run_model<batch>("release not atomic", expect::fails,
                   tear(op::compare_exchange, 8, "compare_exchange", memory_order_release));
  run_model<batch>("lock not atomic", expect::fails, tear(op::compare_exchange, 8, "lock"));
  run_model<comes_back>("lock not atomic, back in front", expect::fails,
                        tear(op::compare_exchange, 8, "lock"));
  run_model<exclusion>("lock relaxed", expect::fails, weaken(op::compare_exchange, 8, "lock"));
  run_model<exclusion>("unlock relaxed", expect::fails, weaken(op::store, 8, "unlock"));
  run_model<closing>("a closed semaphore seen too early", expect::fails,
                     weaken(op::store, 8, "unlock"));
  run_model<granted_or_cancelled>("a granted waiter counts as withdrawn", expect::fails,
                                  logic(withdrawn_anyway));
  run_model<batch_cancelled>("granted permits are dropped", expect::fails, logic(lost_permits));
  run_model<closed_or_cancelled>("the completion is lost", expect::fails,
                                 tear(op::bit_or, 4, "complete"));
  run_model<granted_or_cancelled>("the stop is lost", expect::fails,
                                  tear(op::bit_or, 4, "request_stop"));
  return finish_models();
}
