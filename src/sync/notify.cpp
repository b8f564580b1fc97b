// SPDX-License-Identifier: MIT
#include <kioto/sync/notify.hpp>

#include <cstdio>
#include <exception>

template class kioto::detail::basic_notify_core<kioto::detail::std_sync,
                                                kioto::detail::notify_waiter>;

namespace kioto::detail {

attempt notified_operation::wait_in_line() noexcept {
  return wait([this]() noexcept {
    waiter_->in_use_ = true;
    waiter_->operation_ = this;
    return waiter_->core_->wait(*waiter_);
  });
}

void die_moved_in_line() noexcept {
  std::fputs("kioto: a sync::notified was moved after it had been enabled or awaited\n", stderr);
  std::terminate();
}

}  // namespace kioto::detail
