// SPDX-License-Identifier: MIT
#include <kioto/abort_on_drop.hpp>

#include <atomic>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

task<> sleeps(shared_probe) { co_await sleep(1000h); }
task<int> seven() { co_return 7; }

}  // namespace

TEST_CASE("abort_on_drop: the task ends with the handle") {
  on_every_scheduler([]() -> task<> {
    std::atomic<int> ended{0};
    {
      abort_on_drop<> h(spawn(sleeps(shared_probe(ended))));
      CHECK(h.valid());
      CHECK_FALSE(h.is_finished());
      for (int i = 0; i != 5; ++i) co_await yield_now();
    }
    while (ended != 1) co_await yield_now();

    abort_on_drop<> a(spawn(sleeps(shared_probe(ended))));
    abort_on_drop<> b(spawn(sleeps(shared_probe(ended))));
    a = std::move(b);
    while (ended != 2) co_await yield_now();
    CHECK_FALSE(b.valid());
    a.abort();
    auto r = co_await a;
    CHECK(r.is_cancelled());
    CHECK(ended == 3);
  });
}

TEST_CASE("abort_on_drop: it is awaited like the handle, and gives it back") {
  on_every_scheduler([]() -> task<> {
    abort_on_drop<int> h(spawn(seven()));
    auto r = co_await std::move(h);
    CHECK(std::move(r).value() == 7);

    abort_on_drop<int> other(spawn(seven()));
    auto back = other.detach();
    CHECK_FALSE(other.valid());
    auto s = co_await back;
    CHECK(std::move(s).value() == 7);
  });
}
