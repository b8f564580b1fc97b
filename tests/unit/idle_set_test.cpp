// SPDX-License-Identifier: MIT
#include "scheduler/idle_set.hpp"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/parker.hpp"
#include "scheduler/inject_queue.hpp"

#include "support/catch.hpp"

using kioto::detail::idle_set;

TEST_CASE("nobody is notified while all workers are awake") {
  idle_set idle(4);
  CHECK(idle.workers() == 4);
  CHECK(idle.parked() == 0);
  CHECK(idle.searching() == 0);
  CHECK(idle.worker_to_notify() == std::nullopt);
}

TEST_CASE("the worker that fell asleep last is notified first, and counts as searching") {
  idle_set idle(4);
  for (std::size_t w : {0U, 2U, 1U}) CHECK(idle.transition_to_parked(w, false));
  CHECK(idle.parked() == 3);
  CHECK(idle.worker_to_notify() == 1U);
  CHECK(idle.searching() == 1);
  CHECK(idle.parked() == 2);
  CHECK_FALSE(idle.is_parked(1));
  // The searcher will find whatever is published now.
  CHECK(idle.worker_to_notify() == std::nullopt);
  CHECK(idle.transition_from_searching());
  CHECK(idle.worker_to_notify() == 2U);
  CHECK(idle.transition_to_parked(2, true));
  CHECK(idle.worker_to_notify() == 2U);
}

TEST_CASE("at most half of the workers search") {
  idle_set idle(4);
  CHECK(idle.transition_to_searching());
  CHECK(idle.transition_to_searching());
  CHECK_FALSE(idle.transition_to_searching());
  CHECK_FALSE(idle.transition_from_searching());
  CHECK(idle.transition_to_searching());
  CHECK_FALSE(idle.transition_from_searching());
  CHECK(idle.transition_from_searching());

  idle_set odd(3);
  CHECK(odd.transition_to_searching());
  CHECK(odd.transition_to_searching());
  CHECK_FALSE(odd.transition_to_searching());

  idle_set one(1);
  CHECK(one.transition_to_searching());
  CHECK_FALSE(one.transition_to_searching());
  CHECK(one.transition_to_parked(0, true));
}

TEST_CASE("who parks has to look again exactly if nobody is searching any more") {
  idle_set idle(4);
  CHECK(idle.transition_to_searching());
  CHECK(idle.transition_to_searching());
  CHECK_FALSE(idle.transition_to_parked(0, true));   // another one still searches
  CHECK_FALSE(idle.transition_to_parked(3, false));  // still
  CHECK(idle.transition_to_parked(1, true));         // the last searcher
  CHECK(idle.transition_to_parked(2, false));        // nobody searches
  CHECK(idle.parked() == 4);
  CHECK(idle.searching() == 0);
}

TEST_CASE("a worker that wakes by itself takes itself out, unless it was notified") {
  idle_set idle(3);
  CHECK(idle.transition_to_parked(0, false));
  CHECK(idle.transition_to_parked(1, false));
  CHECK(idle.is_parked(0));
  CHECK(idle.unpark(0));
  CHECK_FALSE(idle.is_parked(0));
  CHECK(idle.searching() == 0);
  CHECK(idle.parked() == 1);
  CHECK(idle.worker_to_notify() == 1U);
  CHECK_FALSE(idle.unpark(1));  // notified meanwhile: it is searching
  CHECK(idle.searching() == 1);
}

// Workers take jobs from one shared queue by the four rules. A job that nobody is woken for while
// all sleep would never be run: the producer waits for each job, so the test would hang.
TEST_CASE("no job is left while workers go to sleep") {
  struct job {
    job* queue_next = nullptr;
  };
  constexpr std::size_t workers = 3;
  constexpr int rounds = 3'000;
  idle_set idle(workers);
  kioto::detail::inject_queue<job> queue;
  std::vector<std::unique_ptr<kioto::detail::thread_parker>> parkers;
  for (std::size_t w = 0; w != workers; ++w)
    parkers.push_back(std::make_unique<kioto::detail::thread_parker>());
  std::atomic<int> finished{0};
  std::atomic<bool> stop{false};
  const auto notify = [&] {
    if (const auto w = idle.worker_to_notify()) parkers[*w]->unpark();
  };

  std::vector<std::thread> threads;
  for (std::size_t w = 0; w != workers; ++w) {
    threads.emplace_back([&, w] {
      bool searching = false;
      for (;;) {
        if (queue.pop() != nullptr) {
          if (searching) {
            searching = false;
            if (idle.transition_from_searching() && !queue.is_empty()) notify();
          }
          finished.fetch_add(1, std::memory_order_release);
          continue;
        }
        if (!searching) {
          searching = idle.transition_to_searching();
          if (searching) continue;
        }
        if (idle.transition_to_parked(w, searching) && !queue.is_empty()) notify();
        searching = false;
        while (idle.is_parked(w)) {
          if (stop.load(std::memory_order_acquire)) return;
          parkers[w]->park();
        }
        searching = true;
      }
    });
  }
  job jobs[2];
  for (int i = 0; i != rounds; ++i) {
    for (auto& j : jobs) {
      if (!queue.push(&j)) std::abort();
      notify();
    }
    while (finished.load(std::memory_order_acquire) != 2 * (i + 1)) std::this_thread::yield();
  }
  stop.store(true, std::memory_order_release);
  for (auto& p : parkers) p->unpark();
  for (auto& t : threads) t.join();
  CHECK(finished.load() == 2 * rounds);
}
