// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

#include <kioto/detail/base/locked_waiters.hpp>
#include <kioto/detail/base/spinlock.hpp>
#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

/// The newest of a sequence of values, and the waiters for a newer one.
///
/// An `Element` is a counted reference to an immutable value: copying it runs no user code and is
/// done under the lock; a new value replaces the reference. So readers and writers never wait for
/// each other, and a reader may keep the value it read for any time.
///
/// Invariants:
/// - W1 Element and version change together, under the lock.
/// - W2 A receiver registers under the lock, after comparing its version with the newest again; a
///   change takes all waiters under the lock. So no change is missed.
/// - W3 `closed` is the lowest bit of the version word: a receiver that sees it also sees the last
///   version.
///
/// Memory order: the version is read without the lock only to decide whether to take it, or whether
/// to wait, which is decided again under it.
template <class Sync, class Element, class Op>
class basic_watch_core {
  template <class V>
  using atomic = typename Sync::template atomic<V>;

 public:
  using version = std::uint64_t;
  using waiter = list_waiter<Op>;

  /// Starts with one sender and one receiver, which has seen the first value.
  explicit basic_watch_core(Element first) noexcept : newest_(std::move(first)) {}
  basic_watch_core(const basic_watch_core&) = delete;
  basic_watch_core& operator=(const basic_watch_core&) = delete;
  ~basic_watch_core() = default;

  // ---- handles: all senders together and each receiver own the channel ----

  void add_sender() noexcept { senders_.fetch_add(1, std::memory_order_relaxed); }
  /// The last one closes the channel.
  void drop_sender() noexcept {
    if (senders_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    lock_.lock();
    word_.store(word_.load(std::memory_order_relaxed) | closed_bit, std::memory_order_release);
    complete_all(waiting_, lock_);
    drop_owner();
  }
  void add_receiver() noexcept {
    owners_.fetch_add(1, std::memory_order_relaxed);
    receivers_.fetch_add(1, std::memory_order_relaxed);
  }
  void drop_receiver() noexcept {
    // Acquire and release, so that the last decrement comes after all others; whether to complete
    // the waiters for the end is decided under the lock.
    if (receivers_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      lock_.lock();
      if (receivers() == 0)
        complete_all(watching_, lock_);
      else
        lock_.unlock();
    }
    drop_owner();
  }
  void drop_owner() noexcept {
    if (owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
  [[nodiscard]] std::size_t senders() const noexcept {
    return senders_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::size_t receivers() const noexcept {
    return receivers_.load(std::memory_order_acquire);
  }

  // ---- reading ----

  /// The newest value, and its version.
  [[nodiscard]] Element newest(version& v) noexcept {
    const std::lock_guard hold(lock_);
    v = word_.load(std::memory_order_relaxed) >> 1;
    return newest_;
  }
  [[nodiscard]] version newest_version() const noexcept {
    return word_.load(std::memory_order_acquire) >> 1;
  }
  [[nodiscard]] bool is_closed() const noexcept {
    return (word_.load(std::memory_order_acquire) & closed_bit) != 0;
  }

  /// Returns true if `w` now waits for a value newer than version `seen`, or for the end; false if
  /// there is one.
  bool wait_for_change(waiter& w, version seen) noexcept {
    const std::lock_guard hold(lock_);
    if (word_.load(std::memory_order_relaxed) != seen << 1) return false;
    waiting_.push_back(w);
    return true;
  }
  /// Returns true if `w` now waits until there is no receiver; false if there is none.
  bool wait_for_end(waiter& w) noexcept {
    const std::lock_guard hold(lock_);
    if (receivers() == 0) return false;
    watching_.push_back(w);
    return true;
  }
  /// Returns true if `w` no longer waits; false if it has been or will be completed.
  bool cancel(waiter& w) noexcept {
    const std::lock_guard hold(lock_);
    if (!w.is_linked()) return false;
    waiting_.erase(w);
    return true;
  }

  // ---- writing ----

  /// Held from reading the value that is to be changed until the change is stored, while user code
  /// runs. Readers do not need it.
  [[nodiscard]] typename Sync::mutex& writers() noexcept { return writers_; }

  /// Makes `e` the newest value, and wakes all waiters; afterwards `e` is the replaced value.
  void store(Element& e) noexcept {
    lock_.lock();
    std::swap(newest_, e);
    word_.store(word_.load(std::memory_order_relaxed) + 2, std::memory_order_release);
    complete_all(waiting_, lock_);
  }

 private:
  static constexpr version closed_bit = 1;

  basic_spinlock<Sync> lock_;
  atomic<version> word_{0};  ///< twice the version, plus `closed_bit`
  Element newest_;
  intrusive_list<waiter> waiting_;   ///< receivers
  intrusive_list<waiter> watching_;  ///< senders
  atomic<std::size_t> senders_{1};
  atomic<std::size_t> receivers_{1};
  atomic<std::size_t> owners_{2};
  typename Sync::mutex writers_;
};

}  // namespace kioto::detail
