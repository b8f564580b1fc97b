// SPDX-License-Identifier: MIT
// What a program sees of its runtime: hooks, names, metrics, handles.
#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/flag.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

task<int> give(int value) { co_return value; }

std::string name_of_this_thread() {
  std::array<char, 32> name{};
  pthread_getname_np(pthread_self(), name.data(), name.size());
  return name.data();
}

/// A sum that several threads add to.
template <class Key>
class counts {
 public:
  void add(const Key& key) {
    const std::lock_guard lock(mutex_);
    ++sums_[key];
  }
  [[nodiscard]] std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return sums_.size();
  }
  [[nodiscard]] bool are_all(int sum) const {
    const std::lock_guard lock(mutex_);
    return std::all_of(sums_.begin(), sums_.end(),
                       [sum](const auto& one) { return one.second == sum; });
  }

 private:
  mutable std::mutex mutex_;
  std::map<Key, int> sums_;
};

}  // namespace

TEST_CASE("hooks: each thread starts and stops once, each task is spawned and ends once") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    std::atomic<int> starts{0};
    std::atomic<int> stops{0};
    std::atomic<int> parks{0};
    std::atomic<int> unparks{0};
    counts<std::uint64_t> spawned;
    counts<std::uint64_t> ended;
    {
      auto builder = builder_for(f);
      builder.on_thread_start([&] { ++starts; })
          .on_thread_stop([&] { ++stops; })
          .on_thread_park([&] { ++parks; })
          .on_thread_unpark([&] { ++unparks; })
          .on_task_spawn([&](task_id id, std::source_location) { spawned.add(id.value()); })
          .on_task_end([&](task_id id) { ended.add(id.value()); });
      runtime rt = std::move(builder.build()).value();
      rt.block_on([]() -> task<> {
        std::vector<join_handle<int>> all;
        for (int i = 0; i != 20; ++i) all.push_back(spawn(give(i)));
        for (auto& h : all) {
          auto r = co_await std::move(h);
          CHECK(r.has_value());
        }
        auto b = spawn_blocking([] { return 1; });
        auto r = co_await std::move(b);
        CHECK(r.has_value());
        co_await sleep(5ms);
      });
    }
    const int workers = f == flavour::current_thread ? 0 : f == flavour::one_worker ? 1 : 4;
    // And one for the blocking call. A worker that seems to be stuck gets one more.
    CHECK(starts >= workers + 1);
    CHECK(stops == starts);
    CHECK(parks >= 1);
    CHECK(unparks == parks);
    CHECK(spawned.size() == 22);
    CHECK(spawned.are_all(1));
    CHECK(ended.size() == 22);
    CHECK(ended.are_all(1));
  }
}

TEST_CASE("threads carry the name that was asked for; tasks know their id, threads do not") {
  auto rt = runtime::builder().worker_threads(2).thread_name("named-by-a-test").build();
  REQUIRE(rt.has_value());
  CHECK(current_task_id().value() == 0);
  rt->block_on([]() -> task<> {
    CHECK(name_of_this_thread() == "named-by-a-test");
    auto b = spawn_blocking(&name_of_this_thread);
    auto r = co_await std::move(b);
    CHECK(std::move(r).value() == "named-by-a-test");
    const task_id mine = current_task_id();
    CHECK(mine.value() != 0);
    const auto tells = []() -> task<task_id> {
      co_await yield_now();
      co_return current_task_id();
    };
    const task_id child = co_await tells();
    CHECK(child == mine);
    auto h = spawn(tells());
    const task_id expected = h.id();
    auto other = co_await std::move(h);
    const task_id told = std::move(other).value();
    CHECK(told == expected);
    CHECK(told != mine);
  });
}

TEST_CASE("metrics count what happens") {
  auto built = runtime::builder().worker_threads(2).max_blocking_threads(3).build();
  REQUIRE(built.has_value());
  runtime& rt = *built;
  const auto before = rt.metrics();
  CHECK(before.backend == "epoll");
  CHECK_FALSE(before.backend_reason.empty());
  CHECK(before.workers.size() == 2);
  CHECK(before.tasks_alive == 0);
  const flag release = make_flag();
  auto waits = rt.spawn(
      [](flag f) -> task<> {
        while (!f->load()) co_await sleep(1ms);
      },
      release);
  CHECK(rt.metrics().tasks_alive == 1);
  CHECK(rt.metrics().tasks_spawned == before.tasks_spawned + 1);
  CHECK(rt.metrics().remote_schedules >= before.remote_schedules + 1);
  rt.block_on([](join_handle<> h, flag f) -> task<> {
    // More than a queue holds, spawned by one worker.
    std::vector<join_handle<int>> many;
    for (int i = 0; i != 2000; ++i) many.push_back(spawn(give(i)));
    for (auto& one : many) {
      auto r = co_await std::move(one);
      CHECK(r.has_value());
    }
    f->store(true);
    auto r = co_await std::move(h);
    CHECK(r.has_value());
  }(std::move(waits), release));
  std::vector<join_handle<>> calls;
  const flag end = make_flag();
  std::atomic<int> running{0};
  for (int i = 0; i != 5; ++i)
    calls.push_back(rt.spawn_blocking([&running, end] {
      ++running;
      comes_true(*end);
    }));
  for (int i = 0; i != 20000 && (running != 3 || rt.metrics().blocking_queue_depth != 2); ++i)
    std::this_thread::sleep_for(1ms);
  const auto busy = rt.metrics();
  CHECK(busy.blocking_threads >= 3);
  CHECK(busy.blocking_queue_depth == 2);
  end->store(true);
  rt.block_on([](std::vector<join_handle<>> all) -> task<> {
    for (auto& h : all) {
      auto r = co_await std::move(h);
      CHECK(r.has_value());
    }
  }(std::move(calls)));
  // Workers that have nothing to do go to sleep, and count then.
  const auto sums = [&rt] {
    worker_metrics all;
    for (const worker_metrics& w : rt.metrics().workers) {
      all.polls += w.polls;
      all.local_schedules += w.local_schedules;
      all.parks += w.parks;
      all.busy += w.busy;
    }
    return all;
  };
  for (int i = 0; i != 20000 && (sums().parks == 0 || sums().busy == 0ns); ++i)
    std::this_thread::sleep_for(1ms);
  CHECK(sums().polls >= 2000);
  CHECK(sums().local_schedules >= 2000);
  CHECK(sums().parks >= 1);
  CHECK(sums().busy > 0ns);
  const auto after = rt.metrics();
  CHECK(after.tasks_alive == 0);
  CHECK(after.injection_depth == 0);
}

TEST_CASE("handles: the current one, from inside, from an entered thread, and none") {
  CHECK_FALSE(handle::try_current().has_value());
  runtime rt = make_runtime(flavour::one_worker);
  {
    const auto inside = rt.enter();
    REQUIRE(handle::try_current().has_value());
    auto h = kioto::spawn(give(3));
    CHECK(handle::current().block_on([](join_handle<int> j) -> task<int> {
      auto r = co_await std::move(j);
      co_return std::move(r).value();
    }(std::move(h))) == 3);
    runtime other = make_runtime(flavour::current_thread);
    {
      const auto deeper = other.enter();
      CHECK(handle::current().metrics().workers.size() == 1);
      CHECK(handle::current().metrics().tasks_spawned == 0);
    }
    CHECK(handle::current().metrics().tasks_spawned == 2);
  }
  CHECK_FALSE(handle::try_current().has_value());
  const handle h = rt.handle();
  std::thread([h] {
    auto j = h.spawn(give(4));
    CHECK(h.block_on([](join_handle<int> one) -> task<int> {
      auto r = co_await std::move(one);
      co_return std::move(r).value();
    }(std::move(j))) == 4);
  }).join();
}

TEST_CASE("an exception that nobody awaits: one line with the task, the place and what it said") {
  const std::string said = last_words([] {
    runtime rt = make_runtime(flavour::current_thread);
    const auto throws = []() -> task<> {
      co_await yield_now();
      throw std::runtime_error("the reason");
    };
    rt.spawn(throws());
    const int still = rt.block_on([]() -> task<int> {
      for (int i = 0; i != 10; ++i) co_await yield_now();
      co_return 4;
    });
    std::fprintf(stderr, "and it went on: %d", still);
    std::abort();
  });
  CHECK_THAT(said, contains("kioto: task "));
  CHECK_THAT(said, contains("observe_test.cpp"));
  CHECK_THAT(said, contains("the reason"));
  CHECK_THAT(said, contains("and it went on: 4"));
}

TEST_CASE("run: a runtime of its own for one task, whose result and exception come through") {
  CHECK(kioto::run(give(6)) == 6);
  CHECK(kioto::run([](int x) -> task<int> { co_return x + 1; }, 6) == 7);
  const auto throws = []() -> task<int> { throw std::runtime_error("out of run"); };
  CHECK_THROWS_WITH(kioto::run(throws()), contains("out of run"));
}

TEST_CASE("a local runtime runs what cannot be shared, on the thread that built it") {
  const no_descriptor_leak leak;
  auto rt = runtime::builder().build_local();
  REQUIRE(rt.has_value());
  const auto here = std::this_thread::get_id();
  rt->block_on([](std::thread::id home) -> task<> {
    int shared = 0;
    const auto adds = [](int* to, std::thread::id where) -> task<bool> {
      bool right = true;
      for (int i = 0; i != 100; ++i) {
        ++*to;
        right = right && std::this_thread::get_id() == where;
        co_await yield_now();
      }
      co_await sleep(1ms);
      co_return right&& std::this_thread::get_id() == where;
    };
    std::vector<join_handle<bool>> all;
    for (int i = 0; i != 10; ++i) all.push_back(spawn(adds, &shared, home));
    for (auto& h : all) {
      auto r = co_await std::move(h);
      CHECK(std::move(r).value());
    }
    CHECK(shared == 1000);
  }(here));
}
