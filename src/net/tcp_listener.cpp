// SPDX-License-Identifier: MIT
#include <kioto/net/tcp_listener.hpp>

#include <utility>

#include "net/lookup.hpp"

namespace kioto::net {

result<accepted_connection> tcp_listener::take(detail::reactor& driver, int fd) noexcept {
  socket_address peer;
  const detail::sys::io_result taken = detail::accept(fd, peer);
  if (!taken.ok()) return taken.code();
  auto stream = tcp_stream::adopt(driver, detail::unique_fd(taken.fd()));
  if (!stream) return stream.error();
  return accepted_connection(std::move(*stream), peer);
}

detail::io_step accept_operation::perform(int fd, ready) noexcept {
  auto taken = tcp_listener::take(source().registration().driver(), fd);
  if (!taken) return failed(detail::io_error(taken.error()));
  accepted_.emplace(std::move(*taken));
  return detail::io_step::done;
}

task<result<tcp_listener>> tcp_listener::bind(socket_address address) {
  detail::reactor& driver = detail::current_reactor("net::tcp_listener::bind");
  auto fd = detail::open_tcp_listener(address);
  if (!fd) co_return fd.error();
  auto source = detail::io_source::create(driver, std::move(*fd), ready());
  if (!source) co_return source.error();
  co_return tcp_listener(std::move(*source));
}

task<result<tcp_listener>> tcp_listener::bind(std::string host_and_port) {
  return detail::at_first_that_works<tcp_listener>(std::move(host_and_port), &tcp_listener::bind);
}

result<tcp_listener> tcp_listener::from_native(int fd) {
  detail::reactor& driver = detail::current_reactor("net::tcp_listener::from_native");
  if (const auto fits = detail::check_tcp_socket(fd); !fits) return fits.error();
  const auto listening = detail::is_listening(fd);
  if (!listening) return listening.error();
  if (!*listening) return std::errc::invalid_argument;
  auto source = detail::io_source::from_native(driver, fd, ready());
  if (!source) return source.error();
  return tcp_listener(std::move(*source));
}

result<accepted_connection> tcp_listener::try_accept() const noexcept {
  return detail::try_io_now(source_, interest::readable(), [this]() noexcept {
    return take(source_.registration().driver(), source_.fd());
  });
}

result<socket_address> tcp_listener::local_address() const noexcept {
  return detail::local_address(source_.fd());
}

}  // namespace kioto::net
