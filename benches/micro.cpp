// SPDX-License-Identifier: MIT
// Micro-benchmarks of the scheduler, with the names and workloads of peers/tokio/src/micro.rs, each
// on the current-thread scheduler (ct/) and with two workers (mt/). Each checks its own result.
#include <benchmark/benchmark.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <kioto/kioto.hpp>

using namespace kioto;
using namespace std::chrono_literals;

namespace {

task<> nothing() { co_return; }
[[gnu::noinline]] task<std::uint64_t> leaf(std::uint64_t x) { co_return x; }

task<bool> await_task() {
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i != 1000000; ++i) sum += co_await leaf(i);
  co_return sum == 499999500000;
}

task<bool> spawn_join() {
  int ended = 0;
  for (int i = 0; i != 100000; ++i) {
    const auto r = co_await spawn(nothing());
    ended += r.has_value() ? 1 : 0;
  }
  co_return ended == 100000;
}

task<bool> join_all(std::vector<join_handle<>> tasks, std::size_t expected) {
  std::size_t ended = 0;
  for (auto& t : tasks) {
    const auto r = co_await std::move(t);
    ended += r.has_value() ? 1 : 0;
  }
  co_return ended == expected;
}

task<bool> spawn_many_join() {
  std::vector<join_handle<>> tasks;
  tasks.reserve(10000);
  for (int i = 0; i != 10000; ++i) tasks.push_back(spawn(nothing()));
  const bool right = co_await join_all(std::move(tasks), 10000);
  co_return right;
}

task<> yields() {
  for (int i = 0; i != 1000; ++i) co_await yield_now();
}
task<bool> yield_200() {
  std::vector<join_handle<>> tasks;
  for (int i = 0; i != 200; ++i) tasks.push_back(spawn(yields()));
  const bool right = co_await join_all(std::move(tasks), 200);
  co_return right;
}

task<> chain(int n, std::atomic<int>& run) {
  run.fetch_add(1, std::memory_order_relaxed);
  if (n != 0) spawn(chain(n - 1, run));
  co_return;
}
task<bool> chained_spawn() {
  std::atomic<int> run{0};
  spawn(chain(1000, run));
  while (run.load(std::memory_order_relaxed) != 1001) co_await yield_now();
  co_return true;
}

task<int> one() { co_return 1; }
task<bool> timeout_ready() {
  int sum = 0;
  for (int i = 0; i != 100000; ++i) sum += co_await timeout(1s, one());
  co_return sum == 100000;
}
task<bool> timeout_pending_yield() {
  for (int i = 0; i != 100000; ++i) co_await timeout(1s, yield_now());
  co_return true;
}

task<> sleeper(int i) { co_await sleep(std::chrono::milliseconds(1 + i % 10)); }
task<bool> sleep_fire_10k() {
  std::vector<join_handle<>> tasks;
  tasks.reserve(10000);
  for (int i = 0; i != 10000; ++i) tasks.push_back(spawn(sleeper(i)));
  const bool right = co_await join_all(std::move(tasks), 10000);
  co_return right;
}

task<bool> spawn_blocking_10k() {
  int sum = 0;
  for (int i = 0; i != 10000; ++i) {
    auto r = co_await spawn_blocking([] { return 1; });
    sum += std::move(r).value();
  }
  co_return sum == 10000;
}

task<std::uint64_t> fib(std::uint64_t n) {
  if (n < 2) co_return n;
  auto h = spawn(fib(n - 1));
  const std::uint64_t b = co_await fib(n - 2);
  auto a = co_await std::move(h);
  co_return std::move(a).value() + b;
}
task<bool> fib25() {
  auto r = co_await spawn(fib(25));
  co_return std::move(r).value() == 75025;
}

task<std::uint64_t> skynet(std::uint64_t number, std::uint64_t size) {
  if (size == 1) co_return number;
  std::vector<join_handle<std::uint64_t>> tasks;
  tasks.reserve(10);
  for (std::uint64_t i = 0; i != 10; ++i)
    tasks.push_back(spawn(skynet(number + i * (size / 10), size / 10)));
  std::uint64_t total = 0;
  for (auto& t : tasks) {
    auto r = co_await std::move(t);
    total += std::move(r).value();
  }
  co_return total;
}
task<bool> skynet_1e5() {
  auto r = co_await spawn(skynet(0, 100000));
  co_return std::move(r).value() == 4999950000;
}

runtime make(bool workers) {
  auto builder = runtime::builder();
  if (workers)
    builder.worker_threads(2);
  else
    builder.current_thread();
  return std::move(builder.build()).value();
}

using workload = task<bool> (*)();

task<bool> spawned(workload work) {
  auto r = co_await spawn(work());
  co_return std::move(r).value();
}

void measure(benchmark::State& state, bool workers, workload work, std::int64_t operations) {
  runtime rt = make(workers);
  for (auto _ : state) {
    if (!rt.block_on(spawned(work))) state.SkipWithError("wrong result");
  }
  state.SetItemsProcessed(state.iterations() * operations);
  state.counters["time_per_op"] =
      benchmark::Counter(static_cast<double>(state.iterations() * operations),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void spawn_remote(benchmark::State& state, bool workers) {
  runtime rt = make(workers);
  for (auto _ : state) {
    std::vector<join_handle<>> tasks;
    tasks.reserve(10000);
    for (int i = 0; i != 10000; ++i) tasks.push_back(rt.spawn(nothing()));
    if (!rt.block_on(join_all(std::move(tasks), 10000))) state.SkipWithError("wrong result");
  }
  state.counters["time_per_op"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * 10000,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

struct entry {
  const char* name;
  workload work;
  std::int64_t operations;
};

constexpr entry entries[] = {
    {"await_task", await_task, 1000000},
    {"spawn_join", spawn_join, 100000},
    {"spawn_many_join", spawn_many_join, 10000},
    {"yield", yield_200, 200000},
    {"chained_spawn", chained_spawn, 1000},
    {"timeout_ready", timeout_ready, 100000},
    {"timeout_pending_yield", timeout_pending_yield, 100000},
    {"sleep_fire_10k_tasks", sleep_fire_10k, 10000},
    {"spawn_blocking", spawn_blocking_10k, 10000},
    {"fib25_spawn", fib25, 242785},
    {"skynet_1e5", skynet_1e5, 111111},
};

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  for (const bool workers : {false, true}) {
    const std::string prefix = workers ? "mt/" : "ct/";
    for (const entry& e : entries)
      benchmark::RegisterBenchmark((prefix + e.name).c_str(), measure, workers, e.work,
                                   e.operations)
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
    benchmark::RegisterBenchmark((prefix + "spawn_remote").c_str(), spawn_remote, workers)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
