// SPDX-License-Identifier: MIT
// Spawning, joining, yielding and awaiting.
#include <array>
#include <atomic>
#include <latch>
#include <thread>

#include <kioto/sync/oneshot.hpp>

#include "bench.hpp"

using namespace kioto;

namespace {

task<> nothing() { co_return; }
[[gnu::noinline]] task<std::uint64_t> leaf(std::uint64_t x) { co_return x; }

task<bool> await_task() {
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i != 1000000; ++i) sum += co_await leaf(i);
  co_return sum == 499999500000;
}

// A chain of awaits, each in a frame of its own: three deep, again and again; and very deep, once.
[[gnu::noinline]] task<std::uint64_t> middle(std::uint64_t x) {
  const std::uint64_t inner = co_await leaf(x);
  co_return inner + 1;
}
[[gnu::noinline]] task<std::uint64_t> outer(std::uint64_t x) {
  const std::uint64_t inner = co_await middle(x);
  co_return inner + 1;
}
task<bool> await_chain_3() {
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i != 300000; ++i) sum += co_await outer(i);
  co_return sum == 300000ull * 299999 / 2 + 2 * 300000;
}
task<std::uint64_t> descend(std::uint64_t depth) {
  if (depth == 0) co_return 0;
  const std::uint64_t below = co_await descend(depth - 1);
  co_return below + 1;
}
task<bool> await_deep() {
  const std::uint64_t depth = co_await descend(100000);
  co_return depth == 100000;
}

task<bool> spawn_join() {
  int ended = 0;
  for (int i = 0; i != 100000; ++i) {
    const auto r = co_await spawn(nothing());
    ended += r.has_value() ? 1 : 0;
  }
  co_return ended == 100000;
}

task<bool> spawn_many_join() {
  std::vector<join_handle<>> tasks;
  tasks.reserve(10000);
  for (int i = 0; i != 10000; ++i) tasks.push_back(spawn(nothing()));
  const bool right = co_await bench::join_all(std::move(tasks), 10000);
  co_return right;
}

bool spawn_remote(runtime& rt, bench::sample&) {
  std::vector<join_handle<>> tasks;
  tasks.reserve(10000);
  for (int i = 0; i != 10000; ++i) tasks.push_back(rt.spawn(nothing()));
  return rt.block_on(bench::join_all(std::move(tasks), 10000));
}

// Two threads that are no workers spawn at the same time.
bool spawn_remote_2_threads(runtime& rt, bench::sample&) {
  constexpr int each = 6400;
  std::array<std::vector<join_handle<>>, 2> tasks;
  std::latch here(2);
  const auto spawns = [&](std::vector<join_handle<>>& mine) {
    mine.reserve(2 * each);
    here.arrive_and_wait();
    for (int i = 0; i != each; ++i) mine.push_back(rt.spawn(nothing()));
  };
  std::thread other([&] { spawns(tasks[1]); });
  spawns(tasks[0]);
  other.join();
  for (auto& t : tasks[1]) tasks[0].push_back(std::move(t));
  return rt.block_on(bench::join_all(std::move(tasks[0]), 2 * each));
}

task<> yields(std::atomic<int>& count) {
  int mine = 0;
  for (; mine != 1000; ++mine) co_await yield_now();
  count.fetch_add(mine, std::memory_order_relaxed);
}
task<bool> yield_200() {
  std::atomic<int> count{0};
  std::vector<join_handle<>> tasks;
  for (int i = 0; i != 200; ++i) tasks.push_back(spawn(yields(count)));
  const bool right = co_await bench::join_all(std::move(tasks), 200);
  co_return right&& count.load() == 200000;
}

task<> chain(int n, sync::oneshot::sender<int> done) {
  if (n != 0)
    spawn(chain(n - 1, std::move(done)));
  else
    (void)done.send(0);
  co_return;
}
task<bool> chained_spawn() {
  auto [done, ended] = sync::oneshot::channel<int>();
  spawn(chain(1000, std::move(done)));
  const auto got = co_await ended.recv();
  co_return got.has_value();
}

const bench::group tasks{
    {"await_task", 1000000, bench::spawned(await_task)},
    {"await_chain_3", 900000, bench::spawned(await_chain_3)},
    {"await_deep_1e5", 100000, bench::spawned(await_deep)},
    {"spawn_join", 100000, bench::spawned(spawn_join)},
    {"spawn_many_join", 10000, bench::spawned(spawn_many_join)},
    {"spawn_remote", 10000, spawn_remote},
    {"spawn_remote_2_threads", 12800, spawn_remote_2_threads, bench::mt},
    {"yield", 200000, bench::blocked_on(yield_200)},
    {"chained_spawn", 1000, bench::blocked_on(chained_spawn)},
};

}  // namespace
