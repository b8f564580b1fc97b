// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

/// Tells a thread that brings work whether the one thread that does the work has to be woken.
///
/// The sleeper: `fall_asleep()`, then a last look for work, then it sleeps, then `wake_up()`.
/// Whoever brings work calls `must_wake()` afterwards, and wakes the sleeper if that is true: once,
/// however many come.
///
/// Invariant: for work that the last look of the sleeper misses, `must_wake()` is true for whoever
/// brings it, or for another thread at about the same time.
///
/// Memory order: all three are read-modify-writes, so each acquires what all of them before it have
/// released. A bringer either finds the flag set, or comes before `fall_asleep()`, which then makes
/// its work visible to the last look. This also holds for one that comes between the wake-up and
/// `wake_up()`; a plain store there would end the release sequence of that bringer.
template <class Sync>
class basic_wake_flag {
 public:
  basic_wake_flag() : word_(std::uint32_t{0}) {}
  basic_wake_flag(const basic_wake_flag&) = delete;
  basic_wake_flag& operator=(const basic_wake_flag&) = delete;

  void fall_asleep() noexcept { word_.exchange(1, std::memory_order_acq_rel); }
  void wake_up() noexcept { word_.exchange(0, std::memory_order_acq_rel); }
  [[nodiscard]] bool must_wake() noexcept {
    return word_.exchange(0, std::memory_order_acq_rel) != 0;
  }

 private:
  typename Sync::template atomic<std::uint32_t> word_;
};

using wake_flag = basic_wake_flag<std_sync>;

}  // namespace kioto::detail
