// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace kioto::detail {

class task_header;

/// Numbers for choices that should be fair, not secret. The same seed gives the same numbers.
///
/// The generator is xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift
/// generators, scrambled", 2016); the seed is spread with a step of SplitMix64 (Steele, Lea, Flood,
/// 2014), so that neighbouring seeds make unrelated numbers.
class random_source {
 public:
  explicit random_source(std::uint64_t seed) noexcept {
    seed += 0x9E3779B97F4A7C15;
    seed = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9;
    seed = (seed ^ (seed >> 27)) * 0x94D049BB133111EB;
    state_ = (seed ^ (seed >> 31)) | 1;  // never zero
  }

  std::uint32_t next() noexcept {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return static_cast<std::uint32_t>((state_ * 0x2545F4914F6CDD1D) >> 32);
  }
  /// A number below `bound`, which is not zero.
  std::uint32_t below(std::uint32_t bound) noexcept { return scale(next(), bound); }

  /// Maps a random number to one below `bound`.
  static std::uint32_t scale(std::uint32_t number, std::uint32_t bound) noexcept {
    return static_cast<std::uint32_t>((std::uint64_t{number} * bound) >> 32);
  }

 private:
  std::uint64_t state_;
};

/// A different seed at each call.
std::uint64_t fresh_seed() noexcept;

/// The next random number of the runtime of `task`: what `select` chooses its first branch with.
/// With `runtime_builder::rng_seed` the numbers are a function of the seed. Only for the thread
/// that runs `task`.
std::uint32_t runtime_random(task_header& task) noexcept;
/// The same, below `bound`, which is not zero.
inline std::uint32_t runtime_random_below(task_header& task, std::uint32_t bound) noexcept {
  return random_source::scale(runtime_random(task), bound);
}

}  // namespace kioto::detail
