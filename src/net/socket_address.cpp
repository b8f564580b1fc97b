// SPDX-License-Identifier: MIT
#include <kioto/net/socket_address.hpp>

#include "net/sockaddr.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <algorithm>
#include <charconv>
#include <cstring>
#include <ostream>
#include <type_traits>

namespace kioto::detail {

char* write_address(char* out, const net::socket_address& address) noexcept {
  if (address.is_v6()) *out++ = '[';
  out = write_address(out, address.ip());
  if (address.is_v6()) *out++ = ']';
  *out++ = ':';
  return std::to_chars(out, out + 5, address.port()).ptr;
}

result<std::uint16_t> parse_port(std::string_view text) noexcept {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text[0] == '0')) {
    return error::invalid_port;
  }
  std::uint32_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return error::invalid_port;
    value = value * 10 + static_cast<std::uint32_t>(c - '0');
  }
  if (value > 65535) return error::invalid_port;
  return static_cast<std::uint16_t>(value);
}

result<host_port_text> split_host_port(std::string_view text) noexcept {
  std::string_view host;
  std::string_view rest;
  const bool bracketed = text.starts_with('[');
  if (bracketed) {
    const std::size_t close = text.find(']');
    if (close == text.npos) return error::invalid_host;
    host = text.substr(1, close - 1);
    rest = text.substr(close + 1);
    if (!rest.empty() && rest[0] != ':') return error::invalid_host;
  } else {
    const std::size_t colon = text.find(':');
    host = text.substr(0, colon);
    rest = text.substr(std::min(colon, text.size()));
    // With a second colon it is an IPv6 address that needs brackets, or nonsense.
    if (!rest.empty() && rest.find(':', 1) != rest.npos) {
      if (net::ip_address_v6::parse(text)) return error::missing_port;
      return error::invalid_host;
    }
  }
  if (host.empty()) return error::empty_host;
  if (rest.size() <= 1) return error::missing_port;
  return host_port_text(host, rest.substr(1), bracketed);
}

static_assert(sizeof(::sockaddr_in) <= sizeof(native_address));
static_assert(sizeof(::sockaddr_in6) <= 32);

native_address::native_address() noexcept : storage_{}, size_(sizeof storage_) {}

native_address::native_address(const net::socket_address& address) noexcept : storage_{} {
  if (address.is_v4()) {
    ::sockaddr_in native{};
    native.sin_family = AF_INET;
    native.sin_port = htons(address.port());
    const auto ip = address.ip().v4();
    std::memcpy(&native.sin_addr, ip.bytes().data(), ip.bytes().size());
    std::memcpy(storage_, &native, sizeof native);
    size_ = sizeof native;
  } else {
    ::sockaddr_in6 native{};
    native.sin6_family = AF_INET6;
    native.sin6_port = htons(address.port());
    native.sin6_flowinfo = htonl(address.flow_info());
    native.sin6_scope_id = address.scope_id();
    const auto& ip = address.ip().v6();
    std::memcpy(&native.sin6_addr, ip.bytes().data(), ip.bytes().size());
    std::memcpy(storage_, &native, sizeof native);
    size_ = sizeof native;
  }
}

result<net::socket_address> native_address::to_socket_address() const noexcept {
  return from_sockaddr(data(), std::min<std::uint32_t>(size_, sizeof storage_));
}

result<net::socket_address> from_sockaddr(const ::sockaddr* address, std::uint32_t size) noexcept {
  ::sa_family_t family = AF_UNSPEC;
  if (size >= offsetof(::sockaddr, sa_family) + sizeof family) {
    std::memcpy(&family, reinterpret_cast<const char*>(address) + offsetof(::sockaddr, sa_family),
                sizeof family);
  }
  if (family == AF_INET && size >= sizeof(::sockaddr_in)) {
    ::sockaddr_in native;
    std::memcpy(&native, address, sizeof native);
    net::ip_address_v4::bytes_type bytes;
    std::memcpy(bytes.data(), &native.sin_addr, bytes.size());
    return net::socket_address(net::ip_address_v4(bytes), ntohs(native.sin_port));
  }
  if (family == AF_INET6 && size >= sizeof(::sockaddr_in6)) {
    ::sockaddr_in6 native;
    std::memcpy(&native, address, sizeof native);
    net::ip_address_v6::bytes_type bytes;
    std::memcpy(bytes.data(), &native.sin6_addr, bytes.size());
    return net::socket_address(net::ip_address_v6(bytes, native.sin6_scope_id),
                               ntohs(native.sin6_port), ntohl(native.sin6_flowinfo));
  }
  return errc::address_family_not_supported;
}

}  // namespace kioto::detail

namespace kioto::net {

result<socket_address> socket_address::parse(std::string_view text) noexcept {
  const auto parts = detail::split_host_port(text);
  if (!parts) {
    // Names are not resolved here: of a bare text that is no address, this is the first thing to
    // report.
    if (parts.error() == error::invalid_host || text.empty()) return error::invalid_address;
    return parts.error();
  }
  ip_address ip;
  if (parts->bracketed) {
    const auto v6 = ip_address_v6::parse(parts->host);
    if (!v6) return v6.error();
    ip = *v6;
  } else {
    const auto v4 = ip_address_v4::parse(parts->host);
    if (!v4) return v4.error();
    ip = *v4;
  }
  const auto port = detail::parse_port(parts->port);
  if (!port) return port.error();
  return socket_address(ip, *port);
}

std::string socket_address::to_string() const {
  char buffer[detail::max_address_text];
  return {buffer, detail::write_address(buffer, *this)};
}

std::ostream& operator<<(std::ostream& out, const socket_address& address) {
  char buffer[detail::max_address_text];
  const char* const end = detail::write_address(buffer, address);
  return out << std::string_view(buffer, static_cast<std::size_t>(end - buffer));
}

}  // namespace kioto::net

auto fmt::formatter<kioto::net::socket_address>::format(const kioto::net::socket_address& a,
                                                        fmt::format_context& ctx) const
    -> fmt::format_context::iterator {
  char buffer[kioto::detail::max_address_text];
  const char* const end = kioto::detail::write_address(buffer, a);
  return fmt::formatter<fmt::string_view>::format(
      fmt::string_view(buffer, static_cast<std::size_t>(end - buffer)), ctx);
}
