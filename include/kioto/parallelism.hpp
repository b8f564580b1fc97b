// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>

#include <kioto/result.hpp>

namespace kioto {

/// The number of threads that can make progress at the same time; at least 1.
///
/// It is the minimum of the number of processors that the calling thread may run on (affinity) and
/// the CPU quotas of the control groups of the process, versions 1 and 2, and of all groups above
/// them. A quota of 2.5 processors counts as 2, because a third thread would only be throttled.
///
/// Reads several files each time. Thread safety: any thread.
[[nodiscard]] unsigned available_parallelism();

namespace detail {

inline constexpr unsigned max_worker_threads = 4096;

/// The CPU quota in whole processors, at least 1; nothing if there is none. All files are looked up
/// below `root`, which is empty except in tests.
[[nodiscard]] std::optional<unsigned> cgroup_processors(const std::string& root);

/// The value of the environment variable `KIOTO_WORKER_THREADS`, or `fallback` if it is not set or
/// empty. Errors: anything but a decimal number from 1 to `max_worker_threads` gives an error that
/// says so and compares equal to `errc::invalid_argument`.
[[nodiscard]] result<unsigned> worker_threads_from_environment(unsigned fallback);

}  // namespace detail
}  // namespace kioto
