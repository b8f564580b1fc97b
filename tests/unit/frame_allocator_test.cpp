// SPDX-License-Identifier: MIT
#include <kioto/detail/base/frame_allocator.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <deque>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace {

using kioto::detail::allocate_frame;
using kioto::detail::deallocate_frame;
using kioto::detail::frame_pool_bytes;
using kioto::detail::frame_pool_enabled;

struct frame {
  void* memory;
  std::size_t bytes;
};

frame make(std::size_t bytes) {
  frame f{allocate_frame(bytes), bytes};
  std::memset(f.memory, static_cast<int>(bytes & 0xff), bytes);
  return f;
}

void drop(frame f) { deallocate_frame(f.memory, f.bytes); }

bool intact(frame f) {
  const auto* p = static_cast<const unsigned char*>(f.memory);
  return std::all_of(p, p + f.bytes,
                     [&](unsigned char c) { return c == static_cast<unsigned char>(f.bytes); });
}

}  // namespace

TEST_CASE("frames of every size are aligned, usable and do not overlap", "[frame_allocator]") {
  std::vector<frame> frames;
  for (std::size_t bytes = 0; bytes < 5000; bytes += 7) frames.push_back(make(bytes));
  for (std::size_t bytes : {63U, 64U, 65U, 4095U, 4096U, 4097U, 1U << 20})
    frames.push_back(make(bytes));
  for (const frame& f : frames) {
    REQUIRE(reinterpret_cast<std::uintptr_t>(f.memory) % alignof(std::max_align_t) == 0);
    REQUIRE(intact(f));
  }
  for (const frame& f : frames) drop(f);
}

TEST_CASE("frames of whole cache lines do not share one", "[frame_allocator]") {
  if (!frame_pool_enabled()) return;
  std::vector<frame> frames;
  for (int i = 0; i != 3000; ++i) {
    for (std::size_t bytes : {48U, 64U, 16U, 128U, 304U, 320U, 1040U, 1088U, 4096U})
      frames.push_back(make(bytes));
  }
  for (const frame& f : frames) {
    REQUIRE(intact(f));
    if (f.bytes % 64 == 0) REQUIRE(reinterpret_cast<std::uintptr_t>(f.memory) % 64 == 0);
  }
  for (const frame& f : frames) drop(f);
}

TEST_CASE("a freed frame is the next one of its size", "[frame_allocator]") {
  if (!frame_pool_enabled()) return;
  const frame first = make(100);
  const frame second = make(128);
  drop(first);
  drop(second);
  const frame third = make(113);
  const frame fourth = make(97);
  CHECK(third.memory == second.memory);
  CHECK(fourth.memory == first.memory);
  drop(third);
  drop(fourth);
}

TEST_CASE("random allocation and release keeps every frame intact", "[frame_allocator]") {
  std::mt19937 random(7);
  std::vector<frame> live;
  for (int round = 0; round != 20000; ++round) {
    if (live.size() < 2000 && random() % 3 != 0) {
      live.push_back(make(random() % (random() % 8 == 0 ? 6000 : 600)));
    } else if (!live.empty()) {
      std::swap(live[random() % live.size()], live.back());
      REQUIRE(intact(live.back()));
      drop(live.back());
      live.pop_back();
    }
  }
  for (const frame& f : live) drop(f);
}

TEST_CASE("frames freed by another thread come back: memory stays bounded", "[frame_allocator]") {
  constexpr int total = 50000;
  constexpr std::size_t window = 1000;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<frame> queue;
  bool finished = false;
  const std::size_t before = frame_pool_bytes();
  int broken = 0;
  std::thread consumer([&] {
    for (;;) {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return !queue.empty() || finished; });
      if (queue.empty()) return;
      const frame f = queue.front();
      queue.pop_front();
      changed.notify_all();
      lock.unlock();
      if (!intact(f)) ++broken;
      drop(f);
    }
  });
  for (int i = 0; i != total; ++i) {
    const frame f = make(300);
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return queue.size() < window; });
    queue.push_back(f);
    changed.notify_all();
  }
  {
    std::lock_guard lock(mutex);
    finished = true;
  }
  changed.notify_all();
  consumer.join();
  CHECK(broken == 0);
  // 1000 frames of 320 bytes in flight, a few batches of 32 KiB in each thread.
  CHECK(frame_pool_bytes() <= before + 1024U * 1024U);
}

TEST_CASE("a thread that ends leaves its frames to the others", "[frame_allocator]") {
  auto churn = [] {
    std::vector<frame> frames;
    for (int i = 0; i != 300; ++i) frames.push_back(make(64U * static_cast<std::size_t>(i % 20)));
    for (const frame& f : frames) drop(f);
  };
  std::thread(churn).join();
  const std::size_t before = frame_pool_bytes();
  for (int i = 0; i != 20; ++i) std::thread(churn).join();
  CHECK(frame_pool_bytes() <= before);
}

TEST_CASE("frames are usable while thread-local objects are destroyed", "[frame_allocator]") {
  struct late {
    late() = default;
    late(const late&) = delete;
    late& operator=(const late&) = delete;
    ~late() {
      // The thread's free lists, first used after this object, are gone already.
      const frame again = make(200);
      const frame other = make(3000);
      const frame line = make(128);  // has to be aligned in what is left of a region
      ok->store(intact(again) && intact(other) && intact(line) && intact(held));
      drop(line);
      drop(other);
      drop(again);
      drop(held);
    }
    std::atomic<bool>* ok = nullptr;
    frame held{};
  };
  std::size_t before = 0;
  for (int i = 0; i != 5; ++i) {
    std::atomic<bool> ok{false};
    std::thread([&] {
      thread_local late object;
      object.ok = &ok;
      object.held = make(200);
    }).join();
    CHECK(ok.load());
    if (i == 0) before = frame_pool_bytes();
  }
  CHECK(frame_pool_bytes() <= before);
}

TEST_CASE("threads that allocate at the same time do not share a frame", "[frame_allocator]") {
  std::atomic<int> broken{0};
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed != 4; ++seed) {
    threads.emplace_back([&, seed] {
      std::mt19937 random(seed);
      std::vector<frame> live;
      for (int round = 0; round != 5000; ++round) {
        live.push_back(make(64 + random() % 512));
        if (live.size() > 300) {
          for (const frame& f : live) {
            if (!intact(f)) broken.fetch_add(1);
            drop(f);
          }
          live.clear();
        }
      }
      for (const frame& f : live) drop(f);
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(broken.load() == 0);
}

TEST_CASE("a thread that ends carves an aligned frame from a region that is not",
          "[frame_allocator]") {
  struct late {
    late() = default;
    late(const late&) = delete;
    late& operator=(const late&) = delete;
    ~late() { *out = make(128); }
    frame* out = nullptr;
  };
  // Leaves a region that begins between two cache lines.
  std::thread([] { drop(make(160)); }).join();
  frame from_the_end{};
  std::thread([&] {
    thread_local late object;
    object.out = &from_the_end;
    drop(make(96));
  }).join();
  std::vector<frame> frames;
  for (int i = 0; i != 2000; ++i)
    frames.push_back(make(32U + 16U * static_cast<std::size_t>(i % 12)));
  CHECK(intact(from_the_end));
  bool all_intact = true;
  for (const frame& f : frames) {
    all_intact = all_intact && intact(f);
    drop(f);
  }
  CHECK(all_intact);
  drop(from_the_end);
}
