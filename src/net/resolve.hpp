// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <kioto/net/socket_address.hpp>
#include <kioto/result.hpp>
#include <optional>
#include <string_view>
#include <vector>

namespace kioto::detail {

/// A host with its port, parsed without asking a name server: either `host` is a literal, and
/// `literal` holds the address, or it is a name to resolve.
///
/// Lifetime: `host` points into the text that was parsed.
class host_port {
 public:
  constexpr host_port(std::string_view host_in, std::uint16_t port_in,
                      std::optional<net::socket_address> literal_in) noexcept
      : host(host_in), port(port_in), literal(literal_in) {}

  std::string_view host;
  std::uint16_t port;
  std::optional<net::socket_address> literal;
};

/// Parses "name:port", "a.b.c.d:port", "[v6]:port" and "[v6%scope]:port". Never blocks.
///
/// Errors: `error::empty_host`, `missing_port` (also for an IPv6 address without brackets),
/// `invalid_port`, `invalid_scope`; `invalid_host` for what cannot be a name: a NUL, blank or
/// control character in it, unbalanced brackets, more than 253 characters or a label of more than
/// 63; `invalid_address` for a bracketed host that is not an IPv6 address, and for one that looks
/// like an IPv4 address but is none: its last label is digits, or hexadecimal digits after "0x".
/// Resolvers interpret `127.1` and `010.0.0.1` in surprising ways, so such names are not passed to
/// them.
result<host_port> parse_host_port(std::string_view text) noexcept;

/// The same for a host given separately from its port; IPv6 literals need no brackets here.
result<host_port> parse_host_port(std::string_view host, std::uint16_t port) noexcept;

/// The address if the text is a literal, for the path that needs no other thread.
std::optional<net::socket_address> parse_literal(std::string_view host_and_port) noexcept;
std::optional<net::socket_address> parse_literal(std::string_view host,
                                                 std::uint16_t port) noexcept;

/// Resolves a name to at least one address to try, without duplicates, in the system's order of
/// preference. Blocks for as long as the name server takes: only for the blocking pool, where a
/// running lookup cannot be cancelled.
///
/// Families without an address on this machine are left out (AI_ADDRCONFIG), except for
/// "localhost", which must work on a machine that has only the loopback interface, and except if
/// nothing would be left.
///
/// Errors: those of `parse_host_port`, `resolve_error`, or an error of the system.
result<std::vector<net::socket_address>> resolve_blocking(std::string_view host_and_port) noexcept;
result<std::vector<net::socket_address>> resolve_blocking(std::string_view host,
                                                          std::uint16_t port) noexcept;

}  // namespace kioto::detail
