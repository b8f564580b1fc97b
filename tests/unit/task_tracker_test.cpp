// SPDX-License-Identifier: MIT
#include <kioto/task_tracker.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

task<int> ends_when(std::shared_ptr<std::atomic<bool>> flag, std::atomic<int>* ended) {
  while (!flag->load()) co_await yield_now();
  ++*ended;
  co_return 3;
}
task<> waits(task_tracker tracker, std::atomic<bool>* done) {
  co_await tracker.wait();
  *done = true;
}

}  // namespace

TEST_CASE("task_tracker: wait needs the tracker to be closed and empty") {
  on_every_scheduler([]() -> task<> {
    task_tracker tracker;
    std::atomic<int> ended{0};
    std::atomic<bool> done{false};
    auto flag = std::make_shared<std::atomic<bool>>(false);
    auto waiter = spawn(waits(tracker, &done));
    for (int i = 0; i != 10; ++i) co_await yield_now();
    CHECK_FALSE(done);  // empty, but open
    CHECK(tracker.empty());

    auto h = tracker.spawn(ends_when(flag, &ended));
    CHECK(tracker.size() == 1);
    CHECK(tracker.close());
    CHECK_FALSE(tracker.close());
    CHECK(tracker.is_closed());
    for (int i = 0; i != 10; ++i) co_await yield_now();
    CHECK_FALSE(done);  // closed, but not empty

    // Closed trackers still take tasks.
    tracker.spawn(ends_when, flag, &ended);
    CHECK(tracker.size() == 2);
    *flag = true;
    auto w = co_await waiter;
    CHECK(w.has_value());
    CHECK(done);
    CHECK(ended == 2);
    auto r = co_await h;
    CHECK(std::move(r).value() == 3);
    co_await tracker.wait();
  });
}

TEST_CASE("task_tracker: closing an empty tracker wakes, reopening holds") {
  on_every_scheduler([]() -> task<> {
    task_tracker tracker;
    std::atomic<bool> done{false};
    CHECK_FALSE(tracker.reopen());
    tracker.close();
    CHECK(tracker.reopen());
    CHECK_FALSE(tracker.is_closed());
    auto waiter = spawn(waits(tracker, &done));
    for (int i = 0; i != 10; ++i) co_await yield_now();
    CHECK_FALSE(done);
    tracker.close();
    auto w = co_await waiter;
    CHECK(w.has_value());
  });
}

TEST_CASE("task_tracker: a task counts until its frame is destroyed, also when it is aborted") {
  on_every_scheduler([]() -> task<> {
    task_tracker tracker;
    int destroyed = 0;
    auto h = tracker.spawn([](probe) -> task<> { co_await sleep(1000h); }, probe(destroyed));
    for (int i = 0; i != 10; ++i) co_await yield_now();
    CHECK(tracker.size() == 1);
    h.abort();
    tracker.close();
    co_await tracker.wait();
    CHECK(destroyed == 1);
    auto r = co_await h;
    CHECK(r.is_cancelled());
  });
}

TEST_CASE("task_tracker: blocking calls, operations and tokens count") {
  on_every_scheduler([]() -> task<> {
    task_tracker tracker;
    auto blocking = tracker.spawn_blocking([](int a) { return a + 1; }, 4);
    auto b = co_await blocking;
    CHECK(std::move(b).value() == 5);
    CHECK(tracker.empty());

    {
      auto op = tracker.track(sleep(1ms));
      CHECK(tracker.size() == 1);
      co_await std::move(op);
    }
    CHECK(tracker.empty());

    std::optional<task_tracker_token> token(tracker.token());
    const auto copy = token;
    CHECK(tracker.size() == 2);
    token.reset();
    CHECK(tracker.size() == 1);
    CHECK(tracker == task_tracker(tracker));
  });
}

TEST_CASE("task_tracker: tasks on another runtime count") {
  const task_tracker tracker;
  {
    auto rt = make_runtime(flavour::one_worker);
    auto h = tracker.spawn_on(rt.handle(), [](int a) -> task<int> { co_return a; }, 1);
    rt.block_on(
        [](join_handle<int> j) -> task<> {
          auto r = co_await j;
          CHECK(std::move(r).value() == 1);
        },
        std::move(h));
    tracker.spawn_on(rt.handle(), []() -> task<> { co_await sleep(1000h); });
    CHECK(tracker.size() == 1);
  }
  CHECK(tracker.empty());  // the runtime is gone, and its tasks
}

TEST_CASE("task_tracker: tasks that come and go on many threads are all seen to end") {
  auto rt = make_runtime(flavour::four_workers);
  for (int round = 0; round != 20; ++round) {
    rt.block_on([]() -> task<> {
      task_tracker tracker;
      std::atomic<int> ended{0};
      for (int i = 0; i != 100; ++i)
        tracker.spawn(
            [](task_tracker t, std::atomic<int>* n) -> task<> {
              t.spawn(
                  [](std::atomic<int>* m) -> task<> {
                    co_await yield_now();
                    ++*m;
                  },
                  n);
              co_return;
            },
            tracker, &ended);
      tracker.close();
      co_await tracker.wait();
      CHECK(ended == 100);
    });
  }
}
