// SPDX-License-Identifier: MIT
#pragma once

// The harness of the micro-benchmarks. Its counterpart for Tokio, peers/tokio/src/bench.rs,
// measures in the same way, takes the same arguments and prints the same lines, so that one report
// reads both.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <kioto/kioto.hpp>

namespace bench {

/// What one repetition has found, beside the time it took.
class sample {
 public:
  /// A figure of its own, whose unit ends its name: `p50_us`, `bytes`. `ns` and `cpu_ns` take the
  /// places of the time of the whole call.
  void set(std::string_view metric, double value) { values_.emplace_back(metric, value); }

  [[nodiscard]] const std::vector<std::pair<std::string, double>>& values() const {
    return values_;
  }

 private:
  std::vector<std::pair<std::string, double>> values_;
};

/// Where a benchmark runs; each becomes a prefix of its name.
enum flavours : unsigned {
  ct = 1,   ///< "ct/", the current-thread runtime
  mt = 2,   ///< "mt/", two workers
  mt1 = 4,  ///< "mt1/", one worker
};

/// How often a benchmark is repeated in one run of the program.
enum class effort {
  repeated,  ///< warm-ups and repetitions as the command line says
  heavy,     ///< takes long: at most one warm-up, and one repetition
  once,      ///< says itself what it measures: no warm-up, one repetition
};

/// One benchmark: does `operations` operations, and says whether its result was right.
struct entry {
  const char* name;
  std::uint64_t operations;
  std::function<bool(kioto::runtime&, sample&)> run;
  unsigned where = ct | mt;
  effort how = effort::repeated;
};

/// Registers benchmarks, from a static object.
class group {
 public:
  group(std::initializer_list<entry> entries);
};

/// Runs a task in `block_on`, like `rt.block_on(async { … })`.
inline std::function<bool(kioto::runtime&, sample&)> blocked_on(kioto::task<bool> (*work)()) {
  return [work](kioto::runtime& rt, sample&) { return rt.block_on(work()); };
}

/// Runs it in a task of its own, like `rt.block_on(async { spawn(async { … }).await })`.
std::function<bool(kioto::runtime&, sample&)> spawned(kioto::task<bool> (*work)());

/// Joins all; true if `expected` of them ended with a value.
kioto::task<bool> join_all(std::vector<kioto::join_handle<>> tasks, std::size_t expected);

/// CPU time of this process, all threads.
std::chrono::nanoseconds cpu_time();
/// Resident memory of this process, in bytes.
std::size_t resident_bytes();
/// The value below which `share` of the sorted values lie.
double percentile(const std::vector<double>& sorted, double share);

}  // namespace bench
