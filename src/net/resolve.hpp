// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <kioto/net/socket_address.hpp>
#include <kioto/result.hpp>
#include <optional>
#include <string_view>
#include <vector>

namespace kioto::detail {

/// A host with its port, parsed as far as possible without asking a name server: either `host` is a
/// literal, and `literal` holds the address, or it is a name to resolve.
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
/// `invalid_port`, `invalid_scope`; `invalid_host` for what can be no name: NUL, blank or control
/// character inside, brackets that do not match, longer than 253 characters or a label longer than
/// 63; `invalid_address` for a bracketed host that is no IPv6 address, and for one that looks like
/// an IPv4 address but is none: a last label of digits or of hexadecimal digits after "0x".
/// Resolvers read `127.1` and `010.0.0.1` in surprising ways, so they are not asked.
result<host_port> parse_host_port(std::string_view text) noexcept;

/// The same for a host that is given apart from its port; IPv6 literals need no brackets here.
result<host_port> parse_host_port(std::string_view host, std::uint16_t port) noexcept;

/// The address when the text is a literal, for the path that needs no other thread.
std::optional<net::socket_address> parse_literal(std::string_view host_and_port) noexcept;
std::optional<net::socket_address> parse_literal(std::string_view host,
                                                 std::uint16_t port) noexcept;

/// Resolves a name to the addresses to try, in the order of the system's preference, each once; at
/// least one. Blocks for as long as the name server takes: for the blocking pool only.
///
/// Families without an address on this machine are left out (AI_ADDRCONFIG), but not for
/// "localhost", which must work on a machine that has the loopback interface only, and not when
/// nothing would be left.
///
/// Errors: those of `parse_host_port`, `resolve_error`, or the system's where it has one.
result<std::vector<net::socket_address>> resolve_blocking(std::string_view host_and_port) noexcept;
result<std::vector<net::socket_address>> resolve_blocking(std::string_view host,
                                                          std::uint16_t port) noexcept;

}  // namespace kioto::detail
