// SPDX-License-Identifier: MIT
#include "support/catch.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <chrono>
#include <kioto/detail/net/socket.hpp>
#include <string>
#include <vector>

namespace d = kioto::detail;
namespace sys = kioto::detail::sys;
using namespace std::chrono_literals;
using kioto::const_buffer;
using kioto::errc;
using kioto::mutable_buffer;
using kioto::net::ip_address_v4;
using kioto::net::ip_address_v6;
using kioto::net::ip_family;
using kioto::net::socket_address;

namespace {

static_assert(!std::is_copy_constructible_v<d::unique_fd>);
static_assert(std::is_nothrow_move_constructible_v<d::unique_fd>);

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

bool is_nonblocking(int fd) { return (::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0; }

void wait_for(int fd, short events) {
  ::pollfd entry{fd, events, 0};
  REQUIRE(::poll(&entry, 1, 5000) == 1);
}

const socket_address loopback(ip_address_v4::loopback(), 0);

// A connected pair on the loopback interface.
struct connection {
  connection() {
    auto opened = d::open_tcp_listener(loopback);
    REQUIRE(opened);
    listener = std::move(*opened);
    const auto address = d::local_address(listener.get());
    REQUIRE(address);
    auto socket = d::open_tcp(ip_family::v4);
    REQUIRE(socket);
    client = std::move(*socket);
    const auto started = d::start_connect(client.get(), *address);
    REQUIRE(started);
    if (*started == d::connect_state::in_progress) wait_for(client.get(), POLLOUT);
    REQUIRE(d::finish_connect(client.get()) == d::connect_state::connected);
    wait_for(listener.get(), POLLIN);
    const auto accepted = d::accept(listener.get(), peer);
    REQUIRE(accepted.ok());
    server = d::unique_fd(accepted.fd());
  }
  d::unique_fd listener;
  d::unique_fd client;
  d::unique_fd server;
  socket_address peer;
};

}  // namespace

TEST_CASE("unique_fd closes its descriptor exactly once", "[socket]") {
  const int raw = ::dup(0);
  REQUIRE(raw >= 0);
  {
    d::unique_fd a(raw);
    d::unique_fd b(std::move(a));
    CHECK_FALSE(a);
    CHECK(b.get() == raw);
    d::unique_fd c;
    c = std::move(b);
    CHECK(is_open(raw));
    auto& self = c;
    c = std::move(self);
    CHECK(c.get() == raw);
  }
  CHECK_FALSE(is_open(raw));
  d::unique_fd d1(::dup(0));
  const int kept = d1.release();
  d1.reset();
  CHECK(is_open(kept));
  d1.reset(kept);
  d1.reset();
  CHECK_FALSE(is_open(kept));
}

TEST_CASE("a connection carries bytes both ways", "[socket]") {
  connection pair;
  CHECK(d::local_address(pair.client.get()) == pair.peer);
  CHECK(d::peer_address(pair.client.get()) == d::local_address(pair.server.get()).value());
  CHECK(pair.peer.ip() == ip_address_v4::loopback());

  CHECK(is_nonblocking(pair.server.get()));
  CHECK((::fcntl(pair.server.get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(is_nonblocking(pair.client.get()));

  std::array<char, 16> buf{};
  CHECK(d::recv(pair.server.get(), buf).would_block());
  CHECK(d::send(pair.client.get(), "hello").count() == 5);
  wait_for(pair.server.get(), POLLIN);
  CHECK(d::peek(pair.server.get(), mutable_buffer(buf).first(2)).count() == 2);
  CHECK(d::recv(pair.server.get(), buf).count() == 5);
  CHECK(std::string(buf.data(), 5) == "hello");

  const std::string head = "head";
  const std::string tail = "tail!";
  const std::vector<const_buffer> out{head, "", tail};
  CHECK(d::writev(pair.server.get(), out).count() == 9U);
  wait_for(pair.client.get(), POLLIN);
  std::array<char, 3> first{};
  std::array<char, 0> none{};
  std::array<char, 32> second{};
  const std::vector<mutable_buffer> in{first, none, second};
  CHECK(d::readv(pair.client.get(), in).count() == 9U);
  CHECK(std::string(first.data(), 3) + std::string(second.data(), 6) == "headtail!");
}

TEST_CASE("vectored calls use a bounded number of parts", "[socket]") {
  connection pair;
  const std::vector<const_buffer> many(200, const_buffer("ab"));
  CHECK(d::writev(pair.client.get(), many).count() == 2 * d::max_io_parts);
  CHECK(d::writev(pair.client.get(), {}).ok());
  CHECK(d::readv(pair.client.get(), {}).count() == 0);
}

TEST_CASE("shutdown ends the stream for the peer and for writing", "[socket]") {
  connection pair;
  CHECK(d::shutdown(pair.client.get(), kioto::net::shutdown_how::write));
  wait_for(pair.server.get(), POLLIN);
  std::array<std::byte, 4> buf;
  const auto end = d::recv(pair.server.get(), buf);
  CHECK(end.ok());
  CHECK(end.count() == 0);
  CHECK(d::send(pair.client.get(), "x").error == EPIPE);
  const const_buffer parts[] = {"x"};
  CHECK(d::writev(pair.client.get(), parts).error == EPIPE);
  CHECK(d::shutdown(pair.client.get(), kioto::net::shutdown_how::both));
}

TEST_CASE("a port in use refuses the second listener", "[socket]") {
  const auto first = d::open_tcp_listener(loopback);
  REQUIRE(first);
  CHECK(d::is_listening(first->get()) == true);
  const auto second = d::open_tcp_listener(d::local_address(first->get()).value());
  REQUIRE_FALSE(second);
  CHECK(second.error() == errc::address_in_use);
}

TEST_CASE("connecting to a closed port is refused", "[socket]") {
  auto gone = d::open_tcp_listener(loopback);
  REQUIRE(gone);
  const auto address = d::local_address(gone->get()).value();
  gone->reset();
  auto socket = d::open_tcp(ip_family::v4);
  REQUIRE(socket);
  auto state = d::start_connect(socket->get(), address);
  if (state) {
    wait_for(socket->get(), POLLOUT);
    state = d::finish_connect(socket->get());
  }
  REQUIRE_FALSE(state);
  CHECK(state.error() == errc::connection_refused);
}

TEST_CASE("a false wake-up while connecting is told from a connection", "[socket]") {
  auto socket = d::open_tcp(ip_family::v4);
  REQUIRE(socket);
  CHECK(d::finish_connect(socket->get()) == d::connect_state::in_progress);
  CHECK(d::peer_address(socket->get()).error() == errc::not_connected);
  sys::calls calls = sys::table();
  calls.connect = [](int, const ::sockaddr*, std::uint32_t) {
    errno = EINTR;
    return -1;
  };
  const sys::override_calls faults(calls);
  CHECK(d::start_connect(socket->get(), loopback) == d::connect_state::in_progress);
}

TEST_CASE("failures in opening a listener leave no descriptor behind", "[socket]") {
  static int opened = -1;
  sys::calls calls = sys::table();
  calls.socket = [](int family, int type, int protocol) {
    return opened = ::socket(family, type, protocol);
  };
  SECTION("setsockopt") {
    calls.setsockopt = [](int, int, int, const void*, std::uint32_t) {
      errno = ENOMEM;
      return -1;
    };
  }
  SECTION("bind") {
    calls.bind = [](int, const ::sockaddr*, std::uint32_t) {
      errno = ENOMEM;
      return -1;
    };
  }
  SECTION("listen") {
    calls.listen = [](int, int) {
      errno = ENOMEM;
      return -1;
    };
  }
  const sys::override_calls faults(calls);
  const auto listener = d::open_tcp_listener(loopback);
  REQUIRE_FALSE(listener);
  CHECK(listener.error() == errc::not_enough_memory);
  CHECK_FALSE(is_open(opened));
}

TEST_CASE("accept reports what is transient", "[socket]") {
  socket_address peer;
  auto listener = d::open_tcp_listener(loopback);
  REQUIRE(listener);
  CHECK(d::accept(listener->get(), peer).would_block());
  sys::calls calls = sys::table();
  calls.accept4 = [](int, ::sockaddr*, std::uint32_t*, int) {
    errno = EMFILE;
    return -1;
  };
  const sys::override_calls faults(calls);
  const auto r = d::accept(listener->get(), peer);
  CHECK(r.code() == errc::too_many_files_open);
  CHECK(kioto::is_transient(r.code()));
}

TEST_CASE("socket options read back as set", "[socket]") {
  auto socket = d::open_tcp(ip_family::v4);
  REQUIRE(socket);
  const int fd = socket->get();
  CHECK(d::nodelay(fd) == false);
  CHECK(d::set_nodelay(fd, true));
  CHECK(d::nodelay(fd) == true);

  CHECK_FALSE(d::linger(fd).value());
  CHECK(d::set_linger(fd, 0s));
  CHECK(d::linger(fd).value() == 0s);
  CHECK(d::set_linger(fd, 7s));
  CHECK(d::linger(fd).value() == 7s);
  CHECK(d::set_linger(fd, std::nullopt));
  CHECK_FALSE(d::linger(fd).value());
  CHECK(d::set_linger(fd, -1s).error() == errc::invalid_argument);
  CHECK(d::set_linger(fd, std::chrono::hours(1000)).error() == errc::invalid_argument);

  CHECK(d::set_ttl(fd, 42));
  CHECK(d::ttl(fd) == 42U);
  CHECK(d::set_ttl(fd, 0).error() == errc::invalid_argument);
  CHECK(d::set_ttl(fd, 256).error() == errc::invalid_argument);

  CHECK(d::set_nonblocking(fd, false));
  CHECK_FALSE(is_nonblocking(fd));
  CHECK(d::set_nonblocking(fd, true));
  CHECK(is_nonblocking(fd));
  CHECK_FALSE(d::take_socket_error(fd));
  CHECK(d::is_listening(fd) == false);
}

TEST_CASE("IPv6 sockets have their own options", "[socket]") {
  auto listener = d::open_tcp_listener(socket_address(ip_address_v6::loopback(), 0));
  if (!listener) return;  // no IPv6 here
  const auto address = d::local_address(listener->get()).value();
  CHECK(address.ip() == ip_address_v6::loopback());
  CHECK(address.port() != 0);
  CHECK(d::set_ttl(listener->get(), 9));
  CHECK(d::ttl(listener->get()) == 9U);
}

TEST_CASE("only IP stream sockets pass for TCP", "[socket]") {
  connection pair;
  CHECK(d::check_tcp_socket(pair.client.get()));
  CHECK(d::check_tcp_socket(-1).error() == errc::bad_file_descriptor);
  int pipe[2];
  REQUIRE(::pipe(pipe) == 0);
  CHECK(d::check_tcp_socket(pipe[0]).error() == errc::not_a_socket);
  ::close(pipe[0]);
  ::close(pipe[1]);
  const d::unique_fd udp(::socket(AF_INET, SOCK_DGRAM, 0));
  CHECK(d::check_tcp_socket(udp.get()).error() == errc::wrong_protocol_type);
  const d::unique_fd local(::socket(AF_UNIX, SOCK_STREAM, 0));
  CHECK(d::check_tcp_socket(local.get()).error() == errc::address_family_not_supported);
  CHECK(d::local_address(local.get()).error() == errc::address_family_not_supported);
}

TEST_CASE("every operation on a closed descriptor is an error", "[socket]") {
  std::array<std::byte, 4> buf;
  socket_address peer;
  CHECK(d::bind(-1, loopback).error() == errc::bad_file_descriptor);
  CHECK(d::listen(-1).error() == errc::bad_file_descriptor);
  CHECK(d::accept(-1, peer).error == EBADF);
  CHECK(d::start_connect(-1, loopback).error() == errc::bad_file_descriptor);
  CHECK(d::finish_connect(-1).error() == errc::bad_file_descriptor);
  CHECK(d::take_socket_error(-1) == errc::bad_file_descriptor);
  CHECK(d::recv(-1, buf).error == EBADF);
  CHECK(d::send(-1, buf).error == EBADF);
  CHECK(d::peek(-1, buf).error == EBADF);
  CHECK(d::shutdown(-1, kioto::net::shutdown_how::both).error() == errc::bad_file_descriptor);
  CHECK(d::set_nonblocking(-1, true).error() == errc::bad_file_descriptor);
  CHECK(d::ttl(-1).error() == errc::bad_file_descriptor);
  CHECK(d::set_nodelay(-1, true).error() == errc::bad_file_descriptor);
  CHECK(d::linger(-1).error() == errc::bad_file_descriptor);
}
