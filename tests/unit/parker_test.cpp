// SPDX-License-Identifier: MIT
#include "base/parker.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;
using kioto::detail::thread_parker;
using std::chrono::steady_clock;

namespace {

using timeout_type = std::optional<std::chrono::nanoseconds>;

// A driver without events: its turn ends by unpark(), by the time, or by event().
class driver {
 public:
  bool try_lock() { return turning_.try_lock(); }
  void unlock() { turning_.unlock(); }
  void turn(timeout_type timeout) {
    std::unique_lock lock(mutex_);
    ++turns_;
    const auto woken = [this] { return woken_; };
    if (timeout)
      condition_.wait_for(lock, *timeout, woken);
    else
      condition_.wait(lock, woken);
    woken_ = false;
  }
  void poll() { turn(std::chrono::nanoseconds::zero()); }
  void unpark() {
    const std::lock_guard lock(mutex_);
    woken_ = true;
    condition_.notify_one();
  }
  void event() { unpark(); }
  int turns() {
    const std::lock_guard lock(mutex_);
    return turns_;
  }

 private:
  std::mutex turning_;
  std::mutex mutex_;
  std::condition_variable condition_;
  bool woken_ = false;
  int turns_ = 0;
};

using worker_parker = kioto::detail::basic_parker<kioto::detail::std_sync, driver>;

}  // namespace

TEST_CASE("a wake-up before the park is kept, once") {
  thread_parker p;
  p.unpark();
  p.unpark();
  p.park();
  CHECK_FALSE(p.park_for(0ns));
  CHECK_FALSE(p.park_for(1ms));
  p.unpark();
  CHECK(p.park_for(1h));
}

TEST_CASE("a wake-up can be taken without sleeping") {
  thread_parker p;
  CHECK_FALSE(p.try_park());
  p.unpark();
  CHECK(p.try_park());
  CHECK_FALSE(p.try_park());
}

TEST_CASE("a parker may be gone as soon as it is woken") {
  constexpr int rounds = 2'000;
  std::atomic<thread_parker*> sleeper{nullptr};
  std::thread waker([&] {
    for (int i = 0; i != rounds; ++i) {
      thread_parker* p = nullptr;
      while ((p = sleeper.exchange(nullptr)) == nullptr) std::this_thread::yield();
      p->unpark();
    }
  });
  for (int i = 0; i != rounds; ++i) {
    const auto p = std::make_unique<thread_parker>();
    sleeper = p.get();
    p->park();
  }
  waker.join();
}

TEST_CASE("a timed park ends by the time or by a wake-up") {
  thread_parker p;
  const auto begin = steady_clock::now();
  CHECK_FALSE(p.park_for(5ms));
  CHECK(steady_clock::now() - begin >= 5ms);
  std::thread waker([&] { p.unpark(); });
  CHECK(p.park_for(1h));
  waker.join();
}

TEST_CASE("two threads wake each other in turn") {
  thread_parker a;
  thread_parker b;
  constexpr int rounds = 2'000;
  int baton = 0;  // handed over by the wake-ups alone
  const auto begin = steady_clock::now();
  std::thread other([&] {
    for (int i = 0; i != rounds; ++i) {
      b.park();
      ++baton;
      a.unpark();
    }
  });
  for (int i = 0; i != rounds; ++i) {
    ++baton;
    b.unpark();
    a.park();
  }
  other.join();
  CHECK(baton == 2 * rounds);
  CHECK(steady_clock::now() - begin < 20s);
}

TEST_CASE("what each of several wakers did is visible to the one who wakes") {
  for (int round = 0; round != 200; ++round) {
    thread_parker p;
    std::atomic<int> sum{0};
    std::vector<std::thread> wakers;
    for (int i = 0; i != 2; ++i) {
      wakers.emplace_back([&] {
        sum.fetch_add(1, std::memory_order_relaxed);
        p.unpark();
      });
    }
    while (sum.load(std::memory_order_relaxed) != 2) p.park();
    for (auto& w : wakers) w.join();
    CHECK(sum.load(std::memory_order_relaxed) == 2);
  }
}

TEST_CASE("a worker parks in the driver when it is free") {
  driver d;
  worker_parker p;
  std::thread waker([&] {
    while (d.turns() == 0) std::this_thread::yield();
    p.unpark(d);
  });
  p.park(d);
  waker.join();
  CHECK(d.turns() == 1);
  p.park(d, 1ms);
  CHECK(d.turns() == 2);
  d.event();
  p.park(d);
  CHECK(d.turns() == 3);
}

TEST_CASE("a worker whose driver is taken parks by itself") {
  driver d;
  worker_parker p;
  REQUIRE(d.try_lock());
  const auto begin = steady_clock::now();
  p.park(d, 2ms);
  CHECK(steady_clock::now() - begin >= 2ms);
  p.park(d, 0ns);
  std::thread waker([&] { p.unpark(d); });
  p.park(d);
  waker.join();
  CHECK(d.turns() == 0);
  CHECK_FALSE(p.poll(d));
  d.unlock();
  CHECK(p.poll(d));
  CHECK(d.turns() == 1);
}

TEST_CASE("a kept wake-up ends the park without a turn, and a poll leaves it alone") {
  driver d;
  worker_parker p;
  p.unpark(d);
  CHECK(p.poll(d));
  CHECK(d.turns() == 1);
  p.park(d);
  CHECK(d.turns() == 1);
  p.park(d, 0ns);
  CHECK(d.turns() == 2);
}

TEST_CASE("workers that share a driver wake each other, wherever they sleep") {
  constexpr int workers = 3;
  constexpr int rounds = 600;
  driver d;
  worker_parker parkers[workers];
  std::atomic<int> turn{0};
  std::vector<std::thread> threads;
  const auto begin = steady_clock::now();
  for (int w = 0; w != workers; ++w) {
    threads.emplace_back([&, w] {
      for (int i = 0; i != rounds; ++i) {
        const int mine = i * workers + w;
        while (turn.load(std::memory_order_relaxed) != mine) parkers[w].park(d);
        turn.store(mine + 1, std::memory_order_relaxed);
        parkers[(w + 1) % workers].unpark(d);
      }
    });
  }
  for (auto& t : threads) t.join();
  CHECK(turn.load() == workers * rounds);
  CHECK(steady_clock::now() - begin < 20s);
}
