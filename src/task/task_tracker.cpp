// SPDX-License-Identifier: MIT
#include <kioto/task_tracker.hpp>

namespace kioto::detail {

void tracker_state::token_made() noexcept {
  add_reference();
  enter();
}

void tracker_state::token_gone() noexcept {
  list woken;
  leave(woken);
  wake(woken);
  drop_reference();
}

bool tracker_state::close() noexcept {
  list woken;
  const bool was_open = basic_tracker_count::close(woken);
  wake(woken);
  return was_open;
}

void tracker_state::wake(list& woken) noexcept {
  while (tracker_wait_operation* waiter = woken.pop_front()) complete(*waiter);
}

}  // namespace kioto::detail
