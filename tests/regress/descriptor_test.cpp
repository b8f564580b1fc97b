// SPDX-License-Identifier: MIT
// Descriptors that were closed behind the back of the sockets they belong to.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/tcp.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;
using detail::reactor;
using detail::registration;
using net::ready;

namespace {

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

/// Two ends of a connection; the first one non-blocking.
std::array<int, 2> two_ends() {
  std::array<int, 2> fds{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data()) == 0);
  return fds;
}

void turn(reactor& driver) { driver.turn(std::chrono::nanoseconds::zero()); }

task<bool> hears(const net::tcp_stream& from, const net::tcp_stream& to) {
  std::array<char, 1> byte{};
  const auto sent = co_await from.write_all("x");
  const auto got = co_await timeout(5s, to.read(byte));
  co_return sent.has_value() && got.has_value() && *got == 1;
}

}  // namespace

// The removal failed, and the registration was freed; the kernel went on to name it.
TEST_CASE("an event of a descriptor that lives on in a duplicate met freed memory") {
  on_every_scheduler([]() -> task<> {
    auto pair = co_await connected_pair();
    const int copy = ::dup(pair.b.native_handle());
    REQUIRE(::close(pair.b.native_handle()) == 0);
    {
      const auto gone = std::move(pair.b);
    }
    co_await sleep(5ms);  // turns, in which what was removed is freed
    const auto written = co_await pair.a.write_all("x");
    CHECK(written.has_value());
    co_await sleep(5ms);
    // The same with another socket in the meantime, which may be where the old one was.
    auto next = co_await connected_pair();
    const auto again = co_await pair.a.write_all("x");
    CHECK(again.has_value());
    const bool works = co_await hears(next.a, next.b);
    CHECK(works);
    ::close(copy);
  });
}

// It took the new socket out of the set, and closed its descriptor.
TEST_CASE("a socket whose number another socket had got made that one deaf, and closed it") {
  on_every_scheduler([]() -> task<> {
    auto pair = co_await connected_pair();
    auto connecting =
        co_await or_throw(net::tcp_stream::connect(pair.listener.local_address().value()));
    const int number = pair.b.native_handle();
    const int copy = ::dup(number);
    // Somebody waits for it in vain, and learns of it when the number is taken.
    auto reads = spawn([](const net::tcp_stream& b) -> task<std::error_code> {
      std::array<char, 1> byte{};
      const auto got = co_await b.read(byte);
      co_return got ? std::error_code() : got.error();
    }(pair.b));
    co_await sleep(2ms);
    REQUIRE(::close(number) == 0);
    auto accepted = co_await or_throw(pair.listener.accept());
    REQUIRE(accepted.stream.native_handle() == number);
    auto ended = co_await timeout(5s, reads);
    REQUIRE(ended.has_value());
    CHECK(ended.value() == std::errc::operation_canceled);
    // It must not read what is the other one's.
    std::array<char, 1> byte{};
    const auto read = co_await pair.b.read(byte);
    CHECK((!read && read.error() == std::errc::operation_canceled));
    const auto tried = pair.b.try_read(byte);
    CHECK((!tried && tried.error() == std::errc::operation_canceled));

    {
      const auto gone = std::move(pair.b);
    }
    CHECK(is_open(number));
    co_await sleep(5ms);
    const auto written = co_await pair.a.write_all("x");  // an event for the copy
    CHECK(written.has_value());
    const bool works = co_await hears(connecting, accepted.stream);
    CHECK(works);
    ::close(copy);
  });
}

TEST_CASE("a socket closed the file that had got its number") {
  on_every_scheduler([]() -> task<> {
    auto pair = co_await connected_pair();
    const int number = pair.b.native_handle();
    REQUIRE(::close(number) == 0);
    const int foreign = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    REQUIRE(foreign == number);
    {
      const auto gone = std::move(pair.b);
    }
    CHECK(is_open(foreign));
    ::close(foreign);

    // Assignment, and giving the number away, are no different.
    auto other = co_await connected_pair();
    const int second = other.b.native_handle();
    REQUIRE(::close(second) == 0);
    const int again = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    REQUIRE(again == second);
    other.b = std::move(other.a);
    CHECK(is_open(again));
    ::close(again);
    const int last = other.b.native_handle();
    REQUIRE(::close(last) == 0);
    CHECK(std::move(other.b).into_native() == last);
    co_await sleep(2ms);
  });
}

TEST_CASE("the memory of a registration that events may name serves others, and tells them apart") {
  auto driver = std::move(reactor::create()).value();
  struct ghost {
    int copy;
    int peer;
  };
  std::vector<ghost> ghosts;
  std::vector<const registration*> seen;
  constexpr int rounds = 200;
  for (int i = 0; i != rounds; ++i) {
    const auto fds = two_ends();
    registration* const r = driver->add(fds[0], ready()).value();
    seen.push_back(r);
    turn(*driver);  // it is writable
    ghosts.push_back({::dup(fds[0]), fds[1]});
    ::close(fds[0]);
    CHECK_FALSE(reactor::remove(*r, fds[0]));
    turn(*driver);
  }
  // One piece of memory for 64 lives.
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  CHECK(seen.size() == (rounds + 63) / 64);

  const auto fds = two_ends();
  registration* const living = driver->add(fds[0], ready()).value();
  turn(*driver);
  CHECK_FALSE(living->readiness(ready::readable()).set() == ready::readable());
  for (const ghost& g : ghosts) REQUIRE(::write(g.peer, "x", 1) == 1);
  for (int i = 0; i != rounds; ++i) turn(*driver);
  CHECK(living->readiness(ready::readable()).is_empty());
  REQUIRE(::write(fds[1], "x", 1) == 1);
  for (int i = 0; i != 10; ++i) turn(*driver);
  CHECK(living->readiness(ready::readable()).set() == ready::readable());
  CHECK(reactor::remove(*living, fds[0]));
  turn(*driver);
  CHECK(driver->metrics().registered == driver->metrics().deregistered);
  for (const ghost& g : ghosts) {
    ::close(g.copy);
    ::close(g.peer);
  }
  ::close(fds[0]);
  ::close(fds[1]);
}

TEST_CASE("a descriptor that is registered already is refused, and its owner keeps it") {
  auto driver = std::move(reactor::create()).value();
  const auto fds = two_ends();
  registration* const first = driver->add(fds[0], ready()).value();
  const auto second = driver->add(fds[0], ready());
  CHECK((!second && second.error() == errc::file_exists));
  turn(*driver);
  CHECK(first->readiness(ready::writable()).set() == ready::writable());
  CHECK(reactor::remove(*first, fds[0]));
  registration* const third = driver->add(fds[0], ready()).value();
  CHECK(reactor::remove(*third, fds[0]));
  ::close(fds[0]);
  ::close(fds[1]);
}
