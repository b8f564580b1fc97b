// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/core.h>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <kioto/net/ip_address.hpp>
#include <kioto/result.hpp>
#include <string>
#include <string_view>

namespace kioto::net {

/// An IP address with a port, and for IPv6 a flow label; the scope is part of the IP address.
/// A plain value: trivially copyable, ordered by address, then port, then flow label.
///
///     auto address = socket_address::parse("[::1]:8080");
///     socket_address any(ip_address_v4::any(), 0);
class socket_address {
 public:
  /// 0.0.0.0:0
  constexpr socket_address() noexcept = default;
  constexpr socket_address(const ip_address& ip, std::uint16_t port,
                           std::uint32_t flow_info = 0) noexcept
      : ip_(ip), port_(port), flow_info_(ip.is_v6() ? flow_info : 0) {}

  /// Parses "a.b.c.d:port", "[v6]:port" and "[v6%scope]:port", where the address is what
  /// `ip_address::parse` accepts and the port is a decimal number from 0 to 65535 without leading
  /// zeros. No names are resolved.
  ///
  /// Errors: `error::missing_port` (also for an IPv6 address without brackets, which cannot be told
  /// from one with a port), `error::invalid_port`, `error::empty_host`, `error::invalid_address`,
  /// `error::invalid_scope`.
  static result<socket_address> parse(std::string_view text) noexcept;

  [[nodiscard]] constexpr const ip_address& ip() const noexcept { return ip_; }
  [[nodiscard]] constexpr std::uint16_t port() const noexcept { return port_; }
  [[nodiscard]] constexpr ip_family family() const noexcept { return ip_.family(); }
  [[nodiscard]] constexpr bool is_v4() const noexcept { return ip_.is_v4(); }
  [[nodiscard]] constexpr bool is_v6() const noexcept { return ip_.is_v6(); }
  /// The interface of a link-local IPv6 address; 0 for none and for IPv4.
  [[nodiscard]] constexpr std::uint32_t scope_id() const noexcept {
    return is_v6() ? ip_.v6().scope_id() : 0;
  }
  [[nodiscard]] constexpr std::uint32_t flow_info() const noexcept { return flow_info_; }

  /// The same address with another port.
  [[nodiscard]] constexpr socket_address with_port(std::uint16_t port) const noexcept {
    return {ip_, port, flow_info_};
  }

  /// "a.b.c.d:port" or "[v6%scope]:port", which `parse` reads back; the flow label is left out.
  [[nodiscard]] std::string to_string() const;

  friend constexpr auto operator<=>(const socket_address&,
                                    const socket_address&) noexcept = default;
  friend constexpr bool operator==(const socket_address&, const socket_address&) noexcept = default;

 private:
  ip_address ip_;
  std::uint16_t port_ = 0;
  std::uint32_t flow_info_ = 0;
};

std::ostream& operator<<(std::ostream& out, const socket_address& address);

}  // namespace kioto::net

namespace kioto::detail {

// Writes the text to `out`, at most max_address_text characters, and returns its end.
char* write_address(char* out, const net::socket_address& address) noexcept;

// A decimal number from 0 to 65535 without leading zeros.
result<std::uint16_t> parse_port(std::string_view text) noexcept;

// The two sides of "host:port" or "[host]:port", not parsed further.
class host_port_text {
 public:
  constexpr host_port_text(std::string_view host_in, std::string_view port_in,
                           bool bracketed_in) noexcept
      : host(host_in), port(port_in), bracketed(bracketed_in) {}

  std::string_view host;
  std::string_view port;
  bool bracketed;
};

// Errors: missing_port, empty_host, invalid_host (unbalanced brackets).
result<host_port_text> split_host_port(std::string_view text) noexcept;

}  // namespace kioto::detail

template <>
struct std::hash<kioto::net::socket_address> {
  [[nodiscard]] std::size_t operator()(const kioto::net::socket_address& a) const noexcept {
    const std::uint64_t parts[2] = {std::hash<kioto::net::ip_address>()(a.ip()),
                                    std::uint64_t{a.flow_info()} << 16 | a.port()};
    return kioto::detail::hash_bytes(parts, sizeof parts, 1);
  }
};

// The format specification is that of a string: "{:>20}".
template <>
struct fmt::formatter<kioto::net::socket_address> : fmt::formatter<fmt::string_view> {
  auto format(const kioto::net::socket_address& a, fmt::format_context& ctx) const
      -> fmt::format_context::iterator;
};
