// SPDX-License-Identifier: MIT
// Regression: each element of `merge` and `stream_map` withdrew and repeated the waits of all idle
// streams, so that it cost more the more of them there were.
#include <kioto/stream/merge.hpp>
#include <kioto/stream/stream_map.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <kioto/join_set.hpp>
#include <kioto/select.hpp>
#include <kioto/shield.hpp>
#include <kioto/streams.hpp>
#include <kioto/sync/broadcast.hpp>
#include <kioto/sync/mpsc.hpp>
#include <kioto/sync/mutex.hpp>
#include <kioto/sync/watch.hpp>
#include <kioto/testing/paused.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/streams.hpp"

using namespace kioto;
using namespace kioto::streams;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

using ints = std::vector<int>;
using sender = sync::mpsc::unbounded_sender<int>;
using receiver = sync::mpsc::unbounded_receiver<int>;
using channel_stream = decltype(stream_of(std::declval<receiver>()));

/// Counts how often a stream is asked: each wait begins with that, also if it is repeated.
template <class S>
class counted {
 public:
  static constexpr auto stands = detail::standing_of<S>;
  counted(S stream, std::size_t& asked) : stream_(std::move(stream)), asked_(&asked) {}
  [[nodiscard]] auto next() {
    ++*asked_;
    return stream_.next();
  }

 private:
  S stream_;
  std::size_t* asked_;
};

struct channels {
  explicit channels(std::size_t n) {
    for (std::size_t i = 0; i != n; ++i) {
      auto [tx, rx] = sync::mpsc::unbounded_channel<int>();
      senders.push_back(std::move(tx));
      receivers.push_back(std::move(rx));
    }
  }
  std::vector<sender> senders;
  std::vector<receiver> receivers;
};

constexpr std::size_t elements = 200;

/// How often streams are asked for `elements` elements that come one by one, beside `idle` others.
template <class S, class MakeIdle>
task<std::size_t> asked_in_map(std::size_t idle, MakeIdle make_idle, S busy, sender tx) {
  std::size_t asked = 0;
  stream_map<std::size_t, counted<S>> map;
  for (std::size_t i = 0; i != idle; ++i) map.insert(i, counted<S>(make_idle(i), asked));
  map.insert(idle, counted<S>(std::move(busy), asked));
  for (std::size_t i = 0; i != elements; ++i) {
    auto later = spawn(
        [](sender to) -> task<> {
          co_await yield_now();
          CHECK(to.send(1).has_value());
        },
        tx);
    auto e = co_await map.next();
    CHECK(e->first == idle);
    auto sent = co_await later;
    CHECK(sent.has_value());
  }
  co_return asked;
}

template <std::size_t N>
task<std::size_t> asked_in_merge() {
  std::size_t asked = 0;
  channels c(N);
  auto merged = [&]<std::size_t... I>(std::index_sequence<I...>) {
    return merge(counted<channel_stream>(stream_of(std::move(c.receivers[I])), asked)...);
  }(std::make_index_sequence<N>());
  for (std::size_t i = 0; i != elements; ++i) {
    auto later = spawn(
        [](sender to) -> task<> {
          co_await yield_now();
          CHECK(to.send(1).has_value());
        },
        c.senders[N / 2]);
    auto e = co_await merged.next();
    CHECK(e == 1);
    auto sent = co_await later;
    CHECK(sent.has_value());
  }
  co_return asked;
}

/// Sends 0, 1, … n-1 through all of them, from `threads` threads.
class senders_on_threads {
 public:
  senders_on_threads(const std::vector<sender>& to, int n, int threads) {
    for (int t = 0; t != threads; ++t)
      threads_.emplace_back([to, n, t, threads] {
        std::minstd_rand random(static_cast<unsigned>(t + 1));
        for (int i = t; i < n; i += threads) {
          static_cast<void>(to[random() % to.size()].send(i));
          if (random() % 16 == 0) std::this_thread::yield();
        }
      });
  }
  senders_on_threads(const senders_on_threads&) = delete;
  senders_on_threads& operator=(const senders_on_threads&) = delete;
  ~senders_on_threads() { join(); }
  void join() {
    for (auto& t : threads_)
      if (t.joinable()) t.join();
  }

 private:
  std::vector<std::thread> threads_;
};

int fails_at_one(int i) {
  if (i == 1) throw std::runtime_error("one");
  return i;
}

/// What comes of an operation, or nothing when it takes longer.
template <class A>
task<std::optional<detail::await_result<A>>> within(std::chrono::microseconds limit, A operation) {
  auto r = co_await select(biased, std::move(operation), sleep(limit));
  co_return std::move(r.template get<0>());
}

using map_of_channels = stream_map<std::size_t, channel_stream>;

map_of_channels map_of(channels& c) {
  map_of_channels map;
  for (std::size_t i = 0; i != c.receivers.size(); ++i)
    map.insert(i, stream_of(std::move(c.receivers[i])));
  return map;
}

}  // namespace

TEST_CASE("stream_map: what an element costs does not depend on how many streams are idle") {
  testing::run_paused([]() -> task<> {
    for (const std::size_t idle : {10, 100, 1000, 10'000}) {
      INFO(idle << " idle streams");
      channels c(idle + 1);
      const sender busy = c.senders.back();
      auto last = stream_of(std::move(c.receivers.back()));
      auto make = [&c](std::size_t i) { return stream_of(std::move(c.receivers[i])); };
      const std::size_t asked = co_await asked_in_map(idle, make, std::move(last), busy);
      CHECK(asked <= idle + 2 * elements + 2);
    }
  });
}

TEST_CASE("stream_map: an interval waits on while others have elements") {
  testing::run_paused([]() -> task<> {
    for (const std::size_t idle : {10, 100, 1000, 10'000}) {
      INFO(idle << " idle streams");
      std::size_t asked = 0;
      const auto start = now();
      using ticks = decltype(stream_of(std::declval<interval>()));
      stream_map<std::size_t, counted<ticks>> map;
      for (std::size_t i = 0; i != idle; ++i)
        map.insert(i, counted<ticks>(stream_of(interval_at(start + 1000h, 1h)), asked));
      map.insert(idle, counted<ticks>(stream_of(interval_at(start + 1s, 1s)), asked));
      for (std::size_t i = 0; i != elements; ++i) {
        auto e = co_await map.next();
        CHECK(e->first == idle);
        CHECK(e->second == start + (i + 1) * 1s);
      }
      CHECK(asked <= idle + 2 * elements + 2);
      co_await sleep_until(start + 1000h);
      std::size_t beside = 0;
      for (std::size_t i = 0; i != 2 * idle; ++i) {
        auto e = co_await map.next();
        if (e->first != idle) ++beside;
      }
      CHECK(beside >= idle - 1);
    }
  });
}

TEST_CASE("merge: what an element costs does not depend on how many streams are idle") {
  testing::run_paused([]() -> task<> {
    std::size_t asked = co_await asked_in_merge<2>();
    CHECK(asked <= 2 + 2 * elements + 2);
    asked = co_await asked_in_merge<10>();
    CHECK(asked <= 10 + 2 * elements + 2);
    asked = co_await asked_in_merge<100>();
    CHECK(asked <= 100 + 2 * elements + 2);
  });
}

TEST_CASE("idle streams: those that are always ready take turns") {
  on_every_scheduler([]() -> task<> {
    channels c(5);
    for (int i = 0; i != 100; ++i)
      for (std::size_t k = 0; k != 4; ++k) CHECK(c.senders[k].send(i).has_value());
    auto map = map_of(c);
    std::array<int, 5> seen{};
    for (int i = 0; i != 40; ++i) {
      auto e = co_await map.next();
      ++seen.at(e->first);
    }
    CHECK(seen == std::array<int, 5>{10, 10, 10, 10, 0});
  });
}

TEST_CASE("idle streams: nothing is lost when next() is cancelled at random") {
  on_every_scheduler([]() -> task<> {
    constexpr int n = 3000;
    channels c(20);
    auto map = map_of(c);
    channels d(3);
    auto merged =
        merge(stream_of(std::move(d.receivers[0])), stream_of(d.receivers[1]),
              stream_of(std::move(d.receivers[2])) | streams::map([](int i) { return i; }));
    std::optional<senders_on_threads> threads(std::in_place, c.senders, n, 2);
    std::optional<senders_on_threads> more(std::in_place, d.senders, n, 1);
    c.senders.clear();
    d.senders.clear();
    int cancelled = 0;
    auto from_map = co_await drain_impatiently(map, cancelled);
    ints got;
    for (const auto& [key, value] : from_map) got.push_back(value);
    CHECK(sorted(got) == up_to(n));
    auto from_merged = co_await drain_impatiently(merged, cancelled);
    CHECK(sorted(from_merged) == up_to(n));
    CHECK(map.empty());
    threads.reset();
    more.reset();
  });
}

TEST_CASE("idle streams: the map goes, or gives its streams back, while elements come") {
  on_every_scheduler([]() -> task<> {
    for (int round = 0; round != 100; ++round) {
      constexpr int n = 60;
      channels c(6);
      const auto senders = c.senders;
      std::optional<map_of_channels> map(map_of(c));
      c.senders.clear();
      std::optional<senders_on_threads> threads(std::in_place, senders, n, 2);
      ints got;
      for (int i = 0; i != round % 7; ++i) {
        auto e = co_await map->next();
        got.push_back(e->second);
      }
      std::vector<channel_stream> back;
      for (std::size_t k = 0; k != 4; ++k) {
        auto s = map->remove(k);
        if (s) back.push_back(std::move(*s));
        if (k != round % 4u) continue;
        auto e = co_await within(10us, map->next());  // arms what is left again
        if (e && *e) got.push_back((*e)->second);
      }
      CHECK(back.size() == 4);
      if (round % 2 == 0) map.reset();
      threads.reset();
      if (round % 2 == 0) continue;  // what was in the two others is gone
      for (auto& s : back)
        for (;;) {
          auto e = co_await within(0us, s.next());
          if (!e || !*e) break;
          got.push_back(**e);
        }
      for (;;) {
        auto e = co_await within(0us, map->next());
        if (!e || !*e) break;
        got.push_back((*e)->second);
      }
      // What had come and was not taken is dropped with its stream; here nothing had.
      CHECK(sorted(got) == up_to(n));
    }
  });
}

TEST_CASE("idle streams: each element is taken by another task, on any thread") {
  on_every_scheduler([]() -> task<> {
    constexpr int n = 500;
    channels c(8);
    auto map = std::make_unique<map_of_channels>(map_of(c));
    const senders_on_threads threads(c.senders, n, 2);
    c.senders.clear();
    ints got;
    for (;;) {
      auto taker = spawn(
          [](std::unique_ptr<map_of_channels> m)
              -> task<std::pair<std::unique_ptr<map_of_channels>, int>> {
            auto moved = std::make_unique<map_of_channels>(std::move(*m));
            auto e = co_await moved->next();
            co_return std::pair(std::move(moved), e ? e->second : -1);
          },
          std::move(map));
      auto ended = co_await taker;
      auto taken = std::move(ended).value();
      map = std::move(taken.first);
      if (taken.second == -1) break;
      got.push_back(taken.second);
    }
    CHECK(sorted(got) == up_to(n));
  });
}

TEST_CASE("idle streams: a merge that was asked moves, with what it waits for") {
  testing::run_paused([]() -> task<> {
    const auto start = now();
    auto merged =
        merge(stream_of(interval_at(start + 1h, 1h)), stream_of(interval_at(start + 2s, 1h)));
    auto nothing = co_await within(1s, merged.next());
    CHECK_FALSE(nothing.has_value());
    auto moved = std::move(merged) | streams::map([](auto at) { return at; });
    auto first = co_await moved.next();
    CHECK(*first == start + 2s);
    auto second = co_await moved.next();
    CHECK(*second == start + 1h);
    auto none = co_await merged.next();  // NOLINT(bugprone-use-after-move)
    CHECK_FALSE(none.has_value());
  });
}

TEST_CASE("idle streams: their waits outlive the runtime that armed them") {
  using ticks = decltype(stream_of(std::declval<interval>()));
  stream_map<int, ticks> left, used;
  auto arm = [](stream_map<int, ticks>& map) -> task<> {
    map.insert(1, stream_of(interval_at(now() + 1h, 1h)));
    map.insert(2, stream_of(interval_at(now() + 20ms, 1h)));
    auto none = co_await within(1ms, map.next());
    CHECK_FALSE(none.has_value());
  };
  for (const flavour f : {flavour::current_thread, flavour::four_workers}) {
    left = {};
    used = {};
    {
      runtime first = make_runtime(f);
      first.block_on(arm(left));
      first.block_on(arm(used));
    }
    runtime second = make_runtime(f);
    second.block_on([](stream_map<int, ticks>& map) -> task<> {
      auto e = co_await map.next();
      CHECK(e->first == 2);
    }(used));
  }
}

TEST_CASE("idle streams: a map goes on in another runtime while nobody drives the first") {
  using ticks = decltype(stream_of(std::declval<interval>()));
  runtime first = make_runtime(flavour::current_thread);
  stream_map<int, ticks> map;
  first.block_on([](stream_map<int, ticks>& m) -> task<> {
    m.insert(1, stream_of(interval_at(now() + 5ms, 1ms)));
    auto none = co_await within(0us, m.next());
    CHECK_FALSE(none.has_value());
  }(map));
  runtime second = make_runtime(flavour::one_worker);
  second.block_on([](stream_map<int, ticks>& m) -> task<> {
    for (int i = 0; i != 3; ++i) {
      auto e = co_await m.next();
      CHECK(e->first == 1);
    }
  }(map));
}

TEST_CASE("idle streams: a map goes while the runtime that armed it is shut down") {
  using ticks = decltype(stream_of(std::declval<interval>()));
  for (int round = 0; round != 30; ++round) {
    stream_map<int, ticks> map;
    std::thread ends;
    {
      runtime rt = make_runtime(round % 2 == 0 ? flavour::one_worker : flavour::current_thread);
      rt.block_on([](stream_map<int, ticks>& m) -> task<> {
        for (int i = 0; i != 50; ++i) m.insert(int(i), stream_of(interval_at(now() + 1h, 1h)));
        auto none = co_await within(1ms, m.next());
        CHECK_FALSE(none.has_value());
      }(map));
      ends = std::thread([&map] { map = {}; });
    }
    ends.join();
  }
}

TEST_CASE("idle streams: a shutdown ends who waits for intervals") {
  for (const flavour f : {flavour::current_thread, flavour::four_workers}) {
    bool ended = false;
    {
      runtime rt = make_runtime(f);
      auto waits = [](bool& done) -> task<> {
        struct says_so {
          bool& done;
          explicit says_so(bool& d) : done(d) {}
          says_so(const says_so&) = delete;
          says_so& operator=(const says_so&) = delete;
          ~says_so() { done = true; }
        } const at_exit(done);
        auto merged =
            merge(stream_of(interval_at(now() + 1h, 1h)), stream_of(interval_at(now() + 2h, 1h)));
        auto element = co_await merged.next();
        static_cast<void>(element);
        CHECK(false);
      };
      rt.block_on([](auto& start, bool& done) -> task<> {
        spawn(start(done)).detach();
        co_await sleep(2ms);
      }(waits, ended));
    }
    CHECK(ended);
  }
}

TEST_CASE("idle streams: a receiver that is referred to may be used by itself, and may go first") {
  on_every_scheduler([]() -> task<> {
    using referred = decltype(stream_of(std::declval<receiver&>()));
    channels c(3);
    stream_map<int, referred> map;
    for (int i = 0; i != 3; ++i)
      map.insert(int(i), stream_of(c.receivers[static_cast<std::size_t>(i)]));
    auto none = co_await within(1ms, map.next());
    CHECK_FALSE(none.has_value());
    CHECK(c.senders[1].send(1).has_value());
    CHECK(c.receivers[1].try_recv().value() == 1);

    // Waits in place of the map, which notices what comes afterwards.
    auto later = spawn(
        [](sender tx) -> task<> {
          co_await sleep(1ms);
          CHECK(tx.send(2).has_value());
        },
        c.senders[0]);
    auto two = co_await c.receivers[0].recv();
    CHECK(two == 2);
    auto sent = co_await later;
    CHECK(sent.has_value());
    CHECK(c.senders[0].send(3).has_value());
    auto three = co_await map.next();
    CHECK(three == std::pair(0, 3));
    CHECK(c.senders[1].send(4).has_value());
    auto four = co_await map.next();
    CHECK(four == std::pair(1, 4));

    none = co_await within(1ms, map.next());
    CHECK_FALSE(none.has_value());
    c.receivers.clear();
    CHECK(c.senders[2].is_closed());
  });
}

TEST_CASE("idle streams: a receiver is used by itself while others send") {
  on_every_scheduler([]() -> task<> {
    for (int round = 0; round != 100; ++round) {
      constexpr int n = 50;
      channels c(1);
      auto merged = merge(stream_of(c.receivers[0]));
      auto none = co_await within(0us, merged.next());
      CHECK_FALSE(none.has_value());
      std::optional<senders_on_threads> threads(std::in_place, c.senders, n, 2);
      c.senders.clear();
      ints got;
      while (got.size() != n) {
        if (got.size() % 5 == 4) {
          auto e = co_await merged.next();
          got.push_back(e.value());
        } else if (got.size() % 5 == 3) {
          auto e = co_await c.receivers[0].recv();
          got.push_back(e.value());
        } else if (auto e = c.receivers[0].try_recv()) {
          got.push_back(*e);
        }
      }
      CHECK(sorted(got) == up_to(n));
      threads.reset();
      auto end = co_await merged.next();
      CHECK_FALSE(end.has_value());
    }
  });
}

TEST_CASE("idle streams: a child of fork() may destroy them") {
  using ticks = decltype(stream_of(std::declval<interval>()));
  runtime rt = make_runtime(flavour::one_worker);
  std::optional<stream_map<int, ticks>> map(std::in_place);
  channels c(3);
  std::optional<map_of_channels> more(map_of(c));
  rt.block_on([](auto& ticking, auto& receiving) -> task<> {
    ticking.insert(1, stream_of(interval_at(now() + 1h, 1h)));
    auto none = co_await within(1ms, ticking.next());
    CHECK_FALSE(none.has_value());
    auto nothing = co_await within(1ms, receiving.next());
    CHECK_FALSE(nothing.has_value());
  }(*map, *more));
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    map.reset();
    more.reset();
    _exit(0);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("idle streams: an interval that is referred to may be set anew") {
  testing::run_paused([]() -> task<> {
    const auto start = now();
    interval far = interval_at(start + 10h, 1h);
    auto [tx, rx] = sync::watch::channel(1);
    auto merged = merge(stream_of(far) | streams::map([](auto) { return 0; }), stream_of(rx));
    auto none = co_await within(1s, merged.next());
    CHECK_FALSE(none.has_value());
    far.reset_after(1s);
    auto tick = co_await merged.next();
    CHECK(tick == 0);
    CHECK(now() - start == 2s);
    rx.mark_changed();
    auto value = co_await merged.next();
    CHECK(value == 1);
    CHECK(now() - start == 2s);
    CHECK(tx.send(2).has_value());
    value = co_await merged.next();
    CHECK(value == 2);
  });
}

TEST_CASE("idle streams: all kinds of receivers, and merged ones") {
  on_every_scheduler([]() -> task<> {
    auto [to_all, news] = sync::broadcast::channel<int>(16);
    auto [settings, setting] = sync::watch::channel(0);
    auto [bounded, messages] = sync::mpsc::channel<int>(1);
    join_set<int> jobs;
    jobs.spawn([]() -> task<int> {
      co_await sleep(1ms);
      co_return 1000;
    });
    auto job_results =
        stream_of(std::move(jobs)) | streams::map([](auto r) { return std::move(r).value(); });
    auto newest = stream_of(std::move(setting));
    auto all = merge(merge(stream_of(std::move(news)) |
                               streams::map([](auto r) { return std::move(r).value(); }),
                           stream_of(std::move(messages)) | take(2)),
                     std::move(job_results), std::move(newest), never<int>() | take(0));
    static_assert(decltype(all)::stands != detail::standing::never);
    auto sends = spawn(
        [](auto a, auto b, auto c) -> task<> {
          for (int i = 0; i != 3; ++i) {
            CHECK(a.send(i + 1).has_value());
            CHECK(b.send(10 * (i + 1)).has_value());
            if (i != 2) {
              const auto sent = co_await c.send(100 * (i + 1));
              CHECK(sent.has_value());
            }
            co_await sleep(3ms);
          }
        },
        std::move(to_all), std::move(settings), std::move(bounded));
    int cancelled = 0;
    auto got = co_await drain_impatiently(all, cancelled);
    auto sent = co_await sends;
    CHECK(sent.has_value());
    CHECK(sorted(got) == ints{1, 2, 3, 10, 20, 30, 100, 200, 1000});
  });
}

TEST_CASE("idle streams: one that has ended goes at once, and one that fails stays") {
  on_every_scheduler([]() -> task<> {
    channels c(300);
    auto map = map_of(c);
    auto none = co_await within(1ms, map.next());
    CHECK_FALSE(none.has_value());
    const sender last = c.senders.back();
    for (std::size_t i = 0; i != 299; ++i) {
      const auto watched = c.senders[i].downgrade();
      c.senders[i] = last;
      CHECK(last.send(int(i)).has_value());
      auto e = co_await map.next();
      CHECK(e == std::pair(std::size_t{299}, int(i)));
      CHECK(map.size() == 299 - i);
      CHECK_FALSE(map.contains(i));
      CHECK_FALSE(map.remove(i).has_value());
      CHECK(watched.weak_count() == 1);  // nobody else has the channel
    }
    CHECK(map.keys() == std::vector<std::size_t>{299});

    channels d(2);
    int calls = 0;
    auto picky = stream_of(std::move(d.receivers[0])) | streams::map(fails_at_one);
    auto merged = merge(std::move(picky), stream_of(std::move(d.receivers[1])));
    for (int i = 0; i != 3; ++i) CHECK(d.senders[0].send(i).has_value());
    for (;;) {
      try {
        auto e = co_await merged.next();
        CHECK(e != 1);
        if (e == 2) break;
      } catch (const std::runtime_error&) {
        ++calls;
      }
    }
    CHECK(calls == 1);
  });
}

TEST_CASE("idle streams: a lock is not granted to a stream that nobody awaits") {
  testing::run_paused([]() -> task<> {
    sync::mutex<int> shared(0);
    auto locks = [](sync::mutex<int>& m) -> async_generator<int> {
      for (;;) {
        auto guard = co_await m.lock();
        co_yield ++*guard;
      }
    };
    auto [tx, rx] = sync::mpsc::unbounded_channel<int>();
    auto held = std::make_optional(co_await shared.lock());
    auto merged = merge(stream_of(std::move(rx)), locks(shared));
    auto none = co_await within(1s, merged.next());
    CHECK_FALSE(none.has_value());
    held.reset();
    auto again = co_await within(1s, shared.lock());
    CHECK(again.has_value());
  });
}

TEST_CASE("stream_map: streams are replaced and taken out, whatever state they are in") {
  on_every_scheduler([]() -> task<> {
    channels c(6);
    auto map = map_of(c);
    auto none = co_await within(1ms, map.next());
    CHECK_FALSE(none.has_value());
    for (std::size_t i = 0; i != 5; ++i) CHECK(c.senders[i].send(int(i)).has_value());
    auto e = co_await map.next();
    CHECK(e == std::pair(std::size_t{0}, 0));
    auto taken = map.remove(0);    // its element was taken
    auto due = map.remove(1);      // has completed
    auto waiting = map.remove(5);  // waits
    channels d(1);
    auto before = map.insert(2, stream_of(std::move(d.receivers[0])));
    CHECK(map.size() == 3);
    for (auto* s : {&due, &before}) {
      auto kept = co_await (*s)->next();
      CHECK(kept.has_value());
    }
    e = co_await map.next();
    CHECK(e == std::pair(std::size_t{3}, 3));
    CHECK(d.senders[0].send(22).has_value());
    e = co_await map.next();
    CHECK(e->second != 2);
    e = co_await map.next();
    CHECK(e->second != 2);
    none = co_await within(1ms, map.next());
    CHECK_FALSE(none.has_value());
    CHECK(taken.has_value());
    CHECK(waiting.has_value());
  });
}
