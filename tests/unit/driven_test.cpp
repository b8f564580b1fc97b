// SPDX-License-Identifier: MIT
#include <kioto/testing/driven.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <coroutine>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <kioto/kioto.hpp>
#include <kioto/testing/paused.hpp>
#include "base/random.hpp"

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/tcp.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;
using testing::driven;

namespace {

task<int> yields_and_returns(int value) {
  co_await yield_now();
  co_return value;
}
task<int> throws() {
  co_await yield_now();
  throw std::runtime_error("thrown");
}
task<> holds(probe p) {
  co_await sleep(1h);
  static_cast<void>(p);
}

// The task that awaits this.
class this_task {
 public:
  [[nodiscard]] static bool await_ready() noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    found_ = &frame.promise().strand_->task();
    return false;
  }
  [[nodiscard]] detail::task_header& await_resume() const noexcept { return *found_; }

 private:
  detail::task_header* found_ = nullptr;
};

task<std::uint32_t> draws() {
  auto& me = co_await this_task();
  co_return detail::runtime_random_below(me, 1U << 31U);
}

}  // namespace

TEST_CASE("an operation is driven by hand, without a runtime", "[driven]") {
  driven work(yields_and_returns(7));
  CHECK(work.is_woken());
  CHECK(work.wake_count() == 0);
  CHECK_FALSE(work.poll());
  CHECK(work.is_woken());  // it yielded
  CHECK(work.wake_count() == 1);
  CHECK(work.poll());
  CHECK(work.is_done());
  CHECK_FALSE(work.is_woken());
  CHECK_FALSE(work.is_cancelled());
  CHECK(work.poll());
  CHECK(work.take() == 7);
  CHECK_THROWS_AS(work.take(), std::logic_error);
}

TEST_CASE("a driven operation that was not woken is not run", "[driven]") {
  const runtime rt = testing::paused_runtime(auto_advance::off);
  const auto guard = rt.enter();
  auto gate = std::make_shared<std::atomic<bool>>(false);
  join_handle<> other = spawn([]() -> task<> { co_await sleep(1s); });
  driven joins(other);
  for (int i = 0; i != 5; ++i) {
    CHECK_FALSE(joins.poll());
    CHECK_FALSE(joins.is_woken());
  }
  CHECK_THROWS_WITH(joins.take(), contains("before the operation has ended"));
  other.abort();
  CHECK(joins.wake_count() == 0);  // the runtime of the other task does not run
}

TEST_CASE("a driven operation uses the clock of the runtime it is in", "[driven]") {
  runtime rt = testing::paused_runtime(auto_advance::off);
  rt.block_on([]() -> task<> {
    driven nap(sleep(100ms));
    CHECK_FALSE(nap.poll());
    co_await time::advance(99ms);
    CHECK_FALSE(nap.is_woken());
    co_await time::advance(1ms);
    CHECK(nap.is_woken());
    CHECK(nap.wake_count() == 1);
    CHECK(nap.poll());
    nap.take();
    // The task around it goes on as before.
    CHECK(current_task_id().value() != 0);
    co_await yield_now();
  });
}

TEST_CASE("a driven operation is a task with an id of its own", "[driven]") {
  runtime rt = testing::paused_runtime();
  rt.block_on([]() -> task<> {
    const auto id = []() -> task<task_id> { co_return current_task_id(); };
    driven one(id());
    driven other(id());
    CHECK(one.poll());
    CHECK(other.poll());
    const task_id first = one.take();
    CHECK(first.value() != 0);
    CHECK(first != other.take());
    CHECK(first != current_task_id());
    co_return;
  });
}

TEST_CASE("a driven operation hands over exceptions", "[driven]") {
  driven work(throws());
  CHECK_FALSE(work.poll());
  CHECK(work.poll());
  CHECK_THROWS_WITH(work.take(), "thrown");
}

TEST_CASE("a driven operation is woken by other tasks and threads", "[driven]") {
  runtime rt = make_runtime(flavour::one_worker);
  const auto guard = rt.enter();
  auto go = std::make_shared<std::atomic<bool>>(false);
  auto worker = rt.spawn(
      [](std::shared_ptr<std::atomic<bool>> g) -> task<int> {
        while (!g->load()) co_await sleep(1ms);
        co_return 5;
      },
      go);
  driven joins(worker);
  CHECK_FALSE(joins.poll());
  go->store(true);
  while (!joins.is_woken()) std::this_thread::sleep_for(1ms);
  CHECK(joins.poll());
  CHECK(joins.take().value() == 5);

  driven blocking(spawn_blocking([] { return 6; }));
  while (!blocking.poll()) std::this_thread::sleep_for(1ms);
  CHECK(blocking.take().value() == 6);
}

TEST_CASE("adaptors and combinators are driven as well", "[driven]") {
  runtime rt = testing::paused_runtime(auto_advance::off);
  rt.block_on([]() -> task<> {
    driven limited(timeout(1s, sleep(1h)));
    CHECK_FALSE(limited.poll());
    co_await time::advance(1s);
    CHECK(limited.is_woken());
    CHECK(limited.poll());
    CHECK_THROWS_AS(limited.take(), timeout_error);

    driven as_value(as_result(sleep(1h)));
    CHECK_FALSE(as_value.poll());
    as_value.abort();
    CHECK(as_value.poll());
    CHECK(as_value.take().error() == std::errc::operation_canceled);
  });
}

TEST_CASE("a driven operation can be aborted", "[driven]") {
  int destroyed = 0;
  driven before(holds(probe(destroyed)));
  before.abort();
  CHECK(before.poll());
  CHECK(before.is_cancelled());
  CHECK(destroyed == 1);
  CHECK_THROWS_WITH(before.take(), contains("cancelled"));

  driven waiting(holds(probe(destroyed)));
  CHECK_FALSE(waiting.poll());
  waiting.abort();
  CHECK(waiting.is_woken());
  CHECK(destroyed == 1);
  CHECK(waiting.poll());
  CHECK(waiting.is_cancelled());
  CHECK(destroyed == 2);
  waiting.abort();
}

TEST_CASE("destroying a driven operation aborts it and waits for it", "[driven]") {
  int destroyed = 0;
  {
    const driven never_started(holds(probe(destroyed)));
  }
  CHECK(destroyed == 1);
  {
    driven waiting(holds(probe(destroyed)));
    waiting.poll();
  }
  CHECK(destroyed == 2);
  // A blocking call that runs has to be waited for.
  runtime rt = make_runtime(flavour::current_thread);
  const auto guard = rt.enter();
  auto running = std::make_shared<std::atomic<bool>>(false);
  auto ended = std::make_shared<std::atomic<bool>>(false);
  auto call = [running, ended] {
    running->store(true);
    std::this_thread::sleep_for(10ms);
    ended->store(true);
  };
  {
    driven blocking(detail::run_blocking(detail::bind_call(call)));
    blocking.poll();
    while (!running->load()) std::this_thread::sleep_for(1ms);
  }
  CHECK(ended->load());
}

TEST_CASE("a driven operation may outlive its runtime", "[driven]") {
  std::optional<runtime> rt(testing::paused_runtime());
  auto guard = std::unique_ptr<enter_guard>(new enter_guard(rt->enter()));
  driven nap(sleep(1h));
  CHECK_FALSE(nap.poll());
  guard.reset();
  rt.reset();  // ends the timers
  CHECK(nap.is_woken());
  CHECK(nap.poll());
  CHECK(nap.is_cancelled());
}

TEST_CASE("sockets are driven by hand", "[driven]") {
  runtime rt = make_runtime(flavour::current_thread);
  rt.block_on([]() -> task<> {
    auto ends = co_await connected_pair();
    std::array<char, 4> got{};
    driven reads(ends.b.read(got));
    CHECK_FALSE(reads.poll());
    const auto sent = co_await ends.a.write_all("ping");
    CHECK(sent.has_value());
    while (!reads.is_woken()) co_await yield_now();
    CHECK(reads.poll());
    CHECK(reads.take().value() == 4);
  });
}

TEST_CASE("the numbers of a runtime are a function of its seed", "[driven][random]") {
  std::vector<std::uint32_t> first;
  for (int round = 0; round != 2; ++round) {
    runtime rt = testing::paused_runtime(auto_advance::on, 99);
    std::vector<std::uint32_t> drawn;
    for (int i = 0; i != 5; ++i) drawn.push_back(rt.block_on(draws()));
    {
      const auto guard = rt.enter();
      driven by_hand(draws());
      CHECK(by_hand.poll());
      drawn.push_back(by_hand.take());
    }
    if (round == 0)
      first = drawn;
    else
      CHECK(drawn == first);
  }
  // Without a seed they only have to be there.
  for (const flavour f : {flavour::current_thread, flavour::one_worker}) {
    runtime rt = make_runtime(f);
    std::set<std::uint32_t> drawn;
    for (int i = 0; i != 20; ++i) drawn.insert(rt.block_on(draws()));
    CHECK(drawn.size() > 1);
  }
}

TEST_CASE("a seed needs a runtime of one thread", "[random]") {
  CHECK_THROWS_WITH(runtime::builder().worker_threads(1).rng_seed(1).build(),
                    contains("current_thread()"));
  CHECK(runtime::builder().rng_seed(1).build_local().has_value());
}

namespace {

task<> counts_when_told(sync::notify& news, int& ended) {
  co_await news.notified();
  ++ended;
}
task<int> waits_for_two_children(sync::notify& news) {
  int ended = 0;
  co_await scope([&](task_scope& s) -> task<> {
    for (int i = 0; i != 2; ++i) s.spawn(counts_when_told, std::ref(news), std::ref(ended));
    co_return;
  });
  co_return ended;
}

}  // namespace

TEST_CASE("a driven task's polls run the children of its scopes, too") {
  sync::notify news;
  driven parent(waits_for_two_children(news));
  while (parent.is_woken()) CHECK_FALSE(parent.poll());
  news.notify_waiters();
  while (parent.is_woken()) parent.poll();
  REQUIRE(parent.is_done());
  CHECK(parent.take() == 2);
}

TEST_CASE("a driven task that is dropped ends with the children of its scopes") {
  sync::notify news;
  driven parent(waits_for_two_children(news));
  CHECK_FALSE(parent.poll());
  CHECK_FALSE(parent.poll());
}
