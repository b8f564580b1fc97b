// SPDX-License-Identifier: MIT
// Locks, semaphores and notifications.
#include <atomic>

#include <kioto/sync/mutex.hpp>
#include <kioto/sync/notify.hpp>
#include <kioto/sync/rw_lock.hpp>
#include <kioto/sync/semaphore.hpp>

#include "bench.hpp"

using namespace kioto;

namespace {

using counter = sync::mutex<std::uint64_t>;

task<bool> mutex_uncontended() {
  counter m(0);
  for (int i = 0; i != 100000; ++i) {
    auto guard = co_await m.lock();
    ++*guard;
  }
  const auto guard = co_await m.lock();
  co_return *guard == 100000;
}

// `count` tasks of the same kind on the same object, joined.
template <class T>
task<bool> all(std::size_t count, task<> (*work)(T&), T& on) {
  std::vector<join_handle<>> tasks;
  for (std::size_t i = 0; i != count; ++i) tasks.push_back(spawn(work(on)));
  const bool joined = co_await bench::join_all(std::move(tasks), count);
  co_return joined;
}

task<> count_up(counter& m) {
  for (int i = 0; i != 10000; ++i) {
    auto guard = co_await m.lock();
    ++*guard;
  }
}
task<> count_up_and_yield(counter& m) {
  for (int i = 0; i != 10000; ++i) {
    auto guard = co_await m.lock();
    ++*guard;
    co_await yield_now();
  }
}
template <task<> (*Work)(counter&)>
task<bool> mutex_of_8() {
  counter m(0);
  const bool joined = co_await all(8, Work, m);
  const auto guard = co_await m.lock();
  co_return joined && *guard == 80000;
}

struct read_lock {
  sync::rw_lock<std::uint64_t> lock{1};
  std::atomic<std::uint64_t> sum{0};
};
task<> read_it(read_lock& on) {
  std::uint64_t mine = 0;
  for (int i = 0; i != 10000; ++i) {
    const auto guard = co_await on.lock.read();
    mine += *guard;
  }
  on.sum.fetch_add(mine, std::memory_order_relaxed);
}
task<bool> rwlock_read_8() {
  read_lock on;
  const bool joined = co_await all(8, read_it, on);
  co_return joined&& on.sum.load() == 80000;
}

struct five_places {
  sync::semaphore places{5};
  std::atomic<int> inside{0};
  std::atomic<bool> crowded{false};
};
task<> come_and_go(five_places& on) {
  for (int i = 0; i != 10000; ++i) {
    const auto permit = co_await on.places.acquire();
    if (!permit || on.inside.fetch_add(1, std::memory_order_relaxed) >= 5) on.crowded.store(true);
    on.inside.fetch_sub(1, std::memory_order_relaxed);
  }
}
task<bool> semaphore_6of5() {
  five_places on;
  const bool joined = co_await all(6, come_and_go, on);
  co_return joined && !on.crowded.load() && on.places.available_permits() == 5;
}

struct two_notices {
  sync::notify there;
  sync::notify back;
};
task<> answers(two_notices& between) {
  for (int i = 0; i != 100000; ++i) {
    co_await between.there.notified();
    between.back.notify_one();
  }
}
task<> calls(two_notices& between) {
  for (int i = 0; i != 100000; ++i) {
    between.there.notify_one();
    co_await between.back.notified();
  }
}
task<bool> notify_pingpong() {
  two_notices between;
  std::vector<join_handle<>> tasks;
  tasks.push_back(spawn(answers(between)));
  tasks.push_back(spawn(calls(between)));
  const bool joined = co_await bench::join_all(std::move(tasks), 2);
  co_return joined;
}

// 500 wake-ups of `Waiters` tasks that wait again and again. A waiter that is not there yet is
// woken by a later turn.
struct crowd {
  sync::notify news;
  std::atomic<std::uint64_t> woken{0};
};
task<> wait_again_and_again(crowd& in) {
  for (;;) {
    co_await in.news.notified();
    in.woken.fetch_add(1, std::memory_order_acq_rel);
  }
}
template <std::size_t Waiters, bool AtOnce>
task<bool> notify_many() {
  crowd waiting;
  std::vector<join_handle<>> tasks;
  for (std::size_t i = 0; i != Waiters; ++i) tasks.push_back(spawn(wait_again_and_again(waiting)));
  while (waiting.woken.load(std::memory_order_acquire) < 500) {
    if (AtOnce)
      waiting.news.notify_waiters();
    else
      waiting.news.notify_one();
    co_await yield_now();
  }
  for (const auto& t : tasks) t.abort();
  const bool all_stopped = co_await bench::join_all(std::move(tasks), 0);
  co_return all_stopped;
}

const bench::group locks{
    {"mutex_uncontended", 100000, bench::spawned(mutex_uncontended)},
    {"mutex_contended_8", 80000, bench::blocked_on(mutex_of_8<count_up>)},
    {"mutex_handoff_8", 80000, bench::blocked_on(mutex_of_8<count_up_and_yield>)},
    {"rwlock_read_8", 80000, bench::blocked_on(rwlock_read_8)},
    {"semaphore_contended_6of5", 60000, bench::blocked_on(semaphore_6of5)},
    {"notify_pingpong", 100000, bench::blocked_on(notify_pingpong)},
    {"notify_one_10", 500, bench::spawned(notify_many<10, false>)},
    {"notify_all_10", 500, bench::spawned(notify_many<10, true>)},
    {"notify_one_100", 500, bench::spawned(notify_many<100, false>)},
    {"notify_all_100", 500, bench::spawned(notify_many<100, true>)},
    {"notify_one_500", 500, bench::spawned(notify_many<500, false>)},
    {"notify_all_500", 500, bench::spawned(notify_many<500, true>)},
};

}  // namespace
