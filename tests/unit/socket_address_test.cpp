// SPDX-License-Identifier: MIT
#include "support/catch.hpp"

#include <fmt/format.h>
#include <kioto/net/socket_address.hpp>
#include <map>
#include <sstream>
#include <string>
#include <unordered_map>

using kioto::error;
using kioto::net::ip_address_v4;
using kioto::net::ip_address_v6;
using kioto::net::socket_address;

namespace {

static_assert(std::is_trivially_copyable_v<socket_address>);
static_assert(sizeof(socket_address) <= 32);
static_assert(socket_address(ip_address_v4::loopback(), 80).port() == 80);
static_assert(socket_address(ip_address_v4::loopback(), 80, 5).flow_info() == 0);

struct round_trip {
  const char* text;
  const char* canonical;
};

const round_trip good[] = {
    {"127.0.0.1:8080", "127.0.0.1:8080"},
    {"0.0.0.0:0", "0.0.0.0:0"},
    {"255.255.255.255:65535", "255.255.255.255:65535"},
    {"[::]:0", "[::]:0"},
    {"[::1]:80", "[::1]:80"},
    {"[2001:DB8:0:0::1]:443", "[2001:db8::1]:443"},
    {"[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]:80"},
    {"[fe80::1%3]:80", "[fe80::1%3]:80"},
    {"[fe80::1%4294967295]:65535", "[fe80::1%4294967295]:65535"},
    {"[1111:2222:3333:4444:5555:6666:7777:8888%4294967295]:65535",
     "[1111:2222:3333:4444:5555:6666:7777:8888%4294967295]:65535"},
};

struct bad_input {
  const char* text;
  error expected;
};

const bad_input bad[] = {
    {"", error::invalid_address},
    {":", error::empty_host},
    {":80", error::empty_host},
    {"[]:80", error::empty_host},
    {"[]", error::empty_host},
    {"127.0.0.1", error::missing_port},
    {"127.0.0.1:", error::missing_port},
    {"[::1]", error::missing_port},
    {"[::1]:", error::missing_port},
    {"::1", error::missing_port},
    {"::1:80", error::missing_port},
    {"127.0.0.1:x", error::invalid_port},
    {"127.0.0.1:80x", error::invalid_port},
    {"127.0.0.1: 80", error::invalid_port},
    {"127.0.0.1:80 ", error::invalid_port},
    {"127.0.0.1:+80", error::invalid_port},
    {"127.0.0.1:-1", error::invalid_port},
    {"127.0.0.1:65536", error::invalid_port},
    {"127.0.0.1:99999", error::invalid_port},
    {"127.0.0.1:4294967376", error::invalid_port},
    {"127.0.0.1:080", error::invalid_port},
    {"127.0.0.1:00", error::invalid_port},
    {"127.0.0.1:0x50", error::invalid_port},
    {"[::1]:65536", error::invalid_port},
    {"localhost:80", error::invalid_address},
    {"localhost", error::missing_port},
    {"127.0.0.256:80", error::invalid_address},
    {"127.1:80", error::invalid_address},
    {"127.0.0.1:80:90", error::invalid_address},
    {"1:2:3:4:5:6:7:8:80", error::invalid_address},
    {"[127.0.0.1]:80", error::invalid_address},
    {"[::1", error::invalid_address},
    {"[::1]80", error::invalid_address},
    {"[[::1]]:80", error::invalid_address},
    {"[::1:80", error::invalid_address},
    {"::1]:80", error::invalid_address},
    {"[g::1]:80", error::invalid_address},
    {" 127.0.0.1:80", error::invalid_address},
    {"127.0.0.1 :80", error::invalid_address},
    {"[fe80::1%]:80", error::invalid_scope},
    {"[fe80::1%no-such-if]:80", error::invalid_scope},
    {"http://127.0.0.1:80", error::invalid_address},
};

}  // namespace

TEST_CASE("good socket addresses parse and print canonically", "[socket_address]") {
  for (const auto& row : good) {
    CAPTURE(row.text);
    const auto parsed = socket_address::parse(row.text);
    REQUIRE(parsed);
    CHECK(parsed->to_string() == row.canonical);
    CHECK(socket_address::parse(parsed->to_string()) == *parsed);
  }
}

TEST_CASE("bad socket addresses are refused with the right error", "[socket_address]") {
  for (const auto& row : bad) {
    CAPTURE(row.text);
    const auto parsed = socket_address::parse(row.text);
    REQUIRE_FALSE(parsed);
    CAPTURE(parsed.error().message());
    CHECK(parsed.error() == row.expected);
    CHECK(parsed.error() == kioto::errc::invalid_argument);
  }
}

TEST_CASE("a socket address gives back its parts", "[socket_address]") {
  const socket_address a(ip_address_v6::loopback().with_scope(4), 81, 0x12345);
  CHECK(a.is_v6());
  CHECK(a.ip() == ip_address_v6::loopback().with_scope(4));
  CHECK(a.port() == 81);
  CHECK(a.scope_id() == 4);
  CHECK(a.flow_info() == 0x12345);
  CHECK(a.with_port(9).port() == 9);
  CHECK(a.with_port(9).flow_info() == 0x12345);
  CHECK(a.with_port(9) != a);
  const socket_address b(ip_address_v4(1, 2, 3, 4), 5);
  CHECK(b.is_v4());
  CHECK(b.scope_id() == 0);
}

TEST_CASE("socket addresses are ordered, hashed and printed", "[socket_address]") {
  std::map<socket_address, int> ordered;
  std::unordered_map<socket_address, int> hashed;
  for (int port = 0; port < 2000; ++port) {
    const socket_address a(ip_address_v4::loopback(), static_cast<std::uint16_t>(port));
    ordered[a] = port;
    hashed[a] = port;
  }
  CHECK(ordered.size() == 2000);
  CHECK(hashed.size() == 2000);
  CHECK(ordered.begin()->second == 0);
  CHECK(socket_address(ip_address_v4(1, 1, 1, 1), 9) <
        socket_address(ip_address_v4(2, 1, 1, 1), 1));

  std::ostringstream out;
  out << socket_address::parse("[::1]:80").value() << ' ' << socket_address();
  CHECK(out.str() == "[::1]:80 0.0.0.0:0");
  CHECK(fmt::format("{:>12}|", socket_address()) == "   0.0.0.0:0|");
}
