// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <source_location>
#include <utility>

#include <kioto/runtime.hpp>
#include <kioto/time/pause.hpp>

namespace kioto::testing {

/// A current-thread runtime whose clock stands still from the beginning, and by default jumps to
/// the next timer whenever there is nothing else to do. With a seed, its tasks run in an order that
/// is determined by it; see `runtime_builder::rng_seed`.
///
/// Throws std::system_error if the system lacks what a runtime needs.
[[nodiscard]] runtime paused_runtime(auto_advance by_itself = auto_advance::on,
                                     std::optional<std::uint64_t> seed = std::nullopt);

/// Runs a task to its end on such a runtime, and returns its result or rethrows:
///
///     testing::run_paused([]() -> task<> {
///       const auto start = now();
///       co_await sleep(24h);               // takes no time
///       CHECK(now() - start == 24h);
///     });
template <class T>
T run_paused(task<T> work, std::source_location where = std::source_location::current()) {
  runtime rt = paused_runtime();
  return rt.block_on(std::move(work), where);
}
template <class F, class... Args>
  requires detail::task_factory<F, Args...>
auto run_paused(F&& callable, Args&&... arguments) {
  return run_paused(
      detail::make_owning_task(std::forward<F>(callable), std::forward<Args>(arguments)...),
      std::source_location());
}

}  // namespace kioto::testing
