// SPDX-License-Identifier: MIT
// Every operation that can suspend, cancelled at every point of its life.
#include <array>
#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/tcp.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

/// What the harness drives: `wait` suspends in one operation, `complete` makes it complete.
struct subject {
  std::function<task<bool>()> wait;  // true: the value is right
  std::function<task<>()> complete;
};

struct tally {
  std::atomic<int> values{0};
  std::atomic<int> wrong{0};
  std::atomic<int> destroyed{0};
  std::atomic<int> started{0};
};

class guard {
 public:
  explicit guard(tally& t) : tally_(t) {}
  guard(const guard&) = delete;
  guard& operator=(const guard&) = delete;
  ~guard() { ++tally_.destroyed; }

 private:
  tally& tally_;
};

task<> run_subject(const subject* s, tally* t) {
  const guard g(*t);
  ++t->started;
  const bool right = co_await s->wait();
  ++t->values;
  if (!right) ++t->wrong;
}

enum class point { before_start, armed, beside_completion, from_a_thread, after_completion, never };

// One completion at most, none if it was cancelled in time, and every destructor once.
task<> drive(std::function<subject()> make, point when) {
  const subject s = make();
  tally t;
  auto h = spawn(run_subject(&s, &t));
  bool must_complete = false;
  switch (when) {
    case point::before_start:
      h.abort();
      break;
    case point::armed:
      while (t.started == 0) co_await yield_now();
      co_await yield_now();
      h.abort();
      break;
    case point::beside_completion: {
      while (t.started == 0) co_await yield_now();
      auto c = spawn(s.complete());
      co_await yield_now();
      h.abort();
      auto r = co_await std::move(c);
      CHECK(r.has_value());
      break;
    }
    case point::from_a_thread: {
      while (t.started == 0) co_await yield_now();
      std::thread other([stop = h.abort_handle()]() mutable { stop.abort(); });
      co_await s.complete();
      other.join();
      break;
    }
    case point::after_completion:
      while (t.started == 0) co_await yield_now();
      co_await s.complete();
      for (int i = 0; i != 5000 && !h.is_finished(); ++i) co_await sleep(1ms);
      must_complete = true;
      h.abort();
      break;
    case point::never:
      while (t.started == 0) co_await yield_now();
      co_await s.complete();
      must_complete = true;
      break;
  }
  auto ended = co_await std::move(h);
  // What the subject left behind, such as a child of its own, ends too.
  if (when == point::before_start || when == point::armed) co_await s.complete();
  CHECK(ended.is_cancelled() == (t.values == 0));
  CHECK(t.wrong == 0);
  CHECK(t.destroyed == t.started);
  CHECK(t.values <= 1);
  if (must_complete) CHECK(t.values == 1);
}

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
task<> raise(std::shared_ptr<std::atomic<bool>> f) {
  f->store(true);
  co_return;
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

using on_flag = task<bool> (*)(std::shared_ptr<std::atomic<bool>>);
using on_ends = task<bool> (*)(std::shared_ptr<tcp_pair>);
using act_on_ends = task<> (*)(std::shared_ptr<tcp_pair>);

task<> at_every_point(std::function<task<std::function<subject()>>()> prepare) {
  for (const point p : {point::before_start, point::armed, point::beside_completion,
                        point::from_a_thread, point::after_completion, point::never}) {
    for (int i = 0; i != 3; ++i) {
      auto make = co_await prepare();
      UNSCOPED_INFO("cancelled at point " << static_cast<int>(p));
      co_await drive(std::move(make), p);
    }
  }
}

task<std::function<subject()>> with_flag(on_flag wait) {
  auto f = std::make_shared<std::atomic<bool>>(false);
  // Whatever happens to the subject, its helpers end.
  co_return [f, wait] { return subject{[f, wait] { return wait(f); }, [f] { return raise(f); }}; };
}
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
