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
/// all threads share. Larger ones come from `operator new`, and so do all if the library is
/// compiled with a sanitizer or with `KIOTO_FRAME_POOL=0`. How much freed memory the pool keeps is
/// described in <kioto/frame_pool.hpp>.
///
/// Thread safety: any thread, even while its thread-local objects or the static objects of the
/// program are being destroyed. A frame may be freed on another thread.
KIOTO_NOINLINE void* allocate_frame(std::size_t bytes);

/// Frees what `allocate_frame(bytes)` returned; `bytes` must be the same value, or what
/// `compact_frame_size` returned for it.
KIOTO_NOINLINE void deallocate_frame(void* frame, std::size_t bytes) noexcept;

/// The maximum alignment of a block.
inline constexpr std::size_t max_frame_alignment = std::size_t{1} << 30;

/// Encodes a size in 32 bits. A size that does not fit is not served by the pool; when such a block
/// is freed only its alignment matters, and therefore the low bits.
constexpr std::uint32_t compact_frame_size(std::size_t bytes) noexcept {
  constexpr std::uint32_t large = std::uint32_t{1} << 31;
  static_assert(max_frame_alignment < large);
  const auto low = static_cast<std::uint32_t>(bytes & (large - 1));
  return bytes < large ? low : low | large;
}

constexpr std::size_t round_up(std::size_t bytes, std::size_t alignment) noexcept {
  return (bytes + alignment - 1) & ~(alignment - 1);
}

/// The alignment that the frame of a task may need, inferred from its size. Compilers do not pass
/// the real alignment to `operator new`, but g++ makes the size of a frame a multiple of it. An
/// object that is aligned to `n` is preceded by at least `n` bytes, which hold the promise and
/// three pointers.
inline constexpr std::size_t max_inferred_alignment = 4096;
constexpr std::size_t inferred_alignment(std::size_t frame) noexcept {
  constexpr std::size_t least = round_up(7 * sizeof(void*), 32) + 32;
  if (frame < least) return 16;
  const std::size_t divisor = frame & (~frame + 1);
  return std::clamp(std::min(divisor, std::bit_floor(frame / 2)), std::size_t{16},
                    max_inferred_alignment);
}

/// The bytes that the pool has taken from the system and not given back; 0 if there is no pool.
[[nodiscard]] std::size_t frame_pool_bytes() noexcept;

/// Called around a fork(), on the thread that forks, so that the child finds the shared lists
/// consistent and unlocked.
void lock_frame_pool() noexcept;
void unlock_frame_pool() noexcept;

/// Returns false if frames come from `operator new`.
[[nodiscard]] bool frame_pool_enabled() noexcept;

/// The recent use covers at least this period, and at most twice as much. See
/// <kioto/frame_pool.hpp>.
inline constexpr std::chrono::milliseconds frame_pool_period{5000};

/// Called by a thread that is about to sleep: gives back memory that is due, for at most a
/// millisecond. Returns how long the thread may sleep before it has to call this again; zero means
/// no limit.
std::chrono::milliseconds frame_pool_idle() noexcept;

/// Acts as if a period had passed. For tests.
void frame_pool_age() noexcept;

}  // namespace kioto::detail
