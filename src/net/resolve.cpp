// SPDX-License-Identifier: MIT
#include "net/resolve.hpp"

#include <netdb.h>
#include <sys/socket.h>
#include <algorithm>
#include <cerrno>
#include <kioto/detail/net/sys.hpp>
#include <memory>
#include <new>
#include <string>

#include "net/sockaddr.hpp"

namespace kioto::detail {
namespace {

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

constexpr bool is_hex_digit(char c) noexcept {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// Some resolvers take a name with such an end for an IPv4 address in a historical notation.
bool ends_in_number(std::string_view host) noexcept {
  if (host.ends_with('.')) host.remove_suffix(1);
  const std::size_t dot = host.rfind('.');
  std::string_view last = dot == host.npos ? host : host.substr(dot + 1);
  if (last.empty()) return false;
  if (std::all_of(last.begin(), last.end(), is_digit)) return true;
  if (!last.starts_with("0x") && !last.starts_with("0X")) return false;
  last.remove_prefix(2);
  return std::all_of(last.begin(), last.end(), is_hex_digit);
}

bool is_possible_name(std::string_view host) noexcept {
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.empty() || host.size() > 253) return false;
  std::size_t label = 0;
  for (const char c : host) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= ' ' || byte == 0x7f || c == '[' || c == ']' || c == ':' || c == '/' || c == '%') {
      return false;
    }
    if (c == '.') {
      if (label == 0) return false;
      label = 0;
    } else if (++label > 63) {
      return false;
    }
  }
  return true;
}

result<host_port> checked_name(std::string_view host, std::uint16_t port) noexcept {
  if (!is_possible_name(host)) return error::invalid_host;
  if (ends_in_number(host)) return error::invalid_address;
  return host_port(host, port, std::nullopt);
}

bool is_localhost(std::string_view host) noexcept {
  if (host.ends_with('.')) host.remove_suffix(1);
  constexpr std::string_view name = "localhost";
  if (host.size() < name.size()) return false;
  const std::string_view tail = host.substr(host.size() - name.size());
  const bool equal = std::equal(tail.begin(), tail.end(), name.begin(), [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
  });
  return equal && (host.size() == name.size() || host[host.size() - name.size() - 1] == '.');
}

std::error_code to_error(int eai, int saved_errno) noexcept {
  switch (eai) {
    case EAI_NONAME:
      return resolve_error::host_not_found;
#ifdef EAI_NODATA
    case EAI_NODATA:
#endif
#ifdef EAI_ADDRFAMILY
    case EAI_ADDRFAMILY:
#endif
#if defined(EAI_NODATA) || defined(EAI_ADDRFAMILY)
      return resolve_error::no_data;
#endif
    case EAI_AGAIN:
      return resolve_error::try_again;
    case EAI_FAIL:
      return resolve_error::failed;
    case EAI_SERVICE:
      return resolve_error::service_not_found;
    case EAI_FAMILY:
    case EAI_SOCKTYPE:
      return resolve_error::family_not_supported;
    case EAI_BADFLAGS:
      return resolve_error::invalid_flags;
    case EAI_MEMORY:
      return resolve_error::out_of_memory;
    case EAI_SYSTEM:
      // glibc reports some failures this way without setting errno.
      if (saved_errno != 0) return {saved_errno, std::system_category()};
      return resolve_error::other;
    default:
      return resolve_error::other;
  }
}

// True for what AI_ADDRCONFIG itself may have caused.
bool may_be_filtered(const std::error_code& ec) noexcept {
  return ec == resolve_error::no_data || ec == resolve_error::invalid_flags ||
         ec == resolve_error::family_not_supported;
}

result<std::vector<net::socket_address>> query(const char* host, std::uint16_t port, int flags) {
  ::addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_protocol = 0;
  hints.ai_flags = flags;
  const sys::calls& calls = sys::table();
  ::addrinfo* list = nullptr;
  errno = 0;
  const int eai = calls.getaddrinfo(host, nullptr, &hints, &list);
  const int saved_errno = errno;
  if (eai != 0) return to_error(eai, saved_errno);

  const std::unique_ptr<::addrinfo, void (*)(::addrinfo*)> owner(list, calls.freeaddrinfo);
  std::vector<net::socket_address> found;
  for (const ::addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    const auto address = from_sockaddr(entry->ai_addr, entry->ai_addrlen);
    if (!address) continue;
    const auto with_port = address->with_port(port);
    if (std::find(found.begin(), found.end(), with_port) == found.end()) {
      found.push_back(with_port);
    }
  }
  if (found.empty()) return resolve_error::no_data;
  return found;
}

result<std::vector<net::socket_address>> resolve(const host_port& target) noexcept {
  try {
    if (target.literal) return std::vector<net::socket_address>{*target.literal};
    const std::string host(target.host);
    if (!is_localhost(host)) {
      auto found = query(host.c_str(), target.port, AI_ADDRCONFIG);
      if (found || !may_be_filtered(found.error())) return found;
    }
    return query(host.c_str(), target.port, 0);
  } catch (const std::bad_alloc&) {
    return resolve_error::out_of_memory;
  }
}

}  // namespace

result<host_port> parse_host_port(std::string_view text) noexcept {
  const auto parts = split_host_port(text);
  if (!parts) return parts.error();
  const auto port = parse_port(parts->port);
  if (!port) return port.error();
  if (parts->bracketed) {
    const auto v6 = net::ip_address_v6::parse(parts->host);
    if (!v6) return v6.error();
    return host_port(parts->host, *port, net::socket_address(*v6, *port));
  }
  if (const auto v4 = net::ip_address_v4::parse(parts->host)) {
    return host_port(parts->host, *port, net::socket_address(*v4, *port));
  }
  return checked_name(parts->host, *port);
}

result<host_port> parse_host_port(std::string_view host, std::uint16_t port) noexcept {
  if (host.empty()) return error::empty_host;
  if (const auto ip = net::ip_address::parse(host)) {
    return host_port(host, port, net::socket_address(*ip, port));
  } else if (ip.error() == error::invalid_scope) {
    return ip.error();
  }
  return checked_name(host, port);
}

std::optional<net::socket_address> parse_literal(std::string_view host_and_port) noexcept {
  const auto target = parse_host_port(host_and_port);
  return target ? target->literal : std::nullopt;
}

std::optional<net::socket_address> parse_literal(std::string_view host,
                                                 std::uint16_t port) noexcept {
  const auto target = parse_host_port(host, port);
  return target ? target->literal : std::nullopt;
}

result<std::vector<net::socket_address>> resolve_blocking(std::string_view host_and_port) noexcept {
  const auto target = parse_host_port(host_and_port);
  if (!target) return target.error();
  return resolve(*target);
}

result<std::vector<net::socket_address>> resolve_blocking(std::string_view host,
                                                          std::uint16_t port) noexcept {
  const auto target = parse_host_port(host, port);
  if (!target) return target.error();
  return resolve(*target);
}

}  // namespace kioto::detail
