// SPDX-License-Identifier: MIT
#include <kioto/detail/net/socket.hpp>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <cerrno>

#include "net/sockaddr.hpp"

namespace kioto::detail {
namespace {

result<void> done(const sys::io_result& r) noexcept {
  if (!r.ok()) return r.code();
  return {};
}

result<void> set_option(int fd, int level, int name, int value) noexcept {
  return done(sys::setsockopt(fd, level, name, &value, sizeof value));
}

result<int> get_option(int fd, int level, int name) noexcept {
  int value = 0;
  std::uint32_t size = sizeof value;
  const auto r = sys::getsockopt(fd, level, name, &value, &size);
  if (!r.ok()) return r.code();
  return value;
}

result<bool> get_flag(int fd, int level, int name) noexcept {
  const auto value = get_option(fd, level, name);
  if (!value) return value.error();
  return *value != 0;
}

result<bool> is_v6_socket(int fd) noexcept {
  const auto domain = get_option(fd, SOL_SOCKET, SO_DOMAIN);
  if (!domain) return domain.error();
  return *domain == AF_INET6;
}

result<void> set_flag(int fd, int get, int set, int flag, bool on) noexcept {
  const auto old = sys::fcntl(fd, get, 0);
  if (!old.ok()) return old.code();
  const int flags = static_cast<int>(old.value);
  const int wanted = on ? flags | flag : flags & ~flag;
  if (wanted == flags) return {};
  return done(sys::fcntl(fd, set, wanted));
}

result<net::socket_address> address_from(sys::io_result (*call)(int, ::sockaddr*,
                                                                std::uint32_t*) noexcept,
                                         int fd) noexcept {
  native_address native;
  const auto r = call(fd, native.data(), native.size_pointer());
  if (!r.ok()) return r.code();
  return native.to_socket_address();
}

// The parts that are not empty, as many as fit, of const_buffer or mutable_buffer.
class io_parts {
 public:
  template <class Buffer>
  explicit io_parts(std::span<const Buffer> buffers) noexcept {
    for (const auto& buffer : buffers) {
      if (buffer.empty()) continue;
      if (count_ == max_io_parts) break;
      parts_[count_].iov_base = const_cast<std::byte*>(buffer.data());
      parts_[count_].iov_len = buffer.size();
      ++count_;
    }
  }
  [[nodiscard]] ::iovec* data() noexcept { return parts_; }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }

 private:
  ::iovec parts_[max_io_parts];
  std::size_t count_ = 0;
};

}  // namespace

void unique_fd::close(int fd) noexcept {
  // Whatever close reports, the descriptor is gone, and there is nobody to tell.
  (void)sys::close(fd);
}

result<unique_fd> open_tcp(net::ip_family family) noexcept {
  const auto r = sys::socket(family == net::ip_family::v4 ? AF_INET : AF_INET6, SOCK_STREAM, 0);
  if (!r.ok()) return r.code();
  return unique_fd(r.fd());
}

result<void> bind(int fd, const net::socket_address& address) noexcept {
  const native_address native(address);
  return done(sys::bind(fd, native.data(), native.size()));
}

result<void> listen(int fd, int backlog) noexcept { return done(sys::listen(fd, backlog)); }

result<unique_fd> open_tcp_listener(const net::socket_address& address, int backlog) noexcept {
  auto fd = open_tcp(address.family());
  if (!fd) return fd;
  if (auto r = set_reuse_address(fd->get(), true); !r) return r.error();
  if (auto r = bind(fd->get(), address); !r) return r.error();
  if (auto r = listen(fd->get(), backlog); !r) return r.error();
  return fd;
}

sys::io_result accept(int listener, net::socket_address& peer) noexcept {
  native_address native;
  const auto r = sys::accept(listener, native.data(), native.size_pointer());
  if (r.ok()) peer = native.to_socket_address().value_or(net::socket_address());
  return r;
}

result<connect_state> start_connect(int fd, const net::socket_address& peer) noexcept {
  const native_address native(peer);
  const auto r = sys::connect(fd, native.data(), native.size());
  if (r.ok()) return connect_state::connected;
  if (r.error == EINPROGRESS) return connect_state::in_progress;
  return r.code();
}

result<connect_state> finish_connect(int fd) noexcept {
  if (const auto ec = take_socket_error(fd)) return ec;
  native_address native;
  const auto r = sys::getpeername(fd, native.data(), native.size_pointer());
  if (r.ok()) return connect_state::connected;
  if (r.error == ENOTCONN) return connect_state::in_progress;
  return r.code();
}

std::error_code take_socket_error(int fd) noexcept {
  const auto value = get_option(fd, SOL_SOCKET, SO_ERROR);
  if (!value) return value.error();
  return {*value, std::system_category()};
}

result<net::socket_address> local_address(int fd) noexcept {
  return address_from(&sys::getsockname, fd);
}

result<net::socket_address> peer_address(int fd) noexcept {
  return address_from(&sys::getpeername, fd);
}

sys::io_result peek(int fd, mutable_buffer into) noexcept {
  return sys::recv(fd, into.data(), into.size(), MSG_PEEK);
}

sys::io_result readv(int fd, std::span<const mutable_buffer> parts) noexcept {
  io_parts native(parts);
  return sys::readv(fd, native.data(), static_cast<int>(native.size()));
}

sys::io_result writev(int fd, std::span<const const_buffer> parts) noexcept {
  io_parts native(parts);
  ::msghdr message{};
  message.msg_iov = native.data();
  message.msg_iovlen = native.size();
  return sys::sendmsg(fd, &message, 0);
}

result<void> shutdown(int fd, net::shutdown_how how) noexcept {
  int native = SHUT_RDWR;
  if (how == net::shutdown_how::read) native = SHUT_RD;
  if (how == net::shutdown_how::write) native = SHUT_WR;
  return done(sys::shutdown(fd, native));
}

result<void> set_nonblocking(int fd, bool on) noexcept {
  return set_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

result<void> set_reuse_address(int fd, bool on) noexcept {
  return set_option(fd, SOL_SOCKET, SO_REUSEADDR, on ? 1 : 0);
}

result<void> set_nodelay(int fd, bool on) noexcept {
  return set_option(fd, IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0);
}

result<bool> nodelay(int fd) noexcept { return get_flag(fd, IPPROTO_TCP, TCP_NODELAY); }

result<void> set_linger(int fd, std::optional<std::chrono::seconds> time) noexcept {
  ::linger native{};
  if (time) {
    // The kernel counts in 16 bits on some systems, and a longer wait has no use.
    if (time->count() < 0 || time->count() > 65535) return errc::invalid_argument;
    native.l_onoff = 1;
    native.l_linger = static_cast<int>(time->count());
  }
  return done(sys::setsockopt(fd, SOL_SOCKET, SO_LINGER, &native, sizeof native));
}

result<std::optional<std::chrono::seconds>> linger(int fd) noexcept {
  ::linger native{};
  std::uint32_t size = sizeof native;
  const auto r = sys::getsockopt(fd, SOL_SOCKET, SO_LINGER, &native, &size);
  if (!r.ok()) return r.code();
  if (native.l_onoff == 0) return std::optional<std::chrono::seconds>();
  return std::optional(std::chrono::seconds(native.l_linger));
}

result<void> set_ttl(int fd, std::uint32_t hops) noexcept {
  if (hops < 1 || hops > 255) return errc::invalid_argument;
  const auto v6 = is_v6_socket(fd);
  if (!v6) return v6.error();
  return *v6 ? set_option(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, static_cast<int>(hops))
             : set_option(fd, IPPROTO_IP, IP_TTL, static_cast<int>(hops));
}

result<std::uint32_t> ttl(int fd) noexcept {
  const auto v6 = is_v6_socket(fd);
  if (!v6) return v6.error();
  const auto value =
      *v6 ? get_option(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS) : get_option(fd, IPPROTO_IP, IP_TTL);
  if (!value) return value.error();
  return static_cast<std::uint32_t>(*value);
}

result<void> check_tcp_socket(int fd) noexcept {
  const auto type = get_option(fd, SOL_SOCKET, SO_TYPE);
  if (!type) return type.error();
  if (*type != SOCK_STREAM) return errc::wrong_protocol_type;
  const auto domain = get_option(fd, SOL_SOCKET, SO_DOMAIN);
  if (!domain) return domain.error();
  if (*domain != AF_INET && *domain != AF_INET6) return errc::address_family_not_supported;
  return {};
}

result<bool> is_listening(int fd) noexcept { return get_flag(fd, SOL_SOCKET, SO_ACCEPTCONN); }

}  // namespace kioto::detail
