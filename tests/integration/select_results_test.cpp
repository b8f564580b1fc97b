// SPDX-License-Identifier: MIT How the result of a select is read, other combinators, and what
// becomes of the next waiter.
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/select_kinds.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace kioto_test::kinds;
using namespace std::chrono_literals;

namespace {

// Others that can be withdrawn, of each sort that there is: a hint, something handed over, an end,
// a time, I/O.
using some = block<mpsc_recv, semaphore_acquire, notify_one, join, sleeping, socket_read>;

template <class A, class... B>
void add_pairs_with(std::vector<pairing>& to, block<B...>) {
  (to.push_back(select_pair<A, B>()), ...);
  (to.push_back(when_any_pair<A, B>()), ...);
}

/// `timeout` and `run_until_cancelled` as a race of an operation against the end of a wait.
template <class K>
pairing timeout_race() {
  pairing p = promises_of<K, sleeping>("timeout");
  p.race = [](any_kind& a, any_kind& b, bool, reading) {
    K& k = static_cast<K&>(a);
    return make_race(
        [&k, at = static_cast<sleeping&>(b).at] { return timeout(deadline(at), k.branch()); },
        [](auto& operation) {
          race_outcome out;
          out.count = 1;
          const auto timed_out = [&out] {
            out.index = 1;
            out.value[1] = got::unit;
          };
          try {
            auto value = [&operation] {
              if constexpr (std::is_void_v<decltype(operation.await_resume())>) {
                operation.await_resume();
                return std::monostate();
              } else {
                return operation.await_resume();
              }
            }();
            if constexpr (detail::is_result<decltype(value)>) {
              if (!value && value.error() == std::errc::timed_out) {
                timed_out();
                return out;
              }
            }
            out.index = 0;
            out.value[0] = K::look(std::move(value));
          } catch (const timeout_error&) {
            timed_out();
          }
          return out;
        });
  };
  return p;
}
template <class K>
pairing token_race() {
  pairing p = promises_of<K, token_cancelled>("run_until_cancelled");
  p.first_is_immediate = false;  // it does not start if the token is cancelled
  p.race = [](any_kind& a, any_kind& b, bool, reading) {
    return make_race(
        [&k = static_cast<K&>(a), &t = static_cast<token_cancelled&>(b)] {
          return t.token.run_until_cancelled(k.branch());
        },
        [](auto& operation) {
          auto value = operation.await_resume();
          race_outcome out;
          out.count = 1;
          out.index = value ? 0 : 1;
          if (value)
            out.value[0] = K::look(std::move(*value));
          else
            out.value[1] = got::unit;
          return out;
        });
  };
  return p;
}
template <class... K>
std::vector<pairing> other_races() {
  return {timeout_race<K>()..., token_race<K>()...};
}

/// The waiter in the queue behind a branch of a select that loses.
struct follower {
  bool served = false;
  std::atomic<bool> ended{false};
};

/// Waits for what `K` provides, keeps it for a moment, and gives it back.
template <class K>
task<> follow(K& k, follower& f) {
  {
    auto value = co_await k.branch();
    f.served = K::look(std::move(value)) == got::unit;
    co_await yield_now();
  }
  f.ended = true;
}
task<> follow_notice(sync::notify& n, follower& f) {
  auto waiter = n.notified();
  co_await waiter;
  f.served = true;
  f.ended = true;
}

task<> open_both(any_kind* first, any_kind* second) {
  for (int i = 0; i != 3; ++i) co_await yield_now();
  first->happen();
  second->happen();
}

/// A select over `K` and a channel, and another waiter for `K` behind it; both events happen in the
/// given order. In the end every waiter was served, and everything has been given back.
template <class K>
task<> hand_on(bool channel_first, complaints& wrong) {
  K k(true);
  mpsc_recv other(true);
  follower behind;
  join_handle<> line;
  if constexpr (std::is_same_v<K, notify_one>)
    line = spawn(
        [](K* what, follower* f) -> task<> {
          co_await yield_now();  // the select goes first
          co_await follow_notice(what->n, *f);
        },
        &k, &behind);
  else
    line = spawn(
        [](K* what, follower* f) -> task<> {
          co_await yield_now();
          co_await follow(*what, *f);
        },
        &k, &behind);
  any_kind* const first = channel_first ? static_cast<any_kind*>(&other) : &k;
  any_kind* const second = channel_first ? static_cast<any_kind*>(&k) : &other;
  auto opener = spawn(open_both(first, second));
  bool received = false;
  bool channel = false;
  {
    auto hit = co_await select(biased, k.branch(), other.branch());
    if (hit.count() != 1) wrong.add(std::string(K::name) + ": two branches took effect", "");
    received = hit.template has<0>();
    channel = hit.template has<1>();
  }
  auto opened = co_await std::move(opener);
  if (!opened.has_value()) wrong.add("the opener failed", "");
  if constexpr (std::is_same_v<K, notify_one>) {
    // There was one notification, for the select or for the waiter behind it; the select, as long
    // as it exists, keeps one that it has got and not seen.
    k.waiter.reset();
    if (received) k.n.notify_one();
  }
  for (int i = 0; i != 20000 && !behind.ended; ++i) {
    if (i > 100)
      co_await sleep(1ms);
    else
      co_await yield_now();
  }
  if (!behind.ended || !behind.served)
    wrong.add(std::string(K::name) + ": what the loser had been handed did not go on to the next",
              fmt::format("the channel {}, received {}", channel ? "won" : "lost", received));
  line.abort();
  auto ended = co_await std::move(line);
  static_cast<void>(ended);
  if constexpr (!std::is_same_v<K, notify_one>) {
    const bool whole = co_await k.settle(got::nothing);
    if (!whole) wrong.add(std::string(K::name) + ": something was not given back", "");
  }
  const bool whole = co_await other.settle(channel ? got::unit : got::nothing);
  if (!whole) wrong.add(std::string(K::name) + ": a message was lost, or came twice", "");
}

}  // namespace

TEST_CASE("select and when_any take one, however the result is read") {
  std::vector<pairing> pairs;
  add_pairs_with<mpsc_recv>(pairs, some());
  add_pairs_with<semaphore_acquire>(pairs, some());
  add_pairs_with<in_task<mpsc_recv>>(pairs, some());
  play_on_every_scheduler(pairs);
}
TEST_CASE("timeout and run_until_cancelled take one") {
  play_on_every_scheduler(
      other_races<mpsc_recv, mpsc_send, oneshot_recv, semaphore_acquire, notify_one, join,
                  socket_read, generator_next, in_task<mpsc_recv>, in_shield<mutex_lock>>());
}

TEST_CASE("what the loser of a select was handed goes on to the next in line") {
  watchdog dog(60s);
  on_every_scheduler([&]() -> task<> {
    complaints wrong;
    for (int i = 0; i != 40; ++i) {
      const bool order = i % 2 == 0;
      dog.begin([] { return "hand_on"; });
      co_await hand_on<semaphore_acquire>(order, wrong);
      co_await hand_on<mutex_lock>(order, wrong);
      co_await hand_on<rw_lock_read>(order, wrong);
      co_await hand_on<rw_lock_write>(order, wrong);
      co_await hand_on<mpsc_reserve>(order, wrong);
      co_await hand_on<notify_one>(order, wrong);
    }
    INFO(wrong.text());
    CHECK(wrong.empty());
  });
}

namespace {

// The loop of the guide: each message is counted where a user looks.
task<> send_all(sync::mpsc::sender<int> tx, int messages) {
  for (int i = 0; i != messages; ++i) {
    auto sent = co_await tx.send(i);
    if (!sent) co_return;
    if (i % 8 == 0) co_await sleep(1ms);
  }
}
task<int> count_by_index(sync::mpsc::receiver<int> rx) {
  int count = 0;
  for (;;) {
    auto hit = co_await select(rx.recv(), sleep(1ms));
    if (hit.index() == 1) continue;
    if (!*hit.get<0>()) co_return count;
    ++count;
  }
}
task<int> count_by_match(sync::mpsc::receiver<int> rx) {
  for (int count = 0;;) {
    auto hit = co_await select(sleep(1ms), rx.recv());
    const bool ended = std::move(hit).match([] { return false; },
                                            [&count](std::optional<int> v) {
                                              if (v) ++count;
                                              return !v;
                                            });
    if (ended) co_return count;
  }
}
task<int> count_by_any(sync::mpsc::receiver<int> rx) {
  for (int count = 0;;) {
    auto hit = co_await when_any(rx.recv(), sleep(1ms));
    if (hit.index() == 1) continue;
    if (!std::get<0>(hit)) co_return count;
    ++count;
  }
}
task<int> count_by_timeout(sync::mpsc::receiver<int> rx) {
  for (int count = 0;;) {
    std::optional<std::optional<int>> got_one;
    try {
      got_one = co_await timeout(1ms, rx.recv());
    } catch (const timeout_error&) {
    }
    if (!got_one) continue;
    if (!*got_one) co_return count;
    ++count;
  }
}
task<int> count_through(task<int> (*count)(sync::mpsc::receiver<int>), int messages) {
  auto [tx, rx] = sync::mpsc::channel<int>(16);
  auto consumer = spawn(count(std::move(rx)));
  auto producer = spawn(send_all(std::move(tx), messages));
  auto produced = co_await std::move(producer);
  auto consumed = co_await std::move(consumer);
  CHECK(produced.has_value());
  co_return std::move(consumed).value();
}

}  // namespace

TEST_CASE("a loop around a select lost one message in eight") {
  on_every_scheduler([]() -> task<> {
    for (const auto count : {&count_by_index, &count_by_match, &count_by_any, &count_by_timeout}) {
      const int received = co_await count_through(count, 800);
      CHECK(received == 800);
    }
  });
}
