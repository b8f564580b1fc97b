// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>

#include <kioto/detail/base/intrusive_list.hpp>

namespace kioto::detail {

/// The list node of an operation that waits in a list protected by a lock.
template <class Op>
struct list_waiter : list_node<> {
  explicit list_waiter(Op& o) noexcept : op(&o) {}
  Op* op;
};

/// Completes all waiters that are in `list` at the time of the call, in order. Called with the lock
/// held; returns with the lock released.
///
/// No waiter is completed under the lock; it is released every 32 waiters. Meanwhile new waiters
/// may be added to `list`, which are not completed, and waiters that have not been completed yet
/// may be removed: an element can be erased from either list. The caller keeps the lock alive.
template <class Waiter, class Lock>
void complete_all(intrusive_list<Waiter>& list, Lock& lock) noexcept {
  if (list.empty()) {
    lock.unlock();
    return;
  }
  constexpr std::size_t batch = 32;
  intrusive_list<Waiter> due;
  due.splice_back(list);
  for (;;) {
    std::array<decltype(Waiter::op), batch> ops;  // NOLINT(*-member-init): read where it is set
    std::size_t n = 0;
    while (n != batch) {
      Waiter* const w = due.pop_front();
      if (w == nullptr) break;
      ops[n++] = w->op;
    }
    lock.unlock();
    for (std::size_t i = 0; i != n; ++i) complete(*ops[i]);
    if (n != batch) return;
    lock.lock();
  }
}

}  // namespace kioto::detail
