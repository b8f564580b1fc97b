// SPDX-License-Identifier: MIT
#include <kioto/frame_pool.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include <kioto/detail/base/frame_allocator.hpp>

#include "support/catch.hpp"

namespace {

using namespace kioto;
using kioto::detail::allocate_frame;
using kioto::detail::deallocate_frame;
using kioto::detail::frame_pool_age;
using kioto::detail::frame_pool_enabled;

constexpr std::size_t mib = std::size_t{1} << 20;

enum class order : unsigned char { any, reverse };

/// Frames of one size, touched, and freed in another order.
class burst {
 public:
  burst(std::size_t bytes, std::size_t total, order freed = order::any) : bytes_(bytes) {
    for (std::size_t at = 0; at < total; at += bytes) {
      frames_.push_back(allocate_frame(bytes));
      std::memset(frames_.back(), 1, bytes);
    }
    if (freed == order::reverse)
      std::reverse(frames_.begin(), frames_.end());
    else
      std::shuffle(frames_.begin(), frames_.end(), std::minstd_rand(7));
  }
  burst(const burst&) = delete;
  burst& operator=(const burst&) = delete;
  ~burst() {
    for (void* f : frames_) deallocate_frame(f, bytes_);
  }

 private:
  std::size_t bytes_;
  std::vector<void*> frames_;
};

/// Begins and ends with an empty pool and no limit.
struct fresh_pool {
  fresh_pool() { frame_pool::trim(); }
  fresh_pool(const fresh_pool&) = delete;
  fresh_pool& operator=(const fresh_pool&) = delete;
  ~fresh_pool() {
    frame_pool::set_limit(frame_pool::no_limit);
    frame_pool::trim();
  }
};

}  // namespace

// Freed frames served their own size only: after n bursts of other sizes, n times the memory
// stayed.
TEST_CASE("frame_pool: memory that one size has freed serves the others", "[frame_pool]") {
  if (!frame_pool_enabled()) return;
  const fresh_pool pool;
  const std::size_t before = frame_pool::resident_bytes();
  std::size_t most = 0;
  for (std::size_t bytes = 64; bytes <= 4096; bytes += 192) {
    const burst b(bytes, 8 * mib);
    most = std::max(most, frame_pool::resident_bytes() - before);
  }
  // 22 sizes of 8 MiB each.
  CHECK(most <= 20 * mib);
  CHECK(frame_pool::resident_bytes() - before <= 20 * mib);
}

TEST_CASE("frame_pool: bursts of one size keep their memory between them", "[frame_pool]") {
  if (!frame_pool_enabled()) return;
  const fresh_pool pool;
  {
    const burst b(240, 8 * mib);
  }
  const std::size_t after_one = frame_pool::resident_bytes();
  CHECK(after_one >= 8 * mib);
  for (int i = 0; i != 5; ++i) {
    {
      const burst b(240, 8 * mib);
    }
    // A new one of the two periods may have begun, not more.
    CHECK(frame_pool::resident_bytes() == after_one);
  }
}

TEST_CASE("frame_pool: what a burst left goes back when two periods have passed", "[frame_pool]") {
  if (!frame_pool_enabled()) return;
  const fresh_pool pool;
  {
    const burst b(240, 16 * mib);
  }
  frame_pool_age();
  CHECK(frame_pool::resident_bytes() >= 16 * mib);
  frame_pool_age();
  CHECK(frame_pool::resident_bytes() <= 2 * mib);
}

TEST_CASE("frame_pool: trim gives everything back that is free, and nothing else", "[frame_pool]") {
  if (!frame_pool_enabled()) return;
  const fresh_pool pool;
  const burst in_use(240, 4 * mib);
  {
    const burst b(480, 8 * mib);
  }
  const std::size_t before = frame_pool::resident_bytes();
  const std::size_t given = frame_pool::trim();
  CHECK(given >= 8 * mib - 128 * 1024);
  CHECK(frame_pool::resident_bytes() == before - given);
  CHECK(frame_pool::resident_bytes() >= 4 * mib);
  CHECK(frame_pool::kept_bytes() <= 64 * 1024);
}

TEST_CASE("frame_pool: a limit holds for what is kept, at once and later", "[frame_pool]") {
  if (!frame_pool_enabled()) return;
  const fresh_pool pool;
  CHECK(frame_pool::limit() == frame_pool::no_limit);
  {
    const burst b(240, 16 * mib);
  }
  frame_pool::set_limit(4 * mib);
  CHECK(frame_pool::limit() == 4 * mib);
  CHECK(frame_pool::resident_bytes() <= 5 * mib);
  {
    const burst b(1040, 16 * mib, order::reverse);
  }
  CHECK(frame_pool::kept_bytes() <= 5 * mib);
  CHECK(frame_pool::resident_bytes() <= 6 * mib);
  {
    const burst b(1040, 16 * mib);
  }
  // The blocks that a thread keeps for itself may lie in as many slabs: 64 KiB of 1 KiB.
  CHECK(frame_pool::resident_bytes() <= 10 * mib);
}

TEST_CASE("frame_pool: without a limit above zero nothing is kept, and frames are sound",
          "[frame_pool]") {
  if (!frame_pool_enabled()) return;
  const fresh_pool pool;
  const burst from_before(304, 2 * mib);
  frame_pool::set_limit(0);
  {
    const burst b(304, 4 * mib);
    const burst c(96, 1 * mib);
  }
  CHECK(frame_pool::kept_bytes() <= 1 * mib + 128 * 1024);
  void* const f = allocate_frame(200);
  std::memset(f, 2, 200);
  deallocate_frame(f, 200);
  frame_pool::set_limit(frame_pool::no_limit);
  void* const first = allocate_frame(200);
  deallocate_frame(first, 200);
  void* const second = allocate_frame(200);
  CHECK(first == second);  // a free list again
  deallocate_frame(second, 200);
}

TEST_CASE("frame_pool: threads that allocate, end, trim and set limits at the same time",
          "[frame_pool]") {
  const fresh_pool pool;
  std::atomic<bool> stop{false};
  std::atomic<int> broken{0};
  std::thread meddler([&] {
    for (int i = 0; !stop.load(); ++i) {
      frame_pool::set_limit(i % 3 == 0 ? 0 : i % 3 == 1 ? mib : frame_pool::no_limit);
      frame_pool::trim();
      frame_pool_age();
      std::this_thread::yield();
    }
  });
  for (unsigned generation = 0; generation != 4; ++generation) {
    std::vector<std::thread> threads;
    for (unsigned seed = 0; seed != 3; ++seed) {
      threads.emplace_back([&, seed] {
        std::minstd_rand random(seed + 10 * generation);
        std::vector<std::pair<unsigned char*, std::size_t>> live;
        const auto drop = [&] {
          const auto [p, n] = live.back();
          if (p[0] != static_cast<unsigned char>(n) || p[n - 1] != p[0]) broken.fetch_add(1);
          deallocate_frame(p, n);
          live.pop_back();
        };
        for (int i = 0; i != 6000; ++i) {
          const std::size_t n = 32 + random() % (random() % 4 == 0 ? 4500 : 300);
          auto* p = static_cast<unsigned char*>(allocate_frame(n));
          std::memset(p, static_cast<int>(n & 0xff), n);
          live.emplace_back(p, n);
          if (live.size() > 400)
            while (live.size() > random() % 400) drop();
        }
        while (!live.empty()) drop();
      });
    }
    for (std::thread& t : threads) t.join();
  }
  stop.store(true);
  meddler.join();
  CHECK(broken.load() == 0);
}

TEST_CASE("frame_pool: a thread that has no work gives up its frames, and asks to be called again",
          "[frame_pool]") {
  if (!frame_pool_enabled()) return;
  const fresh_pool pool;
  CHECK(kioto::detail::frame_pool_idle().count() == 0);
  {
    const burst b(240, 16 * mib);
  }
  CHECK(kioto::detail::frame_pool_idle().count() != 0);
  frame_pool_age();
  CHECK(kioto::detail::frame_pool_idle().count() != 0);
  frame_pool_age();
  CHECK(kioto::detail::frame_pool_idle().count() == 0);
}

TEST_CASE("frame_pool: every block is aligned to what its size is a multiple of",
          "[frame_allocator]") {
  for (std::size_t bytes = 16; bytes <= 20480; bytes += 16) {
    void* const f = allocate_frame(bytes);
    const std::size_t divisor = bytes & (~bytes + 1);
    const bool right = reinterpret_cast<std::uintptr_t>(f) % divisor == 0;
    if (!right) CHECK(bytes == 0);
    deallocate_frame(f, bytes);
  }
}
