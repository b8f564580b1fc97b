// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include <kioto/config.hpp>

namespace kioto::detail {

/// The number of `fork()`s between this process and the ancestor that first built a runtime. Zero
/// in almost every process, so the check costs one load.
// Only written in a new child, while it has a single thread, so relaxed is enough.
extern constinit std::atomic<std::uint32_t> fork_count;

[[nodiscard]] inline bool is_forked_child() noexcept {
  return fork_count.load(std::memory_order_relaxed) != 0;
}

/// Remembers the process that it was created in. An object created in the parent has no threads in
/// a child of fork(); its locks may be held for ever; and the kernel objects behind its
/// descriptors, such as the epoll set, are shared with the parent, which the child must not
/// disturb.
class process_mark {
 public:
  process_mark() noexcept : made_in_(fork_count.load(std::memory_order_relaxed)) {}
  /// Returns true if it was created before a fork() and this is the child.
  [[nodiscard]] bool is_inherited() const noexcept {
    return fork_count.load(std::memory_order_relaxed) != made_in_;
  }

 private:
  std::uint32_t made_in_;
};

/// Starts counting forks. Idempotent.
void watch_forks() noexcept;

/// Throws std::logic_error, because `what` was used on a runtime of the parent.
[[noreturn]] void throw_inherited(const char* what);
/// Ends the program, because in a child `who` returned to a thread of a runtime of the parent.
[[noreturn]] void die_in_child(const char* who) noexcept;

}  // namespace kioto::detail
