// SPDX-License-Identifier: MIT The locks and signals in four threads, with cancellations: a million
// operations, all accounted for.
#include <atomic>
#include <cstddef>
#include <exception>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include <kioto/sync/barrier.hpp>
#include <kioto/sync/mutex.hpp>
#include <kioto/sync/notify.hpp>
#include <kioto/sync/once_cell.hpp>
#include <kioto/sync/rw_lock.hpp>
#include <kioto/sync/semaphore.hpp>
#include <kioto/sync/set_once.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;

namespace {

// Sanitizers and -O0 make the same operations several times as slow.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
constexpr std::size_t scale = 4;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr std::size_t scale = 4;
#else
constexpr std::size_t scale = 1;
#endif
#else
constexpr std::size_t scale = 1;
#endif
constexpr std::size_t tasks = 8;

using dice_of = std::minstd_rand;

template <class Body>
task<> run_all(Body& body, std::size_t first, std::size_t count) {
  std::vector<join_handle<>> running;
  running.reserve(count);
  for (std::size_t n = first; n != first + count; ++n) running.push_back(spawn(body(n)));
  for (auto& r : running) {
    auto end = co_await std::move(r);
    if (!end.has_value()) std::terminate();
  }
}

// Runs `body(n)` for n < tasks in four threads, each with a runtime of its own: waiters are woken
// from other threads nearly always.
template <class Body>
void in_parallel(Body body) {
  constexpr std::size_t threads = 4;
  std::vector<std::thread> running;
  for (std::size_t t = 0; t != threads; ++t) {
    running.emplace_back([&body, t] {
      kioto::runtime rt = make_runtime(flavour::current_thread);
      rt.block_on(run_all(body, t * tasks / threads, tasks / threads));
    });
  }
  for (auto& r : running) r.join();
}

}  // namespace

TEST_CASE("stress: semaphore with batches, cancellation and changing permits") {
  constexpr std::size_t permits = 5;
  constexpr std::size_t rounds = 240'000 / scale / tasks;
  sync::semaphore s(permits);
  std::atomic<std::size_t> held{0};
  std::atomic<std::size_t> too_many{0};

  auto use = [&](std::size_t n) -> task<> {
    auto permit = co_await s.acquire_many(n);
    const std::size_t now = held.fetch_add(n) + n;
    if (now > permits || !permit) too_many.fetch_add(1);
    if (n % 2 == 0) co_await yield_now();
    held.fetch_sub(n);
  };
  in_parallel([&](std::size_t seed) -> task<> {
    dice_of dice(static_cast<unsigned>(seed + 1));
    for (std::size_t i = 0; i != rounds; ++i) {
      const std::size_t what = dice() % 8;
      if (what == 0) {
        auto victim = spawn(use(permits));
        if (dice() % 2 == 0) co_await yield_now();
        victim.abort();
        auto end = co_await std::move(victim);
        if (end.is_exception()) too_many.fetch_add(1);
      } else if (what == 1) {
        auto p = s.try_acquire_many(2);
        if (p) {
          auto half = p->split(1);
          p->merge(std::move(*half));
        }
      } else if (what == 2) {
        s.add_permits(s.forget_permits(1));
      } else {
        co_await use(1 + dice() % permits);
      }
    }
  });
  CHECK(too_many == 0);
  CHECK(held == 0);
  CHECK(s.available_permits() == permits);
}

TEST_CASE("stress: mutex with cancellation") {
  constexpr std::size_t rounds = 240'000 / scale / tasks;
  sync::mutex<std::size_t> m(0);
  std::atomic<std::size_t> added{0};

  auto add = [&]() -> task<> {
    auto value = co_await m.lock();
    ++*value;
    added.fetch_add(1, std::memory_order_relaxed);
  };
  in_parallel([&](std::size_t seed) -> task<> {
    dice_of dice(static_cast<unsigned>(seed + 1));
    for (std::size_t i = 0; i != rounds; ++i) {
      const std::size_t what = dice() % 8;
      if (what == 0) {
        auto victim = spawn(add());
        if (dice() % 2 == 0) co_await yield_now();
        victim.abort();
        auto end = co_await std::move(victim);
        if (end.is_exception()) co_return;
      } else if (what == 1) {
        if (auto value = m.try_lock()) {
          ++*value;
          added.fetch_add(1, std::memory_order_relaxed);
        }
      } else if (what == 2) {
        auto value = co_await m.lock();
        const std::size_t before = *value;
        co_await yield_now();
        *value = before + 1;
        added.fetch_add(1, std::memory_order_relaxed);
      } else {
        co_await add();
      }
    }
  });
  CHECK(*m.try_lock() == added);
  CHECK(added > 0);
}

TEST_CASE("stress: rw_lock with cancellation and downgrade") {
  constexpr std::size_t rounds = 160'000 / scale / tasks;
  struct pair {
    std::size_t a = 0;
    std::size_t b = 0;
  };
  sync::rw_lock<pair> lock;
  std::atomic<std::size_t> written{0};
  std::atomic<std::size_t> torn{0};

  auto write = [&](bool slow) -> task<> {
    auto p = co_await lock.write();
    ++p->a;
    written.fetch_add(1, std::memory_order_relaxed);
    if (slow) {
      // The pair stays whole, although the task is cancelled here.
      const auto yielded = co_await as_result(yield_now());
      static_cast<void>(yielded);
    }
    ++p->b;
    auto q = std::move(p).downgrade();
    if (q->a != q->b) torn.fetch_add(1);
  };
  in_parallel([&](std::size_t seed) -> task<> {
    dice_of dice(static_cast<unsigned>(seed + 1));
    for (std::size_t i = 0; i != rounds; ++i) {
      const std::size_t what = dice() % 8;
      if (what == 0) {
        auto victim = spawn(write(dice() % 2 == 0));
        if (dice() % 2 == 0) co_await yield_now();
        victim.abort();
        auto end = co_await std::move(victim);
        if (end.is_exception()) torn.fetch_add(1);
      } else if (what == 1) {
        co_await write(dice() % 2 == 0);
      } else {
        auto p = co_await lock.read();
        const std::size_t before = p->a;
        if (what == 2) co_await yield_now();
        if (p->a != before || p->b != before) torn.fetch_add(1);
      }
    }
  });
  CHECK(torn == 0);
  auto p = lock.try_read();
  REQUIRE(static_cast<bool>(p));
  CHECK(p->a == written);
  CHECK(p->b == written);
}

// A short queue between producers and consumers: a lost notice is a hang, a doubled one is
// harmless. Consumers are cancelled now and then, and others take over.
TEST_CASE("stress: notify_one, notify_last and cancellation") {
  constexpr std::size_t items = 120'000 / scale;
  sync::notify news;
  std::atomic<std::size_t> there{0};
  std::atomic<std::size_t> taken{0};
  std::atomic<std::size_t> produced{0};

  auto take_one = [&]() -> bool {
    std::size_t now = there.load();
    while (now != 0)
      if (there.compare_exchange_weak(now, now - 1)) return true;
    return false;
  };
  auto consume = [&]() -> task<> {
    for (;;) {
      auto notice = news.notified();
      notice.enable();
      while (take_one()) {
        if (taken.fetch_add(1) + 1 == items) {
          news.notify_waiters();
          co_return;
        }
      }
      if (taken.load() == items) co_return;
      co_await notice;
    }
  };
  in_parallel([&](std::size_t seed) -> task<> {
    dice_of dice(static_cast<unsigned>(seed + 1));
    if (seed % 2 == 0) {
      while (produced.fetch_add(1) < items) {
        while (there.load() >= 4) co_await yield_now();
        there.fetch_add(1);
        if (dice() % 4 == 0)
          news.notify_last();
        else
          news.notify_one();
        if (dice() % 8 == 0) co_await yield_now();
      }
      co_return;
    }
    while (taken.load() != items) {
      auto consumer = spawn(consume());
      for (std::size_t i = dice() % 64; i != 0; --i) co_await yield_now();
      if (dice() % 2 == 0) consumer.abort();
      auto end = co_await std::move(consumer);
      if (end.is_exception()) co_return;
    }
  });
  CHECK(taken == items);
  CHECK(there == 0);
}

TEST_CASE("stress: notify_waiters reaches all who are there") {
  constexpr std::size_t rounds = 8'000 / scale;
  sync::notify start;
  std::atomic<std::size_t> round{0};
  std::atomic<std::size_t> arrived{0};

  in_parallel([&](std::size_t seed) -> task<> {
    if (seed == 0) {
      for (std::size_t r = 1; r <= rounds; ++r) {
        while (arrived.load() != (tasks - 1) * (r - 1)) co_await yield_now();
        round.store(r);
        start.notify_waiters();
      }
      co_return;
    }
    for (std::size_t r = 1; r <= rounds; ++r) {
      for (;;) {
        auto notice = start.notified();
        if (round.load() >= r) break;
        co_await notice;  // perhaps the one of the round before
      }
      arrived.fetch_add(1);
    }
  });
  CHECK(arrived == (tasks - 1) * rounds);
}

TEST_CASE("stress: barrier with waiters that leave") {
  constexpr std::size_t rounds = 80'000 / scale / tasks;
  sync::barrier b(tasks);
  std::atomic<std::size_t> leaders{0};
  std::atomic<std::size_t> passed{0};

  auto pass = [&]() -> task<> {
    const auto result = co_await b.wait();
    if (result.is_leader()) leaders.fetch_add(1);
  };
  in_parallel([&](std::size_t seed) -> task<> {
    dice_of dice(static_cast<unsigned>(seed + 1));
    for (std::size_t i = 0; i != rounds; ++i) {
      // A task that is cancelled in time arrives again; one that has passed does not.
      if (dice() % 4 == 0) {
        auto victim = spawn(pass());
        if (dice() % 2 == 0) co_await yield_now();
        victim.abort();
        auto end = co_await std::move(victim);
        if (!end.is_cancelled()) {
          passed.fetch_add(1);
          continue;
        }
      }
      const auto result = co_await b.wait();
      passed.fetch_add(1);
      if (result.is_leader()) leaders.fetch_add(1);
    }
  });
  CHECK(passed == rounds * tasks);
  CHECK(leaders == rounds);
}

TEST_CASE("stress: once_cell and set_once, made by one and seen by all") {
  constexpr std::size_t rounds = 40'000 / scale / tasks;
  struct cells {
    sync::once_cell<std::size_t> once;
    sync::set_once<std::size_t> set;
  };
  std::vector<std::unique_ptr<cells>> all(rounds);
  for (auto& c : all) c = std::make_unique<cells>();
  std::atomic<std::size_t> made{0};
  std::atomic<std::size_t> set{0};
  std::atomic<std::size_t> wrong{0};

  auto use = [&](cells& c, std::size_t value, bool fails) -> task<> {
    auto make = [&made, value, fails]() -> task<result<std::size_t>> {
      co_await yield_now();
      if (fails) co_return errc::interrupted;
      made.fetch_add(1);
      co_return value;
    };
    const auto r = co_await c.once.get_or_try_init(make);
    if (r && **r != value) wrong.fetch_add(1);
    if (r && c.set.set(value)) set.fetch_add(1);
  };
  in_parallel([&](std::size_t seed) -> task<> {
    dice_of dice(static_cast<unsigned>(seed + 1));
    for (std::size_t i = 0; i != rounds; ++i) {
      cells& c = *all[i];
      if (dice() % 4 == 0) {
        auto victim = spawn(use(c, i, false));
        if (dice() % 2 == 0) co_await yield_now();
        victim.abort();
        auto end = co_await std::move(victim);
        if (end.is_exception()) wrong.fetch_add(1);
      }
      co_await use(c, i, dice() % 4 == 0);
      co_await use(c, i, false);
      const std::size_t& value = co_await c.set.wait();
      if (value != i) wrong.fetch_add(1);
    }
  });
  CHECK(wrong == 0);
  CHECK(made == rounds);
  CHECK(set == rounds);
}

TEST_CASE("stress: threads and tasks share a mutex") {
  constexpr std::size_t rounds = 8'000 / scale;
  sync::mutex<std::size_t> m(0);
  auto on_thread = [&] {
    for (std::size_t i = 0; i != rounds; ++i) {
      auto value = m.blocking_lock();
      ++*value;
      if (i % 16 == 0) std::this_thread::yield();
    }
  };
  std::thread a(on_thread);
  std::thread b(on_thread);
  in_parallel([&](std::size_t) -> task<> {
    for (std::size_t i = 0; i != rounds; ++i) {
      auto value = co_await m.lock();
      ++*value;
      if (i % 16 == 0) co_await yield_now();
    }
  });
  a.join();
  b.join();
  CHECK(*m.try_lock() == (tasks + 2) * rounds);
}
