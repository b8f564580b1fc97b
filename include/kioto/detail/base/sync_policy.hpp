// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>

#include <kioto/detail/base/futex.hpp>
#include <kioto/detail/base/mutex.hpp>

namespace kioto::detail {

/// The distance that keeps two objects written by different threads in different cache lines. A
/// constant, not the value of the compiler, because it is part of the layout.
inline constexpr std::size_t cache_line = 64;

/// The synchronisation primitives that a lock-free template is built from.
///
/// Everything lock-free in kioto is a template over such a policy, so that the same code runs on
/// the primitives of the standard library and on those of a model checker. A policy has
/// - `atomic<T>`: load, store, exchange, compare_exchange_weak, compare_exchange_strong, fetch_add,
///   fetch_sub, fetch_or, fetch_and, each with explicit memory orders;
/// - `var<T>`: plain data that must be free of data races, which the checker verifies;
/// - `mutex` (lock, try_lock, unlock);
/// - `wait(word, expected)`, `wait_for(word, expected, timeout)` and `wake_one(word)`: sleeping on
///   an `atomic<std::uint32_t>`, see futex.hpp;
/// - `pause()`, called in each iteration of a short spin, and `yield()`, called once the spin has
///   been long.
///
/// Fences are not offered: ThreadSanitizer cannot see them.
struct std_sync {
  template <class T>
  using atomic = std::atomic<T>;

  template <class T>
  class var {
   public:
    constexpr var() noexcept = default;
    constexpr explicit var(T value) noexcept : value_(std::move(value)) {}
    [[nodiscard]] constexpr T get() const noexcept { return value_; }
    constexpr void set(T value) noexcept { value_ = std::move(value); }

   private:
    T value_{};
  };

  using mutex = basic_mutex<std_sync, 32>;

  static void wait(const atomic<std::uint32_t>& word, std::uint32_t expected) noexcept {
    futex::wait(word, expected);
  }
  static void wait_for(const atomic<std::uint32_t>& word, std::uint32_t expected,
                       std::chrono::nanoseconds timeout) noexcept {
    futex::wait_for(word, expected, timeout);
  }
  static void wake_one(const atomic<std::uint32_t>& word) noexcept { futex::wake_one(&word); }

  static void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    asm volatile("yield");
#endif
  }

  static void yield() noexcept { std::this_thread::yield(); }
};

}  // namespace kioto::detail
