// SPDX-License-Identifier: MIT
// A one-shot channel: sending against waiting, giving up, closing and leaving, on both sides.

#include <kioto/detail/sync/oneshot_state.hpp>

#include "relacy_policy.hpp"

using namespace kioto_model;

namespace {

constexpr int receiver_never_looks_again = 1;

struct waiter {
  model_sync::atomic<int> fired{0};
  void wait() {
    while (fired.load(std::memory_order_acquire) == 0) model_sync::yield();
  }
};
void complete(waiter& w) {
  check(w.fired.exchange(1, std::memory_order_acq_rel) == 0, "a waiter is completed once");
}
using oneshot_state = kioto::detail::basic_oneshot_state<model_sync, waiter>;

struct base {
  oneshot_state state;
  waiter receiver;
  waiter sender;
  model_sync::var<int> value{0};
  model_sync::var<int> cell{1};  // freed by setting it to 0
  model_sync::atomic<int> frees{0};
  model_sync::atomic<int> received{0};
  model_sync::atomic<int> refused{0};

  void free_cell() {
    check(cell.get() == 1, "the cell is there");
    cell.set(0);
    frees.fetch_add(1, std::memory_order_relaxed);
  }
  void send() {
    if (!state.is_closed()) {
      value.set(7);
      if (state.publish()) return;
      check(value.get() == 7, "a refused value is still the sender's");
    }
    refused.store(1, std::memory_order_relaxed);
    leave_sender();
  }
  // Each half uses the cell until it leaves.
  void leave_sender() {
    check(cell.get() == 1, "the cell is there");
    if (state.leave_sender()) free_cell();
  }
  void leave_receiver() {
    check(cell.get() == 1, "the cell is there");
    if (state.leave_receiver()) free_cell();
  }
  void await_value() {
    if (!state.is_decided() &&
        (state.link_receiver(receiver) || planted(receiver_never_looks_again)))
      receiver.wait();
    take();
  }
  void await_and_give_up() {
    if (state.is_decided() || !state.link_receiver(receiver)) return;
    if (!state.unlink_receiver()) receiver.wait();
  }
  void take() {
    if (!state.has_value()) return;
    check(value.get() == 7, "the value is visible");
    received.store(1, std::memory_order_relaxed);
  }
  void after() { check(frees.load(std::memory_order_relaxed) == 1, "the cell is freed once"); }
};

struct sends_and_awaits : rl::test_suite<sends_and_awaits, 2>, base {
  void thread(unsigned index) {
    if (index == 0) {
      send();
    } else {
      await_value();
      leave_receiver();
    }
  }
  void after() {
    base::after();
    check(received.load(std::memory_order_relaxed) == 1, "the value arrived");
  }
};

struct leaves_and_awaits : rl::test_suite<leaves_and_awaits, 2>, base {
  void thread(unsigned index) {
    if (index == 0) {
      leave_sender();
    } else {
      await_value();
      leave_receiver();
    }
  }
  void after() { base::after(); }
};

struct sends_and_leaves : rl::test_suite<sends_and_leaves, 2>, base {
  void thread(unsigned index) { index == 0 ? send() : leave_receiver(); }
  void after() { base::after(); }
};

struct sends_and_gives_up : rl::test_suite<sends_and_gives_up, 2>, base {
  void thread(unsigned index) {
    if (index == 0) {
      send();
    } else {
      await_and_give_up();
      take();
      leave_receiver();
    }
  }
  void after() { base::after(); }
};

struct sends_and_closes : rl::test_suite<sends_and_closes, 2>, base {
  void thread(unsigned index) {
    if (index == 0) {
      send();
    } else {
      state.close();
      await_value();
      leave_receiver();
    }
  }
  void after() {
    base::after();
    check(received.load(std::memory_order_relaxed) + refused.load(std::memory_order_relaxed) == 1,
          "the value is received or handed back");
  }
};

struct watches_the_close : rl::test_suite<watches_the_close, 2>, base {
  bool gives_up = false;
  void before() { gives_up = rl::rand(2) == 0; }
  void thread(unsigned index) {
    if (index == 0) {
      if (state.link_sender(sender) && (!gives_up || !state.unlink_sender())) sender.wait();
      leave_sender();
    } else {
      if (rl::rand(2) == 0) state.close();
      leave_receiver();
    }
  }
  void after() { base::after(); }
};

}  // namespace

int main() {
  effort e;
  e.full = true;
  e.search_seconds = 1;
  e.random_seconds = 1;
  run_model<sends_and_awaits>("a value is sent and awaited", expect::passes, e);
  run_model<leaves_and_awaits>("the sender leaves while the receiver waits", expect::passes, e);
  run_model<sends_and_leaves>("a value is sent while the receiver leaves", expect::passes, e);
  run_model<sends_and_gives_up>("a value is sent while the receiver gives up", expect::passes, e);
  run_model<sends_and_closes>("a value is sent while the receiver closes", expect::passes, e);
  run_model<watches_the_close>("the sender waits for the close", expect::passes, e);

  run_model<sends_and_awaits>("the receiver waits without a second look", expect::fails,
                              logic(receiver_never_looks_again), e);
  run_model<sends_and_awaits>("publish relaxed", expect::fails,
                              weaken(op::compare_exchange, 4, "publish"), e);
  run_model<sends_and_awaits>("publish not atomic", expect::fails,
                              tear(op::compare_exchange, 4, "publish"), e);
  run_model<sends_and_closes>("publish not atomic against the close", expect::fails,
                              tear(op::compare_exchange, 4, "publish"), e);
  run_model<leaves_and_awaits>("leaving of the sender not atomic", expect::fails,
                               tear(op::bit_or, 4, "leave_sender"), e);
  run_model<sends_and_leaves>("leaving of the receiver not atomic", expect::fails,
                              tear(op::bit_or, 4, "leave_receiver"), e);
  run_model<sends_and_leaves>("leaving of the receiver relaxed", expect::fails,
                              weaken(op::bit_or, 4, "leave_receiver"), e);
  run_model<sends_and_gives_up>("giving up not atomic", expect::fails,
                                tear(op::bit_and, 4, "unlink_receiver"), e);
  run_model<watches_the_close>("waiting for the close not atomic", expect::fails,
                               tear(op::bit_or, 4, "link_sender"), e);
  run_model<watches_the_close>("leaving of the sender relaxed", expect::fails,
                               weaken(op::bit_or, 4, "leave_sender"), e);
  return finish_models();
}
