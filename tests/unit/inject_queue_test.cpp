// SPDX-License-Identifier: MIT
#include "scheduler/inject_queue.hpp"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

#include <kioto/detail/base/spinlock.hpp>

#include "support/catch.hpp"

namespace {

struct item {
  item* queue_next = nullptr;
  std::size_t id = 0;
  std::atomic<int> seen{0};
};

using kioto::detail::std_sync;
using queue = kioto::detail::basic_inject_queue<std_sync, item>;
using spin_queue =
    kioto::detail::basic_inject_queue<std_sync, item, kioto::detail::basic_spinlock<std_sync>>;

std::vector<item> make_items(std::size_t count) {
  std::vector<item> items(count);
  for (std::size_t i = 0; i != count; ++i) items[i].id = i;
  return items;
}

template <class Queue>
void stress() {
  constexpr std::size_t per_thread = 30'000;
  constexpr std::size_t producers = 2;
  auto items = make_items(per_thread * producers);
  Queue q;
  std::atomic<std::size_t> seen{0};
  std::vector<std::thread> threads;
  for (std::size_t p = 0; p != producers; ++p) {
    threads.emplace_back([&, p] {
      item* const mine = &items[p * per_thread];
      for (std::size_t i = 0; i != per_thread;) {
        if (i % 5 == 0) {
          for (std::size_t k = 0; k != 4; ++k) mine[i + k].queue_next = &mine[i + k + 1];
          if (!q.push_batch(&mine[i], &mine[i + 4], 5)) std::abort();
          i += 5;
        } else if (q.push(&mine[i])) {
          ++i;
        }
      }
    });
  }
  for (int c = 0; c != 2; ++c) {
    threads.emplace_back([&, c] {
      while (seen.load(std::memory_order_relaxed) != per_thread * producers) {
        auto batch = q.pop_n(c == 0 ? 1 : 7);
        if (batch.count == 0) std::this_thread::yield();
        std::size_t n = 0;
        for (item* i = batch.first; i != nullptr; i = i->queue_next, ++n)
          i->seen.fetch_add(1, std::memory_order_relaxed);
        if (n != batch.count) std::abort();
        seen.fetch_add(n, std::memory_order_relaxed);
      }
    });
  }
  for (auto& t : threads) t.join();
  std::size_t wrong = 0;
  for (auto& i : items) wrong += i.seen.load() != 1;
  CHECK(wrong == 0);
  CHECK(q.is_empty());
}

}  // namespace

TEST_CASE("an injection queue is first in, first out") {
  auto items = make_items(3);
  queue q;
  CHECK(q.is_empty());
  CHECK(q.pop() == nullptr);
  for (auto& i : items) CHECK(q.push(&i));
  CHECK(q.size() == 3);
  for (auto& i : items) CHECK(q.pop() == &i);
  CHECK(q.pop() == nullptr);
  CHECK(q.push(&items[0]));
  CHECK(q.pop() == &items[0]);
}

TEST_CASE("batches keep their order among single items") {
  auto items = make_items(6);
  queue q;
  CHECK(q.push(&items[0]));
  for (std::size_t i = 1; i != 4; ++i) items[i].queue_next = &items[i + 1];
  CHECK(q.push_batch(&items[1], &items[4], 4));
  CHECK(q.push_batch(nullptr, nullptr, 0));
  CHECK(q.push(&items[5]));
  CHECK(q.size() == 6);
  for (auto& i : items) CHECK(q.pop() == &i);
}

TEST_CASE("pop_n takes as many as asked for, as a chain of its own") {
  auto items = make_items(5);
  queue q;
  CHECK(q.pop_n(4).first == nullptr);
  for (auto& i : items) CHECK(q.push(&i));
  CHECK(q.pop_n(0).count == 0);

  const auto some = q.pop_n(3);
  CHECK(some.count == 3);
  CHECK(some.first == &items[0]);
  CHECK(some.last == &items[2]);
  CHECK(some.last->queue_next == nullptr);
  CHECK(q.size() == 2);

  const auto rest = q.pop_n(100);
  CHECK(rest.count == 2);
  CHECK(rest.first == &items[3]);
  CHECK(rest.last == &items[4]);
  CHECK(rest.last->queue_next == nullptr);
  CHECK(q.is_empty());
  CHECK(q.push(&items[0]));
  CHECK(q.pop() == &items[0]);
}

TEST_CASE("a closed injection queue refuses items, leaves them alone and can be emptied") {
  auto items = make_items(3);
  queue q;
  CHECK(q.push(&items[0]));
  CHECK_FALSE(q.is_closed());
  CHECK(q.close());
  CHECK_FALSE(q.close());
  CHECK(q.is_closed());
  items[1].queue_next = &items[2];
  CHECK_FALSE(q.push(&items[1]));
  CHECK_FALSE(q.push_batch(&items[1], &items[2], 2));
  CHECK(items[1].queue_next == &items[2]);
  CHECK(q.size() == 1);
  CHECK(q.pop() == &items[0]);
  CHECK(q.pop() == nullptr);
}

TEST_CASE("every item of an injection queue is seen once by many threads") { stress<queue>(); }

TEST_CASE("an injection queue works with a spinlock") { stress<spin_queue>(); }

TEST_CASE("a spinlock excludes and reports when it is taken") {
  kioto::detail::spinlock lock;
  CHECK(lock.try_lock());
  CHECK_FALSE(lock.try_lock());
  lock.unlock();
  long counter = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t != 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i != 20'000; ++i) {
        const std::lock_guard guard(lock);
        ++counter;
      }
    });
  }
  for (auto& t : threads) t.join();
  CHECK(counter == 60'000);
}
