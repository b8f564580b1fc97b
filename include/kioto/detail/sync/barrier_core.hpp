// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/base/locked_word.hpp>
#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

struct barrier_line_tag {};

/// A waiter of a `basic_barrier_core`. Stays in place from `arrive()` until `fire()` was called or
/// `leave()` succeeded.
class barrier_waiter : public list_node<barrier_line_tag> {
 private:
  template <class, class>
  friend class basic_barrier_core;

  std::uint64_t generation_ = 0;
};

/// Releases waiters in groups of a fixed size. `Waiter` derives from `barrier_waiter` and has
/// `fire()`, which is the last access to it.
///
/// The word is `generation (32) | arrived (31) | lock`; *arrived* is the length of the queue. The
/// upper half of the generation is stored separately, guarded by the lock: with 32 bits alone, an
/// old generation would look like the current one after two minutes of a fast loop. The last of a
/// group increments the generation and takes the whole queue, in one step under the lock: so a
/// waiter of an old generation has been fired, or is about to be. Waiters are fired without the
/// lock, and the core is not touched after that, because the group may destroy it.
template <class Sync, class Waiter>
class basic_barrier_core {
  using word = std::uint64_t;

 public:
  /// `size` is from 1 to 2^31 - 1. The first generation can be set, so that tests reach the
  /// overflow of the word.
  constexpr explicit basic_barrier_core(std::uint32_t size, std::uint64_t first = 0) noexcept
      : word_(first << 32), size_(size), epoch_(static_cast<std::uint32_t>(first >> 32)) {}

  /// Completes the group if the caller is its last member, which then need not wait. Returns false,
  /// without effect, otherwise.
  [[nodiscard]] bool try_complete() noexcept {
    // Only a hint, which avoids taking the lock twice; arrive() decides.
    if (arrived(word_.load(std::memory_order_relaxed)) + 1 != size_) return false;
    const word now = word_.lock();
    if (arrived(now) + 1 != size_) {
      word_.unlock(now);
      return false;
    }
    complete(now);
    return true;
  }

  /// Queues `w`. Returns false if it was the last of its group, which is then released.
  [[nodiscard]] bool arrive(Waiter& w) noexcept {
    const word now = word_.lock();
    if (arrived(now) + 1 == size_) {
      complete(now);
      return false;
    }
    w.generation_ = full_generation(now);
    line_.push_back(w);
    word_.unlock(now + one_arrived);
    return true;
  }

  /// Removes a waiter from the queue, as if it had not arrived. Returns false if its group is
  /// complete.
  [[nodiscard]] bool leave(Waiter& w) noexcept {
    const word now = word_.lock();
    if (full_generation(now) != w.generation_) {
      word_.unlock(now);
      return false;
    }
    line::erase(w);
    word_.unlock(now - one_arrived);
    return true;
  }

 private:
  using line = intrusive_list<Waiter, barrier_line_tag>;

  static constexpr word one_arrived = 2;
  static constexpr word one_generation = word{1} << 32;

  static constexpr std::uint32_t arrived(word w) noexcept {
    return static_cast<std::uint32_t>(w) >> 1;
  }
  static constexpr word generation(word w) noexcept { return w & ~(one_generation - 1); }

  // Under the lock.
  [[nodiscard]] std::uint64_t full_generation(word now) const noexcept {
    return std::uint64_t{epoch_.get()} << 32 | now >> 32;
  }
  // Ends the critical section.
  void complete(word now) noexcept {
    line due;
    due.splice_back(line_);
    const word next = generation(now) + one_generation;
    if (next == 0) epoch_.set(epoch_.get() + 1);
    word_.unlock(next);
    due.consume([](Waiter& w) noexcept { w.fire(); });
  }

  basic_locked_word<Sync> word_;
  line line_;
  const std::uint32_t size_;
  typename Sync::template var<std::uint32_t> epoch_;
};

}  // namespace kioto::detail
