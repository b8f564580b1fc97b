// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

/// Base of a waiter in a queue that may leave and return to its place. Needed because the wait of a
/// stream in a `merge` is withdrawn each time another stream has an element, and would otherwise
/// never get to the front.
///
/// Turns only grow from the front of a queue to its back, so a waiter that returns is placed in
/// front of all that came later, as long as the queue was not empty meanwhile. If it was empty, no
/// later waiter can have overtaken it.
template <class Sync>
class basic_turn {
 public:
  basic_turn() = default;

 private:
  template <class S, class List, class Waiter>
  friend bool enter_line(List& line, Waiter& waiter) noexcept;
  typename Sync::template var<std::uint64_t> turn_{std::uint64_t{0}};  // 0 if it was never queued
};

/// Queues a waiter, which derives from `basic_turn<Sync>`. Called with the lock of the queue held.
/// Returns true if it was inserted at the front, before other waiters.
template <class Sync, class List, class Waiter>
[[nodiscard]] bool enter_line(List& line, Waiter& waiter) noexcept {
  const auto turn = [](Waiter& w) -> auto& { return static_cast<basic_turn<Sync>&>(w).turn_; };
  Waiter* const last = line.back();
  if (turn(waiter).get() == 0) turn(waiter).set(last != nullptr ? turn(*last).get() + 1 : 1);
  if (last == nullptr || turn(*last).get() <= turn(waiter).get()) {
    line.push_back(waiter);
    return false;
  }
  Waiter* behind = line.front();
  while (turn(*behind).get() <= turn(waiter).get()) behind = line.next(*behind);
  List::insert_before(*behind, waiter);
  return line.front() == &waiter;
}

}  // namespace kioto::detail
