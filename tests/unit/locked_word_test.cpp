// SPDX-License-Identifier: MIT
#include <kioto/detail/base/locked_word.hpp>

#include <thread>
#include <vector>

#include "support/catch.hpp"

using namespace kioto::detail;

namespace {

using locked_word = basic_locked_word<std_sync>;
constexpr auto relaxed = std::memory_order_relaxed;

// Retries spurious failures, as its users do.
bool try_change(locked_word& w, locked_word::word from, locked_word::word to) {
  for (;;) {
    locked_word::word seen = from;
    if (w.compare_exchange(seen, to, relaxed, relaxed)) return true;
    if (seen != from) return false;
  }
}

}  // namespace

TEST_CASE("a locked word changes by comparison, but not while it is locked") {
  locked_word w(8);
  CHECK(try_change(w, 8, 16));
  CHECK(!try_change(w, 8, 24));
  const auto held = w.lock();
  CHECK(held == 16);
  CHECK((w.load(relaxed) & locked_word::locked) != 0);
  CHECK(!try_change(w, 16, 24));
  w.unlock(held + 16);
  CHECK(w.load(relaxed) == 32);
  CHECK(w.wait_until_unlocked(relaxed) == 32);
  CHECK(try_change(w, 32, 0));
}

TEST_CASE("critical sections of a locked word exclude each other, and changes by comparison") {
  locked_word w(0);
  int guarded = 0;
  constexpr int rounds = 5000;
  std::vector<std::thread> threads;
  for (int t = 0; t != 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i != rounds; ++i) {
        const auto now = w.lock();
        ++guarded;
        w.unlock(now + 2);
      }
    });
  }
  for (int i = 0; i != rounds; ++i) {
    auto now = w.load(relaxed);
    do {
      if ((now & locked_word::locked) != 0) now = w.wait_until_unlocked(relaxed);
    } while (!w.compare_exchange(now, now + 2, relaxed, relaxed));
  }
  for (auto& t : threads) t.join();
  CHECK(guarded == 3 * rounds);
  CHECK(w.load(relaxed) == 2 * 4 * rounds);
}
