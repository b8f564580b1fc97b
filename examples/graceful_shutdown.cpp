// SPDX-License-Identifier: MIT
// A server that ends gracefully. A client sends a line, waits while the server works on it, and
// gets "done". At SIGINT or SIGTERM the server
//
//   1. takes no more connections, and closes those that wait for nothing;
//   2. lets every request that is under way come to its end, for as long as --drain says;
//   3. aborts what is left then.
//
// A second signal ends it at once.
#include <array>
#include <atomic>
#include <cstdio>
#include <string>

#include <kioto/kioto.hpp>

#include "support/command_line.hpp"
#include "support/stop_on_signal.hpp"

using namespace std::chrono_literals;
using kioto::task;

namespace {

struct options {
  std::string listen = "127.0.0.1:8082";
  unsigned work = 200;    // milliseconds that a request takes
  unsigned drain = 5000;  // milliseconds that they have when the server ends
};

struct counts {
  std::atomic<unsigned> begun{0};
  std::atomic<unsigned> served{0};
  std::atomic<unsigned> aborted{0};
};

/// A request under way. Its destructor runs also if the task is aborted.
class request {
 public:
  explicit request(counts& of) : counts_(of) {
    std::printf("request %u begins\n", ++counts_.begun);
    std::fflush(stdout);
  }
  request(const request&) = delete;
  request& operator=(const request&) = delete;
  ~request() { ++(done_ ? counts_.served : counts_.aborted); }
  void done() noexcept { done_ = true; }

 private:
  counts& counts_;
  bool done_ = false;
};

/// Lives in main, beyond all tasks: so they may refer to it.
class service {
 public:
  explicit service(options with) : wanted(std::move(with)) {}

  const options wanted;
  const kioto::cancellation_token stop;
  const kioto::task_tracker connections;
  counts requests;
};

task<> serve_client(service& self, kioto::net::tcp_stream client) {
  std::array<char, 1024> line;
  for (;;) {
    // Between two requests the connection may go, in the middle of one it may not.
    auto n = co_await self.stop.run_until_cancelled(client.read(line));
    if (!n || !*n || **n == 0) co_return;
    request current(self.requests);
    co_await kioto::sleep(std::chrono::milliseconds(self.wanted.work));
    auto written = co_await client.write_all("done\n");
    if (!written) co_return;
    current.done();
  }
}

task<kioto::result<void>> accept_clients(service& self, kioto::net::tcp_listener listener) {
  for (;;) {
    auto accepted = co_await self.stop.run_until_cancelled(listener.accept());
    if (!accepted) co_return {};
    if (*accepted) {
      self.connections.spawn(serve_client(self, std::move((*accepted)->stream)));
    } else if (kioto::is_transient(accepted->error())) {
      co_await kioto::sleep(10ms);
    } else {
      co_return accepted->error();
    }
  }
}

task<kioto::result<void>> serve(service& self) {
  auto listener = co_await kioto::or_return(kioto::net::tcp_listener::bind(self.wanted.listen));
  const auto bound = listener.local_address();
  if (!bound) co_return bound.error();
  std::printf("listening on %s\n", bound->to_string().c_str());
  std::fflush(stdout);

  co_await kioto::or_return(accept_clients(self, std::move(listener)));

  std::printf("draining %zu connections\n", self.connections.size());
  std::fflush(stdout);
  self.connections.close();
  auto hit = co_await kioto::select(self.connections.wait(),
                                    kioto::sleep(std::chrono::milliseconds(self.wanted.drain)));
  if (!hit.has<0>()) std::printf("%zu connections are left\n", self.connections.size());
  co_return {};
}

options parse(int argc, char** argv) {
  options out;
  command_line given(argc, argv,
                     "usage: graceful_shutdown [--listen ADDRESS:PORT] [--work MS] [--drain MS]\n"
                     "  --listen  where to listen (127.0.0.1:8082)\n"
                     "  --work    milliseconds that a request takes (200)\n"
                     "  --drain   milliseconds that requests have when the server ends (5000)");
  given.text("--listen", out.listen);
  given.number("--work", out.work, 0, 3600000);
  given.number("--drain", out.drain, 0, 3600000);
  given.end();
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  service self(parse(argc, argv));
  const stop_on_signal signals(self.stop);
  // The runtime that run() makes ends with it, and aborts and awaits what is left.
  const auto ended = kioto::run(serve(self));
  if (!ended) {
    std::fprintf(stderr, "%s: %s\n", self.wanted.listen.c_str(), ended.error().message().c_str());
    return 1;
  }
  std::printf("%u requests served, %u aborted\n", self.requests.served.load(),
              self.requests.aborted.load());
  return 0;
}
