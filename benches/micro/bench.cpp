// SPDX-License-Identifier: MIT
#include "bench.hpp"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace bench {

namespace {
std::vector<entry>& registry() {
  static std::vector<entry> all;
  return all;
}
}  // namespace

const std::vector<entry>& entries() { return registry(); }

kioto::runtime make_runtime(flavours where) {
  auto builder = kioto::runtime::builder();
  if (where == ct)
    builder.current_thread();
  else
    builder.worker_threads(where == mt ? 2 : 1);
  return std::move(builder.build()).value();
}

group::group(std::initializer_list<entry> entries) {
  registry().insert(registry().end(), entries.begin(), entries.end());
}

namespace {
kioto::task<bool> in_a_task(kioto::task<bool> (*work)()) {
  auto joined = co_await kioto::spawn(work());
  co_return std::move(joined).value();
}
}  // namespace

std::function<bool(kioto::runtime&, sample&)> spawned(kioto::task<bool> (*work)()) {
  return [work](kioto::runtime& rt, sample&) { return rt.block_on(in_a_task(work)); };
}

kioto::task<bool> join_all(std::vector<kioto::join_handle<>> tasks, std::size_t expected) {
  std::size_t ended = 0;
  for (auto& t : tasks) {
    const auto joined = co_await std::move(t);
    ended += joined.has_value() ? 1 : 0;
  }
  co_return ended == expected;
}

std::chrono::nanoseconds cpu_time() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

std::size_t resident_bytes() {
  std::size_t total = 0;
  std::size_t resident = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file != nullptr) {
    if (std::fscanf(file, "%zu %zu", &total, &resident) != 2) resident = 0;
    std::fclose(file);
  }
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

double percentile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return 0;
  const auto at = static_cast<std::size_t>(share * static_cast<double>(sorted.size()));
  return sorted[std::min(at, sorted.size() - 1)];
}

}  // namespace bench
