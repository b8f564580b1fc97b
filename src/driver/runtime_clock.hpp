// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>

#include <kioto/time/clock.hpp>

namespace kioto::detail {

/// The clock of one runtime: the system's, unless a test pauses it.
///
/// While it is paused it stands still at a whole millisecond, and moves when it is told to;
/// resumed, it goes on from there. It never goes back. Only the runtime lets it advance by itself.
///
/// Thread safety: all members, from any thread.
class runtime_clock {
 public:
  using clock = std::chrono::steady_clock;

  runtime_clock() noexcept = default;
  runtime_clock(const runtime_clock&) = delete;
  runtime_clock& operator=(const runtime_clock&) = delete;
  ~runtime_clock();

  [[nodiscard]] clock::time_point now() const noexcept {
    // Relaxed: only decides where the time is read. An altered time is read under the lock.
    if (mode_.load(std::memory_order_relaxed) == mode::system) [[likely]]
      return clock::now();
    return altered_now();
  }
  /// Whether it is paused, or differs from the system's.
  [[nodiscard]] bool is_altered() const noexcept {
    return mode_.load(std::memory_order_relaxed) != mode::system;
  }
  [[nodiscard]] bool is_paused() const noexcept {
    return mode_.load(std::memory_order_relaxed) == mode::paused;
  }
  /// Whether it is paused, and jumps to the next timer when there is nothing else to do.
  [[nodiscard]] bool advances_by_itself() const noexcept;

  /// Pauses it. If it is paused, changes only whether it advances by itself.
  void pause(auto_advance by_itself) noexcept;
  /// Resumes it; does nothing if it is not paused.
  void resume() noexcept;
  /// Moves a paused clock. False, without effect, if it is not paused.
  bool advance(std::chrono::nanoseconds by) noexcept;
  void advance_to(clock::time_point at) noexcept;

 private:
  // `shifted`: it went on after a pause, `offset_` ahead of the system's, or behind.
  enum class mode : std::uint8_t { system, paused, shifted };

  [[nodiscard]] clock::time_point altered_now() const noexcept;
  [[nodiscard]] clock::time_point now_locked() const noexcept;

  std::atomic<mode> mode_{mode::system};  // written under the lock
  mutable std::mutex mutex_;
  bool advances_by_itself_ = true;
  clock::time_point stands_at_{};
  clock::duration offset_{0};
};

}  // namespace kioto::detail
