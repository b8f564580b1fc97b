// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <limits>

/// The memory of coroutine frames.
///
/// Frames of up to 4 KiB come from a process-wide pool, because they are allocated and freed very
/// often. A freed frame is reused for the next one of its size; a chunk whose frames have all been
/// freed is reused for any size, and is given back to the system.
///
/// The total size of the pool, used and free, never exceeds the maximum that was in use during the
/// last 5 to 10 seconds, or 1 MiB if that is more. So a program with a bursty load does not pay for
/// system calls in each burst, and the memory is given back some seconds after the last one: while
/// frames are freed, and by the threads of a runtime when they are idle. In addition to that, up to
/// 64 KiB stay for each size of frame that a thread uses, and chunks of which a part is still in
/// use (64 KiB is the unit that is given back).
///
/// There is no pool if the library is compiled with a sanitizer or with `KIOTO_FRAME_POOL=0`: then
/// frames come from `operator new`, and these functions do nothing.
///
/// Thread safety: all functions may be called from any thread, at any time.
namespace kioto::frame_pool {

/// For `set_limit`: the pool keeps memory according to recent use only. The default.
inline constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();

/// Limits the free memory that is kept to `bytes`, or to 1 MiB if that is more; free memory beyond
/// that is given back now. Zero switches the pool off: then threads keep no free frames of their
/// own either, which costs a lock for each frame.
///
/// For frames that other threads keep, it takes effect when they next need more of some size, have
/// too many of one, or run out of work.
///
/// ```
/// kioto::frame_pool::set_limit(64 << 20);
/// ```
void set_limit(std::size_t bytes) noexcept;
[[nodiscard]] std::size_t limit() noexcept;

/// Gives all free memory back to the system now, and resets the recorded maximum. Takes some
/// milliseconds for 100 MiB.
///
/// - Result: the number of bytes given back.
/// - Other threads give up the frames that they keep at the times described for `set_limit`.
///
/// ```
/// co_await run_nightly_import();
/// kioto::frame_pool::trim();
/// ```
std::size_t trim() noexcept;

/// The bytes that the pool has taken from the system and touched.
[[nodiscard]] std::size_t resident_bytes() noexcept;
/// The bytes of these that are free and not kept by a thread.
[[nodiscard]] std::size_t kept_bytes() noexcept;

}  // namespace kioto::frame_pool
