// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <string>
#include <vector>

#include <kioto/task_id.hpp>

namespace kioto {

/// Counters of one worker. Monotonic; read without stopping the worker, so they may lag slightly
/// behind.
struct worker_metrics {
  std::uint64_t polls = 0;             ///< runs of tasks
  std::uint64_t steals = 0;            ///< tasks taken from other workers
  std::uint64_t steal_operations = 0;  ///< successful steal attempts
  std::uint64_t parks = 0;             ///< times it went to sleep
  std::uint64_t local_schedules = 0;   ///< wake-ups and spawns by the worker itself, except for
                                       ///< a task that continues because the one it awaited ended
  std::uint64_t overflows = 0;         ///< times its queue was full
  std::chrono::nanoseconds busy{0};    ///< time between wake-up and park
  std::size_t queue_depth = 0;         ///< ready tasks in its own queue
};

/// A snapshot of what a runtime is doing.
struct runtime_metrics {
  std::string backend;         ///< name of the reactor backend in use
  std::string backend_reason;  ///< why this backend was chosen
  std::vector<worker_metrics> workers;
  std::size_t tasks_alive = 0;
  std::uint64_t tasks_spawned = 0;
  std::uint64_t remote_schedules = 0;  ///< wake-ups and spawns from outside the workers
  std::size_t injection_depth = 0;     ///< ready tasks in the injection queue
  std::size_t blocking_threads = 0;
  std::size_t blocking_threads_idle = 0;
  std::size_t blocking_queue_depth = 0;
  std::uint64_t descriptors_registered = 0;  ///< in total
  std::uint64_t descriptors_deregistered = 0;
  std::uint64_t readiness_events = 0;  ///< delivered by the backend
};

/// What `dump()` reports about one task.
struct task_dump {
  enum class state : std::uint8_t {
    suspended,  ///< waits in an operation; `awaits` is its await chain
    active,     ///< runs or is about to run: its chain cannot be read safely
  };
  struct frame {
    std::string function;
    std::string file;
    std::uint32_t line = 0;
  };

  task_id id;
  std::source_location spawned_at;
  state now = state::active;
  std::vector<frame> awaits;  ///< outermost first

  /// Several lines, ready to print.
  [[nodiscard]] std::string to_string() const;
};

}  // namespace kioto
