// SPDX-License-Identifier: MIT
#include "support/catch.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <net/if.h>
#include <cstring>
#include <kioto/net/ip_address.hpp>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <unordered_set>

using kioto::error;
using kioto::net::ip_address;
using kioto::net::ip_address_v4;
using kioto::net::ip_address_v6;

namespace {

static_assert(std::is_trivially_copyable_v<ip_address>);
static_assert(ip_address_v4(127, 0, 0, 1) == ip_address_v4::loopback());
static_assert(ip_address_v4(0x7f000001).is_loopback());
static_assert(ip_address_v4(10, 1, 2, 3).to_uint() == 0x0a010203);
static_assert(ip_address_v6(0xfe80, 0, 0, 0, 0, 0, 0, 1).is_link_local());
static_assert(ip_address_v6::mapped(ip_address_v4::loopback()).to_v4()->is_loopback());
static_assert(ip_address(ip_address_v4::broadcast()) < ip_address(ip_address_v6::any()));

struct round_trip {
  const char* text;
  const char* canonical;
};

const round_trip good[] = {
    {"0.0.0.0", "0.0.0.0"},
    {"127.0.0.1", "127.0.0.1"},
    {"255.255.255.255", "255.255.255.255"},
    {"1.20.200.250", "1.20.200.250"},
    {"10.0.0.10", "10.0.0.10"},
    {"::", "::"},
    {"::1", "::1"},
    {"1::", "1::"},
    {"0:0:0:0:0:0:0:0", "::"},
    {"0:0:0:0:0:0:0:1", "::1"},
    {"1:0:0:0:0:0:0:0", "1::"},
    {"2001:db8::1", "2001:db8::1"},
    {"2001:DB8::ABCD", "2001:db8::abcd"},
    {"2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"},
    {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
    {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
    {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
    {"1:2:3::5:6:7:8", "1:2:3:0:5:6:7:8"},
    {"1:0:0:2:0:0:0:3", "1:0:0:2::3"},
    {"1:0:0:2:3:0:0:4", "1::2:3:0:0:4"},
    {"0:0:1:2:3:4:0:0", "::1:2:3:4:0:0"},
    {"1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"},
    {"0:1:0:1:0:1:0:1", "0:1:0:1:0:1:0:1"},
    {"::ffff:1.2.3.4", "::ffff:1.2.3.4"},
    {"::ffff:102:304", "::ffff:1.2.3.4"},
    {"0:0:0:0:0:ffff:1.2.3.4", "::ffff:1.2.3.4"},
    {"::1.2.3.4", "::102:304"},
    {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
    {"1:2:3:4:5:6:7.8.9.10", "1:2:3:4:5:6:708:90a"},
    {"1::7.8.9.10", "1::708:90a"},
    {"fe80::1%7", "fe80::1%7"},
    {"fe80::1%4294967295", "fe80::1%4294967295"},
    {"fe80::1%0", "fe80::1"},
    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
};

struct bad_input {
  const char* text;
  error expected;
};

const bad_input bad[] = {
    {"", error::invalid_address},
    {" ", error::invalid_address},
    {"1", error::invalid_address},
    {"1.2.3", error::invalid_address},
    {"127.1", error::invalid_address},
    {"1.2.3.4.", error::invalid_address},
    {"1.2.3.4.5", error::invalid_address},
    {".1.2.3.4", error::invalid_address},
    {"1..2.3", error::invalid_address},
    {"256.0.0.1", error::invalid_address},
    {"1.2.3.999", error::invalid_address},
    {"1.2.3.1000", error::invalid_address},
    {"01.2.3.4", error::invalid_address},
    {"1.2.3.00", error::invalid_address},
    {"010.0.0.1", error::invalid_address},
    {"0x7f.0.0.1", error::invalid_address},
    {"+1.2.3.4", error::invalid_address},
    {"-1.2.3.4", error::invalid_address},
    {" 1.2.3.4", error::invalid_address},
    {"1.2.3.4 ", error::invalid_address},
    {"1.2.3.4\n", error::invalid_address},
    {"1.2.3.a", error::invalid_address},
    {"1.2.3.4%1", error::invalid_address},
    {"1.2.3.4:80", error::invalid_address},
    {"1.2.3.4/24", error::invalid_address},
    {"localhost", error::invalid_address},
    {":", error::invalid_address},
    {":::", error::invalid_address},
    {"::::", error::invalid_address},
    {":1", error::invalid_address},
    {"1:", error::invalid_address},
    {":1::2", error::invalid_address},
    {"1::2:", error::invalid_address},
    {"1:2:3:4:5:6:7", error::invalid_address},
    {"1:2:3:4:5:6:7:", error::invalid_address},
    {"1:2:3:4:5:6:7:8:9", error::invalid_address},
    {"1:2:3:4:5:6:7:8::", error::invalid_address},
    {"::1:2:3:4:5:6:7:8", error::invalid_address},
    {"1:2:3:4::5:6:7:8", error::invalid_address},
    {"1::2::3", error::invalid_address},
    {"1:::2", error::invalid_address},
    {"12345::", error::invalid_address},
    {"00001::", error::invalid_address},
    {"g::", error::invalid_address},
    {"-1::", error::invalid_address},
    {"[::1]", error::invalid_address},
    {"::1 ", error::invalid_address},
    {"::1/64", error::invalid_address},
    {"::1.2.3", error::invalid_address},
    {"::1.2.3.256", error::invalid_address},
    {"::01.2.3.4", error::invalid_address},
    {"::1.2.3.4:5", error::invalid_address},
    {"::fff0001.2.3.4", error::invalid_address},
    {"1.2.3.4::", error::invalid_address},
    {"1:2:3:4:5:6:7:1.2.3.4", error::invalid_address},
    {"1:2:3:4:5:1.2.3.4", error::invalid_address},
    {"::ffff:1.2.3.4.5", error::invalid_address},
    {"%1", error::invalid_address},
    {"fe80::1%", error::invalid_scope},
    {"fe80::1%01", error::invalid_scope},
    {"fe80::1%4294967296", error::invalid_scope},
    {"fe80::1%1x", error::invalid_scope},
    {"fe80::1%no-such-if", error::invalid_scope},
    {"fe80::1%an-interface-name-that-is-much-too-long", error::invalid_scope},
    {"fe80::1%1%2", error::invalid_scope},
};

}  // namespace

TEST_CASE("good addresses parse and print canonically", "[ip_address]") {
  for (const auto& row : good) {
    CAPTURE(row.text);
    const auto parsed = ip_address::parse(row.text);
    REQUIRE(parsed);
    CHECK(parsed->to_string() == row.canonical);
    CHECK(ip_address::parse(parsed->to_string()) == *parsed);
  }
}

TEST_CASE("bad addresses are refused with the right error", "[ip_address]") {
  for (const auto& row : bad) {
    CAPTURE(row.text);
    const auto parsed = ip_address::parse(row.text);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error() == row.expected);
    CHECK(parsed.error() == kioto::errc::invalid_argument);
  }
  CHECK_FALSE(ip_address::parse(std::string_view("1.2.3.4\0", 8)));
  CHECK_FALSE(ip_address::parse(std::string_view("::1\0", 4)));
  CHECK_FALSE(ip_address::parse(std::string_view("fe80::1%lo\0", 11)));
  CHECK_FALSE(ip_address::parse(std::string(100000, ':')));
}

TEST_CASE("random addresses agree with the system's own functions", "[ip_address]") {
  std::mt19937_64 random(20240601);
  for (int i = 0; i < 3000; ++i) {
    ip_address_v6::bytes_type bytes{};
    // Sparse, so that runs of zero groups of every length and place come up.
    const std::uint64_t keep = random();
    for (std::size_t b = 0; b < 16; ++b) {
      if ((keep >> b & 1) != 0) bytes[b] = static_cast<std::uint8_t>(random());
    }
    const ip_address_v6 address(bytes);
    char text[INET6_ADDRSTRLEN];
    REQUIRE(::inet_ntop(AF_INET6, bytes.data(), text, sizeof text) != nullptr);
    CAPTURE(text);
    CHECK(ip_address_v6::parse(text) == address);
    CHECK(ip_address_v6::parse(address.to_string()) == address);
    ip_address_v6::bytes_type back{};
    REQUIRE(::inet_pton(AF_INET6, address.to_string().c_str(), back.data()) == 1);
    CHECK(back == bytes);
    // inet_ntop prints the deprecated compatible addresses with dots, RFC 5952 does not ask for it.
    if (std::strchr(text, '.') == nullptr) CHECK(address.to_string() == text);
  }
}

TEST_CASE("any text is refused or read as the system reads it", "[ip_address]") {
  std::mt19937 random(7);
  const std::string alphabet = "0123456789abcdef::::....gF";
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    const auto length = random() % 24;
    for (unsigned c = 0; c < length; ++c) text += alphabet[random() % alphabet.size()];
    std::uint8_t bytes[16] = {};
    const bool is_v4 = ::inet_pton(AF_INET, text.c_str(), bytes) == 1;
    const bool is_v6 = !is_v4 && ::inet_pton(AF_INET6, text.c_str(), bytes) == 1;
    const auto parsed = ip_address::parse(text);
    CAPTURE(text);
    if (parsed.has_value() != (is_v4 || is_v6)) FAIL("differs from inet_pton");
    if (is_v4 && std::memcmp(parsed->v4().bytes().data(), bytes, 4) != 0) FAIL("value");
    if (is_v6 && std::memcmp(parsed->v6().bytes().data(), bytes, 16) != 0) FAIL("value");
  }
}

TEST_CASE("a scope may be the name of an interface", "[ip_address]") {
  const unsigned index = ::if_nametoindex("lo");
  if (index == 0) return;  // no interface of this name here
  const auto parsed = ip_address::parse("fe80::1%lo");
  REQUIRE(parsed);
  CHECK(parsed->v6().scope_id() == index);
  CHECK(parsed->v6().with_scope(0) == ip_address_v6(0xfe80, 0, 0, 0, 0, 0, 0, 1));
  CHECK_FALSE(*parsed == ip_address_v6(0xfe80, 0, 0, 0, 0, 0, 0, 1));
}

TEST_CASE("addresses know what they are for", "[ip_address]") {
  const auto v4 = [](const char* text) { return ip_address_v4::parse(text).value(); };
  const auto v6 = [](const char* text) { return ip_address_v6::parse(text).value(); };
  CHECK(v4("0.0.0.0").is_unspecified());
  CHECK_FALSE(v4("0.0.0.1").is_unspecified());
  CHECK(v4("127.255.0.9").is_loopback());
  CHECK_FALSE(v4("128.0.0.1").is_loopback());
  CHECK(v4("224.0.0.1").is_multicast());
  CHECK(v4("239.255.255.255").is_multicast());
  CHECK_FALSE(v4("240.0.0.0").is_multicast());
  CHECK(v4("255.255.255.255").is_broadcast());
  CHECK(v4("169.254.3.4").is_link_local());
  CHECK(v4("10.9.8.7").is_private());
  CHECK(v4("172.16.0.1").is_private());
  CHECK(v4("172.31.255.255").is_private());
  CHECK_FALSE(v4("172.32.0.0").is_private());
  CHECK(v4("192.168.1.1").is_private());
  CHECK(v6("::").is_unspecified());
  CHECK(v6("::1").is_loopback());
  CHECK_FALSE(v6("::2").is_loopback());
  CHECK(v6("ff02::1").is_multicast());
  CHECK(v6("febf::1").is_link_local());
  CHECK_FALSE(v6("fec0::1").is_link_local());
  CHECK(v6("fdab::1").is_unique_local());
  CHECK(v6("::ffff:9.8.7.6").to_v4() == ip_address_v4(9, 8, 7, 6));
  CHECK_FALSE(v6("::fffe:9.8.7.6").to_v4());
  CHECK(ip_address(v6("::ffff:127.0.0.1")).to_canonical() == ip_address(v4("127.0.0.1")));
  CHECK(ip_address(v6("::1")).to_canonical() == ip_address(v6("::1")));
  CHECK(ip_address(v6("::1")).is_loopback());
  CHECK(ip_address(v4("169.254.0.1")).is_link_local());
  CHECK_FALSE(ip_address(v4("1.2.3.4")).is_multicast());
  CHECK(ip_address().is_unspecified());
}

TEST_CASE("addresses are ordered, hashed and printed", "[ip_address]") {
  std::set<ip_address> ordered;
  std::unordered_set<ip_address> hashed;
  for (const auto& row : good) {
    ordered.insert(ip_address::parse(row.text).value());
    hashed.insert(ip_address::parse(row.text).value());
  }
  CHECK(ordered.size() == hashed.size());
  CHECK(ordered.begin()->to_string() == "0.0.0.0");
  CHECK(ip_address_v4(1, 2, 3, 4) < ip_address_v4(1, 2, 4, 0));
  CHECK(ip_address(ip_address_v4()) != ip_address(ip_address_v6()));

  std::ostringstream out;
  out << ip_address_v4::loopback() << ' ' << ip_address_v6::loopback() << ' '
      << ip_address(ip_address_v4::any());
  CHECK(out.str() == "127.0.0.1 ::1 0.0.0.0");
  CHECK(fmt::format("{}|{:>5}|{:<10}|", ip_address_v4::loopback(), ip_address_v6::loopback(),
                    ip_address(ip_address_v6::any())) == "127.0.0.1|  ::1|::        |");
}
