// SPDX-License-Identifier: MIT
#include <kioto/sync/mpsc.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/channel_values.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;
namespace mpsc = kioto::sync::mpsc;

namespace {

task<> send_numbers(mpsc::sender<int> tx, int from, int to) {
  for (int i = from; i != to; ++i) {
    const auto sent = co_await tx.send(i);
    CHECK(sent.has_value());
  }
}
task<> send_pointers(mpsc::sender<std::unique_ptr<int>> tx, int from, int to) {
  for (int i = from; i != to; ++i) {
    const auto sent = co_await tx.send(std::make_unique<int>(i));
    CHECK(sent.has_value());
  }
}
// Sends one value, and notes when that is done.
task<> send_one(mpsc::sender<int> tx, int value, std::vector<int>* order) {
  const auto sent = co_await tx.send(value);
  if (sent) order->push_back(value);
}
task<> close_after(mpsc::receiver<int>& rx, int yields) {
  for (int i = 0; i != yields; ++i) co_await yield_now();
  rx.close();
}
task<> settle(int yields = 20) {
  for (int i = 0; i != yields; ++i) co_await yield_now();
}
task<std::optional<int>> receive(mpsc::receiver<int>& rx) {
  const auto got = co_await rx.recv();
  co_return got;
}

// Sends into its channel when it is destroyed.
class echo {
 public:
  explicit echo(mpsc::weak_unbounded_sender<std::unique_ptr<echo>> to) : to_(std::move(to)) {}
  echo(const echo&) = delete;
  echo& operator=(const echo&) = delete;
  ~echo() {
    if (auto tx = to_.upgrade()) (void)tx->send(nullptr);
  }

 private:
  mpsc::weak_unbounded_sender<std::unique_ptr<echo>> to_;
};

}  // namespace

TEST_CASE("mpsc: values arrive in order, and the end after the last") {
  on_every_scheduler([]() -> task<> {
    for (const std::size_t capacity : {1, 2, 31, 64}) {
      auto [tx, rx] = mpsc::channel<int>(capacity);
      spawn(send_numbers(std::move(tx), 0, 200));
      for (int i = 0; i != 200; ++i) {
        const auto got = co_await rx.recv();
        CHECK(got == i);
      }
      const auto end = co_await rx.recv();
      CHECK_FALSE(end.has_value());
      CHECK(rx.is_closed());
    }
  });
}

TEST_CASE("mpsc: values that are moved arrive in order, too") {
  on_every_scheduler([]() -> task<> {
    for (const std::size_t capacity : {1, 3, 64}) {
      auto [tx, rx] = mpsc::channel<std::unique_ptr<int>>(capacity);
      spawn(send_pointers(std::move(tx), 0, 200));
      for (int i = 0; i != 200; ++i) {
        const auto got = co_await rx.recv();
        CHECK((got && *got && **got == i));
      }
      const auto end = co_await rx.recv();
      CHECK_FALSE(end.has_value());
    }
  });
}

TEST_CASE("mpsc: an unbounded channel takes everything at once") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = mpsc::unbounded_channel<std::string>();
    CHECK(rx.is_empty());
    for (int i = 0; i != 500; ++i) CHECK(tx.send(std::to_string(i)).has_value());
    CHECK(rx.len() == 500);
    for (int i = 0; i != 500; ++i) {
      const auto got = co_await rx.recv();
      CHECK(got == std::to_string(i));
    }
    CHECK(rx.try_recv().error() == error::empty);
    {
      auto last = std::move(tx);
    }
    CHECK(rx.try_recv().error() == error::closed);
    const auto end = co_await rx.recv();
    CHECK_FALSE(end.has_value());
  });
}

TEST_CASE("mpsc: trying, and how much room there is") {
  auto [tx, rx] = mpsc::channel<int>(2);
  CHECK(tx.max_capacity() == 2);
  CHECK(tx.capacity() == 2);
  CHECK(rx.try_recv().error() == error::empty);
  CHECK(tx.try_send(1).has_value());
  CHECK(tx.capacity() == 1);
  CHECK(rx.len() == 1);
  CHECK(tx.try_send(2).has_value());
  auto full = tx.try_send(3);
  CHECK(full.error() == error::full);
  CHECK(full.rejected() == 3);
  CHECK(rx.capacity() == 0);
  CHECK(rx.try_recv().value() == 1);
  CHECK(tx.capacity() == 1);
  CHECK(tx.try_send(4).has_value());
  rx.close();
  CHECK(rx.is_closed());
  CHECK(tx.is_closed());
  const auto closed = tx.try_send(5);
  CHECK(closed.error() == error::closed);
  CHECK(rx.try_recv().value() == 2);
  CHECK(rx.try_recv().value() == 4);
  CHECK(rx.try_recv().error() == error::closed);
  CHECK_THROWS_AS(mpsc::channel<int>(0), std::invalid_argument);
}

TEST_CASE("mpsc: senders are served in the order in which they began to wait") {
  make_runtime(flavour::current_thread).block_on([]() -> task<> {
    auto [tx, rx] = mpsc::channel<int>(1);
    std::vector<int> order;
    CHECK(tx.try_send(0).has_value());
    for (int i = 1; i != 8; ++i) {
      spawn(send_one(tx, i, &order));
      co_await settle(3);
    }
    CHECK(order.empty());
    // Nobody overtakes those that wait.
    for (int i = 0; i != 8; ++i) {
      const auto got = co_await rx.recv();
      CHECK(got == i);
      if (i < 6) {
        const auto full = tx.try_send(100);
        CHECK(full.error() == error::full);
      }
    }
    co_await settle();
    CHECK(order == std::vector<int>{1, 2, 3, 4, 5, 6, 7});
  });
}

TEST_CASE("mpsc: a cancelled send has sent nothing and makes way for the next") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = mpsc::channel<int>(1);
    CHECK(tx.try_send(0).has_value());
    const auto late = co_await timeout(1ms, tx.send(1));
    CHECK(late.error() == errc::timed_out);
    CHECK_FALSE(late.has_rejected());
    std::vector<int> order;
    auto h = spawn(send_one(tx, 2, &order));
    co_await settle();
    const auto first = co_await rx.recv();
    CHECK(first == 0);
    const auto second = co_await rx.recv();
    CHECK(second == 2);
    const auto joined = co_await std::move(h);
    CHECK(joined.has_value());
    CHECK(rx.try_recv().error() == error::empty);
  });
}

TEST_CASE("mpsc: send_timeout hands the value back") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = mpsc::channel<std::string>(1);
    auto sent = co_await tx.send_timeout("in time", 100s);
    CHECK(sent.has_value());
    auto late = co_await tx.send_timeout("late", 1ms);
    CHECK(late.error() == errc::timed_out);
    CHECK(late.rejected() == "late");
    rx.close();
    auto closed = co_await tx.send_timeout("closed", 100s);
    CHECK(closed.error() == error::closed);
    CHECK(closed.rejected() == "closed");
    CHECK(rx.try_recv().value() == "in time");
  });
}

TEST_CASE("mpsc: senders that wait learn of the close, and get their values back") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = mpsc::channel<int>(1);
    CHECK(tx.try_send(0).has_value());
    auto h = spawn(close_after(rx, 5));
    auto refused = co_await tx.send(1);
    CHECK(refused.error() == error::closed);
    CHECK(refused.rejected() == 1);
    auto reserved = co_await tx.reserve();
    CHECK(reserved.error() == error::closed);
    co_await tx.closed();
    const auto joined = co_await std::move(h);
    CHECK(joined.has_value());
    const auto last = co_await rx.recv();
    CHECK(last == 0);
    const auto end = co_await rx.recv();
    CHECK_FALSE(end.has_value());
  });
}

TEST_CASE("mpsc: forty senders wait, and all learn of the close") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = mpsc::channel<int>(1);
    CHECK(tx.try_send(0).has_value());
    std::vector<join_handle<std::error_code>> waiting;
    for (int i = 0; i != 40; ++i) {
      waiting.push_back(spawn(
          [](mpsc::sender<int> t, int v) -> task<std::error_code> {
            const auto sent = co_await t.send(v);
            co_return sent ? std::error_code() : sent.error();
          },
          tx, i));
      waiting.push_back(spawn(
          [](mpsc::sender<int> t) -> task<std::error_code> {
            co_await t.closed();
            co_return error::closed;
          },
          tx));
    }
    co_await settle();
    {
      auto gone = std::move(rx);
    }
    for (auto& w : waiting) {
      auto r = co_await std::move(w);
      CHECK(std::move(r).value() == error::closed);
    }
  });
}

TEST_CASE("mpsc: permits hold room until they are used or given back") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = mpsc::channel<int>(3);
    {
      auto permit = co_await tx.reserve();
      REQUIRE(permit.has_value());
      CHECK(tx.capacity() == 2);
      CHECK(rx.is_empty());
      permit->send(1);
      CHECK(permit->count() == 0);
      CHECK(rx.len() == 1);
    }
    CHECK(tx.capacity() == 2);
    {
      auto two = co_await tx.reserve_many(2);
      REQUIRE(two.has_value());
      CHECK(two->count() == 2);
      const auto none = tx.try_reserve();
      CHECK(none.error() == error::full);
      two->send(2);
    }
    CHECK(tx.capacity() == 1);
    {
      auto one = tx.try_reserve();
      REQUIRE(one.has_value());
      auto moved = std::move(*one);
      CHECK(one->count() == 0);
      CHECK(moved.count() == 1);
      moved = std::move(*one);  // gives its own back
      CHECK(tx.capacity() == 1);
    }
    const auto absurd = co_await tx.reserve_many(4);
    CHECK(absurd.error() == errc::invalid_argument);
    const auto nothing = co_await tx.reserve_many(0);
    CHECK(nothing.has_value());
    const auto first = co_await rx.recv();
    CHECK(first == 1);
    const auto second = co_await rx.recv();
    CHECK(second == 2);
    CHECK(tx.capacity() == 3);
  });
}

TEST_CASE("mpsc: an owned permit keeps the channel, and gives its sender back") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = mpsc::channel<int>(2);
    auto permit = co_await tx.reserve_owned();
    REQUIRE(permit.has_value());
    auto other = tx.try_reserve_owned();
    REQUIRE(other.has_value());
    CHECK(tx.strong_count() == 3);
    {
      auto last = std::move(tx);
    }
    {
      auto again = std::move(*permit).send(5);
      const auto full = again.try_send(6);
      CHECK(full.error() == error::full);
      auto released = std::move(*other).release();
      CHECK(again.capacity() == 1);
      CHECK(again.same_channel(released));
    }
    const auto got = co_await rx.recv();
    CHECK(got == 5);
    const auto end = co_await rx.recv();
    CHECK_FALSE(end.has_value());
  });
}

TEST_CASE("mpsc: who waits for much holds up who waits for little, until it is cancelled") {
  make_runtime(flavour::current_thread).block_on([]() -> task<> {
    auto [tx, rx] = mpsc::channel<int>(2);
    CHECK(tx.try_send(0).has_value());
    auto large = spawn(
        [](mpsc::sender<int> t) -> task<> {
          const auto p = co_await t.reserve_many(2);
          CHECK(p.has_value());
        },
        tx);
    co_await settle();
    std::vector<int> order;
    auto small = spawn(send_one(tx, 1, &order));
    co_await settle();
    CHECK(order.empty());
    CHECK(tx.capacity() == 0);
    large.abort();
    co_await settle();
    CHECK(order == std::vector<int>{1});
    const auto ended = co_await std::move(large);
    CHECK(ended.is_cancelled());
  });
}

// Unlike in Tokio, closing ends a reserve that waits, so there is nothing left to drop.
TEST_CASE("acceptance 38: after the close, the channel ends when the last permit is given back") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    make_runtime(f).block_on([]() -> task<> {
      auto [tx, rx] = mpsc::channel<int>(2);
      auto first = co_await tx.reserve();
      auto second = spawn(
          [](mpsc::sender<int> t) -> task<std::error_code> {
            const auto p = co_await t.reserve_many(2);
            co_return p ? std::error_code() : p.error();
          },
          tx);
      co_await settle();
      CHECK_FALSE(second.is_finished());
      rx.close();
      auto refused = co_await std::move(second);
      CHECK(std::move(refused).value() == error::closed);
      auto waiting = spawn(receive(rx));
      co_await settle();
      CHECK_FALSE(waiting.is_finished());
      first->release();
      auto end = co_await std::move(waiting);
      CHECK_FALSE(std::move(end).value().has_value());
    });
  }
  auto [tx, rx] = mpsc::channel<int>(2);
  auto permit = tx.try_reserve();
  rx.close();
  CHECK(rx.try_recv().error() == error::empty);
  permit->release();
  CHECK(rx.try_recv().error() == error::closed);
}

TEST_CASE("mpsc: a message sent with a permit after the close arrives") {
  auto [tx, rx] = mpsc::channel<int>(2);
  auto permit = tx.try_reserve();
  rx.close();
  permit->send(7);
  CHECK(rx.blocking_recv() == 7);
  CHECK_FALSE(rx.blocking_recv().has_value());
}

TEST_CASE("mpsc: weak senders do not keep the channel open") {
  auto [tx, rx] = mpsc::channel<int>(1);
  const auto weak = tx.downgrade();
  const auto copy = weak;
  CHECK(tx.strong_count() == 1);
  CHECK(tx.weak_count() == 2);
  {
    auto again = copy.upgrade();
    REQUIRE(again.has_value());
    CHECK(again->same_channel(tx));
    CHECK(rx.sender_strong_count() == 2);
  }
  {
    auto last = std::move(tx);
  }
  CHECK_FALSE(weak.upgrade().has_value());
  CHECK(rx.try_recv().error() == error::closed);
  {
    auto gone = std::move(rx);
  }
  CHECK(weak.strong_count() == 0);
  CHECK(weak.weak_count() == 2);
}

TEST_CASE("mpsc: recv_many takes what is there, and waits for one") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = mpsc::channel<int>(100);
    std::vector<int> values;
    for (int i = 0; i != 50; ++i) CHECK(tx.try_send(i).has_value());
    const auto none = co_await rx.recv_many(values, 0);
    CHECK(none == 0);
    const auto some = co_await rx.recv_many(values, 40);
    CHECK(some == 40);
    const auto rest = co_await rx.recv_many(values, 40);
    CHECK(rest == 10);
    spawn(send_numbers(std::move(tx), 50, 51));
    const auto one = co_await rx.recv_many(values, 40);
    CHECK(one == 1);
    const auto end = co_await rx.recv_many(values, 40);
    CHECK(end == 0);
    for (int i = 0; i != 51; ++i) CHECK(values[static_cast<std::size_t>(i)] == i);
  });
}

TEST_CASE("mpsc: a receive that timed out has received nothing") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = mpsc::channel<int>(1);
    bool timed_out = false;
    try {
      const auto got = co_await timeout(1ms, rx.recv());
      CHECK_FALSE(got.has_value());
    } catch (const timeout_error&) {
      timed_out = true;
    }
    CHECK(timed_out);
    CHECK(tx.try_send(1).has_value());
    const auto got = co_await rx.recv();
    CHECK(got == 1);
  });
}

TEST_CASE("mpsc: plain threads block, tasks must not") {
  auto [tx, rx] = mpsc::channel<int>(2);
  std::thread other([t = std::move(tx)] {
    for (int i = 0; i != 200; ++i) CHECK(t.blocking_send(i).has_value());
  });
  int expected = 0;
  std::vector<int> values;
  while (rx.blocking_recv_many(values, 3) != 0) {
    for (const int v : values) CHECK(v == expected++);
    values.clear();
    if (const auto v = rx.blocking_recv()) CHECK(*v == expected++);
  }
  CHECK(expected == 200);
  other.join();
  make_runtime(flavour::current_thread).block_on([]() -> task<> {
    auto [t, r] = mpsc::channel<int>(1);
    CHECK_THROWS_AS(r.blocking_recv(), std::logic_error);
    CHECK_THROWS_AS(t.blocking_send(1), std::logic_error);
    co_await yield_now();
  });
}

TEST_CASE("mpsc: what is left in the channel is destroyed once, with the receiver") {
  std::atomic<int> alive{0};
  for (const int count : {0, 1, 30, 31, 32, 100}) {
    auto [tx, rx] = mpsc::unbounded_channel<move_only>();
    for (int i = 0; i != count; ++i) CHECK(tx.send(move_only(alive, i)).has_value());
    if (count > 2) {
      CHECK(rx.try_recv()->value() == 0);
      CHECK(rx.try_recv()->value() == 1);
    }
    CHECK(alive == (count > 2 ? count - 2 : count));
    {
      auto gone = std::move(rx);
    }
    CHECK(alive == 0);
    auto refused = tx.send(move_only(alive, 9));
    CHECK(refused.rejected().value() == 9);
  }
  CHECK(alive == 0);
  {
    auto [tx, rx] = mpsc::channel<move_only>(4);
    auto permit = tx.try_reserve();
    CHECK(tx.try_send(move_only(alive)).has_value());
    {
      auto gone = std::move(rx);
    }
    CHECK(alive == 0);
    permit->send(move_only(alive));  // nobody is there
    CHECK(alive == 0);
  }
}

TEST_CASE("mpsc: a value may use its channel while it is destroyed") {
  auto [tx, rx] = mpsc::unbounded_channel<std::unique_ptr<echo>>();
  for (int i = 0; i != 3; ++i) {
    CHECK(tx.send(std::make_unique<echo>(tx.downgrade())).has_value());
    CHECK(rx.try_recv().has_value());  // destroyed here: sends
    CHECK(rx.try_recv().value() == nullptr);
  }
  for (int i = 0; i != 40; ++i) CHECK(tx.send(std::make_unique<echo>(tx.downgrade())).has_value());
  {
    auto gone = std::move(rx);
  }
  CHECK(tx.is_closed());
}

TEST_CASE("mpsc: the last sender may lie in its own channel") {
  struct letter {
    std::optional<mpsc::unbounded_sender<std::shared_ptr<letter>>> reply_to;
  };
  auto [tx, rx] = mpsc::unbounded_channel<std::shared_ptr<letter>>();
  auto l = std::make_shared<letter>();
  l->reply_to.emplace(tx);
  CHECK(tx.send(std::move(l)).has_value());
  {
    auto other = std::move(tx);
  }
  const auto closed = rx.is_closed();
  CHECK_FALSE(closed);
  {
    auto gone = std::move(rx);
  }
}

TEST_CASE("mpsc: over-aligned values keep their alignment") {
  auto [tx, rx] = mpsc::channel<over_aligned>(3);
  for (int i = 0; i != 20; ++i) {
    CHECK(tx.try_send(over_aligned(i)).has_value());
    const auto got = rx.try_recv();
    REQUIRE(got.has_value());
    CHECK(got->value == i);
    CHECK(got->is_aligned());
  }
}

TEST_CASE("mpsc: a type whose move throws, throws at its sender or at its receiver") {
  std::atomic<int> alive{0};
  for (int moves = 1; moves != 8; ++moves) {
    INFO("throws at move " << moves);
    make_runtime(flavour::current_thread).block_on([](std::atomic<int>* a, int m) -> task<> {
      auto [tx, rx] = mpsc::channel<throws_on_move>(1);
      bool sent = false;
      try {
        throws_on_move value(*a, m);
        const auto r = co_await tx.send(std::move(value));
        sent = r.has_value();
      } catch (const std::runtime_error&) {
      }
      CHECK(*a == (sent ? 1 : 0));
      CHECK(tx.capacity() == (sent ? 0U : 1U));
      if (sent) {
        try {
          const auto got = co_await rx.recv();
          CHECK(got.has_value());
        } catch (const std::runtime_error&) {
        }
        CHECK(tx.capacity() == 1);
      }
    }(&alive, moves));
    CHECK(alive == 0);
  }
}

TEST_CASE("acceptance 23: a thousand messages in one run: the receiver yields at least once") {
  make_runtime(flavour::current_thread).block_on([]() -> task<> {
    auto [tx, rx] = mpsc::unbounded_channel<int>();
    for (int i = 0; i != 1000; ++i) CHECK(tx.send(i).has_value());
    bool other_ran = false;
    auto other = spawn(
        [](bool* ran) -> task<> {
          *ran = true;
          co_return;
        },
        &other_ran);
    for (int i = 0; i != 1000; ++i) {
      const auto got = co_await rx.recv();
      CHECK(got == i);
    }
    CHECK(other_ran);
    const auto ended = co_await std::move(other);
    CHECK(ended.has_value());
  });
}

TEST_CASE("acceptance 6: a message makes one run of the task that waits for it") {
  runtime rt = make_runtime(flavour::one_worker);
  auto [tx, rx] = mpsc::unbounded_channel<int>();
  std::atomic<int> got{0};
  auto h = rt.spawn([](mpsc::unbounded_receiver<int> r, std::atomic<int>* g) -> task<> {
    for (;;) {
      const auto v = co_await r.recv();
      if (!v) co_return;
      g->store(*v);
    }
  }(std::move(rx), &got));
  const auto polls = [&rt] { return rt.metrics().workers[0].polls; };
  // The first run ends in the wait; it is over when the count stands still and the worker sleeps.
  while (polls() != 1) std::this_thread::sleep_for(1ms);
  for (int i = 1; i != 20; ++i) {
    const auto before = polls();
    CHECK(tx.send(i).has_value());
    while (got.load() != i) std::this_thread::sleep_for(1ms);
    std::this_thread::sleep_for(2ms);
    CHECK(polls() - before == 1);
  }
  {
    auto last = std::move(tx);
  }
  rt.block_on([](join_handle<> j) -> task<> {
    const auto r = co_await std::move(j);
    CHECK(r.has_value());
  }(std::move(h)));
}
