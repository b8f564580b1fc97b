// SPDX-License-Identifier: MIT
#include <kioto/as_result.hpp>
#include <kioto/shield.hpp>

#include <array>
#include <atomic>
#include <memory>

#include "support/catch.hpp"
#include "support/flag.hpp"
#include "support/runtimes.hpp"
#include "support/signal.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

// How a task went, step by step.
class steps {
 public:
  void add(int step) {
    at_[count_] = step;
    ++count_;
  }
  [[nodiscard]] bool are(std::initializer_list<int> expected) const {
    if (expected.size() != count_) return false;
    std::size_t i = 0;
    for (const int step : expected)
      if (at_[i++] != step) return false;
    return true;
  }

 private:
  std::array<int, 16> at_{};
  std::size_t count_ = 0;
};

task<> wait_until(const std::atomic<bool>* f) {
  for (int i = 0; i != 20000 && !f->load(); ++i) co_await sleep(1ms);
  CHECK(f->load());
}

}  // namespace

TEST_CASE("as_result: a stop is an error, and stays pending for the next wait") {
  on_every_scheduler([]() -> task<> {
    std::atomic<bool> begun{false};
    steps seen;
    const auto work = [](std::atomic<bool>* f, steps* s) -> task<> {
      f->store(true);
      const auto first = co_await as_result(sleep(100s));
      s->add(!first && first.error() == errc::operation_canceled ? 1 : -1);
      const auto second = co_await as_result(sleep(100s));
      s->add(!second && second.error() == errc::operation_canceled ? 2 : -2);
      co_await sleep(100s);
      s->add(-3);
    };
    auto h = spawn(work, &begun, &seen);
    co_await wait_until(&begun);
    h.abort();
    auto r = co_await std::move(h);
    CHECK(r.is_cancelled());
    CHECK(seen.are({1, 2}));
  });
}

TEST_CASE("as_result: values and errors pass; a child that stops is destroyed before") {
  on_every_scheduler([]() -> task<> {
    const auto five = []() -> task<int> { co_return 5; };
    const auto fails = []() -> task<result<int>> { co_return errc::broken_pipe; };
    const auto value = co_await as_result(five());
    CHECK(value.value() == 5);
    const auto error = co_await as_result(fails());
    CHECK((!error && error.error() == errc::broken_pipe));
    const auto done = co_await as_result(sleep(1ms));
    CHECK(done.has_value());

    std::atomic<bool> begun{false};
    steps seen;
    const auto child = [](std::atomic<bool>* f, probe p) -> task<int> {
      (void)p;
      f->store(true);
      co_await sleep(100s);
      co_return 1;
    };
    const auto parent = [child](std::atomic<bool>* f, steps* s) -> task<> {
      int destroyed = 0;
      auto inner = child(f, probe(destroyed));
      const auto r = co_await as_result(std::move(inner));
      s->add(!r ? 1 : -1);
      s->add(destroyed == 1 ? 2 : -2);
    };
    auto h = spawn(parent, &begun, &seen);
    co_await wait_until(&begun);
    h.abort();
    auto ended = co_await std::move(h);
    CHECK(ended.has_value());
    CHECK(seen.are({1, 2}));
  });
}

TEST_CASE("shield: the operation runs to its end, the stop takes effect at the next wait") {
  on_every_scheduler([]() -> task<> {
    signal gate;
    std::atomic<bool> begun{false};
    steps seen;
    const auto work = [](signal* g, std::atomic<bool>* f, steps* s) -> task<> {
      f->store(true);
      co_await shield(g->wait());
      s->add(1);
      co_await sleep(100s);
      s->add(-2);
    };
    auto h = spawn(work, &gate, &begun, &seen);
    co_await wait_until(&begun);
    h.abort();
    co_await sleep(2ms);
    CHECK_FALSE(h.is_finished());
    gate.set();
    auto r = co_await std::move(h);
    CHECK(r.is_cancelled());
    CHECK(seen.are({1}));
  });
}

TEST_CASE("shield: a whole task, with waits of its own, and a timeout inside") {
  on_every_scheduler([]() -> task<> {
    signal gate;
    signal never;
    std::atomic<bool> begun{false};
    steps seen;
    const auto saves = [](signal* g, signal* n, std::atomic<bool>* f, steps* s) -> task<int> {
      f->store(true);
      co_await g->wait();
      for (int i = 0; i != 5; ++i) co_await sleep(1ms);
      s->add(1);
      try {
        co_await timeout(1ms, n->wait());
        s->add(-2);
      } catch (const timeout_error&) {
        s->add(2);
      }
      co_return 7;
    };
    const auto work = [saves](signal* g, signal* n, std::atomic<bool>* f, steps* s) -> task<> {
      auto inner = saves(g, n, f, s);
      const int value = co_await shield(std::move(inner));
      s->add(value == 7 ? 3 : -3);
      co_await yield_now();
      s->add(-4);
    };
    auto h = spawn(work, &gate, &never, &begun, &seen);
    co_await wait_until(&begun);
    h.abort();
    gate.set();
    auto r = co_await std::move(h);
    CHECK(r.is_cancelled());
    CHECK(seen.are({1, 2, 3}));
  });
}
