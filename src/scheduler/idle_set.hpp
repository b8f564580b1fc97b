// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

/// Tracks which workers sleep and how many search for work, and hence whether a worker has to be
/// woken for new work.
///
/// A worker is parked or unparked; an unparked worker may be searching. All begin unparked and not
/// searching. At most half of the workers search, and new work wakes a worker only if none is
/// searching: a searcher will find it.
///
/// The rules for the callers, on which the guarantee below rests:
/// 1. *Work*: publish work in a queue that searchers look at, then call worker_to_notify() and
///    unpark the worker that it names.
/// 2. *Found*: a searcher that finds work calls transition_from_searching() before it runs it; if
///    that is true it looks at every queue once more, and treats work it sees as new (rule 1).
/// 3. *Park*: a worker that found nothing calls transition_to_parked() before it sleeps; if that is
///    true it looks at every queue once more, as in rule 2.
/// 4. *Wake*: a worker that worker_to_notify() named is searching when it wakes. One that wakes for
///    another reason asks is_parked(), and calls unpark() if it has something to do.
///
/// Guarantee: when all calls are over, work that is visible in a queue either has a searching
/// worker, or no worker is parked.
template <class Sync>
// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): on cache lines of their own
class basic_idle_set {
  // One word counts the searching (low half) and the unparked workers. The list of sleepers and
  // every change of the unparked count are under the mutex; searching also changes without it.
  //
  // Why no work is missed. Publisher P of work does a read-modify-write R on the word (in
  // worker_to_notify; it changes nothing, but takes a place in the order of all changes). Let S be
  // a read-modify-write after which nobody is searching, by a worker W that parks or found work.
  // - R before S: S continues the release sequence of R, so P's work is visible to W after S, when
  //   rules 2 and 3 make it look again. Either somebody has taken it, or W wakes a worker for it,
  //   which searches after that.
  // - R after S: R finds no searcher and, unless one has begun to search meanwhile, wakes a parked
  //   worker. If none is parked at R, then each worker that parks later does so after R: the first
  //   case.
  // Acquire-release is enough for this, because all of it happens on one word; a plain load instead
  // of R would not be, since it could run ahead of the publication.
 public:
  /// No sleeper can be found while all `workers` are unparked. At most 65535 workers.
  explicit basic_idle_set(std::size_t workers)
      : workers_(static_cast<std::uint32_t>(workers)), word_(workers_ * one_unparked) {
    assert(workers < one_unparked);
    sleepers_.reserve(workers);
  }
  basic_idle_set(const basic_idle_set&) = delete;
  basic_idle_set& operator=(const basic_idle_set&) = delete;

  /// Any thread, after it published work: the worker that has to be unparked for it, if any. That
  /// worker counts as unparked and searching from now on.
  [[nodiscard]] std::optional<std::size_t> worker_to_notify() {
    if (!should_wake(word_.fetch_add(0, std::memory_order_acq_rel))) return std::nullopt;
    const std::lock_guard lock(mutex_);
    // Relaxed: the mutex orders changes of the unparked count. A searcher that is missed here only
    // costs a wake-up; one that is seen here answers for the work as in the proof, because seeing
    // it was preceded by R.
    if (!should_wake(word_.load(std::memory_order_relaxed))) return std::nullopt;
    // Counted before it wakes, so that the next publisher does not wake a second one. Acquire and
    // release: this may be the change that P's R is followed by, and must hand on what R released.
    word_.fetch_add(one_unparked + one_searching, std::memory_order_acq_rel);
    const std::size_t worker = sleepers_.back();
    sleepers_.pop_back();
    return worker;
  }

  /// An unparked worker wants to search. False: enough are searching, or about to.
  // The bound may be exceeded for a moment, because the test and the increment are two steps: it
  // saves work and is not a safety property. Relaxed: a beginning search needs nothing from others;
  // what it must see was published to the read-modify-write that ends it.
  [[nodiscard]] bool transition_to_searching() noexcept {
    if (2 * searching_of(word_.load(std::memory_order_relaxed)) >= workers_) return false;
    word_.fetch_add(one_searching, std::memory_order_relaxed);
    return true;
  }

  /// A searching worker found work. True: it was the last searcher (rule 2).
  [[nodiscard]] bool transition_from_searching() noexcept {
    const std::uint32_t before = word_.fetch_sub(one_searching, std::memory_order_acq_rel);
    assert(searching_of(before) > 0);
    return searching_of(before) == 1;
  }

  /// An unparked worker found nothing and is about to sleep. True: nobody is searching any more, so
  /// it has to look at every queue once more (rule 3).
  // True also for a worker that was not searching: it was refused because of searchers that may
  // all have found work since, without anybody asleep whom they could wake.
  [[nodiscard]] bool transition_to_parked(std::size_t worker, bool searching) {
    const std::lock_guard lock(mutex_);
    const std::uint32_t leaving = one_unparked + (searching ? one_searching : 0);
    const std::uint32_t before = word_.fetch_sub(leaving, std::memory_order_acq_rel);
    assert(before >= leaving);
    sleepers_.push_back(static_cast<std::uint32_t>(worker));
    return searching_of(before - leaving) == 0;
  }

  /// A parked worker woke for a reason of its own and has work: it counts as unparked, not as
  /// searching. False: it was unparked by worker_to_notify() already, hence is searching.
  [[nodiscard]] bool unpark(std::size_t worker) {
    const std::lock_guard lock(mutex_);
    const auto it = std::find(sleepers_.begin(), sleepers_.end(), worker);
    if (it == sleepers_.end()) return false;
    sleepers_.erase(it);
    // Release sequences go on through any read-modify-write, and nothing is handed over here.
    word_.fetch_add(one_unparked, std::memory_order_relaxed);
    return true;
  }

  /// Whether `worker` is counted as parked. For the worker itself false is final until it parks.
  [[nodiscard]] bool is_parked(std::size_t worker) const {
    const std::lock_guard lock(mutex_);
    return std::find(sleepers_.begin(), sleepers_.end(), worker) != sleepers_.end();
  }

  /// A parked worker, if there is one: of several the one that has slept longest.
  [[nodiscard]] std::optional<std::size_t> find_sleeper() const {
    const std::lock_guard lock(mutex_);
    if (sleepers_.empty()) return std::nullopt;
    return sleepers_.front();
  }

  /// Counts, which may have changed already.
  [[nodiscard]] std::size_t searching() const noexcept {
    return searching_of(word_.load(std::memory_order_relaxed));
  }
  [[nodiscard]] std::size_t parked() const noexcept {
    return workers_ - unparked_of(word_.load(std::memory_order_relaxed));
  }
  [[nodiscard]] std::size_t workers() const noexcept { return workers_; }

 private:
  static constexpr std::uint32_t one_searching = 1;
  static constexpr std::uint32_t one_unparked = 1U << 16;

  static constexpr std::uint32_t searching_of(std::uint32_t word) noexcept {
    return word & (one_unparked - 1);
  }
  static constexpr std::uint32_t unparked_of(std::uint32_t word) noexcept { return word >> 16; }
  [[nodiscard]] bool should_wake(std::uint32_t word) const noexcept {
    return searching_of(word) == 0 && unparked_of(word) < workers_;
  }

  const std::uint32_t workers_;
  alignas(cache_line) typename Sync::template atomic<std::uint32_t> word_;
  alignas(cache_line) mutable typename Sync::mutex mutex_;
  std::vector<std::uint32_t> sleepers_;  // by mutex_; the last one slept least and is woken first
};

using idle_set = basic_idle_set<std_sync>;

}  // namespace kioto::detail
