// SPDX-License-Identifier: MIT
// A broadcast channel: sending against receiving, lagging, giving up and leaving.

#include <kioto/detail/sync/broadcast_core.hpp>

#include "relacy_policy.hpp"

using namespace kioto_model;
using kioto::detail::broadcast_outcome;

namespace {

constexpr int no_second_look = 1;

model_sync::atomic<int>* alive = nullptr;

// An element whose bytes the checker watches.
class element {
 public:
  explicit element(int value) : value_(value) { alive->fetch_add(1, std::memory_order_relaxed); }
  element(const element& other) : value_(other.value_.get()) {
    alive->fetch_add(1, std::memory_order_relaxed);
  }
  element(element&& other) noexcept : value_(other.value_.get()) {
    alive->fetch_add(1, std::memory_order_relaxed);
    other.value_.set(-1);
  }
  element& operator=(element&&) = delete;
  ~element() {
    value_.set(-2);
    alive->fetch_sub(1, std::memory_order_relaxed);
  }
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

using core = kioto::detail::basic_broadcast_core<model_sync, element, operation>;

struct channel {
  core* c = nullptr;
  model_sync::atomic<int> living{0};

  void open(std::size_t capacity) {
    alive = &living;
    c = new core(capacity);
  }
  void end() { check(living.load(std::memory_order_relaxed) == 0, "no element is left"); }

  std::size_t send(int value) {
    element e(value);
    const std::size_t n = c->send(e);
    if (n == 0) check(e.value() == value, "what nobody sees is still the sender's");
    return n;
  }
  /// Waits for the next value: 0 at the end. Adds up what it missed.
  int receive(core::position& next, int& missed) {
    for (;;) {
      std::optional<element> e;
      core::position lag = 0;
      switch (c->take(next, e, lag)) {
        case broadcast_outcome::taken:
          return e->value();
        case broadcast_outcome::lagged:
          check(lag > 0, "a lag has a size");
          missed += static_cast<int>(lag);
          break;
        case broadcast_outcome::closed:
          return 0;
        case broadcast_outcome::empty: {
          operation op;
          core::waiter w(op);
          if (c->wait_receiver(w, next) || planted(no_second_look)) op.wait();
          break;
        }
      }
    }
  }
  /// Receives everything: all that was sent is seen or missed, in order.
  void receive_all(core::position next, int sent) {
    int last = 0;
    int count = 0;
    int missed = 0;
    while (const int value = receive(next, missed)) {
      check(value > last, "in order");
      last = value;
      ++count;
    }
    check(count + missed == sent, "everything is seen or missed");
    check(last == sent, "the last one is seen");
    c->drop_receiver(next);
  }
};

template <int Capacity>
struct one_receiver : rl::test_suite<one_receiver<Capacity>, 2>, channel {
  void before() { open(Capacity); }
  void thread(unsigned index) {
    if (index == 0) {
      for (int i = 1; i != 4; ++i) check(send(i) == 1, "one receiver");
      c->drop_sender();
    } else {
      receive_all(0, 3);
    }
  }
  void after() { end(); }
};

struct two_receivers : rl::test_suite<two_receivers, 3>, channel {
  core::position second = 0;
  void before() {
    open(1);
    second = c->add_receiver();
  }
  void thread(unsigned index) {
    if (index == 0) {
      for (int i = 1; i != 3; ++i) check(send(i) != 0, "somebody is there");
      c->drop_sender();
    } else {
      receive_all(index == 1 ? 0 : second, 2);
    }
  }
  void after() { end(); }
};

// The receiver leaves while elements come; the sender waits for that.
struct leaves : rl::test_suite<leaves, 2>, channel {
  void before() { open(2); }
  void thread(unsigned index) {
    if (index == 0) {
      send(1);
      send(2);
      operation op;
      core::waiter w(op);
      if (c->wait_for_end(w)) op.wait();
      check(c->receivers() == 0, "nobody is left");
      check(send(3) == 0, "nobody sees it");
      c->drop_sender();
    } else {
      core::position next = 0;
      int missed = 0;
      if (rl::rand(2) == 0) receive(next, missed);
      c->drop_receiver(next);
    }
  }
  void after() { end(); }
};

struct gives_up : rl::test_suite<gives_up, 2>, channel {
  void before() { open(2); }
  void thread(unsigned index) {
    if (index == 0) {
      check(send(1) == 1, "one receiver");
      c->drop_sender();
    } else {
      operation op;
      core::waiter w(op);
      if (c->wait_receiver(w, 0) && !c->cancel(w)) op.wait();
      receive_all(0, 1);
    }
  }
  void after() { end(); }
};

}  // namespace

int main() {
  effort e;
  e.search_seconds = 1;
  e.random_seconds = 1;
  run_model<one_receiver<1>>("one receiver, one slot", expect::passes, e);
  run_model<one_receiver<2>>("one receiver, two slots", expect::passes, e);
  run_model<two_receivers>("two receivers, one slot", expect::passes, e);
  run_model<leaves>("the receiver leaves", expect::passes, e);
  run_model<gives_up>("the receiver gives up waiting", expect::passes, e);

  run_model<one_receiver<2>>("the receiver waits without a second look", expect::fails,
                             logic(no_second_look), e);
  run_model<one_receiver<2>>("the lock relaxed", expect::fails, weaken(op::exchange, 1, "lock"), e);
  run_model<one_receiver<2>>("unlocking relaxed", expect::fails, weaken(op::store, 1, "unlock"), e);
  e.search_seconds = 4;  // random runs rarely find this one
  e.random_seconds = 0.2;
  run_model<one_receiver<2>>("the end shown relaxed", expect::fails,
                             weaken(op::store, 1, "drop_sender"), e);
  run_model<leaves>("owners counted not atomically", expect::fails, tear(op::sub, 8, "drop_owner"),
                    e);
  return finish_models();
}
