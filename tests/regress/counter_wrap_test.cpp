// SPDX-License-Identifier: MIT
// A bounded mpsc channel was full for ever once its counters had come to the end of their range:
// with 32 bits, after 2^31 messages. These begin shortly before.
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <thread>
#include <vector>

#include <kioto/detail/sync/barrier_core.hpp>
#include <kioto/detail/sync/mpsc_core.hpp>
#include "scheduler/local_queue.hpp"

#include "support/catch.hpp"

namespace {

using kioto::detail::mpsc_outcome;

struct leaf {
  int completed = 0;
};
void complete(leaf& op) { ++op.completed; }

struct number {
  explicit number(int v) : value(v) {}
  int value;
};

template <bool Bounded>
using channel = kioto::detail::basic_mpsc_core<kioto::detail::std_sync, number, leaf, Bounded, 4>;

constexpr std::size_t end = std::numeric_limits<std::size_t>::max();
// Where one of the counters reaches the end, or the half, of its range.
constexpr std::array<std::size_t, 6> starts{end - 9,     end / 2 - 9,     end / 2 + 1 - 9,
                                            end / 4 - 9, end / 4 * 3 - 9, 0};

}  // namespace

TEST_CASE("a bounded channel was full for ever after half of the messages that can be counted") {
  for (const std::size_t sent : starts) {
    INFO("after " << sent);
    auto* c = new channel<true>(3, sent);
    CHECK(c->capacity() == 3);
    CHECK(c->length() == 0);
    int next = 0;
    int expected = 0;
    for (int round = 0; round != 40; ++round) {
      while (c->capacity() != 0) {
        number m(next++);
        REQUIRE(c->push(m, false) == mpsc_outcome::done);
      }
      number refused(-1);
      CHECK(c->push(refused, false) == mpsc_outcome::full);
      CHECK(c->try_acquire(1) == mpsc_outcome::full);
      CHECK(c->try_acquire(0) == mpsc_outcome::done);
      CHECK(c->length() == 3);
      // One waits, and is granted the room that the next message leaves.
      leaf op;
      channel<true>::waiter w(op);
      number late(next++);
      w.message = &late;
      REQUIRE(c->wait_for_room(w));
      for (int i = 0; i <= round % 3; ++i) {
        const number* const front = c->front();
        REQUIRE(front != nullptr);
        CHECK(front->value == expected++);
        static_cast<void>(c->pop());
      }
      CHECK(op.completed == 1);
      CHECK(w.result == mpsc_outcome::done);
      CHECK(c->capacity() == static_cast<std::size_t>(round % 3));
      if (c->capacity() != 0) {
        const std::size_t all = c->capacity();
        CHECK(c->try_acquire(all + 1) == mpsc_outcome::full);
        REQUIRE(c->try_acquire(all) == mpsc_outcome::done);
        c->give_back(all);
        CHECK(c->capacity() == all);
      }
    }
    c->close();
    while (c->front() != nullptr) CHECK(c->pop().value == expected++);
    CHECK(expected == next);
    CHECK(c->look_again() == mpsc_outcome::closed);
    c->drop_receiver();
    c->drop_sender();
  }
}

TEST_CASE("an unbounded channel goes on past the end of its counters") {
  for (const std::size_t sent : starts) {
    auto* c = new channel<false>(end, sent);
    int expected = 0;
    for (int i = 0; i != 60; ++i) {
      number m(i);
      REQUIRE(c->push(m, false) == mpsc_outcome::done);
      if (i % 3 == 0) continue;
      REQUIRE(c->front() != nullptr);
      CHECK(c->pop().value == expected++);
    }
    CHECK(c->length() == static_cast<std::size_t>(60 - expected));
    leaf op;
    while (c->front() != nullptr) CHECK(c->pop().value == expected++);
    CHECK(expected == 60);
    REQUIRE(c->wait_receiver(op));
    number last(60);
    CHECK(c->push(last, false) == mpsc_outcome::done);
    CHECK(op.completed == 1);
    c->drop_receiver();
    c->drop_sender();
  }
}

TEST_CASE("threads send through the end of the counters of a bounded channel") {
  auto* c = new channel<true>(2, end / 2 - 500);
  std::thread sender([c] {
    for (int i = 0; i != 2000; ++i) {
      number m(i);
      while (c->push(m, false) == mpsc_outcome::full) std::this_thread::yield();
    }
  });
  int expected = 0;
  while (expected != 2000) {
    if (c->front() == nullptr) {
      std::this_thread::yield();
      continue;
    }
    const int got = c->pop().value;
    if (got != expected) break;
    ++expected;
  }
  CHECK(expected == 2000);
  sender.join();
  CHECK(c->capacity() == 2);
  c->drop_receiver();
  c->drop_sender();
}

namespace {

class comer : public kioto::detail::barrier_waiter {
 public:
  void fire() { ++fired; }
  int fired = 0;
};
using barrier = kioto::detail::basic_barrier_core<kioto::detail::std_sync, comer>;

}  // namespace

// With 32 bits, a waiter whose group was complete 2^32 groups ago was removed from a list that it
// was not in.
TEST_CASE("a barrier tells groups apart that are 2^32 apart") {
  for (const std::uint64_t first : {std::uint64_t{0xffff'ffff}, ~std::uint64_t{0}}) {
    barrier b(2, first);
    for (int i = 0; i != 3; ++i) {
      comer a;
      comer c;
      REQUIRE(b.arrive(a));
      CHECK_FALSE(b.try_complete() == false);
      CHECK(a.fired == 1);
      CHECK_FALSE(b.leave(a));
      REQUIRE(b.arrive(c));
      CHECK_FALSE(b.leave(a));
      CHECK(b.leave(c));
      CHECK(c.fired == 0);
    }
  }
}

namespace {

struct item {
  item* queue_next = nullptr;
};

}  // namespace

TEST_CASE("a local queue goes on past the end of its positions and versions") {
  using queue = kioto::detail::basic_local_queue<kioto::detail::std_sync, item, 4>;
  queue from(65530, 0xffff'fff0U);
  queue to(65534, 0xffff'fffeU);
  std::vector<item> items(100);
  for (std::size_t i = 0; i != 96; i += 3) {
    REQUIRE(from.try_push_back(&items[i]));
    REQUIRE(from.try_push_back(&items[i + 1]));
    REQUIRE(from.try_push_back(&items[i + 2]));
    CHECK(from.size() == 3);
    std::size_t stolen = 0;
    CHECK(from.steal_into(to, stolen) == &items[i]);
    CHECK(stolen == 2);
    CHECK(to.pop() == &items[i + 1]);
    CHECK(to.pop() == nullptr);
    if (i % 2 == 0)
      CHECK(from.pop_newest() == &items[i + 2]);
    else
      CHECK(from.pop() == &items[i + 2]);
    CHECK(from.is_empty());
    CHECK(from.pop_newest() == nullptr);
  }
}
