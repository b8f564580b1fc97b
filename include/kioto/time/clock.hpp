// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace kioto {
namespace detail {

/// How many runtimes have a clock that was paused, be it that it goes on by now. While there is
/// none, nobody has to look for the clock of the present runtime.
extern std::atomic<std::uint32_t> altered_clocks;

/// `now()` while some clock is altered.
std::chrono::steady_clock::time_point now_of_this_runtime() noexcept;

}  // namespace detail

/// The time of the runtime that the calling thread is in; outside of one, that of
/// `std::chrono::steady_clock`.
///
/// It differs from `steady_clock` only in a runtime whose clock was paused (`time::pause`): tests
/// that shall work there measure with this. All timers of the library count by it.
///
/// Thread safety: any thread.
[[nodiscard]] inline std::chrono::steady_clock::time_point now() noexcept {
  // Relaxed: whoever runs in a runtime whose clock is altered is ordered after that by the way it
  // got there, and the count falls only when that runtime is gone.
  if (detail::altered_clocks.load(std::memory_order_relaxed) == 0) [[likely]]
    return std::chrono::steady_clock::now();
  return detail::now_of_this_runtime();
}

/// Whether a paused clock jumps to the next timer when its runtime has nothing else to do. See
/// `time::pause`.
enum class auto_advance : std::uint8_t { off, on };

}  // namespace kioto
