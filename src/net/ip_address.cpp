// SPDX-License-Identifier: MIT
#include <kioto/net/ip_address.hpp>

#include <fmt/format.h>
#include <net/if.h>
#include <charconv>
#include <cstring>
#include <ostream>

namespace kioto::detail {
namespace {

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

constexpr int hex_value(char c) noexcept {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool parse_v4(std::string_view text, std::uint8_t* out) noexcept {
  std::size_t at = 0;
  for (int octet = 0; octet < 4; ++octet) {
    if (octet > 0) {
      if (at == text.size() || text[at] != '.') return false;
      ++at;
    }
    const std::size_t begin = at;
    unsigned value = 0;
    while (at < text.size() && is_digit(text[at]) && at - begin < 3) {
      value = value * 10 + static_cast<unsigned>(text[at] - '0');
      ++at;
    }
    const std::size_t digits = at - begin;
    if (digits == 0 || value > 255 || (digits > 1 && text[begin] == '0')) return false;
    out[octet] = static_cast<std::uint8_t>(value);
  }
  return at == text.size();
}

bool parse_v6(std::string_view text, net::ip_address_v6::bytes_type& out) noexcept {
  net::ip_address_v6::bytes_type bytes{};
  std::size_t filled = 0;  // bytes written so far
  std::size_t gap = 16;    // where "::" stands, 16 for nowhere
  std::size_t at = 0;

  if (text.starts_with("::")) {
    gap = 0;
    at = 2;
  }
  while (at < text.size()) {
    if (filled == 16) return false;
    const std::size_t begin = at;
    unsigned value = 0;
    int digit = 0;
    while (at < text.size() && at - begin < 4 && (digit = hex_value(text[at])) >= 0) {
      value = value << 4 | static_cast<unsigned>(digit);
      ++at;
    }
    if (at == begin) return false;
    if (at < text.size() && text[at] == '.') {
      if (filled > 12 || !parse_v4(text.substr(begin), &bytes[filled])) return false;
      filled += 4;
      break;
    }
    bytes[filled++] = static_cast<std::uint8_t>(value >> 8);
    bytes[filled++] = static_cast<std::uint8_t>(value & 0xff);
    if (at == text.size()) break;
    if (text[at] != ':') return false;
    ++at;
    if (at == text.size()) return false;  // a single ':' at the end
    if (text[at] == ':') {
      if (gap != 16 || filled > 14) return false;
      gap = filled;
      ++at;
    }
  }

  if (gap == 16) {
    if (filled != 16) return false;
    out = bytes;
    return true;
  }
  if (filled > 14) return false;  // "::" has to stand for at least one group
  out = {};
  const std::size_t tail = filled - gap;
  std::memcpy(out.data(), bytes.data(), gap);
  std::memcpy(out.data() + (16 - tail), bytes.data() + gap, tail);
  return true;
}

// Digits are a number, anything else the name of an interface of this machine.
result<std::uint32_t> parse_scope(std::string_view text) noexcept {
  if (text.empty()) return error::invalid_scope;
  if (is_digit(text[0])) {
    std::uint32_t value = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (ec != std::errc() || end != text.data() + text.size()) return error::invalid_scope;
    if (text.size() > 1 && text[0] == '0') return error::invalid_scope;
    return value;
  }
  char name[IF_NAMESIZE] = {};
  if (text.size() >= sizeof name || text.find('\0') != text.npos) return error::invalid_scope;
  std::memcpy(name, text.data(), text.size());
  const unsigned index = ::if_nametoindex(name);
  if (index == 0) return error::invalid_scope;
  return index;
}

char* write_number(char* out, std::uint32_t value, int base = 10) noexcept {
  return std::to_chars(out, out + 10, value, base).ptr;
}

}  // namespace

char* write_address(char* out, const net::ip_address_v4& address) noexcept {
  for (std::size_t i = 0; i < 4; ++i) {
    if (i > 0) *out++ = '.';
    out = write_number(out, address.bytes()[i]);
  }
  return out;
}

char* write_address(char* out, const net::ip_address_v6& address) noexcept {
  if (const auto inner = address.to_v4()) {
    constexpr std::string_view prefix = "::ffff:";
    out = write_address(out + prefix.copy(out, prefix.size()), *inner);
  } else {
    // RFC 5952 section 4.2: the longest run of two or more zero groups, the first of equal ones.
    std::size_t best = 8;
    std::size_t best_length = 1;
    for (std::size_t i = 0; i < 8;) {
      std::size_t end = i;
      while (end < 8 && address.group(end) == 0) ++end;
      if (end - i > best_length) {
        best = i;
        best_length = end - i;
      }
      i = end + 1;
    }
    for (std::size_t i = 0; i < 8;) {
      if (i == best) {
        *out++ = ':';
        *out++ = ':';
        i += best_length;
        continue;
      }
      if (i > 0 && i != best + best_length) *out++ = ':';
      out = write_number(out, address.group(i), 16);
      ++i;
    }
  }
  if (address.scope_id() != 0) {
    *out++ = '%';
    out = write_number(out, address.scope_id());
  }
  return out;
}

char* write_address(char* out, const net::ip_address& address) noexcept {
  return address.is_v4() ? write_address(out, address.v4()) : write_address(out, address.v6());
}

std::size_t hash_bytes(const void* data, std::size_t size, std::uint64_t seed) noexcept {
  // Multiply-xorshift over words; the constants are those of the splitmix64 finaliser.
  std::uint64_t h = seed * 0x9e3779b97f4a7c15U;
  const auto* bytes = static_cast<const unsigned char*>(data);
  for (std::size_t at = 0; at < size; at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + at, size - at < sizeof word ? size - at : sizeof word);
    h = (h ^ word) * 0xbf58476d1ce4e5b9U;
    h = (h ^ (h >> 29)) * 0x94d049bb133111ebU;
    h ^= h >> 32;
  }
  return static_cast<std::size_t>(h);
}

namespace {

template <class Address>
std::string text_of(const Address& address) {
  char buffer[max_address_text];
  return {buffer, write_address(buffer, address)};
}

template <class Address>
std::ostream& print(std::ostream& out, const Address& address) {
  char buffer[max_address_text];
  const char* const end = write_address(buffer, address);
  return out << std::string_view(buffer, static_cast<std::size_t>(end - buffer));
}

template <class Address>
auto format_as_text(const fmt::formatter<fmt::string_view>& base, const Address& address,
                    fmt::format_context& ctx) {
  char buffer[max_address_text];
  const char* const end = write_address(buffer, address);
  return base.format(fmt::string_view(buffer, static_cast<std::size_t>(end - buffer)), ctx);
}

}  // namespace
}  // namespace kioto::detail

namespace kioto::net {

result<ip_address_v4> ip_address_v4::parse(std::string_view text) noexcept {
  bytes_type bytes{};
  if (!detail::parse_v4(text, bytes.data())) return error::invalid_address;
  return ip_address_v4(bytes);
}

result<ip_address_v6> ip_address_v6::parse(std::string_view text) noexcept {
  const std::size_t percent = text.find('%');
  bytes_type bytes{};
  if (!detail::parse_v6(text.substr(0, percent), bytes)) return error::invalid_address;
  if (percent == text.npos) return ip_address_v6(bytes);
  const auto scope = detail::parse_scope(text.substr(percent + 1));
  if (!scope) return scope.error();
  return ip_address_v6(bytes, *scope);
}

result<ip_address> ip_address::parse(std::string_view text) noexcept {
  if (text.find(':') == text.npos) return ip_address_v4::parse(text);
  return ip_address_v6::parse(text);
}

std::string ip_address_v4::to_string() const { return detail::text_of(*this); }
std::string ip_address_v6::to_string() const { return detail::text_of(*this); }
std::string ip_address::to_string() const { return detail::text_of(*this); }

std::ostream& operator<<(std::ostream& out, const ip_address_v4& address) {
  return detail::print(out, address);
}
std::ostream& operator<<(std::ostream& out, const ip_address_v6& address) {
  return detail::print(out, address);
}
std::ostream& operator<<(std::ostream& out, const ip_address& address) {
  return detail::print(out, address);
}

}  // namespace kioto::net

auto fmt::formatter<kioto::net::ip_address_v4>::format(const kioto::net::ip_address_v4& a,
                                                       fmt::format_context& ctx) const
    -> fmt::format_context::iterator {
  return kioto::detail::format_as_text(*this, a, ctx);
}

auto fmt::formatter<kioto::net::ip_address_v6>::format(const kioto::net::ip_address_v6& a,
                                                       fmt::format_context& ctx) const
    -> fmt::format_context::iterator {
  return kioto::detail::format_as_text(*this, a, ctx);
}

auto fmt::formatter<kioto::net::ip_address>::format(const kioto::net::ip_address& a,
                                                    fmt::format_context& ctx) const
    -> fmt::format_context::iterator {
  return kioto::detail::format_as_text(*this, a, ctx);
}
