// SPDX-License-Identifier: MIT
// The readiness word with its waiters: edges, clears, waits, withdrawals, shutdown and closing.

#include <array>
#include <cstddef>
#include <cstdint>

#include <kioto/detail/net/registration.hpp>

#include "relacy_policy.hpp"

using namespace kioto_model;
namespace detail = kioto::detail;
namespace net = kioto::net;

namespace {

using registration = detail::basic_registration<model_sync>;
using detail::ready_event;
using detail::wake_cause;

// It uses none of the reserved places.
constexpr net::interest in_the_list = net::interest::readable() | net::interest::priority();

constexpr int sleep_unqueued = 1;
constexpr int clear_without_a_tick = 2;

class waiter : public detail::basic_io_waiter<model_sync> {
 public:
  waiter() : basic_io_waiter(&waiter::on_fire) {}

  // Waits for the wake-up, as a suspended task does.
  wake_cause wait_until_fired() {
    while (times_.load(std::memory_order_acquire) == 0) model_sync::yield();
    times_.store(0, std::memory_order_relaxed);
    return cause_.get();
  }
  bool was_fired() { return times_.load(std::memory_order_acquire) != 0; }

 private:
  static void on_fire(basic_io_waiter& w, wake_cause cause) noexcept {
    auto& self = static_cast<waiter&>(w);
    self.cause_.set(cause);
    check(self.times_.exchange(1, std::memory_order_acq_rel) == 0, "fired once for each wait");
  }

  model_sync::atomic<int> times_{0};
  model_sync::var<wake_cause> cause_{wake_cause::readiness};
};

enum class end : std::uint8_t { read, shutdown, closing };

// A descriptor: bytes to read, announced by edges.
struct socket {
  registration reg;
  model_sync::atomic<int> bytes{0};

  explicit socket(net::ready initial = {}) : reg(initial) {}

  bool take() {
    int now = bytes.load(std::memory_order_acquire);
    while (now != 0)
      if (bytes.compare_exchange_strong(now, now - 1, std::memory_order_acq_rel,
                                        std::memory_order_acquire))
        return true;
    return false;
  }
  void arrive(int count) {
    bytes.fetch_add(count, std::memory_order_acq_rel);
    reg.dispatch(net::ready::readable());
  }

  // The loop of every operation.
  end read(waiter& w, net::interest wanted = net::interest::readable()) {
    for (;;) {
      ready_event event = reg.readiness(wanted.mask());
      if (event.is_empty()) {
        event = planted(sleep_unqueued) ? event : reg.wait(w, wanted.mask());
        if (event.is_empty()) {
          if (w.wait_until_fired() == wake_cause::closing) return end::closing;
          continue;
        }
      }
      if (event.is_closing()) return end::closing;
      if (event.is_shut_down()) return end::shutdown;
      if (take()) return end::read;
      if (planted(clear_without_a_tick)) event = reg.readiness(wanted.mask());
      reg.clear_readiness(event, wanted);
    }
  }
};

// Interleavings 1, 9, 10, 11, 24: one reader, one byte, and a reading that finds nothing first.
struct one_reader : rl::test_suite<one_reader, 2> {
  socket s{net::ready::readable()};
  waiter w;
  void thread(unsigned index) {
    if (index == 0)
      check(s.read(w) == end::read, "it reads the byte");
    else
      s.arrive(1);
  }
  void after() { check(s.reg.has_no_waiters(), "nobody is left behind"); }
};

// Interleavings 3, 4, 17: two readers, two bytes in two edges; each may take what woke the other.
struct two_readers : rl::test_suite<two_readers, 3> {
  socket s;
  std::array<waiter, 2> w;
  void thread(unsigned index) {
    if (index < 2) {
      check(s.read(w[index]) == end::read, "each reads one byte");
    } else {
      s.arrive(1);
      s.arrive(1);
    }
  }
  void after() { check(s.bytes.load(std::memory_order_relaxed) == 0, "all bytes are read"); }
};

// Interleaving 4: a read takes all there is, so the next one is known to block, unless an edge
// came.
struct short_reads : rl::test_suite<short_reads, 2> {
  socket s;
  std::array<waiter, 2> w;
  void thread(unsigned index) {
    if (index == 1) {
      s.arrive(1);
      s.arrive(1);
      return;
    }
    int taken = 0;
    for (std::size_t waits = 0; taken != 2;) {
      const net::interest wanted = net::interest::readable();
      ready_event event = s.reg.readiness(wanted.mask());
      if (event.is_empty()) {
        check(waits != w.size(), "it waits at most once for each edge");
        waiter& next = w[waits++];
        if (s.reg.wait(next, wanted.mask()).is_empty()) (void)next.wait_until_fired();
        continue;
      }
      const int count = s.bytes.exchange(0, std::memory_order_acq_rel);
      taken += count;
      if (planted(clear_without_a_tick)) event = s.reg.readiness(wanted.mask());
      if (count != 0)
        s.reg.clear_after_short_io(event, detail::direction::read);
      else
        s.reg.clear_readiness(event, wanted);
    }
  }
};

// Interleaving 2, concurrently: edges of the other direction neither wake nor stop the reader.
struct other_direction : rl::test_suite<other_direction, 3> {
  socket s{net::ready::readable()};
  waiter w;
  void thread(unsigned index) {
    if (index == 0)
      check(s.read(w) == end::read, "it reads the byte");
    else if (index == 1)
      s.arrive(1);
    else
      s.reg.dispatch(net::ready::writable());
  }
  void after() {
    check(s.reg.readiness(net::interest::writable().mask()).set() == net::ready::writable(),
          "no bit of the other direction is lost");
  }
};

// Interleaving 12: a waiter withdraws while it is being woken. Its memory may go once it is told
// that it was withdrawn, or once it was fired.
template <bool InTheList>
struct withdrawal : rl::test_suite<withdrawal<InTheList>, 2> {
  socket s;
  waiter w;
  waiter other;
  void before() {
    const net::interest wanted = InTheList ? in_the_list : net::interest::readable();
    check(s.reg.wait(w, wanted.mask()).is_empty(), "it waits");
    check(s.reg.wait(other, net::interest::readable().mask()).is_empty(), "it waits");
  }
  void thread(unsigned index) {
    if (index == 0) {
      if (s.reg.cancel_wait(w))
        check(!w.was_fired(), "a withdrawn waiter is not fired");
      else
        (void)w.wait_until_fired();
    } else {
      s.reg.dispatch(net::ready::readable());
    }
  }
  void after() {
    check(other.was_fired(), "the other one is woken all the same");
    check(s.reg.has_no_waiters(), "nobody is left behind");
  }
};

// Interleavings 8 and 16: shutdown against a reader at every point, with an edge on the way.
struct shut_down : rl::test_suite<shut_down, 3> {
  socket s{net::ready::readable()};
  waiter w;
  void thread(unsigned index) {
    if (index == 0) {
      check(s.read(w) == end::shutdown, "it ends");
      check(s.read(w) == end::shutdown, "and so does the next one");
    } else if (index == 1) {
      s.reg.shutdown();
      s.reg.shutdown();
    } else {
      s.reg.dispatch(net::ready::writable());
    }
  }
  void after() { check(s.reg.has_no_waiters(), "nobody is left behind"); }
};

// Interleaving 18: the registration ends while an edge wakes its reader.
struct closes : rl::test_suite<closes, 3> {
  socket s;
  waiter w;
  void thread(unsigned index) {
    if (index == 0) {
      const end e = s.read(w);
      check(e == end::closing || e == end::read, "it ends");
    } else if (index == 1) {
      s.reg.close();
    } else {
      s.arrive(1);
    }
  }
  void after() { check(s.reg.has_no_waiters(), "nobody is left behind"); }
};

// Another life begins while an event of the life before, which was not over for the system, is
// dispatched: that is a false hint to the new reader, and no more.
struct another_life : rl::test_suite<another_life, 2> {
  socket s;
  waiter w;
  model_sync::atomic<bool> is_added{false};
  void before() { s.reg.close(); }
  void thread(unsigned index) {
    if (index == 0) {
      s.reg.begin_anew({});
      is_added.store(true, std::memory_order_release);
      check(s.read(w) == end::read, "it reads what is its own");
    } else {
      if (s.reg.life() == 0) s.reg.dispatch(net::ready::readable());
      while (!is_added.load(std::memory_order_acquire)) model_sync::yield();
      s.arrive(1);
    }
  }
  void after() { check(s.reg.has_no_waiters(), "nobody is left behind"); }
};

// Interleaving 24: the mark of a waiter that has gone away is left, and an edge that finds no
// waiter clears it while a reader arrives.
template <bool InTheList>
struct mark_that_stands : rl::test_suite<mark_that_stands<InTheList>, 2> {
  static constexpr net::interest wanted = InTheList ? in_the_list : net::interest::readable();
  socket s;
  waiter gone;
  std::array<waiter, 2> w;
  void before() {
    check(s.reg.wait(gone, wanted.mask()).is_empty(), "it waits");
    check(s.reg.cancel_wait(gone), "it goes");
  }
  void thread(unsigned index) {
    if (index == 0) {
      for (waiter& one : w) check(s.read(one, wanted) == end::read, "it reads a byte");
    } else {
      s.arrive(1);
      s.arrive(1);
    }
  }
  void after() {
    check(s.reg.has_no_waiters(), "nobody is left behind");
    check(!gone.was_fired(), "who went is not woken");
  }
};
using stale_mark = mark_that_stands<true>;
// Of a place: so a reader looks with a load, see R7.
using standing_mark = mark_that_stands<false>;

// The same for the list: readers that use none of the reserved places.
struct one_in_the_list : rl::test_suite<one_in_the_list, 2> {
  socket s;
  waiter w;
  void thread(unsigned index) {
    if (index == 1) return s.arrive(1);
    if (s.reg.wait(w, in_the_list.mask()).is_empty()) (void)w.wait_until_fired();
  }
  void after() { check(s.reg.has_no_waiters(), "nobody is left behind"); }
};

// Interleaving 15: the place of a poll-style reader, with one in the list beside it.
struct poller : rl::test_suite<poller, 2> {
  socket s;
  waiter polls;
  waiter listed;
  void thread(unsigned index) {
    if (index == 0) {
      if (s.reg.poll_readiness(detail::direction::read, polls).is_empty())
        (void)polls.wait_until_fired();
      check(s.read(listed) == end::read, "it reads the byte");
    } else {
      s.arrive(1);
    }
  }
  void after() { check(s.reg.has_no_waiters(), "nobody is left behind"); }
};

}  // namespace

int main() {
  effort e;
  e.search_seconds = 1.5;
  e.random_seconds = 1.5;
  run_model<one_reader>("one reader, one edge", expect::passes, e);
  run_model<two_readers>("two readers, two edges", expect::passes, e);
  run_model<short_reads>("short reads against edges", expect::passes, e);
  run_model<other_direction>("an edge of the other direction", expect::passes, e);
  run_model<withdrawal<false>>("withdrawal from a place against wake", expect::passes, e);
  run_model<withdrawal<true>>("withdrawal from the list against wake", expect::passes, e);
  run_model<shut_down>("shutdown against a reader", expect::passes, e);
  run_model<closes>("closing against a reader and an edge", expect::passes, e);
  run_model<another_life>("an event of an earlier life", expect::passes, e);
  run_model<stale_mark>("a mark without a waiter", expect::passes, e);
  run_model<one_in_the_list>("a waiter of the list", expect::passes, e);
  run_model<standing_mark>("a place whose mark stands", expect::passes, e);
  run_model<poller>("a poll-style reader", expect::passes, e);

  run_model<one_reader>("cleared without a look at the tick", expect::fails,
                        logic(clear_without_a_tick));
  run_model<short_reads>("a short read clears without a look at the tick", expect::fails,
                         logic(clear_without_a_tick));
  run_model<one_reader>("sleeps without being queued", expect::fails, logic(sleep_unqueued));
  run_model<one_in_the_list>("the mark is not set", expect::fails,
                             only_load(op::bit_or, 8, "mark_and_look"));
  run_model<one_in_the_list>("the mark is not set atomically", expect::fails,
                             tear(op::bit_or, 8, "mark_and_look"));
  run_model<one_reader>("the mark of a place is not set", expect::fails,
                        only_load(op::bit_or, 8, "wait"));
  run_model<one_reader>("the mark of a place is not set atomically", expect::fails,
                        tear(op::bit_or, 8, "wait"));
  run_model<two_readers>("a place is not taken atomically", expect::fails,
                         tear(op::compare_exchange, 8, "wait"));
  run_model<standing_mark>("a place is taken relaxed", expect::fails,
                           weaken(op::compare_exchange, 8, "wait"));
  run_model<standing_mark>("a place is not emptied atomically", expect::fails,
                           tear(op::exchange, 8, "empty_place"));
  run_model<withdrawal<false>>("a place is not left atomically", expect::fails,
                               tear(op::compare_exchange, 8, "leave_place"));
  run_model<one_reader>("an edge is not added atomically", expect::fails,
                        tear(op::compare_exchange, 8, "add"));
  run_model<another_life>("an edge of an earlier life is not added atomically", expect::fails,
                          tear(op::compare_exchange, 8, "add"));
  run_model<one_reader>("a clear is not atomic", expect::fails,
                        tear(op::compare_exchange, 8, "clear"));
  run_model<stale_mark>("a mark is cleared without the lock", expect::fails,
                        tear(op::exchange, 1, "lock"));
  run_model<shut_down>("shutdown is not marked atomically", expect::fails,
                       tear(op::bit_or, 8, "end"));
  run_model<withdrawal<true>>("the lock is not taken atomically", expect::fails,
                              tear(op::exchange, 1, "lock"));
  run_model<withdrawal<true>>("the lock is released relaxed", expect::fails,
                              weaken(op::store, 1, "unlock"));
  return finish_models();
}
