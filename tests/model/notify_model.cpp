// SPDX-License-Identifier: MIT Notifications: stored, delivered, passed on by a cancelled waiter,
// and delivered to all waiters.

#include <kioto/detail/sync/notify_core.hpp>

#include "model_leaf.hpp"
#include "relacy_policy.hpp"

using namespace kioto_model;
using kioto::detail::notice;

namespace {

constexpr int not_handed_on = 1;
constexpr int withdrawn_anyway = 2;
constexpr int created_too_late = 3;

class wait;
using core = kioto::detail::basic_notify_core<model_sync, wait, 1>;

// A task that awaits one `notified`.
class wait : public model_leaf<wait>, public kioto::detail::basic_notify_waiter<model_sync> {
 public:
  wait(core& n, model_sync::var<int>* news) : notify_(n), news_(news) { notify_.join(*this); }

  bool enable() {
    in_use_ = true;
    return notify_.enable(*this);
  }
  void start() {
    if (planted(created_too_late)) notify_.join(*this);
    model_leaf::start();
  }

  bool try_now() {
    if (in_use_ || !notify_.try_take(*this)) return false;
    in_use_ = true;
    return true;
  }
  bool link() {
    in_use_ = true;
    return notify_.wait(*this);
  }
  bool withdraw() {
    const bool withdrawn = notify_.give_up(*this);
    if (planted(withdrawn_anyway)) return true;
    return withdrawn;
  }
  void ended(bool value) {
    if (value) {
      in_use_ = false;
      if (news_ != nullptr) check(news_->get() == 1, "what came before the notice is seen");
    }
    got_.set(value ? 1 : 0);
    destroy();
  }
  // The destructor of the `notified`.
  void destroy() {
    if (in_use_ && !planted(not_handed_on)) notify_.leave(*this);
    in_use_ = false;
  }
  bool got() const { return got_.get() == 1; }

 private:
  core& notify_;
  model_sync::var<int>* news_;
  model_sync::var<int> got_{0};
  bool in_use_ = false;
};

struct base {
  core n;
  model_sync::var<int> news{0};
  wait a{n, &news}, b{n, &news};

  void tell_one() {
    news.set(1);
    n.notify_one();
  }
  void tell_all() {
    news.set(1);
    n.notify_all();
  }
  bool is_stored() {
    wait probe(n, nullptr);
    return n.try_take(probe);
  }
};

// One notice, one waiter, in whichever order.
struct one : rl::test_suite<one, 2>, base {
  void thread(unsigned index) { index == 0 ? a.start() : tell_one(); }
  void after() {
    check(a.has_ended() && a.got(), "it got its notice");
    check(!is_stored(), "a notice is used once");
  }
};

// One notice and two waiters, of whom one is cancelled: the other gets it, or nobody does and it is
// stored, or the cancelled one had got it.
struct handed_on : rl::test_suite<handed_on, 3>, base {
  void before() {
    a.start();
    b.start();
  }
  void thread(unsigned index) {
    if (index == 0)
      tell_one();
    else if (index == 1)
      a.stop();
    else
      b.stop();
  }
  void after() {
    check(a.has_ended() && b.has_ended(), "both were cancelled");
    const int notices = (a.got() ? 1 : 0) + (b.got() ? 1 : 0) + (is_stored() ? 1 : 0);
    check(notices == 1, "one notice, neither lost nor doubled");
  }
};

// An enabled waiter gets the notice and goes away without having waited: the other wakes.
struct enabled_goes_away : rl::test_suite<enabled_goes_away, 2>, base {
  void before() {
    check(!a.enable(), "nothing is there yet");
    b.start();
  }
  void thread(unsigned index) { index == 0 ? a.destroy() : tell_one(); }
  void after() {
    check(b.has_ended() && b.got(), "the other one wakes");
    check(!is_stored(), "a notice is used once");
  }
};

// An enabled waiter begins to wait while it gets the notice.
struct enabled_waits : rl::test_suite<enabled_waits, 2>, base {
  void before() { check(!a.enable(), "nothing is there yet"); }
  void thread(unsigned index) { index == 0 ? a.start() : tell_one(); }
  void after() {
    check(a.has_ended() && a.got(), "it got its notice");
    check(!is_stored(), "a notice is used once");
  }
};

// All who are there: one waits, one is about to, one of them is enabled and goes away.
struct all : rl::test_suite<all, 3>, base {
  wait c{n, &news};
  void before() { check(!c.enable(), "nothing is there yet"); }
  void thread(unsigned index) {
    if (index == 0) {
      a.start();
    } else if (index == 1) {
      tell_all();
    } else {
      c.destroy();
      b.start();
    }
  }
  void after() {
    check(a.has_ended() && a.got() && b.has_ended() && b.got(), "all who were there wake");
    check(!is_stored(), "nothing is stored");
  }
};

// All who are there, while one of them is cancelled and another goes away without having waited.
struct all_but_some : rl::test_suite<all_but_some, 3>, base {
  wait c{n, &news};
  void before() {
    a.start();
    check(!c.enable(), "nothing is there yet");
    b.start();
  }
  void thread(unsigned index) {
    if (index == 0)
      tell_all();
    else if (index == 1)
      b.stop();
    else
      c.destroy();
  }
  void after() {
    check(a.has_ended() && a.got() && b.has_ended(), "everybody has ended");
    check(!is_stored(), "nothing is stored");
  }
};

// One and all at the same time, and a cancellation: a notice for one is not swallowed.
struct one_and_all : rl::test_suite<one_and_all, 3>, base {
  void before() {
    a.start();
    news.set(1);
  }
  void thread(unsigned index) {
    if (index == 0)
      n.notify_one();
    else if (index == 1)
      n.notify_all();
    else
      a.stop();
  }
  void after() {
    check(a.has_ended(), "it has ended");
    // Either notice may have been the one that it got.
    if (!a.got()) check(is_stored(), "the notice for one is stored");
  }
};

}  // namespace

int main() {
  effort e;
  e.preemptions = 3;
  e.search_seconds = 1;
  e.random_seconds = 0.7;
  run_model<one>("one notice, one waiter", expect::passes, e);
  run_model<handed_on>("a notice against two cancellations", expect::passes, e);
  run_model<enabled_goes_away>("an enabled waiter goes away", expect::passes, e);
  run_model<enabled_waits>("an enabled waiter begins to wait", expect::passes, e);
  run_model<all>("all who are there", expect::passes, e);
  run_model<all_but_some>("all who are there, but some leave", expect::passes, e);
  run_model<one_and_all>("one and all", expect::passes, e);

  using std::memory_order_release;
  run_model<one>("notify relaxed", expect::fails,
                 weaken(op::compare_exchange, 8, "compare_exchange", memory_order_release));
  run_model<one>("lock not atomic", expect::fails, tear(op::compare_exchange, 8, "lock"));
  run_model<one>("unlock relaxed", expect::fails, weaken(op::store, 8, "unlock"));
  run_model<all>("the generation seen too early", expect::fails, weaken(op::load, 8, "load"));
  run_model<all>("who is not in line is forgotten", expect::fails, logic(created_too_late));
  run_model<handed_on>("a notified waiter counts as withdrawn", expect::fails,
                       logic(withdrawn_anyway));
  run_model<enabled_goes_away>("a notice is not handed on", expect::fails, logic(not_handed_on));
  run_model<enabled_waits>("lock relaxed", expect::fails, weaken(op::compare_exchange, 8, "lock"));
  run_model<handed_on>("the completion is lost", expect::fails, tear(op::bit_or, 4, "complete"));
  return finish_models();
}
