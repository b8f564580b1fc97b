// SPDX-License-Identifier: MIT
#include "scheduler/local_queue.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "scheduler/inject_queue.hpp"

#include "support/catch.hpp"

namespace {

struct item {
  item* queue_next = nullptr;
  std::size_t id = 0;
  std::atomic<int> seen{0};
};

using queue = kioto::detail::basic_local_queue<kioto::detail::std_sync, item>;
using inject = kioto::detail::basic_inject_queue<kioto::detail::std_sync, item>;

std::vector<item> make_items(std::size_t count) {
  std::vector<item> items(count);
  for (std::size_t i = 0; i != count; ++i) items[i].id = i;
  return items;
}

// Overflow into an injection queue, as the scheduler does it, with a count of how often.
struct spill {
  inject& target;
  std::size_t& times;
  void operator()(item* first, item* last, std::size_t count) const {
    ++times;
    if (!target.push_batch(first, last, count)) std::abort();
  }
};

struct no_overflow {
  void operator()(item*, item*, std::size_t) const { FAIL("overflow"); }
};

}  // namespace

TEST_CASE("acceptance 5: a local queue of 256 overflows at the 257th push and loses nothing") {
  auto items = make_items(257);
  auto q = std::make_unique<queue>();
  inject shared;
  std::size_t overflows = 0;

  for (std::size_t i = 0; i != 256; ++i) REQUIRE(q->push_back(&items[i], spill{shared, overflows}));
  CHECK(overflows == 0);
  CHECK(q->size() == 256);
  CHECK(q->free_slots() == 0);

  CHECK_FALSE(q->push_back(&items[256], spill{shared, overflows}));
  CHECK(overflows == 1);
  CHECK(q->size() == 128);
  CHECK(shared.size() == 129);

  // The order survives: the ring keeps the older half, the shared queue has the newer one.
  std::size_t expected = 0;
  while (item* i = q->pop()) CHECK(i->id == expected++);
  CHECK(expected == 128);
  while (item* i = shared.pop()) CHECK(i->id == expected++);
  CHECK(expected == 257);
}

TEST_CASE("acceptance 5: a thief takes half of four items and gets one of them directly") {
  auto items = make_items(4);
  auto victim = std::make_unique<queue>();
  auto thief = std::make_unique<queue>();
  for (auto& i : items) victim->push_back(&i, no_overflow{});

  std::size_t stolen = 0;
  item* direct = victim->steal_into(*thief, stolen);
  REQUIRE(direct != nullptr);
  CHECK(direct->id == 0);
  CHECK(stolen == 2);
  CHECK(thief->size() == 1);
  CHECK(victim->size() == 2);
  CHECK(thief->pop()->id == 1);
  CHECK(victim->pop()->id == 2);
  CHECK(victim->pop()->id == 3);
  CHECK(victim->pop() == nullptr);
}

TEST_CASE("a thief rounds up, takes a lone item and leaves an empty queue alone") {
  auto items = make_items(5);
  auto victim = std::make_unique<queue>();
  auto thief = std::make_unique<queue>();
  CHECK(victim->steal_into(*thief) == nullptr);
  victim->push_back(&items[0], no_overflow{});
  CHECK(victim->steal_into(*thief) == &items[0]);
  CHECK(thief->is_empty());
  CHECK(victim->is_empty());
  for (auto& i : items) victim->push_back(&i, no_overflow{});
  std::size_t stolen = 0;
  CHECK(victim->steal_into(*thief, stolen) == &items[0]);
  CHECK(stolen == 3);
}

TEST_CASE("a thief whose own ring is more than half full is refused") {
  auto items = make_items(300);
  auto victim = std::make_unique<queue>();
  auto thief = std::make_unique<queue>();
  for (std::size_t i = 0; i != 10; ++i) victim->push_back(&items[i], no_overflow{});
  for (std::size_t i = 10; i != 10 + 129; ++i) thief->push_back(&items[i], no_overflow{});
  CHECK(victim->steal_into(*thief) == nullptr);
  CHECK(victim->size() == 10);
  CHECK(thief->pop() != nullptr);
  CHECK(victim->steal_into(*thief) == &items[0]);
  CHECK(thief->size() == 128 + 4);
}

TEST_CASE("a full local queue gives half of its items to a thief with room for them") {
  auto items = make_items(256 + 128);
  auto victim = std::make_unique<queue>();
  auto thief = std::make_unique<queue>();
  for (std::size_t i = 0; i != 128; ++i) thief->push_back(&items[i], no_overflow{});
  for (std::size_t i = 128; i != 384; ++i) victim->push_back(&items[i], no_overflow{});
  std::size_t stolen = 0;
  CHECK(victim->steal_into(*thief, stolen) == &items[128]);
  CHECK(stolen == 128);
  CHECK(thief->size() == 255);
}

TEST_CASE("a batch goes into the ring in order and at most as far as there is room") {
  auto items = make_items(20);
  auto q = std::make_unique<queue>();
  inject shared;
  for (auto& i : items) REQUIRE(shared.push(&i));
  auto batch = shared.pop_n(15);
  REQUIRE(batch.count == 15);
  item* const first = batch.first;
  CHECK(q->push_batch(first->queue_next, 14) == nullptr);
  CHECK(q->free_slots() == 256 - 14);
  std::size_t expected = 1;
  while (item* i = q->pop()) CHECK(i->id == expected++);
  CHECK(expected == 15);
}

TEST_CASE("the owner takes back its newest item") {
  auto items = make_items(3);
  auto q = std::make_unique<queue>();
  CHECK(q->pop_newest() == nullptr);
  for (auto& i : items) q->push_back(&i, no_overflow{});
  CHECK(q->pop_newest() == &items[2]);
  CHECK(q->size() == 2);
  CHECK(q->pop_newest() == &items[1]);
  q->push_back(&items[2], no_overflow{});
  CHECK(q->pop()->id == 0);
  CHECK(q->pop()->id == 2);
  CHECK(q->is_empty());
}

TEST_CASE("positions of a local queue wrap around") {
  auto items = make_items(300);
  auto q = std::make_unique<queue>(UINT32_MAX - 130);
  auto thief = std::make_unique<queue>(UINT32_MAX - 2);
  inject shared;
  std::size_t overflows = 0;
  std::vector<std::size_t> got;
  for (auto& i : items) q->push_back(&i, spill{shared, overflows});
  CHECK(overflows == 1);
  CHECK(q->size() + shared.size() == 300);
  std::size_t stolen = 0;
  if (item* i = q->steal_into(*thief, stolen)) got.push_back(i->id);
  CHECK(stolen == (300 - 129 + 1) / 2);
  while (item* i = thief->pop()) got.push_back(i->id);
  while (item* i = q->pop()) got.push_back(i->id);
  while (item* i = shared.pop()) got.push_back(i->id);
  REQUIRE(got.size() == 300);
  std::sort(got.begin(), got.end());
  for (std::size_t i = 0; i != 300; ++i) CHECK(got[i] == i);
}

TEST_CASE("every item is seen once while an owner pushes and pops and thieves steal") {
  constexpr std::size_t count = 200'000;
  constexpr int thieves = 3;
  auto items = make_items(count);
  auto q = std::make_unique<queue>();
  inject shared;
  std::size_t overflows = 0;
  std::atomic<bool> done{false};
  const auto see = [](item* i) { i->seen.fetch_add(1, std::memory_order_relaxed); };

  std::vector<std::thread> threads;
  for (int t = 0; t != thieves; ++t) {
    threads.emplace_back([&] {
      auto mine = std::make_unique<queue>();
      for (;;) {
        const bool last_round = done.load(std::memory_order_acquire);
        item* i = q->steal_into(*mine);
        if (i == nullptr) i = shared.pop();
        if (i == nullptr) {
          if (last_round) return;
          std::this_thread::yield();
          continue;
        }
        see(i);
        while ((i = mine->pop()) != nullptr) see(i);
      }
    });
  }
  std::uint32_t random = 1;
  for (auto& i : items) {
    q->push_back(&i, spill{shared, overflows});
    random = random * 1664525 + 1013904223;
    if (random >> 30 == 0) {
      if (item* own = q->pop()) see(own);
    }
  }
  while (item* own = q->pop()) see(own);
  done.store(true, std::memory_order_release);
  for (auto& t : threads) t.join();
  while (item* i = shared.pop()) see(i);

  std::size_t wrong = 0;
  for (auto& i : items) wrong += i.seen.load() != 1;
  CHECK(wrong == 0);
}

TEST_CASE("every item is seen once while workers steal from each other") {
  constexpr std::size_t count = 60'000;
  constexpr std::size_t workers = 3;
  auto items = make_items(count * workers);
  std::vector<std::unique_ptr<queue>> queues;
  for (std::size_t w = 0; w != workers; ++w) queues.push_back(std::make_unique<queue>());
  inject shared;
  std::atomic<std::size_t> seen{0};

  std::vector<std::thread> threads;
  for (std::size_t w = 0; w != workers; ++w) {
    threads.emplace_back([&, w] {
      queue& mine = *queues[w];
      std::size_t overflows = 0;
      std::size_t pushed = 0;
      while (seen.load(std::memory_order_relaxed) != count * workers) {
        for (int i = 0; i != 7 && pushed != count; ++i)
          mine.push_back(&items[w * count + pushed++], spill{shared, overflows});
        item* i = mine.pop();
        if (i == nullptr) i = queues[(w + 1) % workers]->steal_into(mine);
        if (i == nullptr) i = queues[(w + 2) % workers]->steal_into(mine);
        if (i == nullptr) i = shared.pop();
        if (i == nullptr) {
          std::this_thread::yield();
          continue;
        }
        i->seen.fetch_add(1, std::memory_order_relaxed);
        seen.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  for (auto& t : threads) t.join();
  std::size_t wrong = 0;
  for (auto& i : items) wrong += i.seen.load() != 1;
  CHECK(wrong == 0);
  CHECK(shared.is_empty());
  for (auto& q : queues) CHECK(q->is_empty());
}
