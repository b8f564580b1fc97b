// SPDX-License-Identifier: MIT
// Channels between four threads, a million operations in total: nothing is lost, doubled or
// reordered, and everything ends.
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <kioto/sync/broadcast.hpp>
#include <kioto/sync/mpsc.hpp>
#include <kioto/sync/oneshot.hpp>
#include <kioto/sync/watch.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;
using namespace kioto::sync;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KIOTO_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define KIOTO_TEST_SANITIZED 1
#endif
#endif

namespace {

#if defined(KIOTO_TEST_SANITIZED)
constexpr int scale = 10;
#else
constexpr int scale = 1;
#endif

using number = std::uint32_t;

// A message says who sent it, and as which one.
constexpr number message(number sender, number n) { return sender << 24 | n; }

/// Checks that each sender's messages come in order, and counts them.
class ledger {
 public:
  void receive(number m) {
    number& next = next_[m >> 24];
    if ((m & 0xFFFFFF) < next) ++wrong_;
    next = (m & 0xFFFFFF) + 1;
    ++received_;
  }
  [[nodiscard]] long received() const noexcept { return received_; }
  [[nodiscard]] int wrong() const noexcept { return wrong_; }

 private:
  std::vector<number> next_ = std::vector<number>(256);
  long received_ = 0;
  int wrong_ = 0;
};

number unwrap(number m) { return m; }
number unwrap(const std::unique_ptr<number>& m) { return *m; }
template <class T>
T wrap(number m) {
  if constexpr (std::is_same_v<T, number>)
    return m;
  else
    return std::make_unique<number>(m);
}

template <class T>
task<> send_all(mpsc::sender<T> tx, number self, number count, std::atomic<long>* sent) {
  for (number i = 0; i != count; ++i) {
    const auto r = co_await tx.send(wrap<T>(message(self, i)));
    if (r) sent->fetch_add(1, std::memory_order_relaxed);
  }
}
/// The same with permits, and with waits that are given up.
task<> send_by_permit(mpsc::sender<number> tx, number self, number count, std::atomic<long>* sent) {
  for (number i = 0; i < count;) {
    auto permits = co_await timeout(1ms, tx.reserve_many(1 + i % 3));
    if (!permits) continue;
    if (i % 7 == 0) {
      permits->release();
      ++i;
      continue;
    }
    while (permits->count() != 0 && i < count) {
      permits->send(message(self, i++));
      sent->fetch_add(1, std::memory_order_relaxed);
    }
  }
}
template <class T>
task<ledger> receive_all(mpsc::receiver<T> rx) {
  ledger l;
  for (;;) {
    const auto m = co_await rx.recv();
    if (!m) co_return l;
    l.receive(unwrap(*m));
  }
}
task<ledger> receive_in_batches(mpsc::receiver<number> rx) {
  ledger l;
  std::vector<number> some;
  for (;;) {
    const auto n = co_await rx.recv_many(some, 10);
    if (n == 0) co_return l;
    for (const number m : some) l.receive(m);
    some.clear();
  }
}

template <class T>
task<> mpsc_stress(std::size_t capacity, number each) {
  auto [tx, rx] = mpsc::channel<T>(capacity);
  std::atomic<long> sent{0};
  std::vector<join_handle<>> senders;
  for (number s = 0; s != 4; ++s) senders.push_back(spawn(send_all<T>(tx, s, each, &sent)));
  {
    auto last = std::move(tx);
  }
  auto receiver = spawn(receive_all<T>(std::move(rx)));
  for (auto& s : senders) {
    const auto r = co_await std::move(s);
    CHECK(r.has_value());
  }
  auto l = co_await std::move(receiver);
  CHECK(l.value().received() == 4L * each);
  CHECK(l.value().received() == sent);
  CHECK(l.value().wrong() == 0);
}

task<> permit_stress(number each) {
  auto [tx, rx] = mpsc::channel<number>(5);
  std::atomic<long> sent{0};
  std::vector<join_handle<>> senders;
  for (number s = 0; s != 2; ++s) senders.push_back(spawn(send_by_permit(tx, s, each, &sent)));
  for (number s = 2; s != 4; ++s) senders.push_back(spawn(send_all(tx, s, each, &sent)));
  {
    auto last = std::move(tx);
  }
  auto receiver = spawn(receive_in_batches(std::move(rx)));
  for (auto& s : senders) {
    const auto r = co_await std::move(s);
    CHECK(r.has_value());
  }
  auto l = co_await std::move(receiver);
  CHECK(l.value().received() == sent);
  CHECK(l.value().wrong() == 0);
}

/// Senders are aborted, and receivers closed, in the middle of it.
template <class T>
task<> abort_stress(int rounds) {
  for (int i = 0; i != rounds; ++i) {
    auto [tx, rx] = mpsc::channel<T>(2);
    std::atomic<long> sent{0};
    std::vector<join_handle<>> senders;
    for (number s = 0; s != 4; ++s) senders.push_back(spawn(send_all<T>(tx, s, 20, &sent)));
    {
      auto last = std::move(tx);
    }
    ledger l;
    for (int n = 0; n != 10 + i % 20; ++n) {
      const auto m = co_await rx.recv();
      if (m) l.receive(unwrap(*m));
    }
    senders[0].abort();
    senders[2].abort();
    if (i % 2 == 0) rx.close();
    for (;;) {
      const auto m = co_await rx.recv();
      if (!m) break;
      l.receive(unwrap(*m));
    }
    for (auto& s : senders) {
      const auto r = co_await std::move(s);
      CHECK((r.has_value() || r.is_cancelled()));
    }
    CHECK(l.received() == sent);
    CHECK(l.wrong() == 0);
  }
}

task<> answer(oneshot::sender<number> tx, number value) {
  if (value % 3 == 0) co_await yield_now();
  const auto sent = tx.send(value);
  static_cast<void>(sent);
}
task<bool> ask(number value) {
  auto [tx, rx] = oneshot::channel<number>();
  spawn(answer(std::move(tx), value));
  if (value % 5 == 0) {
    rx.close();  // the answer is received or refused
    const auto got = co_await rx;
    co_return got ? *got == value : got.error() == error::closed;
  }
  const auto got = co_await rx;
  co_return got.has_value() && *got == value;
}
task<> oneshot_stress(number count) {
  int wrong = 0;
  for (number i = 0; i < count; i += 100) {
    std::vector<join_handle<bool>> asked;
    for (number n = 0; n != 100; ++n) asked.push_back(spawn(ask(i + n)));
    for (auto& a : asked) {
      auto r = co_await std::move(a);
      if (!std::move(r).value()) ++wrong;
    }
  }
  CHECK(wrong == 0);
}

template <class T>
task<> broadcast_all(broadcast::sender<T> tx, number self, number count) {
  for (number i = 0; i != count; ++i) {
    if constexpr (std::is_same_v<T, number>)
      static_cast<void>(tx.send(message(self, i)));
    else
      static_cast<void>(tx.send(std::to_string(message(self, i))));
    if (i % 64 == 0) co_await yield_now();
  }
}
number parse(number m) { return m; }
number parse(const std::string& m) { return static_cast<number>(std::stoul(m)); }
template <class T>
task<bool> listen_to_all(broadcast::receiver<T> rx, long total) {
  ledger l;
  long missed = 0;
  for (;;) {
    const auto m = co_await rx.recv();
    if (m)
      l.receive(parse(*m));
    else if (m.error() == error::lagged)
      missed += static_cast<long>(m.missed());
    else
      break;
  }
  co_return l.received() + missed == total&& l.wrong() == 0;
}
template <class T>
task<> broadcast_stress(number each) {
  auto [tx, rx] = broadcast::channel<T>(64);
  std::vector<join_handle<bool>> receivers;
  for (int i = 0; i != 3; ++i)
    receivers.push_back(spawn(listen_to_all<T>(tx.subscribe(), 2L * each)));
  for (number s = 0; s != 2; ++s) spawn(broadcast_all<T>(tx, s, each));
  {
    // Neither keeps the others from ending.
    auto last = std::move(tx);
    auto unread = std::move(rx);
  }
  for (auto& r : receivers) {
    auto right = co_await std::move(r);
    CHECK(std::move(right).value());
  }
}

task<> count_up(watch::sender<long> tx, int count) {
  for (int i = 0; i != count; ++i) {
    tx.send_modify([](long& v) { ++v; });
    if (i % 16 == 0) co_await yield_now();
  }
}
task<long> follow(watch::receiver<long> rx) {
  long last = 0;
  for (;;) {
    const auto changed = co_await rx.changed();
    if (!changed) co_return last;
    const long now = *rx.borrow_and_update();
    CHECK(now >= last);
    last = now;
  }
}
task<> watch_stress(int each) {
  auto [tx, rx] = watch::channel<long>(0);
  std::vector<join_handle<long>> receivers;
  for (int i = 0; i != 3; ++i) receivers.push_back(spawn(follow(rx)));
  for (int i = 0; i != 2; ++i) spawn(count_up(tx, each));
  {
    auto last = std::move(tx);
  }
  for (auto& r : receivers) {
    auto last = co_await std::move(r);
    CHECK(std::move(last).value() == 2L * each);
  }
}

}  // namespace

TEST_CASE("channel stress: mpsc") {
  runtime rt = make_runtime(flavour::four_workers);
  rt.block_on(mpsc_stress<number>(1, 20'000 / scale));
  rt.block_on(mpsc_stress<number>(100, 40'000 / scale));
  rt.block_on(mpsc_stress<std::unique_ptr<number>>(1, 10'000 / scale));
  rt.block_on(mpsc_stress<std::unique_ptr<number>>(100, 20'000 / scale));
}

TEST_CASE("channel stress: mpsc with permits") {
  make_runtime(flavour::four_workers).block_on(permit_stress(15'000 / scale));
}

TEST_CASE("channel stress: mpsc with senders that are aborted") {
  runtime rt = make_runtime(flavour::four_workers);
  rt.block_on(abort_stress<number>(1000 / scale));
  rt.block_on(abort_stress<std::unique_ptr<number>>(1000 / scale));
}

TEST_CASE("channel stress: mpsc from plain threads") {
  constexpr number each = 25'000 / scale;
  auto [tx, rx] = mpsc::unbounded_channel<std::string>();
  auto [bounded, to_bounded] = mpsc::channel<number>(10);
  runtime rt = make_runtime(flavour::one_worker);
  std::vector<std::thread> threads;
  for (number s = 0; s != 2; ++s) {
    threads.emplace_back([t = tx, s] {
      for (number i = 0; i != each; ++i) CHECK(t.send(std::to_string(message(s, i))).has_value());
    });
    threads.emplace_back([t = bounded, s] {
      for (number i = 0; i != each; ++i) CHECK(t.blocking_send(message(s, i)).has_value());
    });
  }
  {
    auto last = std::move(tx);
    auto other = std::move(bounded);
  }
  auto blocked = rt.spawn(receive_all<number>(std::move(to_bounded)));
  ledger l;
  while (auto m = rx.blocking_recv()) l.receive(parse(*m));
  CHECK(l.received() == 2L * each);
  CHECK(l.wrong() == 0);
  rt.block_on([](join_handle<ledger> b) -> task<> {
    auto r = co_await std::move(b);
    CHECK(r.value().received() == 2L * each);
    CHECK(r.value().wrong() == 0);
  }(std::move(blocked)));
  for (auto& t : threads) t.join();
}

TEST_CASE("channel stress: oneshot") {
  make_runtime(flavour::four_workers).block_on(oneshot_stress(100'000 / scale));
}

TEST_CASE("channel stress: broadcast") {
  runtime rt = make_runtime(flavour::four_workers);
  rt.block_on(broadcast_stress<number>(30'000 / scale));
  rt.block_on(broadcast_stress<std::string>(20'000 / scale));
}

TEST_CASE("channel stress: watch") {
  make_runtime(flavour::four_workers).block_on(watch_stress(25'000 / scale));
}
