// SPDX-License-Identifier: MIT
#include <array>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/tcp.hpp"

using namespace kioto;
using namespace kioto_test;

// The worker that ended the task signalled a condition variable on the stack of the thread that
// block_on had already let go.
TEST_CASE("block_on returned while its waker still used the stack of the caller") {
  runtime rt = make_runtime(flavour::one_worker);
  int sum = 0;
  for (int i = 0; i != 2000; ++i) sum += rt.block_on([]() -> task<int> { co_return 1; });
  CHECK(sum == 2000);
}

// An operation that yielded because its budget was used up was tried again without checking for a
// stop request.
TEST_CASE("a loop of operations that are always ready ignored its abort") {
  on_every_scheduler([]() -> task<> {
    auto p = co_await connected_pair();
    const auto sent = co_await p.a.write("x");
    CHECK(sent.has_value());
    auto h = spawn(
        [](net::tcp_stream s) -> task<> {
          std::array<char, 1> byte{};
          for (;;) {
            const auto n = co_await s.peek(byte);
            if (!n) co_return;
          }
        },
        std::move(p.b));
    co_await yield_now();
    h.abort();
    auto r = co_await std::move(h);
    CHECK(r.is_cancelled());
  });
}
