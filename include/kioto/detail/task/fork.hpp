// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include <kioto/config.hpp>

namespace kioto::detail {

/// How many `fork()`s lie between this process and the one of its ancestors that built a runtime
/// first. Zero in almost every process, so that asking costs one load.
// Written in a new child only, while that has a single thread: relaxed is enough.
extern constinit std::atomic<std::uint32_t> fork_count;

[[nodiscard]] inline bool is_forked_child() noexcept {
  return fork_count.load(std::memory_order_relaxed) != 0;
}

/// Remembers the process that it was made in. What was made in the parent has no threads in a child
/// of fork(); its locks may be held for ever; and the kernel's objects behind its descriptors, the
/// set of epoll among them, are shared with the parent, which a child must not disturb.
class process_mark {
 public:
  process_mark() noexcept : made_in_(fork_count.load(std::memory_order_relaxed)) {}
  /// It was made before a fork(), and this is the child.
  [[nodiscard]] bool is_inherited() const noexcept {
    return fork_count.load(std::memory_order_relaxed) != made_in_;
  }

 private:
  std::uint32_t made_in_;
};

/// From now on forks are counted. Idempotent.
void watch_forks() noexcept;

/// Throws std::logic_error: `what` was used on a runtime of the parent.
[[noreturn]] void throw_inherited(const char* what);
/// Ends the program: in a child, `who` came back to a thread of a runtime of the parent.
[[noreturn]] void die_in_child(const char* who) noexcept;

}  // namespace kioto::detail
