// SPDX-License-Identifier: MIT
// kioto_bench [Google Benchmark options]: the micro-benchmarks in the hands of Google Benchmark.
// For the comparison with other runtimes see json_main.cpp, whose counterpart they have.
#include <benchmark/benchmark.h>

#include "bench.hpp"

namespace {

void run(benchmark::State& state, const bench::entry& e, bench::flavours where) {
  kioto::runtime rt = bench::make_runtime(where);
  for (auto _ : state) {
    bench::sample found;
    if (!e.run(rt, found)) {
      state.SkipWithError("wrong result");
      break;
    }
    for (const auto& [metric, value] : found.values()) state.counters[metric] = value;
  }
  const double operations =
      static_cast<double>(state.iterations()) * static_cast<double>(e.operations);
  state.counters["time_per_op"] =
      benchmark::Counter(operations, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  for (const auto& [where, prefix] : bench::prefixes) {
    for (const bench::entry& e : bench::entries()) {
      if ((e.where & where) == 0) continue;
      auto* added =
          benchmark::RegisterBenchmark((prefix + std::string(e.name)).c_str(), run, e, where);
      added->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime();
      if (e.how != bench::effort::repeated) added->Iterations(1);
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
