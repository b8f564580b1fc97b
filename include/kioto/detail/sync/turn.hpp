// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

/// What a waiter in a line has, so that it may leave and come back to its place: a stream that is
/// asked beside others is withdrawn each time one of those has an element, and would never get to
/// the front.
///
/// Turns only grow from the front of a line to its back, so whoever comes back stands in front of
/// everybody who came later, as long as the line was not empty meanwhile. If it was, nobody was
/// passed over.
template <class Sync>
class basic_turn {
 public:
  basic_turn() = default;

 private:
  template <class S, class List, class Waiter>
  friend bool enter_line(List& line, Waiter& waiter) noexcept;
  typename Sync::template var<std::uint64_t> turn_{std::uint64_t{0}};  // 0: was never in line
};

/// Puts a waiter, which has the base `basic_turn<Sync>`, in line. Under the lock of the line. True:
/// it is the first, in front of somebody else.
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
