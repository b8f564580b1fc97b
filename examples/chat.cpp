// SPDX-License-Identifier: MIT
// A chat server for telnet and nc: what one client says, all others hear. Ctrl-C stops it.
//
// Every client listens to one broadcast channel. It keeps a number of lines; a client that is
// further behind misses the oldest, and is told how many. Nobody waits for a slow client.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <string>

#include <kioto/kioto.hpp>

#include "support/command_line.hpp"
#include "support/line_reader.hpp"
#include "support/stop_on_signal.hpp"

using namespace std::chrono_literals;
using kioto::task;

namespace {

struct options {
  std::string listen = "127.0.0.1:8081";
  unsigned backlog = 256;
  unsigned patience = 10;  // seconds
};

struct line {
  std::uint64_t from = 0;  // who knows it already
  std::string text;
};

class room {
 public:
  room(const options& wanted, kioto::cancellation_token end)
      : stop(std::move(end)),
        patience(wanted.patience),
        lines(kioto::sync::broadcast::channel<line>(wanted.backlog).first) {}

  void tell(std::uint64_t from, std::string text) {
    line next{from, std::move(text)};
    (void)lines.send(std::move(next));  // nobody may be there
  }

  const kioto::cancellation_token stop;
  const std::chrono::seconds patience;  // with a client that has no name, or takes nothing
  const kioto::sync::broadcast::sender<line> lines;
  std::atomic<std::uint64_t> clients{0};
  std::atomic<std::uint64_t> said{0};
};

/// What the client says goes to all.
task<kioto::result<void>> hear(room& chat, line_reader& client, std::uint64_t id,
                               std::string name) {
  for (;;) {
    const std::string text = co_await kioto::or_return(client.next());
    chat.said.fetch_add(1, std::memory_order_relaxed);
    chat.tell(id, name + ": " + text + "\n");
  }
}

/// What all say goes to the client.
task<kioto::result<void>> show(room& chat, kioto::sync::broadcast::receiver<line> lines,
                               const kioto::net::tcp_stream& client, std::uint64_t id) {
  for (;;) {
    auto hit = co_await kioto::select(kioto::biased, chat.stop.cancelled(), lines.recv());
    std::string text;  // a line may have come together with the end
    if (auto& news = hit.get<1>()) {
      if (!*news)
        text = "* you missed " + std::to_string(news->missed()) + " lines\n";
      else if ((*news)->from != id)
        text = std::move((*news)->text);
    }
    if (hit.has<0>()) text += "* the server ends\n";
    co_await kioto::or_return(kioto::timeout(chat.patience, client.write_all(text)));
    if (hit.has<0>()) co_return {};
  }
}

task<> serve_client(room& chat, kioto::net::tcp_stream client) {
  line_reader reader(client);
  auto greeted = co_await client.write_all("your name? ");
  if (!greeted) co_return;
  auto name = co_await chat.stop.run_until_cancelled(kioto::timeout(chat.patience, reader.next()));
  if (!name || !*name || (*name)->empty()) co_return;

  const std::uint64_t id = chat.clients.fetch_add(1, std::memory_order_relaxed) + 1;
  auto lines = chat.lines.subscribe();
  chat.tell(0, "* " + **name + " is here\n");
  // Two branches of one task: they never run in parallel, and end together.
  auto ended = co_await kioto::when_any(hear(chat, reader, id, **name),
                                        show(chat, std::move(lines), client, id));
  (void)ended;
  if (!chat.stop.is_cancelled()) chat.tell(id, "* " + **name + " has left\n");
}

task<kioto::result<void>> accept_clients(kioto::task_scope& clients, room& chat,
                                         kioto::net::tcp_listener listener) {
  for (;;) {
    auto accepted = co_await chat.stop.run_until_cancelled(listener.accept());
    if (!accepted) co_return {};  // the listener closes here, the clients have still to end
    if (*accepted) {
      clients.spawn(serve_client(chat, std::move((*accepted)->stream)));
    } else if (kioto::is_transient(accepted->error())) {
      co_await kioto::sleep(10ms);
    } else {
      co_return accepted->error();
    }
  }
}

task<kioto::result<void>> serve(options wanted, room& chat) {
  auto listener = co_await kioto::or_return(kioto::net::tcp_listener::bind(wanted.listen));
  const auto bound = listener.local_address();
  if (!bound) co_return bound.error();
  std::printf("listening on %s\n", bound->to_string().c_str());
  std::fflush(stdout);
  co_return co_await kioto::scope([&](kioto::task_scope& clients) {
    return accept_clients(clients, chat, std::move(listener));
  });
}

options parse(int argc, char** argv) {
  options out;
  command_line given(argc, argv,
                     "usage: chat [--listen ADDRESS:PORT] [--backlog LINES] [--patience SECONDS]\n"
                     "  --listen    where to listen (127.0.0.1:8081)\n"
                     "  --backlog   lines that a client may be behind (256)\n"
                     "  --patience  for how long a client may take nothing (10)");
  given.text("--listen", out.listen);
  given.number("--backlog", out.backlog, 1, 65536);
  given.number("--patience", out.patience, 1, 86400);
  given.end();
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const options wanted = parse(argc, argv);
  const kioto::cancellation_token stop;
  const stop_on_signal signals(stop);
  room chat(wanted, stop);
  const auto ended = kioto::run(serve(wanted, chat));
  if (!ended) {
    std::fprintf(stderr, "%s: %s\n", wanted.listen.c_str(), ended.error().message().c_str());
    return 1;
  }
  std::printf("%llu clients said %llu lines\n",
              static_cast<unsigned long long>(chat.clients.load()),
              static_cast<unsigned long long>(chat.said.load()));
  return 0;
}
