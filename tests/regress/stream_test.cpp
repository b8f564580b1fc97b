// SPDX-License-Identifier: MIT
#include <sys/socket.h>

#include <array>
#include <string>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/tcp.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

// A read ends at the mark of urgent data. That was taken for a drained socket, although readiness
// for the bytes behind the mark had been reported before: a peer could hang a reader with one byte.
TEST_CASE("a reader waited for ever for the bytes behind urgent data") {
  on_every_scheduler([]() -> task<> {
    auto p = co_await connected_pair();
    const int peer = p.a.native_handle();
    CHECK(::send(peer, "ab", 2, MSG_NOSIGNAL) == 2);
    CHECK(::send(peer, "!", 1, MSG_NOSIGNAL | MSG_OOB) == 1);
    CHECK(::send(peer, "cd", 2, MSG_NOSIGNAL) == 2);
    co_await sleep(5ms);  // all of it has arrived, and one event has told of it
    std::string got;
    while (got.size() < 4) {
      std::array<char, 16> some{};
      const auto n = co_await timeout(5s, p.b.read(some));
      if (!n || *n == 0) break;
      got.append(some.data(), *n);
    }
    CHECK(got == "abcd");
    CHECK(::send(peer, "e", 1, MSG_NOSIGNAL) == 1);
    std::array<char, 1> last{};
    const auto exact = co_await timeout(5s, p.b.read_exact(last));
    CHECK(exact.has_value());
  });
}
