// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace kioto {
namespace detail {

/// The number of runtimes whose clock has ever been paused, even if it is running again. While it
/// is zero, the clock of the current runtime need not be looked up.
extern std::atomic<std::uint32_t> altered_clocks;

/// `now()` for the case that some clock was paused.
std::chrono::steady_clock::time_point now_of_this_runtime() noexcept;

}  // namespace detail

/// The time of the runtime that the calling thread is in; outside of one, that of
/// `std::chrono::steady_clock`.
///
/// It differs from `steady_clock` only in a runtime whose clock was paused (`time::pause`): tests
/// that use it must measure time with this function. All timers of the library use it.
///
/// Thread safety: any thread.
[[nodiscard]] inline std::chrono::steady_clock::time_point now() noexcept {
  // Relaxed: a thread that runs in a runtime whose clock is altered is already ordered after that
  // change by the way it came to run there, and the count decreases only when that runtime is
  // destroyed.
  if (detail::altered_clocks.load(std::memory_order_relaxed) == 0) [[likely]]
    return std::chrono::steady_clock::now();
  return detail::now_of_this_runtime();
}

/// Whether a paused clock jumps to the next timer when its runtime has nothing else to do. See
/// `time::pause`.
enum class auto_advance : std::uint8_t { off, on };

}  // namespace kioto
