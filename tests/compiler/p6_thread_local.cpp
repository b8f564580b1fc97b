// SPDX-License-Identifier: MIT
// Clang 47179, 63022, 111257: the address of a thread-local is computed once and used again after
// a suspension, when another thread runs the coroutine.
// The idiom: one function, kept out of line, reads the thread-local.

#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "probe.hpp"

namespace {

struct worker {
  std::mutex mutex;
  std::condition_variable ready;
  std::deque<std::coroutine_handle<>> queue;

  void push(std::coroutine_handle<> h) {
    {
      std::lock_guard lock(mutex);
      queue.push_back(h);
    }
    ready.notify_one();
  }
  // An empty handle ends the worker.
  std::coroutine_handle<> pop() {
    std::unique_lock lock(mutex);
    ready.wait(lock, [&] { return !queue.empty(); });
    auto h = queue.front();
    queue.pop_front();
    return h;
  }
};

std::array<worker, 2> workers;
thread_local worker* this_worker = nullptr;

KIOTO_NOINLINE worker* current_worker() {
  asm volatile("");
  return this_worker;
}

class hop_to {
 public:
  explicit hop_to(worker& w) : worker_(&w) {}
  hop_to(const hop_to&) = delete;
  hop_to& operator=(const hop_to&) = delete;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h) { worker_->push(h); }
  void await_resume() const noexcept {}

 private:
  worker* worker_;
};

std::atomic<int> wrong{0};
std::atomic<int> wrong_naive{0};
std::atomic<int> running{0};

void one_ended() {
  if (running.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    for (auto& w : workers) w.push({});
  }
}

probe::task<> through_function(int hops) {
  for (int i = 0; i < hops; ++i) {
    worker& next = workers[static_cast<std::size_t>(i % 2)];
    co_await hop_to(next);
    if (current_worker() != &next) wrong.fetch_add(1, std::memory_order_relaxed);
  }
  one_ended();
}

probe::task<> direct(int hops) {
  for (int i = 0; i < hops; ++i) {
    worker& next = workers[static_cast<std::size_t>(i % 2)];
    co_await hop_to(next);
    if (this_worker != &next) wrong_naive.fetch_add(1, std::memory_order_relaxed);
  }
  one_ended();
}

template <class F>
void run_many(F make, int tasks, int hops) {
  std::vector<probe::task<>> all;
  running.store(tasks, std::memory_order_relaxed);
  for (int i = 0; i < tasks; ++i) all.push_back(make(hops));
  for (auto& t : all) t.start();
  std::vector<std::thread> threads;
  for (auto& w : workers) {
    threads.emplace_back([&w] {
      this_worker = &w;
      for (;;) {
        auto h = w.pop();
        if (!h) break;
        h.resume();
      }
    });
  }
  for (auto& t : threads) t.join();
}

}  // namespace

int main() {
  run_many(through_function, 10, 10'000);
  PROBE_CHECK(wrong.load() == 0);
  probe::known_bad("thread-local read directly on both sides of a suspension",
                   probe::expectation::may_fail_anywhere, [] {
                     run_many(direct, 10, 100);
                     return wrong_naive.load() == 0;
                   });
  return probe::result();
}
