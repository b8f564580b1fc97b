// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include <kioto/config.hpp>

namespace kioto::detail {

/// Memory for a coroutine frame, aligned to the largest power of two that divides `bytes`, and for
/// every fundamental type. Throws `std::bad_alloc`.
///
/// Blocks of up to 4 KiB come from the pool: free lists of the calling thread, one for every 16
/// bytes of size up to 1 KiB and for every 64 bytes above, which exchange batches with lists that
/// all threads share. Larger ones come from `operator new`, and all of them do when the library is
/// compiled with a sanitizer or with `KIOTO_FRAME_POOL=0`. How much of what was freed the pool
/// keeps is described in <kioto/frame_pool.hpp>.
///
/// Thread safety: any thread, also while its thread-local objects and the static objects of the
/// program are destroyed. A frame may be freed on another thread.
KIOTO_NOINLINE void* allocate_frame(std::size_t bytes);

/// Frees what `allocate_frame(bytes)` returned; `bytes` must be the same, or what
/// `compact_frame_size` makes of it.
KIOTO_NOINLINE void deallocate_frame(void* frame, std::size_t bytes) noexcept;

/// No block is aligned more than this.
inline constexpr std::size_t max_frame_alignment = std::size_t{1} << 30;

/// A size for 32 bits. What does not fit is not for the pool, where all that matters when a block
/// is freed is the alignment, and so the low bits.
constexpr std::uint32_t compact_frame_size(std::size_t bytes) noexcept {
  constexpr std::uint32_t large = std::uint32_t{1} << 31;
  static_assert(max_frame_alignment < large);
  const auto low = static_cast<std::uint32_t>(bytes & (large - 1));
  return bytes < large ? low : low | large;
}

constexpr std::size_t round_up(std::size_t bytes, std::size_t alignment) noexcept {
  return (bytes + alignment - 1) & ~(alignment - 1);
}

/// The alignment that the frame of a task may need, as far as its size tells. Compilers do not hand
/// the real one to `operator new`, but g++ makes the size of a frame a multiple of it. An object
/// that is aligned to `n` needs as much in front of it, where the promise and three pointers are.
inline constexpr std::size_t max_inferred_alignment = 4096;
constexpr std::size_t inferred_alignment(std::size_t frame) noexcept {
  constexpr std::size_t least = round_up(7 * sizeof(void*), 32) + 32;
  if (frame < least) return 16;
  const std::size_t divisor = frame & (~frame + 1);
  return std::clamp(std::min(divisor, std::bit_floor(frame / 2)), std::size_t{16},
                    max_inferred_alignment);
}

/// Bytes that the pool has taken from the system and not given back; 0 when there is no pool.
[[nodiscard]] std::size_t frame_pool_bytes() noexcept;

/// Around a fork(), on the thread that forks: the child finds the shared lists whole, and unlocked.
void lock_frame_pool() noexcept;
void unlock_frame_pool() noexcept;

/// False when frames come from `operator new`.
[[nodiscard]] bool frame_pool_enabled() noexcept;

/// How long the recent use counts, at least; twice that at most. See <kioto/frame_pool.hpp>.
inline constexpr std::chrono::milliseconds frame_pool_period{5000};

/// For a thread that is about to sleep: gives back what is due, for a millisecond at most. The
/// result is for how long it may sleep before it is to call this again. Zero: as long as it likes.
std::chrono::milliseconds frame_pool_idle() noexcept;

/// As if a period had passed. For tests.
void frame_pool_age() noexcept;

}  // namespace kioto::detail
