// SPDX-License-Identifier: MIT
// An mpsc channel: sending against receiving, waiting for room, giving up, closing and leaving.

#include <kioto/detail/sync/mpsc_core.hpp>

#include "relacy_policy.hpp"

using namespace kioto_model;
using kioto::detail::mpsc_outcome;

namespace {

constexpr int no_second_look = 1;
constexpr int permit_is_forgotten = 2;

model_sync::atomic<int>* alive = nullptr;

// A message whose bytes the checker watches.
class message {
 public:
  explicit message(int value) : value_(value) { alive->fetch_add(1, std::memory_order_relaxed); }
  message(message&& other) noexcept : value_(other.value_.get()), owner_(other.owner_) {
    other.value_.set(-1);
    other.owner_ = false;
  }
  message& operator=(message&&) = delete;
  ~message() {
    value_.set(-2);
    if (owner_) alive->fetch_sub(1, std::memory_order_relaxed);
  }
  [[nodiscard]] int value() const { return value_.get(); }

 private:
  model_sync::var<int> value_;
  bool owner_ = true;
};
// The same, stored under the lock.
class plain_message : public message {
  using message::message;
};

}  // namespace

namespace kioto::detail {
template <>
inline constexpr bool is_plain<plain_message> = true;
}  // namespace kioto::detail

namespace {

struct operation {
  model_sync::atomic<int> fired{0};
  void wait() {
    while (fired.load(std::memory_order_acquire) == 0) model_sync::yield();
  }
};
void complete(operation& op) {
  check(op.fired.exchange(1, std::memory_order_acq_rel) == 0, "a waiter is completed once");
}

template <class M, bool Bounded>
struct channel {
  // Two messages in a block, so that blocks change hands.
  using core = kioto::detail::basic_mpsc_core<model_sync, M, operation, Bounded, 2>;
  core* c = nullptr;
  model_sync::atomic<int> living{0};
  model_sync::atomic<int> sent{0};
  model_sync::atomic<int> received{0};

  void open(std::size_t capacity) {
    alive = &living;
    c = new core(capacity, static_cast<std::size_t>(-1) >> 1);  // where counters wrap
  }
  void end() { check(living.load(std::memory_order_relaxed) == 0, "no message is left"); }

  mpsc_outcome send(int value) {
    M m(value);
    mpsc_outcome what = mpsc_outcome::full;
    while (what == mpsc_outcome::full) {
      what = c->push(m, false);
      if (what != mpsc_outcome::full) break;
      operation op;
      typename core::waiter w(op);
      w.message = &m;
      if (c->wait_for_room(w)) op.wait();
      what = w.result;
    }
    if (what == mpsc_outcome::done)
      sent.fetch_add(1, std::memory_order_relaxed);
    else
      check(m.value() == value, "a message that was not sent is still the sender's");
    return what;
  }
  /// Waits for room, and gives up: true if it had been sent.
  bool send_and_give_up(int value) {
    M m(value);
    operation op;
    typename core::waiter w(op);
    w.message = &m;
    mpsc_outcome what = c->push(m, false);
    if (what == mpsc_outcome::full && c->wait_for_room(w)) {
      if (c->cancel_wait_for_room(w)) return false;
      op.wait();
      what = w.result;
    }
    if (what == mpsc_outcome::done) sent.fetch_add(1, std::memory_order_relaxed);
    return what == mpsc_outcome::done;
  }
  /// The next value; 0 at the end.
  int receive() {
    if (c->front() == nullptr) {
      operation op;
      if (c->wait_receiver(op) || planted(no_second_look)) op.wait();
    }
    if (c->front() == nullptr) return 0;
    received.fetch_add(1, std::memory_order_relaxed);
    return c->pop().value();
  }
};

// One sender, more messages than a block holds.
template <class M>
struct in_order : rl::test_suite<in_order<M>, 2>, channel<M, false> {
  void before() { this->open(99); }
  void thread(unsigned index) {
    if (index == 0) {
      for (int i = 1; i != 4; ++i) check(this->send(i) == mpsc_outcome::done, "sent");
      this->c->drop_sender();
    } else {
      for (int i = 1; i != 4; ++i) check(this->receive() == i, "in order");
      check(this->receive() == 0, "the end");
      this->c->drop_receiver();
    }
  }
  void after() { this->end(); }
};

template <class M>
struct two_senders : rl::test_suite<two_senders<M>, 3>, channel<M, false> {
  void before() {
    this->open(99);
    this->c->add_sender();
  }
  void thread(unsigned index) {
    if (index < 2) {
      check(this->send(static_cast<int>(index) + 1) == mpsc_outcome::done, "sent");
      this->c->drop_sender();
    } else {
      const int a = this->receive();
      const int b = this->receive();
      check(a + b == 3, "both arrived");
      check(this->receive() == 0, "the end");
      this->c->drop_receiver();
    }
  }
  void after() { this->end(); }
};

// The receiver receives one message at most, and leaves or closes.
template <class M, bool Bounded>
struct leaves : rl::test_suite<leaves<M, Bounded>, 2>, channel<M, Bounded> {
  bool closes = false;
  void before() {
    this->open(1);
    closes = rl::rand(2) == 0;
  }
  void thread(unsigned index) {
    if (index == 0) {
      if (this->send(1) == mpsc_outcome::done) this->send(2);
      this->c->drop_sender();
    } else {
      if (this->c->front() != nullptr) this->receive();
      if (closes) {
        this->c->close();
        while (this->receive() != 0) {
        }
        const int sent = this->sent.load(std::memory_order_relaxed);
        check(this->received.load(std::memory_order_relaxed) >= sent, "what was sent was received");
      }
      this->c->drop_receiver();
    }
  }
  void after() { this->end(); }
};

// One place, three messages.
template <class M>
struct waits_for_room : rl::test_suite<waits_for_room<M>, 2>, channel<M, true> {
  void before() { this->open(1); }
  void thread(unsigned index) {
    if (index == 0) {
      for (int i = 1; i != 4; ++i) check(this->send(i) == mpsc_outcome::done, "sent");
      this->c->drop_sender();
    } else {
      for (int i = 1; i != 4; ++i) check(this->receive() == i, "in order");
      this->c->drop_receiver();
    }
  }
  void after() { this->end(); }
};

// Two senders wait for one place; one of them gives up.
template <class M>
struct gives_up : rl::test_suite<gives_up<M>, 3>, channel<M, true> {
  void before() {
    this->open(1);
    this->c->add_sender();
    M first(9);
    check(this->c->push(first, false) == mpsc_outcome::done, "sent");
  }
  void thread(unsigned index) {
    if (index == 0) {
      this->send_and_give_up(1);
      this->c->drop_sender();
    } else if (index == 1) {
      check(this->send(2) == mpsc_outcome::done, "sent");
      this->c->drop_sender();
    } else {
      check(this->receive() == 9, "the first");
      int n = 0;
      while (this->receive() != 0) ++n;
      check(n == this->sent.load(std::memory_order_relaxed), "what was sent, and nothing else");
      this->c->drop_receiver();
    }
  }
  void after() { this->end(); }
};

// A permit is out when the receiver closes: it is used, or given back.
template <class M>
struct permit : rl::test_suite<permit<M>, 2>, channel<M, true> {
  bool uses = false;
  void before() {
    this->open(1);
    uses = rl::rand(2) == 0;
    check(this->c->try_acquire(1) == mpsc_outcome::done, "acquired");
  }
  void thread(unsigned index) {
    if (index == 0) {
      if (uses) {
        M m(5);
        check(this->c->push(m, true) == mpsc_outcome::done, "sent");
      } else if (!planted(permit_is_forgotten)) {
        this->c->give_back(1);
      }
    } else {
      this->c->close();
      if (uses) check(this->receive() == 5, "sent with a permit after the close");
      check(this->receive() == 0, "the end");
    }
  }
  void after() {
    this->c->drop_receiver();
    this->c->drop_sender();
    this->end();
  }
};

}  // namespace

int main() {
  effort e;
  e.search_seconds = 0.5;
  e.random_seconds = 0.7;
  run_model<in_order<message>>("one sender", expect::passes, e);
  run_model<in_order<plain_message>>("one sender, plain messages", expect::passes, e);
  run_model<two_senders<message>>("two senders", expect::passes, e);
  run_model<two_senders<plain_message>>("two senders, plain messages", expect::passes, e);
  run_model<leaves<message, false>>("the receiver leaves or closes", expect::passes, e);
  run_model<leaves<message, true>>("the same, bounded", expect::passes, e);
  run_model<leaves<plain_message, true>>("the same, plain messages", expect::passes, e);
  run_model<waits_for_room<message>>("a sender waits for room", expect::passes, e);
  run_model<waits_for_room<plain_message>>("the same, plain messages", expect::passes, e);
  run_model<gives_up<message>>("a sender gives up waiting", expect::passes, e);
  run_model<gives_up<plain_message>>("the same, plain messages", expect::passes, e);
  run_model<permit<message>>("a permit after the close", expect::passes, e);

  run_model<two_senders<message>>("publish relaxed", expect::fails, weaken(op::store, 1, "publish"),
                                  e);
  run_model<in_order<message>>("a block linked relaxed", expect::fails,
                               weaken(op::store, 8, "reserve"), e);
  run_model<two_senders<plain_message>>("the lock relaxed", expect::fails,
                                        weaken(op::exchange, 1, "lock"), e);
  run_model<two_senders<plain_message>>("unlocking relaxed", expect::fails,
                                        weaken(op::store, 1, "unlock"), e);
  run_model<in_order<message>>("the receiver waits without a second look", expect::fails,
                               logic(no_second_look), e);
  run_model<waits_for_room<message>>("taking counted not atomically", expect::fails,
                                     tear(op::add, 8, "pop"), e);
  run_model<waits_for_room<message>>("waiting not announced", expect::fails,
                                     only_load(op::bit_or, 8, "wait_for_room"), e);
  run_model<two_senders<message>>("leaving of the senders not atomic", expect::fails,
                                  tear(op::sub, 8, "drop_sender"), e);
  run_model<permit<message>>("a permit is not given back", expect::fails,
                             logic(permit_is_forgotten), e);
  return finish_models();
}
