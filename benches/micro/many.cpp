// SPDX-License-Identifier: MIT
// Very many tasks: what each costs, from 10^2 to 10^6, and what memory each takes.
#include <algorithm>

#include "bench.hpp"

using namespace kioto;
using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

namespace {

task<> nothing() { co_return; }
template <std::size_t Count>
task<bool> spawn_many() {
  std::vector<join_handle<>> tasks;
  tasks.reserve(Count);
  for (std::size_t i = 0; i != Count; ++i) tasks.push_back(spawn(nothing()));
  const bool right = co_await bench::join_all(std::move(tasks), Count);
  co_return right;
}

// What `count` tasks take of memory, now that there are so many more than at `before`. Nothing, if
// the process has had so many before: then it has kept the memory.
void set_bytes(bench::sample& found, std::size_t before, std::size_t count) {
  constexpr std::size_t fresh = 48u << 20;
  if (before < fresh)
    found.set("bytes",
              static_cast<double>(bench::resident_bytes() - before) / static_cast<double>(count));
}

// Sleeps of 50 to 149 ms. The time of a core that each costs is what counts here.
task<> sleeper(std::chrono::milliseconds length) { co_await sleep(length); }
template <std::size_t Count>
task<bool> sleep_many() {
  std::vector<join_handle<>> tasks;
  tasks.reserve(Count);
  for (std::size_t i = 0; i != Count; ++i) tasks.push_back(spawn(sleeper(50ms + i % 100 * 1ms)));
  const bool right = co_await bench::join_all(std::move(tasks), Count);
  co_return right;
}

// Each sleeps for a time between 1 ms and 1 s, from a fixed sequence, and writes down how late it
// came back: early, and the result is wrong.
task<> punctual(std::chrono::microseconds length, float& late_ms) {
  const auto deadline = clock_type::now() + length;
  co_await sleep_until(deadline);
  late_ms = std::chrono::duration<float, std::milli>(clock_type::now() - deadline).count();
}
task<bool> sleep_all(bench::sample& found) {
  constexpr std::size_t count = 1000000;
  std::vector<float> late(count, -1.0F);
  std::vector<join_handle<>> tasks(count);
  const std::size_t before = bench::resident_bytes();
  const auto begin = clock_type::now();
  std::uint32_t x = 1;
  for (std::size_t i = 0; i != count; ++i) {
    x = x * 1664525 + 1013904223;
    tasks[i] = spawn(punctual(std::chrono::microseconds(1000 + (x >> 8) % 999001), late[i]));
  }
  found.set("spawn_ms",
            std::chrono::duration<double, std::milli>(clock_type::now() - begin).count());
  set_bytes(found, before, count);
  const bool right = co_await bench::join_all(std::move(tasks), count);
  found.set("wall_ms",
            std::chrono::duration<double, std::milli>(clock_type::now() - begin).count());
  std::vector<double> sorted(late.begin(), late.end());
  std::sort(sorted.begin(), sorted.end());
  found.set("late_p50_ms", bench::percentile(sorted, 0.5));
  found.set("late_p99_ms", bench::percentile(sorted, 0.99));
  found.set("late_max_ms", sorted.back());
  co_return right&& sorted.front() >= 0;
}
bool sleep_1e6(runtime& rt, bench::sample& found) { return rt.block_on(sleep_all(found)); }

// Resident bytes of a task that sleeps for an hour. The end of the runtime ends them.
task<> sleeps_long() { co_await sleep(1h); }
task<> spawn_sleepers(std::size_t count) {
  for (std::size_t i = 0; i != count; ++i) spawn(sleeps_long());
  co_return;
}
bool sleeping_task_bytes(runtime& rt, bench::sample& found) {
  constexpr std::size_t count = 1000000;
  const std::size_t before = bench::resident_bytes();
  rt.block_on(spawn_sleepers(count));
  // With workers some of them may not have begun to sleep yet.
  rt.block_on(sleeper(500ms));
  set_bytes(found, before, count);
  return rt.metrics().tasks_alive == count;
}

template <std::size_t Count>
constexpr bench::effort effort_of = Count < 10000 ? bench::effort::repeated : bench::effort::heavy;
template <std::size_t Count>
bench::entry spawn_entry(const char* name) {
  return {name, Count, bench::spawned(spawn_many<Count>), bench::ct | bench::mt, effort_of<Count>};
}
template <std::size_t Count>
bench::entry sleep_entry(const char* name) {
  return {name, Count, bench::blocked_on(sleep_many<Count>), bench::ct | bench::mt,
          effort_of<Count * 100>};
}

const bench::group many{
    spawn_entry<100>("spawn_many_1e2"),
    spawn_entry<1000>("spawn_many_1e3"),
    spawn_entry<10000>("spawn_many_1e4"),
    spawn_entry<100000>("spawn_many_1e5"),
    spawn_entry<1000000>("spawn_many_1e6"),
    sleep_entry<100>("sleep_many_1e2"),
    sleep_entry<1000>("sleep_many_1e3"),
    sleep_entry<10000>("sleep_many_1e4"),
    sleep_entry<100000>("sleep_many_1e5"),
    sleep_entry<1000000>("sleep_many_1e6"),
    {"sleep_1e6", 1000000, sleep_1e6, bench::ct | bench::mt, bench::effort::once},
    {"mem_sleeping_task", 1000000, sleeping_task_bytes, bench::ct | bench::mt, bench::effort::once},
};

}  // namespace
