// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include <kioto/config.hpp>

namespace kioto::detail {

/// Memory for a coroutine frame, aligned for every fundamental type, and to cache lines if the size
/// is a multiple of 64 and comes from the pool. Throws `std::bad_alloc`.
///
/// Frames of up to 4 KiB come from free lists of the calling thread, one for every 16 bytes of size
/// up to 1 KiB and for every 64 bytes above, which exchange batches with lists that all threads
/// share. Larger ones come from `operator new`, and all of them do when the library is compiled
/// with a sanitizer or with `KIOTO_FRAME_POOL=0`. What the pool once took from the system it keeps
/// for later frames.
///
/// Thread safety: any thread, also while its thread-local objects and the static objects of the
/// program are destroyed. A frame may be freed on another thread.
KIOTO_NOINLINE void* allocate_frame(std::size_t bytes);

/// Frees what `allocate_frame(bytes)` returned; `bytes` must be the same.
KIOTO_NOINLINE void deallocate_frame(void* frame, std::size_t bytes) noexcept;

/// Bytes that the pool has taken from the system; 0 when there is no pool.
[[nodiscard]] std::size_t frame_pool_bytes() noexcept;

/// Around a fork(), on the thread that forks: the child finds the shared lists whole, and unlocked.
void lock_frame_pool() noexcept;
void unlock_frame_pool() noexcept;

/// False when frames come from `operator new`.
[[nodiscard]] bool frame_pool_enabled() noexcept;

}  // namespace kioto::detail
