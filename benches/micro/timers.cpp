// SPDX-License-Identifier: MIT
// Sleeping and timeouts.
#include <kioto/when_any.hpp>

#include "bench.hpp"

using namespace kioto;
using namespace std::chrono_literals;

namespace {

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

// Arms 10^5 sleeps of one task, and takes them back: the last one in the row is due already.
// Tokio's side polls each future once and drops it.
task<bool> sleep_insert_cancel() {
  constexpr std::size_t count = 100000;
  std::vector<decltype(sleep(1s))> sleeps;
  sleeps.reserve(count + 1);
  for (std::size_t i = 0; i != count; ++i) sleeps.push_back(sleep(1000ms + i % 60000 * 1ms));
  sleeps.push_back(sleep_until(std::chrono::steady_clock::time_point()));
  const auto first = co_await when_any(std::move(sleeps));
  co_return first.index() == count;
}

task<> sleeper(int i) { co_await sleep(std::chrono::milliseconds(1 + i % 10)); }
task<bool> sleep_fire_10k() {
  std::vector<join_handle<>> tasks;
  tasks.reserve(10000);
  for (int i = 0; i != 10000; ++i) tasks.push_back(spawn(sleeper(i)));
  const bool right = co_await bench::join_all(std::move(tasks), 10000);
  co_return right;
}

const bench::group timers{
    {"timeout_ready", 100000, bench::spawned(timeout_ready)},
    {"timeout_pending_yield", 100000, bench::spawned(timeout_pending_yield)},
    {"sleep_insert_cancel_100k", 100000, bench::spawned(sleep_insert_cancel)},
    {"sleep_fire_10k_tasks", 10000, bench::blocked_on(sleep_fire_10k)},
};

}  // namespace
