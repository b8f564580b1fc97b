// SPDX-License-Identifier: MIT
// Every operation that can suspend, cancelled at every point of its life.
#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "support/cancel_harness.hpp"
#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/tcp.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

task<bool> wait_sleep() {
  co_await sleep(3ms);
  co_return true;
}
task<> wait_out() { co_await sleep(5ms); }

task<bool> wait_join(std::shared_ptr<std::atomic<bool>> f) {
  auto child = spawn(
      [](std::shared_ptr<std::atomic<bool>> g) -> task<int> {
        while (!g->load()) co_await sleep(1ms);
        co_return 4;
      },
      f);
  auto r = co_await std::move(child);
  co_return std::move(r).value() == 4;
}
task<bool> wait_blocking(std::shared_ptr<std::atomic<bool>> f) {
  // Not inside the co_await: g++ 12 destroys such a closure twice.
  auto job = spawn_blocking([f] {
    while (!f->load()) std::this_thread::sleep_for(1ms);
    return 6;
  });
  auto r = co_await std::move(job);
  co_return std::move(r).value() == 6;
}
task<bool> wait_yield(std::shared_ptr<std::atomic<bool>> f) {
  while (!f->load()) co_await yield_now();
  co_return true;
}
task<bool> wait_budget(std::shared_ptr<std::atomic<bool>> f) {
  while (!f->load()) co_await consume_budget();
  co_return true;
}
task<bool> wait_timeout(std::shared_ptr<tcp_pair> e) {
  std::array<char, 1> byte{};
  const auto r = co_await timeout(10s, e->b.read(byte));
  co_return r.has_value() && *r == 1;
}
task<bool> wait_read(std::shared_ptr<tcp_pair> e) {
  std::array<char, 4> some{};
  const auto r = co_await e->b.read(some);
  co_return r.has_value() && *r == 1 && some[0] == 'v';
}
task<bool> wait_peek(std::shared_ptr<tcp_pair> e) {
  std::array<char, 4> some{};
  const auto r = co_await e->b.peek(some);
  co_return r.has_value() && *r == 1;
}
task<bool> wait_exact(std::shared_ptr<tcp_pair> e) {
  std::array<char, 1> some{};
  const auto r = co_await e->b.read_exact(some);
  co_return r.has_value();
}
task<bool> wait_vectored(std::shared_ptr<tcp_pair> e) {
  std::array<char, 2> some{};
  const std::array<mutable_buffer, 1> parts{mutable_buffer(some)};
  const auto r = co_await e->b.read_vectored(parts);
  co_return r.has_value() && *r == 1;
}
task<bool> wait_readable(std::shared_ptr<tcp_pair> e) {
  const auto r = co_await e->b.readable();
  co_return r.has_value();
}
task<bool> wait_ready(std::shared_ptr<tcp_pair> e) {
  const auto r = co_await e->b.ready(net::interest::readable() | net::interest::priority());
  co_return r.has_value() && r->is_readable();
}
task<> send_byte(std::shared_ptr<tcp_pair> e) {
  const auto r = co_await e->a.write("v");
  CHECK(r.has_value());
}
task<bool> wait_accept(std::shared_ptr<tcp_pair> e) {
  const auto r = co_await e->listener.accept();
  co_return r.has_value();
}
task<> connect_once(std::shared_ptr<tcp_pair> e) {
  const auto r = co_await net::tcp_stream::connect(e->listener.local_address().value());
  CHECK(r.has_value());
}
task<bool> wait_write(std::shared_ptr<tcp_pair> e) {
  const std::vector<char> block(1 << 16);
  fill(e->a);
  const auto r = co_await e->a.write(block);
  co_return r.has_value() && *r > 0;
}
task<bool> wait_write_all(std::shared_ptr<tcp_pair> e) {
  const std::vector<char> block(8 << 20);
  const auto r = co_await e->a.write_all(block);
  co_return r.has_value();
}
task<bool> wait_write_vectored(std::shared_ptr<tcp_pair> e) {
  const std::vector<char> block(1 << 16);
  fill(e->a);
  const std::array<const_buffer, 2> parts{const_buffer(block), const_buffer(block)};
  const auto r = co_await e->a.write_vectored(parts);
  co_return r.has_value() && *r > 0;
}
task<bool> wait_writable(std::shared_ptr<tcp_pair> e) {
  fill(e->a);
  const auto r = co_await e->a.writable();
  co_return r.has_value();
}
task<> drain(std::shared_ptr<tcp_pair> e) {
  std::vector<char> block(1 << 20);
  for (;;) {
    const auto r = co_await timeout(20ms, e->b.read(block));
    if (!r) co_return;
  }
}

using on_ends = task<bool> (*)(std::shared_ptr<tcp_pair>);
using act_on_ends = task<> (*)(std::shared_ptr<tcp_pair>);

task<std::function<subject()>> with_ends(on_ends wait, act_on_ends act) {
  auto e = std::make_shared<tcp_pair>(co_await connected_pair());
  co_return [e, wait, act] {
    return subject{[e, wait] { return wait(e); }, [e, act] { return act(e); }};
  };
}

}  // namespace

TEST_CASE("cancel at every suspension: sleep") {
  on_every_scheduler([]() -> task<> {
    for (const point p : {point::before_start, point::armed, point::beside_completion,
                          point::from_a_thread, point::after_completion, point::never})
      co_await drive([] { return subject{&wait_sleep, &wait_out}; }, p);
  });
}

TEST_CASE("cancel at every suspension: join, yield, budget") {
  for (const on_flag wait : {&wait_join, &wait_yield, &wait_budget})
    on_every_scheduler(
        [wait]() -> task<> { return at_every_point([wait] { return with_flag(wait); }); });
}

TEST_CASE("cancel at every suspension: spawn_blocking") {
  // A call that runs cannot be taken back, so the flag is raised before the task is cancelled.
  on_every_scheduler([]() -> task<> {
    for (const point p : {point::from_a_thread, point::after_completion, point::never}) {
      auto make = co_await with_flag(&wait_blocking);
      co_await drive(std::move(make), p);
    }
  });
}

TEST_CASE("cancel at every suspension: reading") {
  for (const on_ends wait : {&wait_read, &wait_peek, &wait_exact, &wait_vectored, &wait_readable,
                             &wait_ready, &wait_timeout})
    on_every_scheduler([wait]() -> task<> {
      return at_every_point([wait] { return with_ends(wait, &send_byte); });
    });
}

TEST_CASE("cancel at every suspension: accept") {
  on_every_scheduler([]() -> task<> {
    return at_every_point([] { return with_ends(&wait_accept, &connect_once); });
  });
}

TEST_CASE("cancel at every suspension: writing") {
  for (const on_ends wait : {&wait_write, &wait_write_all, &wait_write_vectored, &wait_writable})
    on_every_scheduler([wait]() -> task<> {
      for (const point p :
           {point::before_start, point::armed, point::from_a_thread, point::never}) {
        auto make = co_await with_ends(wait, &drain);
        co_await drive(std::move(make), p);
      }
    });
}
