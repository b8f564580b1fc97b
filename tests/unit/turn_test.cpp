// SPDX-License-Identifier: MIT
#include <kioto/detail/sync/turn.hpp>

#include <utility>
#include <vector>

#include <kioto/detail/sync/semaphore_core.hpp>
#include <kioto/kioto.hpp>
#include <kioto/sync/mpsc.hpp>
#include <kioto/testing/paused.hpp>

#include "support/catch.hpp"

using namespace kioto;
using namespace std::chrono_literals;
using kioto::detail::grant;
using kioto::detail::std_sync;

namespace {

struct waiter : detail::basic_semaphore_waiter<std_sync> {
  waiter(std::size_t wanted, std::vector<waiter*>& fired)
      : basic_semaphore_waiter(wanted), served(&fired) {}
  void fire() noexcept { served->push_back(this); }
  std::vector<waiter*>* served;
};
using core = detail::basic_semaphore_core<std_sync, waiter>;
using waiters = std::vector<waiter*>;

}  // namespace

TEST_CASE("turn: who comes back stands in front of those who came later") {
  waiters fired;
  core s(0);
  waiter a(1, fired), b(1, fired), c(1, fired), d(1, fired);
  CHECK(s.enqueue(a));
  CHECK(s.enqueue(b));
  CHECK(s.enqueue(c));
  CHECK(s.cancel(b));
  CHECK(s.enqueue(d));
  CHECK(s.enqueue(b));
  CHECK(s.cancel(a));
  CHECK(s.cancel(b));
  CHECK(s.enqueue(b));
  CHECK(s.enqueue(a));
  s.release(4);
  CHECK(fired == waiters{&a, &b, &c, &d});
}

TEST_CASE("turn: what the head has gathered belongs to who comes in front of it") {
  waiters fired;
  core s(0);
  waiter first(3, fired), second(3, fired);
  CHECK(s.enqueue(first));
  CHECK(s.enqueue(second));
  CHECK(s.cancel(first));
  s.release(2);  // gathered by the second one
  CHECK(s.enqueue(first));
  s.release(1);
  CHECK(fired == waiters{&first});
  s.release(3);
  CHECK(fired == waiters{&first, &second});
  CHECK(s.available() == 0);
}

TEST_CASE("turn: who comes back is served at once by what the head has gathered") {
  waiters fired;
  core s(0);
  waiter small(1, fired), large(3, fired);
  CHECK(s.enqueue(small));
  CHECK(s.enqueue(large));
  CHECK(s.cancel(small));
  s.release(2);  // gathered by the large one
  CHECK(fired.empty());
  CHECK_FALSE(s.enqueue(small));
  CHECK(small.state() == grant::granted);
  s.release(1);
  CHECK(fired.empty());
  s.release(1);
  CHECK(fired == waiters{&large});
  CHECK(s.available() == 0);
}

TEST_CASE("turn: a sender that comes back wants less than the one behind it, and there is room") {
  testing::run_paused([]() -> task<> {
    auto [tx, rx] = sync::mpsc::channel<int>(3);
    std::vector<sync::mpsc::permit<int>> held;
    for (int i = 0; i != 3; ++i) held.push_back(std::move(tx.try_reserve()).value());
    auto sends = [](sync::mpsc::sender<int>& to) -> async_generator<int> {
      const auto sent = co_await to.send(7);
      CHECK(sent.has_value());
      co_yield 1;
    }(tx);
    auto reserves = spawn(
        [](sync::mpsc::sender<int> to) -> task<> {
          co_await sleep(1ms);
          const auto room = co_await to.reserve_many(3);
          CHECK(room.has_value());
        },
        tx);
    // It is first in line, and withdrawn.
    static_cast<void>(co_await select(sends.next(), sleep(2ms)));
    held.pop_back();  // not enough for the other one, which waits alone
    {
      auto e = co_await select(sends.next(), sleep(1h));
      CHECK(e.template get<0>().has_value());
    }
    auto got = co_await rx.recv();
    CHECK(got == 7);
    held.clear();
    const auto ended = co_await reserves;
    CHECK(ended.has_value());
  });
}
