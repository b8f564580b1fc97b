// SPDX-License-Identifier: MIT
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <stdexcept>

#include <fmt/core.h>

namespace kioto {

/// Identifies a spawned task within the process. Ids are never reused; 0 stands for no task.
class task_id {
 public:
  constexpr task_id() noexcept = default;
  constexpr explicit task_id(std::uint64_t value) noexcept : value_(value) {}
  [[nodiscard]] constexpr std::uint64_t value() const noexcept { return value_; }
  friend constexpr auto operator<=>(task_id, task_id) noexcept = default;

 private:
  std::uint64_t value_ = 0;
};

std::ostream& operator<<(std::ostream& out, task_id id);

/// Thrown by `join_result::value()` and `block_on` for a task that was cancelled.
class task_cancelled : public std::runtime_error {
 public:
  explicit task_cancelled(task_id id);
  [[nodiscard]] task_id id() const noexcept { return id_; }

 private:
  task_id id_;
};

/// The id of the running task; the zero id outside of one.
[[nodiscard]] task_id current_task_id() noexcept;

}  // namespace kioto

template <>
struct std::hash<kioto::task_id> {
  std::size_t operator()(kioto::task_id id) const noexcept {
    return std::hash<std::uint64_t>()(id.value());
  }
};

template <>
struct fmt::formatter<kioto::task_id> : fmt::formatter<std::uint64_t> {
  auto format(kioto::task_id id, fmt::format_context& context) const
      -> fmt::format_context::iterator;
};
