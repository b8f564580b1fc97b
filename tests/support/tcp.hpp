// SPDX-License-Identifier: MIT
#pragma once

#include <utility>
#include <vector>

#include <kioto/kioto.hpp>

namespace kioto_test {

/// A listener on the loopback interface, at a port that the system chose.
inline kioto::task<kioto::net::tcp_listener> listen_somewhere() {
  const kioto::net::socket_address anywhere(kioto::net::ip_address_v4::loopback(), 0);
  co_return co_await kioto::or_throw(kioto::net::tcp_listener::bind(anywhere));
}

/// Two connected streams, and the listener through which they met.
struct tcp_pair {
  kioto::net::tcp_listener listener;
  kioto::net::tcp_stream a;
  kioto::net::tcp_stream b;
};

inline kioto::task<tcp_pair> connected_pair() {
  auto listener = co_await listen_somewhere();
  const auto address = listener.local_address().value();
  auto a = co_await kioto::or_throw(kioto::net::tcp_stream::connect(address));
  auto accepted = co_await kioto::or_throw(listener.accept());
  co_return tcp_pair{std::move(listener), std::move(a), std::move(accepted.stream)};
}

/// Writes until the stream would block.
inline void fill(const kioto::net::tcp_stream& stream) {
  const std::vector<char> block(1 << 16);
  while (stream.try_write(block)) {
  }
}

}  // namespace kioto_test
