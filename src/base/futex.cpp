// SPDX-License-Identifier: MIT
#include <kioto/detail/base/futex.hpp>

#if defined(__linux__)

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <limits>

namespace kioto::detail::futex {
namespace {

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

// The call that takes a timespec as libc has it.
#if !defined(SYS_futex)
constexpr long call = SYS_futex_time64;
#elif defined(SYS_futex_time64)
constexpr long call = sizeof(std::time_t) > sizeof(long) ? SYS_futex_time64 : SYS_futex;
#else
constexpr long call = SYS_futex;
#endif

// A thread may park in code whose caller has yet to read errno.
class keep_errno {
 public:
  keep_errno() noexcept = default;
  keep_errno(const keep_errno&) = delete;
  keep_errno& operator=(const keep_errno&) = delete;
  ~keep_errno() { errno = saved_; }

 private:
  int saved_ = errno;
};

}  // namespace

void wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected) noexcept {
  const keep_errno keep;
  ::syscall(call, &word, FUTEX_WAIT_PRIVATE, expected, nullptr);
}

void wait_for(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
              std::chrono::nanoseconds timeout) noexcept {
  const keep_errno keep;
  const auto seconds = std::chrono::floor<std::chrono::seconds>(timeout);
  // Where time_t is too narrow, the wait is shorter: it may end early anyway.
  constexpr std::intmax_t most = std::numeric_limits<std::time_t>::max();
  const std::timespec limit{
      static_cast<std::time_t>(std::min<std::intmax_t>(seconds.count(), most)),
      static_cast<long>((timeout - seconds).count())};
  ::syscall(call, &word, FUTEX_WAIT_PRIVATE, expected, &limit);
}

void wake_one(const std::atomic<std::uint32_t>* word) noexcept {
  const keep_errno keep;
  ::syscall(call, word, FUTEX_WAKE_PRIVATE, 1);
}

}  // namespace kioto::detail::futex

#else

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace kioto::detail::futex {
namespace {

// Words share condition variables, so all who wait there are woken.
struct bucket {
  std::mutex mutex;
  std::condition_variable woken;
};

bucket& bucket_of(const void* word) noexcept {
  // Never destroyed: threads that were left behind may wait there when the program ends.
  union immortal {
    immortal() : buckets() {}
    ~immortal() {}
    std::array<bucket, 64> buckets;
  };
  static immortal all;
  return all.buckets[(reinterpret_cast<std::uintptr_t>(word) >> 6) % all.buckets.size()];
}

}  // namespace

void wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected) noexcept {
  bucket& b = bucket_of(&word);
  std::unique_lock lock(b.mutex);
  if (word.load(std::memory_order_relaxed) == expected) b.woken.wait(lock);
}

void wait_for(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
              std::chrono::nanoseconds timeout) noexcept {
  bucket& b = bucket_of(&word);
  std::unique_lock lock(b.mutex);
  // The condition variable adds it to the present time; the wait may end early anyway.
  constexpr std::chrono::nanoseconds most = std::chrono::hours(24 * 365);
  if (word.load(std::memory_order_relaxed) == expected)
    b.woken.wait_for(lock, std::min(timeout, most));
}

void wake_one(const std::atomic<std::uint32_t>* word) noexcept {
  bucket& b = bucket_of(word);
  // There is nothing to do under the lock. The word was changed before: a waiter that compares it
  // later sees the change, and one that compared it earlier holds the mutex until its wait has
  // begun.
  b.mutex.lock();
  b.mutex.unlock();
  b.woken.notify_all();
}

}  // namespace kioto::detail::futex

#endif
