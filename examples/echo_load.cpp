// SPDX-License-Identifier: MIT
// A load for echo servers: each connection sends a message, waits for its echo, and sends the next.
//
//   echo_load ADDRESS:PORT [--connections N] [--bytes N] [--seconds S]
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <kioto/kioto.hpp>

using kioto::task;
using std::chrono::steady_clock;

namespace {

struct options {
  std::string server;
  unsigned connections = 50;
  unsigned bytes = 64;
  double seconds = 5;
};

using latencies = std::vector<std::uint32_t>;  // of each request, in units of 100 ns

task<kioto::result<latencies>> client(std::string server, unsigned bytes,
                                      steady_clock::time_point end) {
  auto stream = co_await kioto::or_return(kioto::net::tcp_stream::connect(server));
  (void)stream.set_nodelay(true);
  std::vector<char> sent(bytes);
  std::vector<char> got(bytes);
  latencies out;
  unsigned char next = 1;
  for (auto now = steady_clock::now(); now < end;) {
    std::fill(sent.begin(), sent.end(), static_cast<char>(next++));
    co_await kioto::or_return(stream.write_all(sent));
    co_await kioto::or_return(stream.read_exact(got));
    if (got != sent) co_return std::errc::bad_message;
    const auto done = steady_clock::now();
    const auto took =
        std::chrono::duration_cast<std::chrono::nanoseconds>(done - now).count() / 100;
    out.push_back(static_cast<std::uint32_t>(std::min<std::int64_t>(took, UINT32_MAX)));
    now = done;
  }
  co_return out;
}

task<int> load(options wanted) {
  const auto begin = steady_clock::now();
  const auto length = std::chrono::duration<double>(wanted.seconds);
  const auto end = begin + std::chrono::duration_cast<steady_clock::duration>(length);
  std::vector<kioto::join_handle<kioto::result<latencies>>> clients;
  for (unsigned i = 0; i != wanted.connections; ++i)
    clients.push_back(kioto::spawn(client(wanted.server, wanted.bytes, end)));
  latencies all;
  std::error_code failure;
  for (auto& c : clients) {
    auto joined = co_await std::move(c);
    auto one = std::move(joined).value();
    if (one)
      all.insert(all.end(), one->begin(), one->end());
    else
      failure = one.error();
  }
  const double took = std::chrono::duration<double>(steady_clock::now() - begin).count();
  if (failure) {
    std::fprintf(stderr, "%s: %s\n", wanted.server.c_str(), failure.message().c_str());
    co_return 1;
  }
  if (all.empty()) {
    std::fprintf(stderr, "no request was answered\n");
    co_return 1;
  }
  std::sort(all.begin(), all.end());
  const auto percentile = [&all](double share) {
    const auto at = static_cast<std::size_t>(share * static_cast<double>(all.size()));
    return static_cast<double>(all[std::min(at, all.size() - 1)]) / 10;
  };
  std::printf("%u connections, %u bytes, %.2f s: %zu requests\n", wanted.connections, wanted.bytes,
              took, all.size());
  std::printf("requests/s %.0f  p50 %.1f us  p99 %.1f us  p99.9 %.1f us\n",
              static_cast<double>(all.size()) / took, percentile(0.5), percentile(0.99),
              percentile(0.999));
  co_return 0;
}

[[noreturn]] void usage(const char* problem) {
  std::fprintf(stderr,
               "%s\nusage: echo_load ADDRESS:PORT [--connections N] [--bytes N] [--seconds S]\n"
               "N from 1 to 1000000, S from 0.01 to 3600\n",
               problem);
  std::exit(2);
}

unsigned count(const char* text) {
  const unsigned long value = std::strtoul(text, nullptr, 10);
  if (value == 0 || value > 1000000) usage("a number is out of range");
  return static_cast<unsigned>(value);
}

options parse(int argc, char** argv) {
  options out;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name.rfind("--", 0) != 0 && out.server.empty()) {
      out.server = name;
    } else if (i + 1 == argc) {
      usage(("unknown or incomplete option: " + name).c_str());
    } else if (name == "--connections") {
      out.connections = count(argv[++i]);
    } else if (name == "--bytes") {
      out.bytes = count(argv[++i]);
    } else if (name == "--seconds") {
      out.seconds = std::strtod(argv[++i], nullptr);
      if (!(out.seconds >= 0.01 && out.seconds <= 3600)) usage("--seconds is out of range");
    } else {
      usage(("unknown or incomplete option: " + name).c_str());
    }
  }
  if (out.server.empty()) usage("the address of the server is missing");
  return out;
}

}  // namespace

int main(int argc, char** argv) { return kioto::run(load(parse(argc, argv))); }
