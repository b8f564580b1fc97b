// SPDX-License-Identifier: MIT
#include <kioto/detail/sync/acquire_operation.hpp>

template class kioto::detail::basic_semaphore_core<kioto::detail::std_sync,
                                                   kioto::detail::acquire_operation>;

namespace kioto::detail {

attempt acquire_operation::wait_in_line() noexcept {
  return wait([this]() noexcept { return core().enqueue(*this); });
}

bool acquire_operation::cancel() noexcept { return core().cancel(*this); }

bool acquire_operation::withdraw() noexcept {
  if (take()) give_back();
  return true;
}

void acquire_operation::give_back() noexcept { core().release(wanted()); }

}  // namespace kioto::detail
