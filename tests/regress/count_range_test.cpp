// SPDX-License-Identifier: MIT Counts that callers pass in wrapped, or meant something else, when
// they were huge or zero.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <kioto/detail/task/blocking_pool.hpp>
#include <kioto/kioto.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/streams.hpp"
#include "support/sync.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;
namespace mpsc = kioto::sync::mpsc;
using sync::semaphore;

namespace {

constexpr std::size_t huge = std::numeric_limits<std::size_t>::max();

async_generator<int> few(int n) {
  for (int i = 0; i != n; ++i) co_yield int(i);
}

}  // namespace

TEST_CASE("room for 2^64 - 1 messages was granted in a full channel") {
  auto [tx, rx] = mpsc::channel<int>(2);
  CHECK(tx.try_send(0));
  for (const std::size_t n : {huge, huge - 1, huge / 2, huge / 2 + 1, std::size_t{3}}) {
    const auto got = tx.try_reserve_many(n);
    CHECK(got.error() == errc::invalid_argument);
  }
  CHECK(tx.try_reserve_many(2).error() == error::full);
  CHECK(tx.capacity() == 1);
  CHECK(tx.try_reserve_many(1).has_value());
  in_order([]() -> task<> {
    auto [sender, receiver] = mpsc::channel<int>(1);
    for (const std::size_t n : {huge, huge / 2 + 1, std::size_t{2}}) {
      const auto got = co_await sender.reserve_many(n);
      CHECK(got.error() == errc::invalid_argument);
    }
  });
}

TEST_CASE("room for no message waited behind those who want some") {
  in_order([]() -> task<> {
    auto [tx, rx] = mpsc::channel<int>(1);
    CHECK(tx.try_send(1));
    CHECK(tx.try_reserve_many(0).has_value());
    auto waits = spawn([](mpsc::sender<int> to) -> task<> {
      const auto sent = co_await to.send(2);
      CHECK_FALSE(sent);
    }(tx));
    co_await settle();
    CHECK_FALSE(waits.is_finished());
    auto none = tx.try_reserve_many(0);
    REQUIRE(none.has_value());
    CHECK(none->count() == 0);
    auto hit = co_await select(biased, tx.reserve_many(0), yield_now());
    REQUIRE(hit.index() == 0);
    REQUIRE(hit.get<0>()->has_value());
    CHECK((*hit.get<0>())->count() == 0);
    none->release();
    CHECK(tx.capacity() == 0);
    rx.close();
    CHECK(tx.try_reserve_many(0).error() == error::closed);
    const auto closed = co_await tx.reserve_many(0);
    CHECK(closed.error() == error::closed);
    auto r = co_await std::move(waits);
    CHECK(r.has_value());
  });
}

TEST_CASE("a permit that was used up sent 2^64 more messages") {
  auto [tx, rx] = mpsc::channel<int>(3);
  auto permit = tx.try_reserve_many(2);
  REQUIRE(permit.has_value());
  permit->send(1);
  permit->send(2);
  CHECK_THROWS_WITH(permit->send(3), contains("reserve() another one"));
  CHECK_THROWS_AS(permit->send(3), std::logic_error);
  auto none = tx.try_reserve_many(0);
  REQUIRE(none.has_value());
  CHECK_THROWS_AS(none->send(3), std::logic_error);
  CHECK(permit->count() == 0);
  CHECK(rx.len() == 2);
  CHECK(tx.capacity() == 1);
}

TEST_CASE("channels refuse a capacity that they cannot have, and say which one they can") {
  CHECK_THROWS_WITH(mpsc::channel<int>(0), contains("at least 1"));
  CHECK_THROWS_WITH(mpsc::channel<int>(huge), contains("is the most"));
  CHECK_THROWS_AS(mpsc::channel<int>(huge / 4 + 1), std::invalid_argument);
  CHECK_THROWS_WITH(sync::broadcast::channel<int>(0), contains("at least 1"));
  for (const std::size_t n : {huge, huge / 2, huge / 4, huge / 16})
    CHECK_THROWS_AS(sync::broadcast::channel<int>(n), std::invalid_argument);
  // What is allowed is only counted, not allocated.
  auto [tx, rx] = mpsc::channel<int>(huge / 4);
  CHECK(tx.capacity() == huge / 4);
  auto all = tx.try_reserve_many(huge / 4);
  REQUIRE(all.has_value());
  CHECK(tx.capacity() == 0);
  CHECK(tx.try_send(1).error() == error::full);
  all->send(1);
  all->release();
  CHECK(tx.capacity() == huge / 4 - 1);
}

TEST_CASE("permits of a semaphore that are held were not counted when others were added") {
  constexpr std::size_t most = semaphore::max_permits;
  semaphore s(most);
  CHECK_THROWS_AS(s.add_permits(1), std::overflow_error);
  {
    auto some = s.try_acquire_many(10);
    REQUIRE(some.has_value());
    CHECK(s.available_permits() == most - 10);
    CHECK_THROWS_AS(s.add_permits(1), std::overflow_error);
    CHECK_THROWS_AS(s.add_permits(10), std::overflow_error);
    CHECK_THROWS_AS(s.add_permits(huge), std::overflow_error);
    s.add_permits(0);
  }
  CHECK(s.available_permits() == most);
  // Those that are gone make room.
  {
    auto some = s.try_acquire_many(10);
    REQUIRE(some.has_value());
    auto rest = some->split(4);
    REQUIRE(rest.has_value());
    rest->forget();
  }
  CHECK(s.available_permits() == most - 4);
  CHECK_THROWS_AS(s.add_permits(5), std::overflow_error);
  s.add_permits(4);
  CHECK(s.forget_permits(huge) == most);
  CHECK(s.available_permits() == 0);
  s.add_permits(most);
  CHECK_THROWS_AS(s.add_permits(1), std::overflow_error);
  CHECK(s.available_permits() == most);
}

TEST_CASE("what the head of a line has gathered counts when permits are added") {
  in_order([]() -> task<> {
    constexpr std::size_t most = semaphore::max_permits;
    semaphore s(most - 1);
    auto waits = spawn([](semaphore* of) -> task<> {
      auto all = co_await of->acquire_many(semaphore::max_permits);
      CHECK(all.has_value());
    }(&s));
    co_await settle();
    CHECK(s.available_permits() == 0);
    CHECK_THROWS_AS(s.add_permits(2), std::overflow_error);
    CHECK_FALSE(waits.is_finished());
    s.add_permits(1);
    auto r = co_await std::move(waits);
    CHECK(r.has_value());
    CHECK(s.available_permits() == most);
  });
}

TEST_CASE("a semaphore refuses more permits than it can have, also without waiting") {
  auto shared = std::make_shared<semaphore>(1);
  for (const std::size_t n : {semaphore::max_permits + 1, huge}) {
    CHECK_THROWS_AS(semaphore(n), std::invalid_argument);
    CHECK_THROWS_AS(shared->acquire_many(n), std::invalid_argument);
    CHECK_THROWS_AS(shared->try_acquire_many(n), std::invalid_argument);
    CHECK_THROWS_AS(semaphore::acquire_many_owned(shared, n), std::invalid_argument);
    CHECK_THROWS_AS(semaphore::try_acquire_many_owned(shared, n), std::invalid_argument);
  }
  CHECK(shared->try_acquire_many(semaphore::max_permits).error() == error::full);
  CHECK(shared->available_permits() == 1);
}

TEST_CASE("no permits of a semaphore are there at once, whoever waits") {
  in_order([]() -> task<> {
    semaphore s(0);
    auto waits = spawn([](semaphore* of) -> task<> {
      const auto got = co_await of->acquire();
      CHECK(got.error() == error::closed);
    }(&s));
    co_await settle();
    auto none = co_await s.acquire_many(0);
    REQUIRE(none.has_value());
    CHECK(none->count() == 0);
    CHECK(s.try_acquire_many(0).has_value());
    s.close();
    const auto closed = co_await s.acquire_many(0);
    CHECK(closed.error() == error::closed);
    auto r = co_await std::move(waits);
    CHECK(r.has_value());
  });
}

TEST_CASE("chunks of no element, and other counts of zero, are refused where they are given") {
  CHECK_THROWS_WITH(streams::chunks(0), contains("at least 1"));
  CHECK_THROWS_AS(streams::chunks(0), std::invalid_argument);
  CHECK_THROWS_AS(streams::chunks_timeout(0, 1s), std::invalid_argument);
  CHECK_THROWS_AS(streams::buffered(0), std::invalid_argument);
  CHECK_THROWS_AS(streams::buffered_unordered(0), std::invalid_argument);
  const auto nothing = [](int) -> task<> { co_return; };
  CHECK_THROWS_WITH(streams::for_each_concurrent(0, nothing), contains("for_each_concurrent"));
  CHECK_THROWS_AS(at_most(0), std::invalid_argument);
}

TEST_CASE("streams take a count of 2^64 - 1 for no limit") {
  on_every_scheduler([]() -> task<> {
    auto chunked = few(5) | streams::chunks(huge);
    auto chunk = co_await chunked.next();
    REQUIRE(chunk.has_value());
    CHECK(*chunk == up_to(5));
    chunk = co_await chunked.next();
    CHECK_FALSE(chunk.has_value());
    auto nothing = few(0) | streams::chunks(huge);
    chunk = co_await nothing.next();
    CHECK_FALSE(chunk.has_value());
    auto taken = few(5) | streams::take(huge);
    auto all = co_await drain(taken);
    CHECK(all == up_to(5));
    auto skipped = few(5) | streams::skip(huge);
    all = co_await drain(skipped);
    CHECK(all.empty());
    auto same = [](int i) -> task<int> { co_return i; };
    auto results = few(40) | streams::map(same) | streams::buffered(huge);
    all = co_await drain(results);
    CHECK(all == up_to(40));
    auto any_order = few(40) | streams::map(same) | streams::buffered_unordered(huge);
    all = co_await drain(any_order);
    CHECK(sorted(std::move(all)) == up_to(40));
    int done = 0;
    co_await scope(at_most(huge), [&](task_scope& s) -> task<> {
      s.spawn(
          [](int* n) -> task<> {
            ++*n;
            co_return;
          },
          &done);
      co_return;
    });
    CHECK(done == 1);
  });
}

TEST_CASE("a limit of 2^64 - 1 concurrent calls allocated as many frames in advance") {
  on_every_scheduler([]() -> task<> {
    for (const std::size_t limit : {huge, huge / 2, std::size_t{1} << 40, std::size_t{200}}) {
      std::size_t present = 0;
      std::size_t most = 0;
      std::size_t visited = 0;
      sync::notify all_here;
      auto visit = [&](int) -> task<> {
        most = std::max(most, ++present);
        ++visited;
        if (present == 150)
          all_here.notify_waiters();
        else if (most < 150)
          co_await all_here.notified();
        --present;
      };
      co_await streams::for_each_concurrent(few(300), limit, visit);
      CHECK(visited == 300);
      CHECK(most >= 150);
      CHECK(most <= 200);
    }
  });
}

TEST_CASE("as many calls are concurrent as the limit says, across teams of workers") {
  on_every_scheduler([]() -> task<> {
    for (const std::size_t limit : {1U, 2U, 15U, 16U, 17U, 48U, 50U, 100U}) {
      std::size_t present = 0;
      std::size_t most = 0;
      auto visit = [&](int) -> task<> {
        most = std::max(most, ++present);
        for (int i = 0; i != 5; ++i) co_await yield_now();
        --present;
      };
      co_await streams::for_each_concurrent(few(400), limit, visit);
      CHECK(most <= limit);
      if (limit < 16) CHECK(most == limit);
    }
  });
}

TEST_CASE("a failure in a later team of workers stops all of them") {
  on_every_scheduler([]() -> task<> {
    int ended = 0;
    auto visit = [&](int i) -> task<> {
      const struct counts {
        explicit counts(int& n) : n_(n) {}
        counts(const counts&) = delete;
        ~counts() { ++n_; }
        int& n_;
      } last(ended);
      if (i == 40) throw std::runtime_error("the fortieth");
      co_await sleep(1h);
    };
    std::string what;
    try {
      co_await streams::for_each_concurrent(few(100), huge, visit);
    } catch (const std::runtime_error& e) {
      what = e.what();
    }
    CHECK(what == "the fortieth");
    CHECK(ended == 41);
  });
}

TEST_CASE("the builder names the setting that makes no sense") {
  const auto message = [](runtime_builder builder) {
    auto built = builder.build();
    REQUIRE_FALSE(built.has_value());
    CHECK(built.error() == errc::invalid_argument);
    return built.error().message();
  };
  CHECK_THAT(message(runtime::builder().worker_threads(0)), contains("worker_threads"));
  CHECK_THAT(message(runtime::builder().worker_threads(~0U)), contains("worker_threads"));
  CHECK_THAT(message(runtime::builder().event_interval(0)), contains("event_interval"));
  CHECK_THAT(message(runtime::builder().max_blocking_threads(0)), contains("max_blocking_threads"));
}

TEST_CASE("a huge limit of blocking threads wrapped beside an urgent job") {
  auto rt =
      runtime::builder().worker_threads(2).max_blocking_threads(huge).event_interval(~0U).build();
  REQUIRE(rt.has_value());
  const int got = rt->block_on([]() -> task<int> {
    // The hand-over of the worker is urgent, and goes on while the other job has to start.
    co_return block_in_place([] {
      return handle::current().block_on([]() -> task<int> {
        auto job = spawn_blocking([] { return 7; });
        auto r = co_await std::move(job);
        co_return r.value();
      }());
    });
  });
  CHECK(got == 7);
}

TEST_CASE("stacks of any size are whole pages, or refused") {
  const std::size_t least = detail::usable_stack_size(1);
  CHECK(least >= 16384);
  CHECK(detail::usable_stack_size(least) == least);
  CHECK(detail::usable_stack_size(least + 1) > least);
  CHECK(detail::usable_stack_size(least + 1) % 4096 == 0);
  for (const std::size_t size : {huge, huge - 1, huge - 4095, huge - 4096, huge / 2})
    CHECK(detail::usable_stack_size(size) >= size - 4095);
  const auto small = runtime::builder().worker_threads(1).thread_stack_size(1).build();
  CHECK(small.has_value());
  for (const std::size_t size : {huge, huge / 2}) {
    const auto built = runtime::builder().worker_threads(1).thread_stack_size(size).build();
    CHECK_FALSE(built.has_value());
  }
}
