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
#include "support/stop_on_signal.hpp"

using namespace std::chrono_literals;
using namespace kioto;

namespace {

constexpr std::size_t longest_line = 1000;

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
  room(const options& wanted, cancellation_token end)
      : stop(std::move(end)),
        patience(wanted.patience),
        lines(sync::broadcast::channel<line>(wanted.backlog).first) {}

  void tell(std::uint64_t from, std::string text) {
    line next{from, std::move(text)};
    (void)lines.send(std::move(next));  // nobody may be there
  }

  const cancellation_token stop;
  const std::chrono::seconds patience;  // with a client that has no name, or takes nothing
  const sync::broadcast::sender<line> lines;
  std::atomic<std::uint64_t> clients{0};
  std::atomic<std::uint64_t> said{0};
};

/// What a client sends, line by line.
class line_reader {
 public:
  explicit line_reader(const net::tcp_stream& stream) : stream_(stream) {}

  task<result<std::string>> next() {
    for (;;) {
      const std::size_t end = pending_.find('\n');
      if (end != std::string::npos) {
        std::string text = pending_.substr(0, end);
        pending_.erase(0, end + 1);
        if (text.ends_with('\r')) text.pop_back();
        co_return text;
      }
      if (pending_.size() > longest_line) co_return errc::message_size;
      std::array<char, 1024> chunk;
      const std::size_t n = co_await or_return(stream_.read(chunk));
      if (n == 0) co_return error::unexpected_eof;
      pending_.append(chunk.data(), n);
    }
  }

 private:
  const net::tcp_stream& stream_;
  std::string pending_;
};

/// What the client says goes to all.
task<result<void>> hear(room& chat, line_reader& client, std::uint64_t id, std::string name) {
  for (;;) {
    const std::string text = co_await or_return(client.next());
    chat.said.fetch_add(1, std::memory_order_relaxed);
    chat.tell(id, name + ": " + text + "\n");
  }
}

/// What all say goes to the client.
task<result<void>> show(room& chat, sync::broadcast::receiver<line> lines,
                        const net::tcp_stream& client, std::uint64_t id) {
  for (;;) {
    auto hit = co_await select(biased, chat.stop.cancelled(), lines.recv());
    std::string text = "* the server ends\n";
    if (auto& news = hit.get<1>()) {
      if (*news && (*news)->from == id) continue;
      text = *news ? std::move((*news)->text)
                   : "* you missed " + std::to_string(news->missed()) + " lines\n";
    }
    co_await or_return(timeout(chat.patience, client.write_all(text)));
    if (hit.has<0>()) co_return {};
  }
}

task<> serve_client(room& chat, net::tcp_stream client) {
  line_reader reader(client);
  auto greeted = co_await client.write_all("your name? ");
  if (!greeted) co_return;
  auto name = co_await chat.stop.run_until_cancelled(timeout(chat.patience, reader.next()));
  if (!name || !*name || (*name)->empty()) co_return;

  const std::uint64_t id = chat.clients.fetch_add(1, std::memory_order_relaxed) + 1;
  auto lines = chat.lines.subscribe();
  chat.tell(0, "* " + **name + " is here\n");
  // Two branches of one task: they never run in parallel, and end together.
  auto ended =
      co_await when_any(hear(chat, reader, id, **name), show(chat, std::move(lines), client, id));
  (void)ended;
  chat.tell(id, "* " + **name + " has left\n");
}

task<result<void>> accept_clients(task_scope& clients, room& chat, net::tcp_listener listener) {
  for (;;) {
    auto accepted = co_await chat.stop.run_until_cancelled(listener.accept());
    if (!accepted) co_return {};  // the listener closes here, the clients have still to end
    if (*accepted) {
      clients.spawn(serve_client(chat, std::move((*accepted)->stream)));
    } else if (is_transient(accepted->error())) {
      co_await sleep(10ms);
    } else {
      co_return accepted->error();
    }
  }
}

task<result<void>> serve(options wanted, room& chat) {
  auto listener = co_await or_return(net::tcp_listener::bind(wanted.listen));
  const auto bound = listener.local_address();
  if (!bound) co_return bound.error();
  std::printf("listening on %s\n", bound->to_string().c_str());
  std::fflush(stdout);
  co_return co_await scope(
      [&](task_scope& clients) { return accept_clients(clients, chat, std::move(listener)); });
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
  const cancellation_token stop;
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
