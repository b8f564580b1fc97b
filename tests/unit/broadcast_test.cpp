// SPDX-License-Identifier: MIT
#include <kioto/sync/broadcast.hpp>

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
namespace broadcast = kioto::sync::broadcast;

namespace {

task<long> sum_of(broadcast::receiver<int> rx) {
  long sum = 0;
  for (;;) {
    const auto got = co_await rx.recv();
    if (got)
      sum += *got;
    else if (got.error() == error::closed)
      co_return sum;
  }
}
task<int> count_strings(broadcast::receiver<std::string> rx) {
  int n = 0;
  for (;;) {
    const auto got = co_await rx.recv();
    if (!got) co_return n;
    CHECK(*got == std::to_string(n));
    ++n;
  }
}
task<> wait_closed(broadcast::sender<int> tx) { co_await tx.closed(); }

// Sends into its channel when it is destroyed for the last time.
class echo {
 public:
  explicit echo(broadcast::weak_sender<std::shared_ptr<echo>> to) : to_(std::move(to)) {}
  echo(const echo&) = delete;
  echo& operator=(const echo&) = delete;
  ~echo() {
    if (auto tx = to_.upgrade()) (void)tx->send(nullptr);
  }

 private:
  broadcast::weak_sender<std::shared_ptr<echo>> to_;
};

}  // namespace

TEST_CASE("broadcast: every receiver sees every value") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = broadcast::channel<int>(256);
    std::vector<join_handle<long>> receivers;
    for (int i = 0; i != 40; ++i) receivers.push_back(spawn(sum_of(tx.subscribe())));
    receivers.push_back(spawn(sum_of(std::move(rx))));
    CHECK(tx.receiver_count() == 41);
    for (int i = 1; i != 101; ++i) {
      const auto sent = tx.send(i);
      CHECK(sent.receivers() == 41);
      if (i % 10 == 0) co_await yield_now();
    }
    {
      auto last = std::move(tx);
    }
    for (auto& r : receivers) {
      auto sum = co_await std::move(r);
      CHECK(std::move(sum).value() == 5050);
    }
  });
}

TEST_CASE("broadcast: values that are allocated, too") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = broadcast::channel<std::string>(128);
    std::vector<join_handle<int>> receivers;
    for (int i = 0; i != 3; ++i) receivers.push_back(spawn(count_strings(tx.subscribe())));
    for (int i = 0; i != 100; ++i) CHECK(tx.send(std::to_string(i)).has_value());
    CHECK(rx.len() == 100);
    {
      auto last = std::move(tx);
    }
    for (auto& r : receivers) {
      auto n = co_await std::move(r);
      CHECK(std::move(n).value() == 100);
    }
  });
}

TEST_CASE("acceptance 39: broadcast(3) acts as 4") {
  auto [tx, rx] = broadcast::channel<int>(3);
  for (int i = 1; i != 5; ++i) CHECK(tx.send(i).has_value());
  CHECK(rx.try_recv().value() == 1);
  CHECK(tx.send(5).has_value());
  CHECK(tx.send(6).has_value());
  CHECK(rx.len() == 5);
  const auto lag = rx.try_recv();
  CHECK(lag.error() == error::lagged);
  CHECK(lag.missed() == 1);
  for (int i = 3; i != 7; ++i) CHECK(rx.try_recv().value() == i);
  CHECK(rx.try_recv().error() == error::empty);
  CHECK(rx.is_empty());
  CHECK_THROWS_AS(broadcast::channel<int>(0), std::invalid_argument);
}

TEST_CASE("broadcast: the backlog is received before the end") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = broadcast::channel<int>(2);
    for (int i = 0; i != 5; ++i) CHECK(tx.send(i).has_value());
    CHECK_FALSE(rx.is_closed());
    {
      auto last = std::move(tx);
    }
    CHECK(rx.is_closed());
    const auto lag = co_await rx.recv();
    CHECK(lag.missed() == 3);
    const auto first = co_await rx.recv();
    CHECK(first.value() == 3);
    const auto second = co_await rx.recv();
    CHECK(second.value() == 4);
    const auto end = co_await rx.recv();
    CHECK(end.error() == error::closed);
    CHECK(end.missed() == 0);
  });
}

TEST_CASE("broadcast: a value without a receiver is handed back, and a new one may subscribe") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = broadcast::channel<std::string>(4);
    {
      auto gone = std::move(rx);
    }
    auto refused = tx.send("nobody");
    CHECK(refused.error() == error::closed);
    CHECK(refused.rejected() == "nobody");
    auto late = tx.subscribe();
    const auto sent = tx.send("somebody");
    CHECK(sent.receivers() == 1);
    const auto got = co_await late.recv();
    CHECK(got.value() == "somebody");
  });
}

TEST_CASE("broadcast: who subscribes sees what is sent from there on") {
  auto [tx, rx] = broadcast::channel<int>(4);
  CHECK(tx.send(1).has_value());
  auto second = tx.subscribe();
  auto third = rx.resubscribe();
  CHECK(second.same_channel(rx));
  CHECK(tx.send(2).has_value());
  CHECK(rx.try_recv().value() == 1);
  CHECK(rx.try_recv().value() == 2);
  CHECK(second.try_recv().value() == 2);
  CHECK(third.try_recv().value() == 2);
  CHECK(third.try_recv().error() == error::empty);
}

TEST_CASE("broadcast: a sender can wait until there is no receiver") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = broadcast::channel<int>(4);
    auto second = tx.subscribe();
    std::vector<join_handle<>> waiting;
    for (int i = 0; i != 40; ++i) waiting.push_back(spawn(wait_closed(tx)));
    for (int i = 0; i != 5; ++i) co_await yield_now();
    {
      auto gone = std::move(rx);
    }
    for (int i = 0; i != 5; ++i) co_await yield_now();
    CHECK_FALSE(waiting[0].is_finished());
    {
      auto gone = std::move(second);
    }
    for (auto& w : waiting) {
      const auto r = co_await std::move(w);
      CHECK(r.has_value());
    }
  });
}

TEST_CASE("broadcast: a value is destroyed when all receivers have had it or have left") {
  std::atomic<int> alive{0};
  auto [tx, rx] = broadcast::channel<counted>(4);
  auto second = tx.subscribe();
  for (int i = 0; i != 3; ++i) CHECK(tx.send(counted(alive, i)).has_value());
  CHECK(alive == 3);
  CHECK(tx.len() == 3);
  CHECK(rx.try_recv()->value() == 0);
  CHECK(alive == 3);  // the second one has still to see it
  CHECK(second.try_recv()->value() == 0);
  CHECK(alive == 2);
  CHECK(tx.len() == 2);
  {
    auto gone = std::move(second);
  }
  CHECK(alive == 2);
  CHECK(rx.try_recv()->value() == 1);
  CHECK(alive == 1);
  for (int i = 3; i != 13; ++i) CHECK(tx.send(counted(alive, i)).has_value());
  CHECK(alive == 4);  // what was overwritten is gone
  CHECK(tx.len() == 4);
  {
    auto gone = std::move(rx);
  }
  CHECK(alive == 0);
  CHECK(tx.is_empty());
}

TEST_CASE("broadcast: who leaves with a long backlog destroys what only it had still to see") {
  constexpr int sent = 200;
  for (const int ahead : {0, 1, 31, 32, 33, 100, sent}) {
    INFO("the other one has seen " << ahead);
    std::atomic<int> alive{0};
    auto [tx, rx] = broadcast::channel<counted>(256);
    auto second = tx.subscribe();
    for (int i = 0; i != sent; ++i) REQUIRE(tx.send(counted(alive, i)).has_value());
    for (int i = 0; i != ahead; ++i) REQUIRE(second.try_recv()->value() == i);
    CHECK(alive == sent);
    {
      auto gone = std::move(rx);
    }
    CHECK(alive == sent - ahead);
    CHECK(tx.len() == static_cast<std::size_t>(sent - ahead));
    for (int i = ahead; i != sent; ++i) REQUIRE(second.try_recv()->value() == i);
    CHECK(alive == 0);
  }
}

TEST_CASE("broadcast: weak senders do not keep the channel open") {
  auto [tx, rx] = broadcast::channel<int>(4);
  const auto weak = tx.downgrade();
  {
    const auto again = weak.upgrade();
    REQUIRE(again.has_value());
    CHECK(again->same_channel(tx));
    CHECK(tx.strong_count() == 2);
  }
  {
    auto last = std::move(tx);
  }
  CHECK(rx.is_closed());
  CHECK_FALSE(weak.upgrade().has_value());
}

TEST_CASE("broadcast: plain threads block, tasks must not") {
  auto [tx, rx] = broadcast::channel<int>(1024);
  std::thread other([t = std::move(tx)] {
    for (int i = 0; i != 500; ++i) CHECK(t.send(i).has_value());
  });
  for (int i = 0; i != 500; ++i) CHECK(rx.blocking_recv().value() == i);
  CHECK(rx.blocking_recv().error() == error::closed);
  other.join();
  make_runtime(flavour::current_thread).block_on([]() -> task<> {
    auto [t, r] = broadcast::channel<int>(1);
    CHECK_THROWS_AS(r.blocking_recv(), std::logic_error);
    co_await yield_now();
  });
}

TEST_CASE("broadcast: a receive that timed out has received nothing") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = broadcast::channel<int>(4);
    const auto none = co_await timeout(1ms, rx.recv());
    CHECK(none.error() == errc::timed_out);
    CHECK(tx.send(1).has_value());
    const int got = co_await or_throw(rx.recv());
    CHECK(got == 1);
  });
}

TEST_CASE("broadcast: a value may use its channel while it is destroyed") {
  auto [tx, rx] = broadcast::channel<std::shared_ptr<echo>>(2);
  for (int i = 0; i != 10; ++i) CHECK(tx.send(std::make_shared<echo>(tx.downgrade())).has_value());
  {
    auto gone = std::move(rx);
  }
  auto again = tx.subscribe();
  CHECK(tx.send(std::make_shared<echo>(tx.downgrade())).has_value());
  CHECK(again.try_recv().has_value());
  CHECK(again.try_recv().value() == nullptr);
}

TEST_CASE("broadcast: over-aligned values, and values whose copy throws") {
  auto [tx, rx] = broadcast::channel<over_aligned>(2);
  auto second = tx.subscribe();
  CHECK(tx.send(over_aligned(5)).has_value());
  const auto a = rx.try_recv();
  const auto b = second.try_recv();
  CHECK(a->is_aligned());
  CHECK(b->is_aligned());
  CHECK(b->value == 5);

  std::atomic<int> alive{0};
  {
    auto [tx2, rx2] = broadcast::channel<throws_on_move>(2);
    auto third = tx2.subscribe();
    CHECK(tx2.send(throws_on_move(alive, 2)).has_value());
    CHECK(tx2.send(throws_on_move(alive, 100)).has_value());
    CHECK_THROWS_AS(rx2.try_recv(), std::runtime_error);
    CHECK(rx2.try_recv()->moves() > 0);  // that one counted as received
    CHECK_THROWS_AS(third.try_recv(), std::runtime_error);
    CHECK(third.try_recv().has_value());
    CHECK(third.try_recv().error() == error::empty);
  }
  CHECK(alive == 0);
}
