// SPDX-License-Identifier: MIT
#pragma once

#include <kioto/detail/task/strand.hpp>
#include "base/parker.hpp"

namespace kioto::detail {

/// A thread that blocks in one operation. The object may be destroyed as soon as the thread is
/// woken, which the parker allows: the waker touches nothing after that.
class blocked_thread final : public strand {
 public:
  blocked_thread() noexcept : strand(strand_kind::thread) {}
  void unpark() { parker_.unpark(); }
  void park() { parker_.park(); }

 private:
  thread_parker parker_;
};

}  // namespace kioto::detail
