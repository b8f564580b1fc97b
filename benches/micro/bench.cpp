// SPDX-License-Identifier: MIT
// kioto_bench_micro [--list] [--exact] [--reps N] [--warmup N] [PATTERN…]
//
// Prints one JSON line per benchmark whose name contains a pattern (all without one; with --exact,
// is one): the figures as [median, minimum, maximum] of the repetitions. The status is 1 if a
// result was wrong.
#include "bench.hpp"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>

namespace bench {
namespace {

std::vector<entry>& registry() {
  static std::vector<entry> all;
  return all;
}

struct options {
  bool list = false;
  bool exact = false;
  bool light = false;
  unsigned repetitions = 15;
  unsigned warmups = 2;
  std::vector<std::string> patterns;

  [[nodiscard]] bool selects(const std::string& name, const entry& e) const {
    if (light && e.how != effort::repeated) return false;
    if (patterns.empty()) return true;
    return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& p) {
      return exact ? name == p : name.find(p) != std::string::npos;
    });
  }
};

constexpr std::pair<flavours, const char*> prefixes[] = {{ct, "ct/"}, {mt, "mt/"}, {mt1, "mt1/"}};

kioto::runtime make(flavours where) {
  auto builder = kioto::runtime::builder();
  if (where == ct)
    builder.current_thread();
  else
    builder.worker_threads(where == mt ? 2 : 1);
  return std::move(builder.build()).value();
}

void print(const std::string& name, const entry& e, std::size_t repetitions,
           std::map<std::string, std::vector<double>>& figures) {
  std::printf(R"({"bench":"%s","ops":%llu,"reps":%zu,"metrics":{)", name.c_str(),
              static_cast<unsigned long long>(e.operations), repetitions);
  const char* separator = "";
  for (auto& [metric, values] : figures) {
    std::sort(values.begin(), values.end());
    std::printf(R"(%s"%s":[%.2f,%.2f,%.2f])", separator, metric.c_str(), values[values.size() / 2],
                values.front(), values.back());
    separator = ",";
  }
  std::printf("}}\n");
  std::fflush(stdout);
}

bool fail(const std::string& name, const char* why) {
  std::printf(R"({"bench":"%s","error":"%s"})"
              "\n",
              name.c_str(), why);
  std::fflush(stdout);
  return false;
}

bool measure(const std::string& name, const entry& e, flavours where, const options& wanted) {
  using clock = std::chrono::steady_clock;
  kioto::runtime rt = make(where);
  const unsigned warmups = e.how == effort::once    ? 0
                           : e.how == effort::heavy ? std::min(1U, wanted.warmups)
                                                    : wanted.warmups;
  const unsigned repetitions = e.how == effort::repeated ? wanted.repetitions : 1;
  const auto operations = static_cast<double>(e.operations);
  std::map<std::string, std::vector<double>> figures;
  for (unsigned i = 0; i != warmups + repetitions; ++i) {
    sample found;
    const auto cpu_before = cpu_time();
    const auto before = clock::now();
    const bool right = e.run(rt, found);
    std::map<std::string, double> values = {
        {"ns", static_cast<double>(std::chrono::nanoseconds(clock::now() - before).count())},
        {"cpu_ns", static_cast<double>((cpu_time() - cpu_before).count())},
    };
    if (!right) return fail(name, "wrong result");
    if (i < warmups) continue;
    for (const auto& [metric, value] : found.values()) values[metric] = value;
    for (const auto& [metric, value] : values) {
      const bool per_operation = metric == "ns" || metric == "cpu_ns";
      figures[per_operation ? metric + "_per_op" : metric].push_back(
          per_operation ? value / operations : value);
    }
  }
  print(name, e, repetitions, figures);
  return true;
}

[[noreturn]] void usage() {
  std::fputs(
      "usage: kioto_bench_micro [--list] [--exact] [--light] [--reps N] [--warmup N] [PATTERN...]\n"
      "N from 0 (--warmup) or 1 (--reps) to 1000\n",
      stderr);
  std::exit(2);
}

unsigned number(const char* text, unsigned least) {
  char* end = nullptr;
  const unsigned long value = text != nullptr ? std::strtoul(text, &end, 10) : 0;
  if (end == text || *end != '\0' || value < least || value > 1000) usage();
  return static_cast<unsigned>(value);
}

options parse(char** argument) {
  options out;
  while (*argument != nullptr) {
    const std::string_view name = *argument++;
    if (name == "--list")
      out.list = true;
    else if (name == "--exact")
      out.exact = true;
    else if (name == "--light")
      out.light = true;
    else if (name == "--reps")
      out.repetitions = number(*argument == nullptr ? nullptr : *argument++, 1);
    else if (name == "--warmup")
      out.warmups = number(*argument == nullptr ? nullptr : *argument++, 0);
    else if (name.starts_with("-"))
      usage();
    else
      out.patterns.emplace_back(name);
  }
  return out;
}

}  // namespace

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

int main(int, char** argv) {
  const bench::options wanted = bench::parse(argv + 1);
  bool all_right = true;
  bool any = false;
  for (const auto& [where, prefix] : bench::prefixes) {
    for (const bench::entry& e : bench::registry()) {
      const std::string name = std::string(prefix) + e.name;
      if ((e.where & where) == 0 || !wanted.selects(name, e)) continue;
      any = true;
      if (wanted.list)
        std::printf("%s\n", name.c_str());
      else
        all_right = bench::measure(name, e, where, wanted) && all_right;
    }
  }
  if (!any) {
    std::fputs("no benchmark has such a name\n", stderr);
    return 2;
  }
  return all_right ? 0 : 1;
}
