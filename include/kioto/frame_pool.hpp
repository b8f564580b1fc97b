// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <limits>

/// The memory of coroutine frames.
///
/// Frames of up to 4 KiB come from a pool of the process, because they are allocated and freed all
/// the time. A freed frame serves the next one of its size; memory whose frames have all been freed
/// serves any size, and is given back to the system.
///
/// What the pool has, used and free, is never more than what was in use at most during the last 5
/// to 10 seconds, or 1 MiB if that is more. So a program whose load comes in bursts does not pay
/// the system for each of them, and some seconds after the last one the memory is given back: while
/// frames are freed, and by the threads of a runtime when they have nothing to do. Beyond that stay
/// up to 64 KiB for each size of frame that a thread uses, and memory of which a part is still in
/// use (64 KiB is given back at once).
///
/// There is no pool when the library is compiled with a sanitizer or with `KIOTO_FRAME_POOL=0`:
/// frames come from `operator new` then, and these functions do nothing.
///
/// Thread safety: all of these can be called from any thread, at any time.
namespace kioto::frame_pool {

/// For `set_limit`: what the pool keeps depends on the recent use alone. The default.
inline constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();

/// Limits what is kept free, to `bytes` or to 1 MiB if that is more; what is kept beyond that now
/// is given back. Zero switches the pool off: threads keep no free frames of their own, either.
/// That costs a lock for each frame.
///
/// Of frames that other threads keep, it takes effect when they next need more of some size, have
/// too many of one, or run out of work.
///
/// ```
/// kioto::frame_pool::set_limit(64 << 20);
/// ```
void set_limit(std::size_t bytes) noexcept;
[[nodiscard]] std::size_t limit() noexcept;

/// Gives back to the system all that can be, now, and forgets how much was in use at most. Takes
/// some milliseconds for 100 MiB.
///
/// - Result: the bytes that went back.
/// - Other threads give up the frames that they keep at the times that `set_limit` names.
///
/// ```
/// co_await run_nightly_import();
/// kioto::frame_pool::trim();
/// ```
std::size_t trim() noexcept;

/// Bytes that the pool has from the system, and has touched.
[[nodiscard]] std::size_t resident_bytes() noexcept;
/// Those of them that are free and not with any thread.
[[nodiscard]] std::size_t kept_bytes() noexcept;

}  // namespace kioto::frame_pool
