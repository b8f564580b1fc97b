// SPDX-License-Identifier: MIT
// A TCP echo server: sends back what it receives. Ctrl-C stops it.
//
//   echo_tcp [--listen ADDRESS:PORT] [--workers N | --current-thread]
#include <csignal>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include <kioto/kioto.hpp>

using namespace std::chrono_literals;
using kioto::task;

namespace {

struct options {
  std::string listen = "127.0.0.1:8080";
  unsigned workers = 0;  // 0: as many as the machine has processors
  bool current_thread = false;
};

std::atomic<std::uint64_t> connections{0};
std::atomic<std::uint64_t> bytes{0};

task<> echo(kioto::net::tcp_stream socket) {
  std::array<std::byte, 16384> buffer;
  for (;;) {
    const auto n = co_await socket.read(buffer);
    if (!n || *n == 0) break;
    const auto written = co_await socket.write_all(std::span(buffer).first(*n));
    if (!written) break;
    bytes.fetch_add(*n, std::memory_order_relaxed);
  }
}

task<kioto::result<void>> serve(std::string address) {
  auto listener = co_await kioto::or_return(kioto::net::tcp_listener::bind(address));
  const auto bound = listener.local_address();
  if (!bound) co_return bound.error();
  std::printf("listening on %s\n", bound->to_string().c_str());
  std::fflush(stdout);
  for (;;) {
    auto accepted = co_await listener.accept();
    if (accepted) {
      connections.fetch_add(1, std::memory_order_relaxed);
      (void)accepted->stream.set_nodelay(true);
      kioto::spawn(echo(std::move(accepted->stream)));
    } else if (kioto::is_transient(accepted.error())) {
      std::fprintf(stderr, "accept: %s\n", accepted.error().message().c_str());
      co_await kioto::sleep(10ms);
    } else {
      co_return accepted.error();
    }
  }
}

// Being stopped is how the server ends when all is well.
task<kioto::result<void>> until_stopped(kioto::join_handle<kioto::result<void>> server) {
  auto ended = co_await std::move(server);
  if (ended.is_cancelled()) co_return kioto::result<void>();
  co_return std::move(ended).value();
}

[[noreturn]] void usage(const char* problem) {
  std::fprintf(stderr,
               "%s\nusage: echo_tcp [--listen ADDRESS:PORT] [--workers N | --current-thread]\n",
               problem);
  std::exit(2);
}

options parse(int argc, char** argv) {
  options out;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--current-thread") {
      out.current_thread = true;
    } else if (name == "--listen" && i + 1 < argc) {
      out.listen = argv[++i];
    } else if (name == "--workers" && i + 1 < argc) {
      out.workers = static_cast<unsigned>(std::strtoul(argv[++i], nullptr, 10));
      if (out.workers == 0) usage("--workers needs a number from 1 on");
    } else {
      usage(("unknown or incomplete option: " + name).c_str());
    }
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const options wanted = parse(argc, argv);

  // Signals are for one thread that waits for them; all others are started with them blocked.
  sigset_t stop_signals;
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGINT);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &stop_signals, nullptr);

  auto builder = kioto::runtime::builder();
  if (wanted.workers != 0) builder.worker_threads(wanted.workers);
  if (wanted.current_thread) builder.current_thread();
  auto built = builder.build();
  if (!built) {
    std::fprintf(stderr, "cannot start: %s\n", built.error().message().c_str());
    return 1;
  }

  auto server = built->spawn(serve(wanted.listen));
  std::thread waiter([stop = server.abort_handle(), &stop_signals]() mutable {
    int signal = 0;
    sigwait(&stop_signals, &signal);
    stop.abort();
  });
  int status = 0;
  auto ended = built->block_on(until_stopped(std::move(server)));
  if (!ended) {
    std::fprintf(stderr, "%s: %s\n", wanted.listen.c_str(), ended.error().message().c_str());
    status = 1;
  }
  pthread_kill(waiter.native_handle(), SIGUSR1);
  waiter.join();
  std::printf("served %llu connections, %llu bytes\n",
              static_cast<unsigned long long>(connections.load()),
              static_cast<unsigned long long>(bytes.load()));
  return status;
}
