// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/flag.hpp"
#include "support/runtimes.hpp"
#include "support/tcp.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

task<int> pong(int x) { co_return x + 1; }
task<> ping_pong(flag stop) {
  for (int i = 0; !stop->load(); ++i) {
    auto r = co_await spawn(pong(i));
    CHECK(std::move(r).value() == i + 1);
  }
}
task<> yields_five_times() {
  for (int i = 0; i != 5; ++i) co_await yield_now();
}

task<> accept_into(std::shared_ptr<net::tcp_listener> l, flag done) {
  const auto r = co_await l->accept();
  if (r) done->store(true);
}

task<> read_for_ever(std::shared_ptr<tcp_pair> s, std::shared_ptr<std::atomic<int>> got) {
  std::array<char, 16> some{};
  for (;;) {
    const auto n = co_await s->b.read(some);
    if (!n || *n == 0) co_return;
    got->fetch_add(1);
  }
}

class aborts_at_its_end {
 public:
  explicit aborts_at_its_end(abort_handle other) : other_(std::move(other)) {}
  aborts_at_its_end(const aborts_at_its_end&) = delete;
  aborts_at_its_end& operator=(const aborts_at_its_end&) = delete;
  ~aborts_at_its_end() { other_.abort(); }

 private:
  abort_handle other_;
};
task<> sleeps() { co_await sleep(100s); }
task<> aborts_another(abort_handle other) {
  const aborts_at_its_end guard(std::move(other));
  co_await sleep(100s);
}

task<> blocks_until(std::shared_ptr<tcp_pair> s, flag running, flag other) {
  std::array<char, 1> byte{};
  const auto n = co_await s->b.read(byte);
  CHECK(n.has_value());
  running->store(true);
  while (!other->load()) std::this_thread::sleep_for(1ms);  // the worker is blocked
}
task<> sets(std::shared_ptr<tcp_pair> s, flag done) {
  std::array<char, 1> byte{};
  const auto n = co_await s->b.read(byte);
  CHECK(n.has_value());
  done->store(true);
}

}  // namespace

TEST_CASE("acceptance 2: a new task runs while a hundred pairs keep waking each other") {
  on_every_scheduler([]() -> task<> {
    auto stop = std::make_shared<std::atomic<bool>>(false);
    std::vector<join_handle<>> pairs;
    for (int i = 0; i != 100; ++i) pairs.push_back(spawn(ping_pong(stop)));
    auto fresh = spawn(yields_five_times());
    auto r = co_await std::move(fresh);
    CHECK(r.has_value());
    stop->store(true);
    for (auto& p : pairs) {
      auto ended = co_await std::move(p);
      CHECK(ended.has_value());
    }
  });
}

TEST_CASE("acceptance 4: yielding polls the driver: a pending connection is accepted within ten") {
  for (const bool budget : {false, true}) {
    runtime rt = make_runtime(flavour::one_worker);
    rt.block_on([](bool by_budget) -> task<> {
      auto listener = std::make_shared<net::tcp_listener>(co_await listen_somewhere());
      auto done = std::make_shared<std::atomic<bool>>(false);
      auto h = spawn(accept_into(listener, done));
      co_await sleep(2ms);
      const auto client = co_await net::tcp_stream::connect(listener->local_address().value());
      CHECK(client.has_value());
      int yields = 0;
      while (!done->load() && yields < 100) {
        ++yields;
        if (by_budget)
          for (int i = 0; i != 128; ++i) co_await consume_budget();
        else
          co_await yield_now();
      }
      CHECK(yields < 10);
      auto ended = co_await std::move(h);
      CHECK(ended.has_value());
    }(budget));
  }
}

TEST_CASE("acceptance 6: one message makes one run of the task that waits for it") {
  runtime rt = make_runtime(flavour::one_worker);
  auto got = std::make_shared<std::atomic<int>>(0);
  auto s = std::make_shared<tcp_pair>(rt.block_on(connected_pair()));
  auto h = rt.spawn(read_for_ever(s, got));
  const auto waits = [&rt] {
    const auto tasks = rt.dump();
    return tasks.size() == 1 && tasks[0].now == task_dump::state::suspended;
  };
  for (int i = 0; i != 20000 && !waits(); ++i) std::this_thread::sleep_for(1ms);
  REQUIRE(waits());
  for (int i = 1; i != 10; ++i) {
    const auto before = rt.metrics().workers[0].polls;
    REQUIRE(::write(s->a.native_handle(), "x", 1) == 1);
    while (got->load() != i) std::this_thread::sleep_for(1ms);
    std::this_thread::sleep_for(2ms);
    CHECK(rt.metrics().workers[0].polls - before == 1);
  }
  h.abort();
  rt.block_on([](join_handle<> j) -> task<> {
    auto r = co_await std::move(j);
    CHECK(r.is_cancelled());
  }(std::move(h)));
}

TEST_CASE("acceptance 8: a destructor that wakes another task during the shutdown") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    for (int i = 0; i != 20; ++i) {
      runtime rt = make_runtime(f);
      auto first = rt.spawn(sleeps());
      auto second = rt.spawn(aborts_another(first.abort_handle()));
      rt.block_on([]() -> task<> { co_await yield_now(); });
    }
  }
  SUCCEED();
}

TEST_CASE(
    "acceptance 12: a worker that an event woke and that blocks does not stop the others' I/O") {
  for (int round = 0; round != 20; ++round) {
    auto rt = std::move(runtime::builder().worker_threads(2).build()).value();
    auto one = std::make_shared<tcp_pair>(rt.block_on(connected_pair()));
    auto two = std::make_shared<tcp_pair>(rt.block_on(connected_pair()));
    auto running = std::make_shared<std::atomic<bool>>(false);
    auto done = std::make_shared<std::atomic<bool>>(false);
    auto blocked = rt.spawn(blocks_until(one, running, done));
    auto second = rt.spawn(sets(two, done));
    std::this_thread::sleep_for(2ms);
    REQUIRE(::write(one->a.native_handle(), "x", 1) == 1);
    while (!running->load()) std::this_thread::sleep_for(1ms);
    REQUIRE(::write(two->a.native_handle(), "x", 1) == 1);
    rt.block_on([](join_handle<> a, join_handle<> b) -> task<> {
      auto x = co_await std::move(a);
      auto y = co_await std::move(b);
      CHECK(x.has_value());
      CHECK(y.has_value());
    }(std::move(blocked), std::move(second)));
  }
}

TEST_CASE("acceptance 13: every blocking job starts, also when the ones before it never return") {
  runtime rt = make_runtime(flavour::one_worker);
  for (int round = 0; round != 200; ++round) {
    auto started = std::make_shared<std::atomic<int>>(0);
    std::vector<join_handle<>> jobs;
    for (int i = 0; i != 4; ++i)
      jobs.push_back(rt.spawn_blocking([started] {
        ++*started;
        while (started->load() != 4) std::this_thread::yield();
      }));
    rt.block_on([](std::vector<join_handle<>> all) -> task<> {
      for (auto& j : all) {
        auto r = co_await std::move(j);
        CHECK(r.has_value());
      }
    }(std::move(jobs)));
  }
}
