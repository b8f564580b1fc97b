// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/core.h>
#include <array>
#include <cassert>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <kioto/result.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace kioto::net {

enum class ip_family : std::uint8_t { v4, v6 };

/// An IPv4 address. A plain value: trivially copyable, ordered numerically.
class ip_address_v4 {
 public:
  using bytes_type = std::array<std::uint8_t, 4>;

  /// 0.0.0.0
  constexpr ip_address_v4() noexcept = default;
  constexpr ip_address_v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) noexcept
      : bytes_{a, b, c, d} {}
  /// From bytes in network order: `{127, 0, 0, 1}`.
  constexpr explicit ip_address_v4(const bytes_type& bytes) noexcept : bytes_(bytes) {}
  /// From a number in host order: `0x7f000001`.
  constexpr explicit ip_address_v4(std::uint32_t number) noexcept
      : bytes_{static_cast<std::uint8_t>(number >> 24), static_cast<std::uint8_t>(number >> 16),
               static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)} {}

  /// Parses exactly four decimal numbers from 0 to 255 separated by dots, without leading zeros,
  /// signs or blanks. Everything else is `error::invalid_address`, also the historical forms
  /// `127.1` and `0x7f.1`, and `010.0.0.1`, which some programs read as octal.
  static result<ip_address_v4> parse(std::string_view text) noexcept;

  static constexpr ip_address_v4 any() noexcept { return {}; }
  static constexpr ip_address_v4 loopback() noexcept { return {127, 0, 0, 1}; }
  static constexpr ip_address_v4 broadcast() noexcept { return {255, 255, 255, 255}; }

  /// The bytes in network order.
  [[nodiscard]] constexpr const bytes_type& bytes() const noexcept { return bytes_; }
  /// The number in host order.
  [[nodiscard]] constexpr std::uint32_t to_uint() const noexcept {
    return std::uint32_t{bytes_[0]} << 24 | std::uint32_t{bytes_[1]} << 16 |
           std::uint32_t{bytes_[2]} << 8 | std::uint32_t{bytes_[3]};
  }

  [[nodiscard]] constexpr bool is_unspecified() const noexcept { return to_uint() == 0; }
  /// 127.0.0.0/8
  [[nodiscard]] constexpr bool is_loopback() const noexcept { return bytes_[0] == 127; }
  /// 224.0.0.0/4
  [[nodiscard]] constexpr bool is_multicast() const noexcept { return (bytes_[0] & 0xf0) == 224; }
  /// 255.255.255.255
  [[nodiscard]] constexpr bool is_broadcast() const noexcept { return to_uint() == 0xffffffff; }
  /// 169.254.0.0/16
  [[nodiscard]] constexpr bool is_link_local() const noexcept {
    return bytes_[0] == 169 && bytes_[1] == 254;
  }
  /// 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16
  [[nodiscard]] constexpr bool is_private() const noexcept {
    return bytes_[0] == 10 || (bytes_[0] == 172 && (bytes_[1] & 0xf0) == 16) ||
           (bytes_[0] == 192 && bytes_[1] == 168);
  }

  [[nodiscard]] std::string to_string() const;

  friend constexpr auto operator<=>(const ip_address_v4&, const ip_address_v4&) noexcept = default;
  friend constexpr bool operator==(const ip_address_v4&, const ip_address_v4&) noexcept = default;

 private:
  bytes_type bytes_{};
};

/// An IPv6 address with the scope (the interface) that link-local addresses need; 0 is no scope.
/// A plain value: trivially copyable, ordered by its bytes, then by its scope.
class ip_address_v6 {
 public:
  using bytes_type = std::array<std::uint8_t, 16>;

  /// ::
  constexpr ip_address_v6() noexcept = default;
  /// From bytes in network order.
  constexpr explicit ip_address_v6(const bytes_type& bytes, std::uint32_t scope_id = 0) noexcept
      : bytes_(bytes), scope_id_(scope_id) {}
  /// From its eight groups: `ip_address_v6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)`.
  constexpr ip_address_v6(std::uint16_t a, std::uint16_t b, std::uint16_t c, std::uint16_t d,
                          std::uint16_t e, std::uint16_t f, std::uint16_t g,
                          std::uint16_t h) noexcept
      : bytes_{high(a), low(a), high(b), low(b), high(c), low(c), high(d), low(d),
               high(e), low(e), high(f), low(f), high(g), low(g), high(h), low(h)} {}

  /// Parses the forms of RFC 4291: eight groups of one to four hexadecimal digits, of which `::`
  /// replaces one or more zero groups, once; the last two groups may be a dotted IPv4 address. A
  /// scope may follow: `fe80::1%2` or `fe80::1%eth0`, where a name is looked up among the
  /// interfaces of this machine. Brackets, blanks and longer groups are `error::invalid_address`;
  /// an empty scope or an unknown interface is `error::invalid_scope`.
  static result<ip_address_v6> parse(std::string_view text) noexcept;

  static constexpr ip_address_v6 any() noexcept { return {}; }
  static constexpr ip_address_v6 loopback() noexcept { return {0, 0, 0, 0, 0, 0, 0, 1}; }
  /// ::ffff:a.b.c.d
  static constexpr ip_address_v6 mapped(const ip_address_v4& v4) noexcept {
    const auto& b = v4.bytes();
    return ip_address_v6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, b[0], b[1], b[2], b[3]});
  }

  /// The bytes in network order.
  [[nodiscard]] constexpr const bytes_type& bytes() const noexcept { return bytes_; }
  /// One of the eight groups.
  [[nodiscard]] constexpr std::uint16_t group(std::size_t i) const noexcept {
    assert(i < 8);
    return static_cast<std::uint16_t>(bytes_[2 * i] << 8 | bytes_[2 * i + 1]);
  }
  [[nodiscard]] constexpr std::uint32_t scope_id() const noexcept { return scope_id_; }
  [[nodiscard]] constexpr ip_address_v6 with_scope(std::uint32_t scope_id) const noexcept {
    return ip_address_v6(bytes_, scope_id);
  }

  [[nodiscard]] constexpr bool is_unspecified() const noexcept { return bytes_ == bytes_type{}; }
  /// ::1
  [[nodiscard]] constexpr bool is_loopback() const noexcept { return bytes_ == loopback().bytes_; }
  /// ff00::/8
  [[nodiscard]] constexpr bool is_multicast() const noexcept { return bytes_[0] == 0xff; }
  /// fe80::/10
  [[nodiscard]] constexpr bool is_link_local() const noexcept {
    return bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
  }
  /// fc00::/7
  [[nodiscard]] constexpr bool is_unique_local() const noexcept {
    return (bytes_[0] & 0xfe) == 0xfc;
  }
  /// ::ffff:0:0/96
  [[nodiscard]] constexpr bool is_v4_mapped() const noexcept {
    for (std::size_t i = 0; i < 10; ++i) {
      if (bytes_[i] != 0) return false;
    }
    return bytes_[10] == 0xff && bytes_[11] == 0xff;
  }
  /// The IPv4 address inside a mapped one.
  [[nodiscard]] constexpr std::optional<ip_address_v4> to_v4() const noexcept {
    if (!is_v4_mapped()) return std::nullopt;
    return ip_address_v4(bytes_[12], bytes_[13], bytes_[14], bytes_[15]);
  }

  /// The canonical form of RFC 5952; the scope, if any, as a number.
  [[nodiscard]] std::string to_string() const;

  friend constexpr auto operator<=>(const ip_address_v6&, const ip_address_v6&) noexcept = default;
  friend constexpr bool operator==(const ip_address_v6&, const ip_address_v6&) noexcept = default;

 private:
  static constexpr std::uint8_t high(std::uint16_t group) noexcept {
    return static_cast<std::uint8_t>(group >> 8);
  }
  static constexpr std::uint8_t low(std::uint16_t group) noexcept {
    return static_cast<std::uint8_t>(group & 0xff);
  }

  bytes_type bytes_{};
  std::uint32_t scope_id_ = 0;
};

/// An IPv4 or an IPv6 address. A plain value: trivially copyable; IPv4 sorts before IPv6, and an
/// IPv4 address differs from its mapped form (see `to_canonical`).
class ip_address {
 public:
  /// 0.0.0.0
  constexpr ip_address() noexcept = default;
  constexpr ip_address(const ip_address_v4& v4) noexcept
      : family_(ip_family::v4), address_(widen(v4)) {}
  constexpr ip_address(const ip_address_v6& v6) noexcept : family_(ip_family::v6), address_(v6) {}

  /// Parses what `ip_address_v4::parse` or `ip_address_v6::parse` accepts.
  static result<ip_address> parse(std::string_view text) noexcept;

  [[nodiscard]] constexpr ip_family family() const noexcept { return family_; }
  [[nodiscard]] constexpr bool is_v4() const noexcept { return family_ == ip_family::v4; }
  [[nodiscard]] constexpr bool is_v6() const noexcept { return family_ == ip_family::v6; }

  /// The address as its specific type; calling the wrong one is a bug (checked by `assert`).
  [[nodiscard]] constexpr ip_address_v4 v4() const noexcept {
    assert(is_v4());
    const auto& b = address_.bytes();
    return {b[0], b[1], b[2], b[3]};
  }
  [[nodiscard]] constexpr const ip_address_v6& v6() const noexcept {
    assert(is_v6());
    return address_;
  }

  /// The IPv4 address if this is one in mapped form, otherwise the address itself.
  [[nodiscard]] constexpr ip_address to_canonical() const noexcept {
    if (is_v6()) {
      if (const auto inner = address_.to_v4()) return *inner;
    }
    return *this;
  }

  [[nodiscard]] constexpr bool is_unspecified() const noexcept {
    return is_v4() ? v4().is_unspecified() : v6().is_unspecified();
  }
  [[nodiscard]] constexpr bool is_loopback() const noexcept {
    return is_v4() ? v4().is_loopback() : v6().is_loopback();
  }
  [[nodiscard]] constexpr bool is_multicast() const noexcept {
    return is_v4() ? v4().is_multicast() : v6().is_multicast();
  }
  [[nodiscard]] constexpr bool is_link_local() const noexcept {
    return is_v4() ? v4().is_link_local() : v6().is_link_local();
  }

  [[nodiscard]] std::string to_string() const;

  friend constexpr auto operator<=>(const ip_address&, const ip_address&) noexcept = default;
  friend constexpr bool operator==(const ip_address&, const ip_address&) noexcept = default;

 private:
  static constexpr ip_address_v6 widen(const ip_address_v4& v4) noexcept {
    const auto& b = v4.bytes();
    return ip_address_v6({b[0], b[1], b[2], b[3]});
  }

  ip_family family_ = ip_family::v4;
  ip_address_v6 address_;  // an IPv4 address occupies the first four bytes, the rest is zero
};

std::ostream& operator<<(std::ostream& out, const ip_address_v4& address);
std::ostream& operator<<(std::ostream& out, const ip_address_v6& address);
std::ostream& operator<<(std::ostream& out, const ip_address& address);

}  // namespace kioto::net

namespace kioto::detail {

// Room for the longest text of an address or a socket address, brackets, scope and port included.
inline constexpr std::size_t max_address_text = 80;

// Write the text to `out` and return its end. No allocation.
char* write_address(char* out, const net::ip_address_v4& address) noexcept;
char* write_address(char* out, const net::ip_address_v6& address) noexcept;
char* write_address(char* out, const net::ip_address& address) noexcept;

[[nodiscard]] std::size_t hash_bytes(const void* data, std::size_t size,
                                     std::uint64_t seed) noexcept;

}  // namespace kioto::detail

template <>
struct std::hash<kioto::net::ip_address_v4> {
  [[nodiscard]] std::size_t operator()(const kioto::net::ip_address_v4& a) const noexcept {
    return kioto::detail::hash_bytes(a.bytes().data(), a.bytes().size(), 4);
  }
};

template <>
struct std::hash<kioto::net::ip_address_v6> {
  [[nodiscard]] std::size_t operator()(const kioto::net::ip_address_v6& a) const noexcept {
    return kioto::detail::hash_bytes(a.bytes().data(), a.bytes().size(),
                                     6 + (std::uint64_t{a.scope_id()} << 8));
  }
};

template <>
struct std::hash<kioto::net::ip_address> {
  [[nodiscard]] std::size_t operator()(const kioto::net::ip_address& a) const noexcept {
    return a.is_v4() ? std::hash<kioto::net::ip_address_v4>()(a.v4())
                     : std::hash<kioto::net::ip_address_v6>()(a.v6());
  }
};

// The format specification is that of a string: "{:>20}".
template <>
struct fmt::formatter<kioto::net::ip_address_v4> : fmt::formatter<fmt::string_view> {
  auto format(const kioto::net::ip_address_v4& a, fmt::format_context& ctx) const
      -> fmt::format_context::iterator;
};
template <>
struct fmt::formatter<kioto::net::ip_address_v6> : fmt::formatter<fmt::string_view> {
  auto format(const kioto::net::ip_address_v6& a, fmt::format_context& ctx) const
      -> fmt::format_context::iterator;
};
template <>
struct fmt::formatter<kioto::net::ip_address> : fmt::formatter<fmt::string_view> {
  auto format(const kioto::net::ip_address& a, fmt::format_context& ctx) const
      -> fmt::format_context::iterator;
};
