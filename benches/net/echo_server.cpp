// SPDX-License-Identifier: MIT
// kioto_bench_echo PORT WORKERS [echo | idle | blocker | probe]
//
// The TCP echo server that is measured beside those in benches/peers: the same arguments, the same
// buffer of 64 KiB, TCP_NODELAY. WORKERS 0 is the current-thread runtime.
//
//   echo     each connection has its buffer
//   idle     a connection that waits has none: it waits for readiness, then reads on the stack
//   blocker  as echo, beside a task that blocks its worker for 2 ms every 20 ms
//   probe    only builds the runtime: does KIOTO_BACKEND work here?
#include <sys/resource.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include <kioto/kioto.hpp>

using namespace kioto;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t buffer_size = 65536;

task<> echo(net::tcp_stream socket) {
  std::array<std::byte, buffer_size> buffer;
  for (;;) {
    const auto n = co_await socket.read(buffer);
    if (!n || *n == 0) co_return;
    const auto written = co_await socket.write_all(std::span(buffer).first(*n));
    if (!written) co_return;
  }
}

// Echoes what is there; false when the connection has ended.
bool echo_now(net::tcp_stream& socket) {
  std::array<std::byte, buffer_size> buffer;
  const auto n = socket.try_read(buffer);
  if (!n) return n.error() == std::errc::operation_would_block;
  if (*n == 0) return false;
  const auto written = socket.try_write(std::span(buffer).first(*n));
  return written && *written == *n;  // the load sends one byte, and waits for it
}
task<> echo_when_ready(net::tcp_stream socket) {
  for (;;) {
    const auto ready = co_await socket.readable();
    if (!ready || !echo_now(socket)) co_return;
  }
}

task<> block_again_and_again() {
  for (;;) {
    const auto until = std::chrono::steady_clock::now() + 2ms;
    while (std::chrono::steady_clock::now() < until) {
    }
    co_await sleep(18ms);
  }
}

task<result<void>> serve(std::string address, std::string_view mode) {
  auto listener = co_await or_return(net::tcp_listener::bind(address));
  if (mode == "blocker") spawn(block_again_and_again());
  for (;;) {
    auto accepted = co_await listener.accept();
    if (!accepted) {
      if (is_transient(accepted.error())) continue;
      co_return accepted.error();
    }
    (void)accepted->stream.set_nodelay(true);
    if (mode == "idle")
      spawn(echo_when_ready(std::move(accepted->stream)));
    else
      spawn(echo(std::move(accepted->stream)));
  }
}

void allow_many_descriptors() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::fprintf(stderr, "usage: kioto_bench_echo PORT WORKERS [echo | idle | blocker | probe]\n");
    return 2;
  }
  allow_many_descriptors();
  auto builder = runtime::builder();
  const auto workers = static_cast<unsigned>(std::strtoul(argv[2], nullptr, 10));
  if (workers == 0)
    builder.current_thread();
  else
    builder.worker_threads(workers);
  auto built = builder.build();
  if (!built) {
    std::fprintf(stderr, "cannot start: %s\n", built.error().message().c_str());
    return 1;
  }
  const std::string_view mode = argc > 3 ? argv[3] : "echo";
  if (mode == "probe") return 0;
  const auto served = built->block_on(serve(std::string("127.0.0.1:") + argv[1], mode));
  std::fprintf(stderr, "%s\n", served ? "ended" : served.error().message().c_str());
  return 1;
}
