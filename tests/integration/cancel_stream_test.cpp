// SPDX-License-Identifier: MIT
// Streams and their adaptors, cancelled at every point of the life of their `next()`.
#include <atomic>
#include <functional>
#include <memory>
#include <utility>

#include <kioto/streams.hpp>
#include <kioto/sync/mpsc.hpp>
#include <kioto/sync/watch.hpp>
#include <kioto/time/interval.hpp>

#include "support/cancel_harness.hpp"
#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

/// The numbers from 0 on, as soon as they are released; and whether each came once, in order.
struct source {
  std::atomic<bool> released{false};
  async_generator<int> elements = make(this);

  static async_generator<int> make(source* s) {
    for (int i = 0;; ++i) {
      while (!s->released.load()) co_await sleep(1ms);
      co_yield int(i);
    }
  }
};

using waiter = task<bool> (*)(std::shared_ptr<source>);

task<> release_source(std::shared_ptr<source> s) {
  s->released = true;
  co_return;
}
task<std::function<subject()>> with_source(waiter wait) {
  auto s = std::make_shared<source>();
  co_return [s, wait] {
    return subject{[s, wait] { return wait(s); }, [s] { return release_source(s); }};
  };
}
void cancel_everywhere(waiter wait) {
  on_every_scheduler(
      [wait]() -> task<> { return at_every_point([wait] { return with_source(wait); }); });
}

task<int> slow_next_number(int x) {
  co_await yield_now();
  co_await sleep(1ms);
  co_return x + 1;
}

task<bool> wait_generator(std::shared_ptr<source> s) {
  auto x = co_await s->elements.next();
  co_return x == 0;
}
task<bool> wait_passing(std::shared_ptr<source> s) {
  auto pipeline = s->elements | streams::map([](int x) { return x + 1; }) |
                  streams::inspect([](int) {}) | streams::take_while([](int) { return true; }) |
                  streams::take(1);
  auto x = co_await pipeline.next();
  co_return x == 1;
}
task<bool> wait_filter(std::shared_ptr<source> s) {
  auto pipeline = s->elements | streams::filter([](int x) { return x == 2; }) | streams::skip(0);
  auto x = co_await pipeline.next();
  co_return x == 2;
}
task<bool> wait_then(std::shared_ptr<source> s) {
  auto pipeline = s->elements | streams::then(&slow_next_number);
  auto x = co_await pipeline.next();
  co_return x == 1;
}
task<bool> wait_chain(std::shared_ptr<source> s) {
  auto both = streams::chain(streams::empty<int>(), s->elements);
  auto x = co_await both.next();
  co_return x == 0;
}
task<bool> wait_zip(std::shared_ptr<source> s) {
  auto pairs = streams::zip(s->elements, streams::once(7));
  auto x = co_await pairs.next();
  co_return x->first == 0 && x->second == 7;
}
task<bool> wait_chunks(std::shared_ptr<source> s) {
  auto pairs = s->elements | streams::chunks(2);
  auto x = co_await pairs.next();
  co_return x->size() == 2;
}
task<bool> wait_chunks_timeout(std::shared_ptr<source> s) {
  auto pairs = s->elements | streams::chunks_timeout(2, 1000h);
  auto x = co_await pairs.next();
  co_return x->size() == 2;
}
task<bool> wait_throttle(std::shared_ptr<source> s) {
  auto slow = s->elements | streams::throttle(1ms) | streams::skip(1);
  auto x = co_await slow.next();
  co_return x == 1;
}
task<bool> wait_timeout(std::shared_ptr<source> s) {
  auto limited = s->elements | streams::timeout(1000h);
  auto x = co_await limited.next();
  co_return x->value() == 0;
}
task<bool> wait_merge(std::shared_ptr<source> s) {
  auto merged = streams::merge(streams::never<int>(), s->elements);
  auto x = co_await merged.next();
  co_return x == 0;
}
task<bool> wait_stream_map(std::shared_ptr<source> s) {
  stream_map<int, streams::ref_stream<async_generator<int>>> map;
  map.insert(5, streams::ref_stream(s->elements));
  auto x = co_await map.next();
  co_return x->first == 5;
}
task<bool> wait_buffered(std::shared_ptr<source> s) {
  auto pipeline = s->elements | streams::map(&slow_next_number) | streams::buffered(3);
  auto x = co_await pipeline.next();
  co_return x == 1;
}
task<bool> wait_buffered_unordered(std::shared_ptr<source> s) {
  auto pipeline = s->elements | streams::map(&slow_next_number) | streams::buffered_unordered(1);
  auto x = co_await pipeline.next();
  co_return x == 1;
}
task<bool> wait_for_each_concurrent(std::shared_ptr<source> s) {
  int seen = 0;
  auto each = [&seen](int) -> task<> {
    co_await sleep(1ms);
    ++seen;
  };
  co_await (s->elements | streams::take(5) | streams::for_each_concurrent(2, each));
  co_return seen == 5;
}
task<bool> wait_collect(std::shared_ptr<source> s) {
  auto all = co_await (s->elements | streams::take(3) | streams::collect());
  co_return all.size() == 3;
}

struct channels {
  channels() : ends(sync::mpsc::channel<int>(1)), watched(sync::watch::channel(0)) {}
  std::pair<sync::mpsc::sender<int>, sync::mpsc::receiver<int>> ends;
  std::pair<sync::watch::sender<int>, sync::watch::receiver<int>> watched;
};
task<bool> wait_channels(channels* c) {
  auto one =
      streams::merge(streams::stream_of(c->ends.second), streams::stream_of(c->watched.second),
                     streams::stream_of(interval(1000h)) | streams::skip(1) |
                         streams::map([](auto) { return -1; }));
  auto x = co_await one.next();
  co_return x == 7;
}
task<> send_seven(std::shared_ptr<channels> c, bool watches) {
  // A value that is there already was not taken by the cancelled wait.
  if (watches)
    static_cast<void>(c->watched.first.send(7));
  else
    static_cast<void>(c->ends.first.try_send(7));
  co_return;
}
task<std::function<subject()>> with_channels(bool watches) {
  auto c = std::make_shared<channels>();
  co_return [c, watches] {
    return subject{[c] { return wait_channels(c.get()); },
                   [c, watches] { return send_seven(c, watches); }};
  };
}

}  // namespace

TEST_CASE("cancel at every suspension: streams that wait for one thing") {
  for (const waiter wait : {&wait_generator, &wait_passing, &wait_filter, &wait_then, &wait_chain,
                            &wait_zip, &wait_chunks, &wait_collect})
    cancel_everywhere(wait);
}

TEST_CASE("cancel at every suspension: streams and time") {
  for (const waiter wait : {&wait_chunks_timeout, &wait_throttle, &wait_timeout})
    cancel_everywhere(wait);
}

TEST_CASE("cancel at every suspension: streams that wait for several things") {
  for (const waiter wait : {&wait_merge, &wait_stream_map, &wait_buffered, &wait_buffered_unordered,
                            &wait_for_each_concurrent})
    cancel_everywhere(wait);
}

TEST_CASE("cancel at every suspension: channels and intervals as streams") {
  for (const bool watches : {false, true})
    on_every_scheduler([watches]() -> task<> {
      return at_every_point([watches] { return with_channels(watches); });
    });
}
