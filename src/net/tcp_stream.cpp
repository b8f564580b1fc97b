// SPDX-License-Identifier: MIT
#include <kioto/net/tcp_stream.hpp>

#include <utility>

#include "net/lookup.hpp"

namespace kioto::net {
namespace {

// The initial readiness of an accepted or connected socket: it may be tried at once.
constexpr ready optimistic = ready::readable() | ready::writable();

}  // namespace

task<result<tcp_stream>> tcp_stream::connect(socket_address peer) {
  detail::reactor& driver = detail::current_reactor("net::tcp_stream::connect");
  auto fd = detail::open_tcp(peer.family());
  if (!fd) co_return fd.error();
  // Connects before registering: a socket that is not connecting yet would be reported as hung up.
  const auto begun = detail::start_connect(fd->get(), peer);
  if (!begun) co_return begun.error();
  bool connected = *begun == detail::connect_state::connected;
  auto source =
      detail::io_source::create(driver, std::move(*fd), connected ? optimistic : net::ready());
  if (!source) co_return source.error();
  while (!connected) {
    const auto event = co_await detail::readiness_operation<void>(*source, interest::writable());
    if (!event) co_return event.error();
    const detail::ready_event seen = source->registration().readiness(interest::writable().mask());
    const auto state = detail::finish_connect(source->fd());
    if (!state) co_return state.error();
    connected = *state == detail::connect_state::connected;
    if (!connected) source->registration().clear_readiness(seen, interest::writable());
  }
  co_return tcp_stream(std::move(*source));
}

task<result<tcp_stream>> tcp_stream::connect(std::string host_and_port) {
  return detail::at_first_that_works<tcp_stream>(std::move(host_and_port), &tcp_stream::connect);
}

result<tcp_stream> tcp_stream::adopt(detail::reactor& driver, detail::unique_fd fd) noexcept {
  auto source = detail::io_source::create(driver, std::move(fd), optimistic);
  if (!source) return source.error();
  return tcp_stream(std::move(*source));
}

result<tcp_stream> tcp_stream::from_native(int fd) {
  detail::reactor& driver = detail::current_reactor("net::tcp_stream::from_native");
  if (const auto fits = detail::check_tcp_socket(fd); !fits) return fits.error();
  if (const auto peer = detail::peer_address(fd); !peer) return peer.error();
  auto source = detail::io_source::from_native(driver, fd, optimistic);
  if (!source) return source.error();
  return tcp_stream(std::move(*source));
}

result<std::size_t> tcp_stream::try_read(mutable_buffer into) const noexcept {
  if (into.empty()) return std::size_t{0};
  return try_io(interest::readable(), [&]() noexcept -> result<std::size_t> {
    const auto r = detail::recv(source_.fd(), into);
    if (!r.ok()) return r.code();
    return r.count();
  });
}

result<std::size_t> tcp_stream::try_write(const_buffer from) const noexcept {
  if (from.empty()) return std::size_t{0};
  return try_io(interest::writable(), [&]() noexcept -> result<std::size_t> {
    const auto r = detail::send(source_.fd(), from);
    if (!r.ok()) return r.code();
    return r.count();
  });
}

result<void> tcp_stream::shutdown(shutdown_how how) const noexcept {
  auto done = detail::shutdown(source_.fd(), how);
  if (!done && done.error() == std::errc::not_connected) return {};
  return done;
}

result<socket_address> tcp_stream::local_address() const noexcept {
  return detail::local_address(source_.fd());
}
result<socket_address> tcp_stream::peer_address() const noexcept {
  return detail::peer_address(source_.fd());
}

}  // namespace kioto::net
