// SPDX-License-Identifier: MIT
// A watch channel: new values against waiting for them, giving up and leaving.

#include <kioto/detail/sync/watch_core.hpp>

#include "relacy_policy.hpp"

using namespace kioto_model;

namespace {

constexpr int no_second_look = 1;

// A reference whose bytes the checker watches.
class element {
 public:
  explicit element(int value) : value_(value) {}
  element(const element& other) : value_(other.value_.get()) {}
  element& operator=(const element& other) {
    value_.set(other.value_.get());
    return *this;
  }
  ~element() { value_.set(-1); }
  [[nodiscard]] int value() const { return value_.get(); }

 private:
  model_sync::var<int> value_;
};

struct operation {
  model_sync::atomic<int> fired{0};
  void wait() {
    while (fired.load(std::memory_order_acquire) == 0) model_sync::yield();
  }
};
void complete(operation& op) {
  check(op.fired.exchange(1, std::memory_order_acq_rel) == 0, "a waiter is completed once");
}

using core = kioto::detail::basic_watch_core<model_sync, element, operation>;

struct channel {
  core* c = nullptr;
  void open() { c = new core(element(0)); }

  void send(int value) {
    element e(value);
    c->store(e);
    check(e.value() < value, "the replaced one");
  }
  /// Waits for a newer value. False at the end.
  bool changed(core::version& seen) {
    if (c->newest_version() == seen) {
      operation op;
      core::waiter w(op);
      if (c->wait_for_change(w, seen) || planted(no_second_look)) op.wait();
    }
    const core::version newest = c->newest_version();
    const bool is_newer = newest != seen;
    seen = newest;
    return is_newer;
  }
  /// Follows the values to the last one.
  void follow(int last) {
    core::version seen = 0;
    int value = 0;
    while (changed(seen)) {
      core::version v = 0;
      const int now = c->newest(v).value();
      check(now >= value && now == static_cast<int>(v), "newer, and of that version");
      value = now;
    }
    check(value == last, "the last value is seen");
    c->drop_receiver();
  }
};

struct follows : rl::test_suite<follows, 2>, channel {
  void before() { open(); }
  void thread(unsigned index) {
    if (index == 0) {
      send(1);
      send(2);
      c->drop_sender();
    } else {
      follow(2);
    }
  }
};

struct two_follow : rl::test_suite<two_follow, 3>, channel {
  void before() {
    open();
    c->add_receiver();
  }
  void thread(unsigned index) {
    if (index == 0) {
      send(1);
      c->drop_sender();
    } else {
      follow(1);
    }
  }
};

// Two senders change the value under the mutex of the writers.
struct two_change : rl::test_suite<two_change, 3>, channel {
  void before() {
    open();
    c->add_sender();
  }
  void thread(unsigned index) {
    if (index < 2) {
      {
        const std::lock_guard hold(c->writers());
        core::version v = 0;
        send(c->newest(v).value() + 1);
      }
      c->drop_sender();
    } else {
      follow(2);
    }
  }
};

struct gives_up : rl::test_suite<gives_up, 2>, channel {
  void before() { open(); }
  void thread(unsigned index) {
    if (index == 0) {
      send(1);
      c->drop_sender();
    } else {
      operation op;
      core::waiter w(op);
      if (c->wait_for_change(w, 0) && !c->cancel(w)) op.wait();
      follow(1);
    }
  }
};

// The sender waits until both receivers have left.
struct leave : rl::test_suite<leave, 3>, channel {
  void before() {
    open();
    c->add_receiver();
  }
  void thread(unsigned index) {
    if (index == 0) {
      operation op;
      core::waiter w(op);
      if (c->wait_for_end(w)) op.wait();
      check(c->receivers() == 0, "nobody is left");
      c->drop_sender();
    } else {
      c->drop_receiver();
    }
  }
};

}  // namespace

int main() {
  effort e;
  e.search_seconds = 1;
  e.random_seconds = 1;
  run_model<follows>("a receiver follows", expect::passes, e);
  run_model<two_follow>("two receivers follow", expect::passes, e);
  run_model<two_change>("two senders change the value", expect::passes, e);
  run_model<gives_up>("a receiver gives up waiting", expect::passes, e);
  run_model<leave>("a sender waits until nobody is left", expect::passes, e);

  run_model<follows>("the receiver waits without a second look", expect::fails,
                     logic(no_second_look), e);
  run_model<follows>("the lock relaxed", expect::fails, weaken(op::exchange, 1, "lock"), e);
  run_model<follows>("unlocking relaxed", expect::fails, weaken(op::store, 1, "unlock"), e);
  run_model<leave>("receivers counted not atomically", expect::fails,
                   tear(op::sub, 8, "drop_receiver"), e);
  run_model<leave>("owners counted not atomically", expect::fails, tear(op::sub, 8, "drop_owner"),
                   e);
  return finish_models();
}
