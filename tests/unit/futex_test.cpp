// SPDX-License-Identifier: MIT
#include <kioto/detail/base/futex.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <thread>

#include "support/catch.hpp"

using namespace std::chrono_literals;
namespace futex = kioto::detail::futex;
using std::chrono::steady_clock;

TEST_CASE("a wait returns at once if the word has changed") {
  const std::atomic<std::uint32_t> word{1};
  futex::wait(word, 0);
  futex::wait_for(word, 0, 1h);
  CHECK(word == 1);
}

TEST_CASE("a timed wait ends when its time is over") {
  const std::atomic<std::uint32_t> word{0};
  const auto end = steady_clock::now() + 3ms;
  // It may also return for no reason.
  for (auto now = steady_clock::now(); now < end; now = steady_clock::now())
    futex::wait_for(word, 0, end - now);
  CHECK(steady_clock::now() >= end);
}

TEST_CASE("a wait without an end takes the longest time there is") {
  std::atomic<std::uint32_t> word{0};
  std::thread waker([&] {
    word = 1;
    futex::wake_one(&word);
  });
  while (word == 0) futex::wait_for(word, 0, std::chrono::nanoseconds::max());
  waker.join();
  CHECK(word == 1);
}

TEST_CASE("threads wake each other by a word, in turn") {
  constexpr std::uint32_t turns = 2'000;
  std::atomic<std::uint32_t> word{0};
  const auto play = [&](std::uint32_t mine) {
    for (;;) {
      const std::uint32_t now = word;
      if (now >= turns) return;
      if (now % 2 == mine) {
        word = now + 1;
        futex::wake_one(&word);
      } else {
        futex::wait(word, now);
      }
    }
  };
  std::thread other([&] { play(1); });
  play(0);
  other.join();
  CHECK(word == turns);
}

TEST_CASE("sleeping and waking leave errno alone") {
  std::atomic<std::uint32_t> word{0};
  errno = 77;
  futex::wait(word, 1);
  futex::wait_for(word, 0, 1ns);
  futex::wake_one(&word);
  CHECK(errno == 77);
}
