// SPDX-License-Identifier: MIT
#include <kioto/sync/oneshot.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <variant>

#include "support/catch.hpp"
#include "support/channel_values.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;
namespace oneshot = kioto::sync::oneshot;

namespace {

task<> send_later(oneshot::sender<std::string> tx) {
  for (int i = 0; i != 3; ++i) co_await yield_now();
  const auto sent = tx.send("hello");
  CHECK(sent.has_value());
}
task<> drop_later(oneshot::sender<std::string> tx) {
  co_await yield_now();
  (void)tx;
}
task<bool> wait_closed(oneshot::sender<int> tx) {
  co_await tx.closed();
  co_return tx.is_closed();
}

// Answers its own channel when it is destroyed.
class last_words {
 public:
  explicit last_words(oneshot::sender<int> tx) : tx_(std::move(tx)) {}
  last_words(last_words&&) noexcept = default;
  last_words& operator=(last_words&&) = delete;
  ~last_words() { (void)tx_.send(1); }

 private:
  oneshot::sender<int> tx_;
};

}  // namespace

TEST_CASE("oneshot: a value is received whichever half comes first") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = oneshot::channel<std::string>();
    CHECK(rx.is_empty());
    CHECK_FALSE(rx.is_terminated());
    const auto sent = tx.send("first");
    CHECK(sent.has_value());
    CHECK_FALSE(rx.is_empty());
    const auto got = co_await rx;
    CHECK(got.value() == "first");

    auto [tx2, rx2] = oneshot::channel<std::string>();
    auto h = spawn(send_later(std::move(tx2)));
    const auto later = co_await rx2.recv();
    CHECK(later.value() == "hello");
    const auto joined = co_await std::move(h);
    CHECK(joined.has_value());
  });
}

TEST_CASE("oneshot: an rvalue receiver can be awaited, and wrapped") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = oneshot::channel<std::string>();
    spawn(send_later(std::move(tx)));
    const auto got = co_await timeout(100s, std::move(rx));
    CHECK(got.value() == "hello");
    auto [tx2, rx2] = oneshot::channel<std::string>();
    spawn(send_later(std::move(tx2)));
    const std::string word = co_await or_throw(rx2.recv());
    CHECK(word == "hello");
  });
}

TEST_CASE("oneshot: the value comes once, and then the channel is closed") {
  auto [tx, rx] = oneshot::channel<int>();
  CHECK(rx.try_recv().error() == error::empty);
  CHECK(tx.send(5).has_value());
  CHECK(rx.try_recv().value() == 5);
  CHECK(rx.try_recv().error() == error::closed);
  CHECK(rx.blocking_recv().error() == error::closed);
  CHECK(rx.is_empty());
  CHECK(rx.is_terminated());
}

TEST_CASE("oneshot: a sender that is destroyed closes the channel") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = oneshot::channel<std::string>();
    spawn(drop_later(std::move(tx)));
    const auto got = co_await rx;
    CHECK(got.error() == error::closed);
    CHECK(rx.is_terminated());
  });
}

TEST_CASE("oneshot: what nobody will receive is handed back") {
  std::atomic<int> alive{0};
  {
    auto [tx, rx] = oneshot::channel<move_only>();
    CHECK_FALSE(tx.is_closed());
    {
      auto gone = std::move(rx);
    }
    CHECK(tx.is_closed());
    auto sent = tx.send(move_only(alive, 7));
    REQUIRE_FALSE(sent.has_value());
    CHECK(sent.error() == error::closed);
    REQUIRE(sent.has_rejected());
    CHECK(std::move(sent).rejected().value() == 7);
    CHECK(alive == 1);
    // The sender is spent.
    const auto again = tx.send(move_only(alive));
    CHECK(again.error() == error::closed);
  }
  CHECK(alive == 0);
}

TEST_CASE("oneshot: a value sent before the close is received, one sent after it is not") {
  auto [tx, rx] = oneshot::channel<int>();
  CHECK(tx.send(1).has_value());
  rx.close();
  CHECK(rx.try_recv().value() == 1);

  auto [tx2, rx2] = oneshot::channel<int>();
  rx2.close();
  CHECK(tx2.is_closed());
  CHECK(rx2.is_terminated());
  CHECK(rx2.try_recv().error() == error::closed);
  CHECK(rx2.blocking_recv().error() == error::closed);
  auto sent = tx2.send(2);
  CHECK(sent.rejected() == 2);
}

TEST_CASE("oneshot: a sender can wait until nobody wants the value") {
  on_every_scheduler([]() -> task<> {
    for (const bool drop : {false, true}) {
      auto [tx, rx] = oneshot::channel<int>();
      std::optional<oneshot::receiver<int>> keep(std::move(rx));
      auto h = spawn(wait_closed(std::move(tx)));
      for (int i = 0; i != 3; ++i) co_await yield_now();
      CHECK_FALSE(h.is_finished());
      if (drop)
        keep.reset();
      else
        keep->close();
      auto closed = co_await std::move(h);
      CHECK(std::move(closed).value());
    }
  });
}

TEST_CASE("oneshot: closing wakes who waits on the same thread") {
  make_runtime(flavour::current_thread).block_on([]() -> task<> {
    auto [tx, rx] = oneshot::channel<int>();
    spawn(
        [](oneshot::receiver<int>& r) -> task<> {
          r.close();
          co_return;
        },
        std::ref(rx));
    const auto got = co_await rx.recv();
    CHECK(got.error() == error::closed);
    CHECK(tx.is_closed());
  });
}

TEST_CASE("oneshot: a wait that timed out leaves the value to the next one") {
  on_every_scheduler([]() -> task<> {
    auto [tx, rx] = oneshot::channel<int>();
    const auto none = co_await timeout(1ms, rx.recv());
    CHECK(none.error() == errc::timed_out);
    CHECK(tx.send(3).has_value());
    const auto got = co_await rx;
    CHECK(got.value() == 3);
  });
}

TEST_CASE("oneshot: plain threads block, tasks must not") {
  for (int i = 0; i != 50; ++i) {
    auto [tx, rx] = oneshot::channel<int>();
    std::thread other([t = std::move(tx), i]() mutable {
      if (i % 2 == 0) std::this_thread::yield();
      (void)t.send(std::move(i));
    });
    CHECK(rx.blocking_recv().value() == i);
    other.join();
  }
  make_runtime(flavour::current_thread).block_on([]() -> task<> {
    auto [tx, rx] = oneshot::channel<int>();
    CHECK_THROWS_AS(rx.blocking_recv(), std::logic_error);
    CHECK(tx.send(1).has_value());
    co_await yield_now();
  });
}

TEST_CASE("oneshot: a value that nobody took is destroyed once") {
  std::atomic<int> alive{0};
  {
    auto [tx, rx] = oneshot::channel<move_only>();
    CHECK(tx.send(move_only(alive)).has_value());
    CHECK(alive == 1);
  }
  CHECK(alive == 0);
  {
    auto [tx, rx] = oneshot::channel<move_only>();
    CHECK(tx.send(move_only(alive)).has_value());
    {
      auto gone = std::move(rx);
    }
    CHECK(alive == 0);
  }
  {
    auto [tx, rx] = oneshot::channel<move_only>();
    CHECK(tx.send(move_only(alive, 4)).has_value());
    const auto got = rx.try_recv();
    CHECK(got->value() == 4);
    CHECK(alive == 1);
  }
  CHECK(alive == 0);
}

TEST_CASE("oneshot: halves can be moved and assigned") {
  auto [tx, rx] = oneshot::channel<int>();
  auto [tx2, rx2] = oneshot::channel<int>();
  tx = std::move(tx2);  // closes the first channel
  CHECK(rx.try_recv().error() == error::closed);
  rx = std::move(rx2);
  CHECK(tx.send(9).has_value());
  CHECK(rx.try_recv().value() == 9);
  auto moved = std::move(rx);
  CHECK(rx.try_recv().error() == error::closed);  // NOLINT(bugprone-use-after-move): defined
  CHECK(rx.is_terminated());
  CHECK(moved.is_terminated());
}

TEST_CASE("oneshot: over-aligned values keep their alignment") {
  auto [tx, rx] = oneshot::channel<over_aligned>();
  CHECK(tx.send(over_aligned(3)).has_value());
  const auto got = rx.try_recv();
  REQUIRE(got.has_value());
  CHECK(got->value == 3);
  CHECK(got->is_aligned());
}

TEST_CASE("oneshot: a type whose move throws, throws at its sender or at its receiver") {
  std::atomic<int> alive{0};
  for (int moves = 1; moves != 6; ++moves) {
    INFO("throws at move " << moves);
    auto [tx, rx] = oneshot::channel<throws_on_move>();
    bool sent = false;
    try {
      throws_on_move value(alive, moves);
      sent = tx.send(std::move(value)).has_value();
    } catch (const std::runtime_error&) {
      CHECK(rx.try_recv().error() == error::empty);  // nothing was sent, and another may be
    }
    if (sent) {
      CHECK(alive == 1);
      try {
        const auto got = rx.try_recv();
        CHECK(got.has_value());
      } catch (const std::runtime_error&) {
      }
      CHECK(rx.try_recv().error() == error::closed);
    }
    CHECK(alive == 0);
  }
}

TEST_CASE("oneshot: a value may use a channel while it is destroyed") {
  auto [answer, question] = oneshot::channel<int>();
  {
    auto [tx, rx] = oneshot::channel<last_words>();
    CHECK(tx.send(last_words(std::move(answer))).has_value());
  }
  CHECK(question.try_recv().value() == 1);
}
