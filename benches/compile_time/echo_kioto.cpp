// SPDX-License-Identifier: MIT
#ifdef NARROW
#include <kioto/net/tcp_listener.hpp>
#include <kioto/or_return.hpp>
#include <kioto/runtime.hpp>
#include <kioto/spawn.hpp>
#else
#include <kioto/kioto.hpp>
#endif

#include <array>

using namespace kioto;

task<> echo(net::tcp_stream socket) {
  std::array<char, 4096> buffer;
  for (;;) {
    auto n = co_await socket.read(buffer);
    if (!n || *n == 0) co_return;
    auto written = co_await socket.write_all(const_buffer(buffer).first(*n));
    if (!written) co_return;
  }
}

task<result<void>> serve() {
  auto listener = co_await or_return(net::tcp_listener::bind("127.0.0.1:8080"));
  for (;;) {
    auto accepted = co_await or_return(listener.accept());
    spawn(echo(std::move(accepted.stream)));
  }
}

int main() { return kioto::run(serve()) ? 0 : 1; }
