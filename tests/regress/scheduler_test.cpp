// SPDX-License-Identifier: MIT
// Tasks that were ready and did not run.
#include <array>
#include <atomic>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/flag.hpp"
#include "support/runtimes.hpp"
#include "support/tcp.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

task<> raises(flag f) {
  f->store(true);
  co_return;
}

task<> echo(net::tcp_stream socket) {
  std::array<std::byte, 16> buffer;
  for (;;) {
    const auto n = co_await socket.read(buffer);
    if (!n || *n == 0) co_return;
    const auto written = co_await socket.write_all(std::span(buffer).first(*n));
    if (!written) co_return;
  }
}

}  // namespace

// The worker looked for work before it called the hook, and slept on what the hook had spawned.
TEST_CASE("a task spawned by on_thread_park waited until something else woke its worker") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    const flag ran = make_flag();
    const flag once = make_flag();
    auto builder = builder_for(f);
    builder.on_thread_park([ran, once] {
      if (!once->exchange(true)) kioto::spawn(raises(ran));
    });
    runtime rt = std::move(builder.build()).value();
    if (f == flavour::current_thread) {
      rt.block_on([](flag r) -> task<> {
        for (int i = 0; i != 5000 && !r->load(); ++i) co_await sleep(1ms);
      }(ran));
    }
    CHECK(comes_true(*ran, 5s));
  }
}

// The only other worker slept in the driver, where it did not notice that this one was stuck.
TEST_CASE("a task in the slot of a blocked worker was stranded while the other one was idle") {
  for (const unsigned workers : {2U, 3U, 4U}) {
    INFO(workers << " workers");
    auto rt = std::move(runtime::builder().worker_threads(workers).build()).value();
    for (int round = 0; round != 5; ++round) {
      std::this_thread::sleep_for(5ms);  // for the others to fall asleep
      const bool ran = rt.block_on([]() -> task<bool> {
        const flag f = make_flag();
        spawn(raises(f));
        co_return comes_true(*f, 5s);  // blocks the worker
      });
      CHECK(ran);
    }
  }
}

// Each poll of the reactor brought more than the ring had room for. Half of it went to the
// injection queue, where it waited behind all that came later: one request in a hundred took ten
// times as long.
TEST_CASE("ready sockets overflowed the ring of a worker, and some of them starved") {
  constexpr std::size_t connections = 400;
  auto rt = std::move(runtime::builder().worker_threads(1).build()).value();
  const auto clients = rt.block_on([]() -> task<std::vector<net::tcp_stream>> {
    auto listener = co_await listen_somewhere();
    std::vector<net::tcp_stream> out;
    for (std::size_t i = 0; i != connections; ++i) {
      out.push_back(co_await or_throw(net::tcp_stream::connect(listener.local_address().value())));
      auto accepted = co_await or_throw(listener.accept());
      spawn(echo(std::move(accepted.stream)));
    }
    co_return out;
  });
  const auto overflows = [&rt] { return rt.metrics().workers.at(0).overflows; };
  const auto before = overflows();
  for (int round = 0; round != 10; ++round) {
    // All become ready while the worker is stuck.
    const flag stuck = make_flag();
    const flag go = make_flag();
    const auto obstacle = rt.spawn([](flag here, flag until) -> task<> {
      here->store(true);
      while (!until->load()) std::this_thread::yield();
      co_return;
    }(stuck, go));
    REQUIRE(comes_true(*stuck, 5s));
    for (const auto& c : clients) REQUIRE(c.try_write("x").has_value());
    go->store(true);
    for (const auto& c : clients) {
      std::array<char, 1> answer{};
      result<std::size_t> n = std::errc::operation_would_block;
      while (!(n = c.try_read(answer)) && n.error() == std::errc::operation_would_block)
        std::this_thread::yield();
      REQUIRE(n.value() == 1);
    }
  }
  CHECK(overflows() == before);
}

namespace {

task<> wait_behind_a_shield(std::shared_ptr<sync::notify> news, flag waiting, flag done) {
  co_await shield([](std::shared_ptr<sync::notify> n, flag w, flag d) -> task<> {
    auto wait = n->notified();
    w->store(true);
    co_await std::move(wait);
    d->store(true);
  }(news, waiting, done));
}

task<> wake_and_block(std::shared_ptr<sync::notify> news, flag blocked, flag go, flag done,
                      flag helped) {
  blocked->store(true);
  while (!go->load()) std::this_thread::sleep_for(1ms);
  news->notify_one();  // into the slot of this worker
  helped->store(comes_true(*done, 5s));
  co_return;
}

}  // namespace

// The stall monitor was ended by a shutdown that had run out of time, while the workers went on.
TEST_CASE(
    "after a shutdown without patience, a task in the slot of a blocked worker was stranded") {
  auto news = std::make_shared<sync::notify>();
  const flag waiting = make_flag();
  const flag blocked = make_flag();
  const flag go = make_flag();
  const flag done = make_flag();
  const flag helped = make_flag();
  auto rt = std::move(runtime::builder().worker_threads(2).build()).value();
  auto waits = rt.spawn(wait_behind_a_shield(news, waiting, done));
  REQUIRE(comes_true(*waiting, 5s));
  auto blocks = rt.spawn(wake_and_block(news, blocked, go, done, helped));
  REQUIRE(comes_true(*blocked, 5s));
  rt.shutdown(100ms);
  go->store(true);
  CHECK(comes_true(*helped, 10s));
}

namespace {

task<> yields_and_raises(flag f) {
  co_await yield_now();
  f->store(true);
}

task<bool> blocks_until(flag f) { co_return comes_true(*f, 5s); }

task<> yields_until(flag running, flag stop) {
  while (!stop->load()) {
    running->store(true);
    co_await yield_now();
  }
}

}  // namespace

// Tasks that yielded were in a list of the worker that no other worker could reach.
TEST_CASE("a task that yielded was stranded on a blocked worker while the other one was idle") {
  for (const unsigned workers : {2U, 3U, 4U}) {
    INFO(workers << " workers");
    auto rt = std::move(runtime::builder().worker_threads(workers).build()).value();
    for (int round = 0; round != 5; ++round) {
      const bool ran = rt.block_on([]() -> task<bool> {
        const flag f = make_flag();
        // The blocker is in the ring, behind the slot: the other one runs first, and yields.
        auto blocker = spawn(blocks_until(f));
        spawn(yields_and_raises(f));
        auto ended = co_await blocker;
        co_return std::move(ended).value();
      });
      CHECK(ran);
    }
  }
}

// An idle worker steals. One that is never idle took nothing from one that was blocked.
TEST_CASE("what waits behind a blocked worker was stranded while the other one was busy") {
  auto rt = std::move(runtime::builder().worker_threads(2).build()).value();
  const flag stop = make_flag();
  const bool ran = rt.block_on([](flag end) -> task<bool> {
    const flag busy = make_flag();
    spawn(yields_until(busy, end));
    if (!comes_true(*busy, 5s)) co_return false;  // on the other worker, which is busy from now on
    const flag yielded = make_flag();
    const flag in_ring = make_flag();
    const flag in_slot = make_flag();
    spawn(yields_and_raises(yielded));
    co_await yield_now();
    spawn(raises(in_ring));
    spawn(raises(in_slot));
    const bool first = comes_true(*yielded, 5s);
    const bool second = comes_true(*in_ring, 5s);
    co_return comes_true(*in_slot, 5s) && first&& second;
  }(stop));
  stop->store(true);
  CHECK(ran);
}

// More tasks than a ring holds yield, beside two that wake each other for as long as they do.
TEST_CASE("tasks that yield get their turns among others, and more of them than a ring holds") {
  for (const flavour f : {flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    runtime rt = make_runtime(f);
    const std::size_t runs = rt.block_on([]() -> task<std::size_t> {
      auto [ping, pinged] = sync::mpsc::channel<int>(1);
      auto [pong, ponged] = sync::mpsc::channel<int>(1);
      auto echoes = spawn([](sync::mpsc::receiver<int> in, sync::mpsc::sender<int> out) -> task<> {
        for (;;) {
          const auto got = co_await in.recv();
          if (!got) co_return;
          const auto sent = co_await out.send(*got);
          if (!sent) co_return;
        }
      }(std::move(pinged), std::move(pong)));
      const flag stop = make_flag();
      auto plays =
          spawn([](sync::mpsc::sender<int> out, sync::mpsc::receiver<int> in, flag end) -> task<> {
            while (!end->load()) {
              const auto sent = co_await out.send(1);
              if (!sent) co_return;
              const auto got = co_await in.recv();
              if (!got) co_return;
            }
          }(std::move(ping), std::move(ponged), stop));
      std::vector<join_handle<std::size_t>> all;
      for (int i = 0; i != 700; ++i)
        all.push_back(spawn([]() -> task<std::size_t> {
          std::size_t n = 0;
          for (; n != 20; ++n) co_await yield_now();
          co_return n;
        }));
      std::size_t sum = 0;
      for (auto& one : all) {
        auto ended = co_await one;
        sum += std::move(ended).value();
      }
      stop->store(true);
      const auto played = co_await plays;
      const auto echoed = co_await echoes;
      CHECK((played.has_value() && echoed.has_value()));
      co_return sum;
    });
    CHECK(runs == 14000);
  }
}
