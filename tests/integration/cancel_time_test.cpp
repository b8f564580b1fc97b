// SPDX-License-Identifier: MIT
// The operations of time and of the testing support, cancelled at every point of their lives.
#include <array>
#include <chrono>
#include <memory>

#include <kioto/kioto.hpp>
#include <kioto/testing/paused.hpp>
#include <kioto/testing/stream_mock.hpp>
#include <kioto/time/delay_queue.hpp>
#include <kioto/time/interval.hpp>

#include "support/cancel_harness.hpp"
#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

// ---- what completes by itself after a while ----------------------------------------------------

task<bool> wait_tick() {
  interval every = interval_at(now() + 3ms, 1h);
  const auto due = every.next();
  const auto at = co_await every.tick();
  co_return at == due&& now() >= due;
}
task<bool> wait_delayed() {
  delay_queue<int> queue;
  queue.insert(1, 1h);
  queue.insert(2, 3ms);
  auto entry = co_await queue.next();
  co_return entry.has_value() && entry->value == 2 && now() >= entry->deadline;
}
task<bool> wait_delayed_longer() {
  delay_queue<int> queue;
  queue.insert(2, 3ms);
  auto entry = co_await queue.wait_next();
  co_return entry.value == 2 && now() >= entry.deadline;
}
task<bool> wait_scripted() {
  testing::stream_mock stream(testing::stream_script().wait(3ms).read("v"));
  const auto unfinished = stream.watch();
  std::array<char, 1> some{};
  const auto n = co_await stream.read(some);
  co_return n.has_value() && *n == 1 && some[0] == 'v';
}
task<> wait_out() { co_await sleep(5ms); }

using by_itself = task<bool> (*)();

task<> completes_by_itself(by_itself wait) {
  for (const point p : {point::before_start, point::armed, point::beside_completion,
                        point::from_a_thread, point::after_completion, point::never})
    for (int i = 0; i != 3; ++i) co_await drive([wait] { return subject{wait, &wait_out}; }, p);
}

// ---- a stream whose script waits for the other direction ---------------------------------------

class scripted {
 public:
  explicit scripted(const testing::stream_script& script)
      : stream(script), unfinished(stream.watch()) {}
  testing::stream_mock stream;
  testing::stream_watch unfinished;
};
using scripted_pointer = std::shared_ptr<scripted>;

task<bool> wait_read(scripted_pointer s) {
  std::array<char, 4> some{};
  const auto n = co_await s->stream.read(some);
  co_return n.has_value() && *n == 2;
}
task<bool> wait_read_exact(scripted_pointer s) {
  std::array<char, 2> some{};
  const auto r = co_await s->stream.read_exact(some);
  co_return r.has_value();
}
task<> write_first(scripted_pointer s) {
  const auto r = co_await s->stream.write_all("go");
  CHECK(r.has_value());
}
task<bool> wait_write(scripted_pointer s) {
  const auto n = co_await s->stream.write("ok");
  co_return n.has_value() && *n == 2;
}
task<bool> wait_write_all(scripted_pointer s) {
  const auto r = co_await s->stream.write_all("ok");
  co_return r.has_value();
}
task<> read_first(scripted_pointer s) {
  std::array<char, 2> some{};
  const auto r = co_await s->stream.read_exact(some);
  CHECK(r.has_value());
}

using on_stream = task<bool> (*)(scripted_pointer);
using act_on_stream = task<> (*)(scripted_pointer);

task<std::function<subject()>> with_script(testing::stream_script script, on_stream wait,
                                           act_on_stream act) {
  auto s = std::make_shared<scripted>(script);
  co_return [s, wait, act] {
    return subject{[s, wait] { return wait(s); }, [s, act] { return act(s); }};
  };
}

// ---- a queue that is empty until somebody inserts, on one thread ------------------------------

struct delays {
  ~delays() { CHECK((taken || !inserted || queue.size() == 1)); }  // nothing is lost
  delay_queue<int> queue;
  bool inserted = false;
  bool taken = false;
};

task<bool> wait_insert(std::shared_ptr<delays> d) {
  auto entry = co_await d->queue.wait_next();
  d->taken = true;
  co_return entry.value == 7 && d->queue.empty();
}
task<> insert_first(std::shared_ptr<delays> d) {
  d->inserted = true;
  d->queue.insert(7, 0ms);
  co_return;
}
task<std::function<subject()>> with_delays() {
  co_return [] {
    auto d = std::make_shared<delays>();
    return subject{[d] { return wait_insert(d); }, [d] { return insert_first(d); }};
  };
}

// ---- operations on a paused clock --------------------------------------------------------------

task<bool> wait_advance() {
  const auto start = now();
  co_await time::advance(1s);
  co_return now() - start >= 1s;
}
task<bool> wait_idle() {
  const auto moved = co_await time::advance_until_idle();
  co_return moved >= 0s;
}
task<> nothing() { co_return; }

}  // namespace

TEST_CASE("cancel at every suspension: interval, delay queue, scripted wait") {
  for (const by_itself wait : {&wait_tick, &wait_delayed, &wait_delayed_longer, &wait_scripted})
    on_every_scheduler([wait]() -> task<> { return completes_by_itself(wait); });
}

TEST_CASE("cancel at every suspension: interval and delay queue under a paused clock") {
  for (const by_itself wait : {&wait_tick, &wait_delayed, &wait_delayed_longer, &wait_scripted}) {
    runtime rt = testing::paused_runtime();
    rt.block_on(completes_by_itself(wait));
  }
}

TEST_CASE("cancel at every suspension: waiting for the first entry of a delay queue") {
  runtime rt = make_runtime(flavour::current_thread);
  rt.block_on(at_every_point(&with_delays));
  runtime paused = testing::paused_runtime();
  paused.block_on(at_every_point(&with_delays));
}

TEST_CASE("cancel at every suspension: reading from and writing to a scripted stream") {
  for (const on_stream wait : {&wait_read, &wait_read_exact})
    on_every_scheduler([wait]() -> task<> {
      return at_every_point([wait] {
        return with_script(testing::stream_script().write("go").read("ok"), wait, &write_first);
      });
    });
  for (const on_stream wait : {&wait_write, &wait_write_all})
    on_every_scheduler([wait]() -> task<> {
      return at_every_point([wait] {
        return with_script(testing::stream_script().read("go").write("ok"), wait, &read_first);
      });
    });
}

TEST_CASE("cancel at every suspension: advance and advance_until_idle") {
  for (const by_itself wait : {&wait_advance, &wait_idle}) {
    runtime rt = testing::paused_runtime();
    rt.block_on([](by_itself w) -> task<> {
      // Not after_completion: the harness waits for that with timers, so idleness does not come.
      for (const point p : {point::before_start, point::armed, point::beside_completion,
                            point::from_a_thread, point::never})
        for (int i = 0; i != 3; ++i) co_await drive([w] { return subject{w, &nothing}; }, p);
    }(wait));
  }
}
