// SPDX-License-Identifier: MIT
// Every operation that can suspend, cancelled at every point of its life.
#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <kioto/detail/net/socket.hpp>

#include "support/cancel_harness.hpp"
#include "support/catch.hpp"
#include "support/flag.hpp"
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
task<bool> wait_for_a_thread(std::shared_ptr<std::atomic<int>> calls) {
  auto call = detail::run_blocking(detail::bind_call([calls] { return 1 + calls->fetch_add(1); }));
  const int value = co_await std::move(call);
  co_return value == 1;
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
  const std::array<const_buffer, 2> parts{const_buffer(block), const_buffer(block)};
  const auto r = co_await e->a.write_vectored(parts);
  co_return r.has_value() && *r > 0;
}
task<bool> wait_writable(std::shared_ptr<tcp_pair> e) {
  const auto r = co_await e->a.writable();
  co_return r.has_value();
}

/// Whether a task is about to wait, or waits.
class course {
 public:
  /// Holds on from its construction to its end.
  class mark {
   public:
    explicit mark(std::shared_ptr<course> of) noexcept : of_(std::move(of)) { of_->begun_ = true; }
    mark(mark&&) noexcept = default;
    mark& operator=(mark&&) = delete;
    ~mark() {
      if (of_ != nullptr) of_->ended_ = true;
    }

   private:
    std::shared_ptr<course> of_;
  };

  [[nodiscard]] bool is_under_way() const noexcept { return begun_ && !ended_; }

 private:
  std::atomic<bool> begun_{false};
  std::atomic<bool> ended_{false};
};
task<bool> marked(course::mark mark, task<bool> wait) {
  (void)mark;
  const bool right = co_await std::move(wait);
  co_return right;
}

// Reads until the writer has ended: on a loaded machine, silence proves nothing.
task<> drain(std::shared_ptr<tcp_pair> e, std::shared_ptr<course> writer) {
  std::vector<char> block(1 << 20);
  while (writer->is_under_way()) {
    const auto r = co_await timeout(2ms, e->b.read(block));
    if (!r && r.error() != errc::timed_out) co_return;
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

// Its stream is full, and is drained when the write is to complete.
task<std::function<subject()>> with_a_reader(on_ends write) {
  auto e = std::make_shared<tcp_pair>(co_await connected_pair());
  fill(e->a);
  auto writer = std::make_shared<course>();
  co_return [e, writer, write] {
    return subject{[e, writer, write] { return marked(course::mark(writer), write(e)); },
                   [e, writer] { return drain(e, writer); }};
  };
}

/// A listener that nobody accepts from, and connections that fill its queue.
struct crowd {
  detail::unique_fd listener;
  net::socket_address address;
  std::vector<detail::unique_fd> waiting;
};
crowd make_crowd() {
  crowd out;
  const net::socket_address anywhere(net::ip_address_v4::loopback(), 0);
  out.listener = std::move(detail::open_tcp_listener(anywhere, 0)).value();
  out.address = detail::local_address(out.listener.get()).value();
  // Until one does not connect: the queue is full, or there are enough.
  for (bool has_room = true; has_room && out.waiting.size() != 64;) {
    auto fd = std::move(detail::open_tcp(net::ip_family::v4)).value();
    (void)detail::start_connect(fd.get(), out.address);
    has_room = detail::peer_address(fd.get()).has_value();
    out.waiting.push_back(std::move(fd));
  }
  return out;
}
task<bool> wait_connect(std::shared_ptr<crowd> c) {
  const auto stream = co_await net::tcp_stream::connect(c->address);
  co_return stream.has_value();
}
// Accepts until the connection has come. The kernel asks again after a second.
task<> disperse(std::shared_ptr<crowd> c, std::shared_ptr<course> of) {
  c->waiting.clear();
  net::socket_address peer;
  while (of->is_under_way()) {
    const auto taken = detail::accept(c->listener.get(), peer);
    if (taken.ok())
      detail::unique_fd(taken.fd()).reset();
    else
      co_await sleep(1ms);
  }
}
subject with_a_crowd() {
  auto c = std::make_shared<crowd>(make_crowd());
  auto of = std::make_shared<course>();
  return subject{[c, of] { return marked(course::mark(of), wait_connect(c)); },
                 [c, of] { return disperse(c, of); }};
}

// The only thread of the pool is busy until the call may have it.
task<std::function<subject()>> with_a_busy_pool(std::shared_ptr<std::atomic<int>> calls) {
  const flag begun = make_flag();
  const flag release = make_flag();
  auto busy = spawn_blocking([begun, release] {
    begun->store(true);
    comes_true(*release);
  });
  busy.detach();
  while (!begun->load()) co_await yield_now();
  co_return [calls, release] {
    return subject{[calls] { return wait_for_a_thread(calls); },
                   [release] { return raise(release); }};
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

TEST_CASE("cancel at every suspension: spawn_blocking, while the call waits for a thread") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    runtime rt = std::move(builder_for(f).max_blocking_threads(1).build()).value();
    rt.block_on([]() -> task<> {
      for (const point p : {point::before_start, point::armed, point::beside_completion,
                            point::from_a_thread, point::after_completion, point::never}) {
        for (int round = 0; round != 3; ++round) {
          UNSCOPED_INFO("cancelled at point " << static_cast<int>(p));
          const auto calls = std::make_shared<std::atomic<int>>(0);
          auto make = co_await with_a_busy_pool(calls);
          co_await drive(std::move(make), p);
          // Once the thread is free, what was cancelled does not run.
          auto behind = spawn_blocking([] {});
          auto ended = co_await std::move(behind);
          CHECK(ended.has_value());
          if (p == point::before_start || p == point::armed) CHECK(*calls == 0);
          if (p == point::after_completion || p == point::never) CHECK(*calls == 1);
        }
      }
    });
    CHECK(rt.metrics().blocking_queue_depth == 0);
  }
}

TEST_CASE("cancel at every suspension: connect") {
  on_every_scheduler([]() -> task<> {
    for (const point p : {point::before_start, point::armed, point::beside_completion,
                          point::from_a_thread, point::never})
      co_await drive(&with_a_crowd, p);
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
        auto make = co_await with_a_reader(wait);
        co_await drive(std::move(make), p);
      }
    });
}
