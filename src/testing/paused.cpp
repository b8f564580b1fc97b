// SPDX-License-Identifier: MIT
#include <kioto/testing/paused.hpp>

namespace kioto::testing {

runtime paused_runtime(auto_advance by_itself, std::optional<std::uint64_t> seed) {
  runtime_builder builder = runtime::builder();
  builder.current_thread().start_paused(by_itself);
  if (seed) builder.rng_seed(*seed);
  return std::move(builder.build()).value();
}

}  // namespace kioto::testing
