// SPDX-License-Identifier: MIT
#include "support/catch.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <atomic>
#include <cerrno>
#include <kioto/detail/net/sys.hpp>
#include <string>
#include <string_view>
#include "net/resolve.hpp"

namespace sys = kioto::detail::sys;
using kioto::error;
using kioto::resolve_error;
using kioto::detail::parse_host_port;
using kioto::detail::parse_literal;
using kioto::detail::resolve_blocking;
using kioto::net::ip_address_v4;
using kioto::net::ip_address_v6;
using kioto::net::socket_address;

namespace {

std::atomic<int> queries{0};
std::atomic<int> first_answer{0};
std::atomic<int> first_flags{0};
std::atomic<int> last_flags{0};
std::atomic<int> freed{0};

// Three addresses, one of them twice, and one of a family that kioto does not know.
struct canned_answer {
  canned_answer() {
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(0x01020304);
    v6.sin6_family = AF_INET6;
    v6.sin6_addr.s6_addr[15] = 1;
    other.sa_family = AF_UNIX;
    fill(entries[0], v6, AF_INET6);
    fill(entries[1], v4, AF_INET);
    fill(entries[2], other, AF_UNIX);
    fill(entries[3], v6, AF_INET6);
    for (int i = 0; i < 3; ++i) entries[i].ai_next = &entries[i + 1];
  }
  template <class Address>
  static void fill(::addrinfo& entry, Address& address, int family) {
    entry.ai_family = family;
    entry.ai_addr = reinterpret_cast<::sockaddr*>(&address);
    entry.ai_addrlen = sizeof address;
  }
  ::sockaddr_in v4{};
  ::sockaddr_in6 v6{};
  ::sockaddr other{};
  ::addrinfo entries[4]{};
};

canned_answer canned;

sys::calls fake_resolver(int answer_to_first) {
  queries = 0;
  freed = 0;
  first_answer = answer_to_first;
  sys::calls calls = sys::table();
  calls.getaddrinfo = [](const char*, const char*, const ::addrinfo* hints, ::addrinfo** list) {
    last_flags = hints->ai_flags;
    if (queries.fetch_add(1) == 0) {
      first_flags = hints->ai_flags;
      if (first_answer != 0) {
        errno = ECONNREFUSED;
        return first_answer.load();
      }
    }
    *list = &canned.entries[0];
    return 0;
  };
  calls.freeaddrinfo = [](::addrinfo*) { freed.fetch_add(1); };
  return calls;
}

struct bad_input {
  std::string text;
  error expected;
};

}  // namespace

TEST_CASE("host:port splits into a literal or a name", "[resolve]") {
  const auto name = parse_host_port("example.com:80");
  REQUIRE(name);
  CHECK(name->host == "example.com");
  CHECK(name->port == 80);
  CHECK_FALSE(name->literal);
  CHECK(parse_host_port("a:0")->port == 0);
  CHECK(parse_host_port("with_underscore.x-1.:65535")->host == "with_underscore.x-1.");
  CHECK(parse_host_port("3com.com:80"));
  CHECK(parse_host_port("0xfe.com:80"));
  CHECK(parse_host_port(std::string(63, 'a') + ".com:80"));

  CHECK(parse_host_port("127.0.0.1:80")->literal == socket_address(ip_address_v4::loopback(), 80));
  CHECK(parse_literal("[::1]:80") == socket_address(ip_address_v6::loopback(), 80));
  CHECK(parse_literal("[::1%3]:80") == socket_address(ip_address_v6::loopback().with_scope(3), 80));
  CHECK(parse_literal("::1", 80) == socket_address(ip_address_v6::loopback(), 80));
  CHECK(parse_literal("127.0.0.1", 80) == socket_address(ip_address_v4::loopback(), 80));
  CHECK_FALSE(parse_literal("localhost:80"));
  CHECK_FALSE(parse_literal("localhost", 80));
  CHECK_FALSE(parse_literal("127.0.0.1"));
  CHECK_FALSE(parse_literal("[::1]", 80));
}

TEST_CASE("bad host:port is refused without asking a name server", "[resolve]") {
  const bad_input rows[] = {
      {"", error::empty_host},
      {":", error::empty_host},
      {":80", error::empty_host},
      {"[]:80", error::empty_host},
      {"localhost", error::missing_port},
      {"localhost:", error::missing_port},
      {"127.0.0.1", error::missing_port},
      {"::1", error::missing_port},
      {"::1:80", error::missing_port},
      {"[::1]", error::missing_port},
      {"localhost:http", error::invalid_port},
      {"localhost:65536", error::invalid_port},
      {"localhost:-1", error::invalid_port},
      {"localhost:080", error::invalid_port},
      {"localhost: 80", error::invalid_port},
      {"localhost:80 ", error::invalid_port},
      {"localhost:80:90", error::invalid_host},
      {"http://localhost:80", error::invalid_host},
      {"a/b:80", error::invalid_host},
      {" localhost:80", error::invalid_host},
      {"local host:80", error::invalid_host},
      {"localhost\t:80", error::invalid_host},
      {std::string("local\0host:80", 13), error::invalid_host},
      {".:80", error::invalid_host},
      {".com:80", error::invalid_host},
      {"a..b:80", error::invalid_host},
      {"localhost%lo:80", error::invalid_host},
      {std::string(64, 'a') + ":80", error::invalid_host},
      {std::string(254, 'a') + ":80", error::invalid_host},
      {"[::1:80", error::invalid_host},
      {"[::1]x:80", error::invalid_host},
      {"::1]:80", error::invalid_host},
      {"a]:80", error::invalid_host},
      {"[localhost]:80", error::invalid_address},
      {"[127.0.0.1]:80", error::invalid_address},
      {"[g::]:80", error::invalid_address},
      {"[::1%]:80", error::invalid_scope},
      {"256.0.0.1:80", error::invalid_address},
      {"127.1:80", error::invalid_address},
      {"010.0.0.1:80", error::invalid_address},
      {"2130706433:80", error::invalid_address},
      {"0x7f000001:80", error::invalid_address},
      {"127.0.0.0x1:80", error::invalid_address},
      {"1.2.3.4.:80", error::invalid_address},
  };
  const sys::override_calls counting(fake_resolver(0));
  for (const auto& row : rows) {
    CAPTURE(row.text);
    const auto parsed = parse_host_port(row.text);
    REQUIRE_FALSE(parsed);
    CAPTURE(parsed.error().message());
    CHECK(parsed.error() == row.expected);
    CHECK(resolve_blocking(row.text).error() == row.expected);
  }
  CHECK(parse_host_port("", 80).error() == error::empty_host);
  CHECK(parse_host_port("a:80", 80).error() == error::invalid_host);
  CHECK(parse_host_port("[::1]", 80).error() == error::invalid_host);
  CHECK(parse_host_port("::1%no-such-if", 80).error() == error::invalid_scope);
  CHECK(parse_host_port("::g", 80).error() == error::invalid_host);
  CHECK(parse_host_port("1.2.3", 80).error() == error::invalid_address);
  CHECK(queries == 0);
}

TEST_CASE("localhost resolves to loopback addresses with the port", "[resolve]") {
  const auto found = resolve_blocking("localhost:8080");
  REQUIRE(found);
  REQUIRE_FALSE(found->empty());
  for (const auto& address : *found) {
    CAPTURE(address.to_string());
    CHECK(address.ip().is_loopback());
    CHECK(address.port() == 8080);
  }
  CHECK(resolve_blocking("localhost", 1)->front().port() == 1);
}

TEST_CASE("a literal resolves to itself", "[resolve]") {
  const sys::override_calls counting(fake_resolver(0));
  CHECK(resolve_blocking("127.0.0.1:80")->front() == *parse_literal("127.0.0.1:80"));
  CHECK(resolve_blocking("[::1]:80")->size() == 1);
  CHECK(resolve_blocking("::1", 80)->front() == *parse_literal("[::1]:80"));
  CHECK(queries == 0);
}

TEST_CASE("the addresses of a name come in order and once each", "[resolve]") {
  const sys::override_calls fake(fake_resolver(0));
  const auto found = resolve_blocking("somewhere.test:443");
  REQUIRE(found);
  REQUIRE(found->size() == 2);
  CHECK(found->at(0).to_string() == "[::1]:443");
  CHECK(found->at(1).to_string() == "1.2.3.4:443");
  CHECK(queries == 1);
  CHECK(freed == 1);
  CHECK((last_flags & AI_ADDRCONFIG) != 0);
}

TEST_CASE("a resolver failure keeps its reason", "[resolve]") {
  struct row {
    int eai;
    resolve_error expected;
  };
  for (const row& r :
       {row{EAI_NONAME, resolve_error::host_not_found}, row{EAI_AGAIN, resolve_error::try_again},
        row{EAI_FAIL, resolve_error::failed}, row{EAI_MEMORY, resolve_error::out_of_memory},
        row{EAI_SERVICE, resolve_error::service_not_found}, row{12345, resolve_error::other}}) {
    CAPTURE(r.eai);
    const sys::override_calls fake(fake_resolver(r.eai));
    const auto found = resolve_blocking("nowhere.test:80");
    REQUIRE_FALSE(found);
    CHECK(found.error() == r.expected);
    CHECK(found.error().category() == kioto::resolve_category());
    CHECK(queries == 1);
    CHECK(freed == 0);
  }
  const std::error_code not_found = resolve_error::host_not_found;
  CHECK(not_found.message() == ::gai_strerror(EAI_NONAME));

  const sys::override_calls fake(fake_resolver(EAI_SYSTEM));
  CHECK(resolve_blocking("nowhere.test:80").error() == kioto::errc::connection_refused);
}

TEST_CASE("a name whose family the machine lacks is asked for without that filter", "[resolve]") {
  {
    const sys::override_calls fake(fake_resolver(EAI_BADFLAGS));
    CHECK(resolve_blocking("somewhere.test:443"));
    CHECK(queries == 2);
    CHECK((first_flags & AI_ADDRCONFIG) != 0);
    CHECK((last_flags & AI_ADDRCONFIG) == 0);
  }
  const sys::override_calls fake(fake_resolver(0));
  for (const char* text : {"localhost:80", "LocalHost.:80", "db.localhost:80"}) {
    last_flags = -1;
    CHECK(resolve_blocking(text));
    CHECK((last_flags & AI_ADDRCONFIG) == 0);
  }
  CHECK(resolve_blocking("notlocalhost:80"));
  CHECK((last_flags & AI_ADDRCONFIG) != 0);
}
