// SPDX-License-Identifier: MIT
#include <kioto/detail/acquire_operation.hpp>

template class kioto::detail::basic_semaphore_core<kioto::detail::std_sync,
                                                   kioto::detail::acquire_operation>;

namespace kioto::detail {

attempt acquire_operation::wait_in_line() noexcept {
  return wait([this]() noexcept { return core_->enqueue(*this); });
}

bool acquire_operation::cancel() noexcept { return core_->cancel(*this); }

void acquire_operation::give_back() noexcept { core_->release(wanted()); }

}  // namespace kioto::detail
