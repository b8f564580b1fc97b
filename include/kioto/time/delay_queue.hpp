// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include <kioto/detail/task/leaf_awaiter.hpp>
#include <kioto/detail/time/tick_grid.hpp>
#include <kioto/detail/time/timer_operation.hpp>
#include <kioto/detail/time/timer_wheel.hpp>
#include <kioto/time/deadline.hpp>

namespace kioto {

template <class T>
class delay_queue;

/// Identifies an entry of a `delay_queue`. A key is never reused, so it stays valid, and matches
/// nothing, after the entry is gone.
class delay_key {
 public:
  delay_key() noexcept = default;  ///< refers to no entry

  friend bool operator==(const delay_key&, const delay_key&) noexcept = default;

 private:
  template <class>
  friend class delay_queue;
  delay_key(std::uint32_t index, std::uint64_t serial) noexcept : index_(index), serial_(serial) {}

  std::uint32_t index_ = 0;
  std::uint64_t serial_ = 0;
};

/// An entry taken out of a `delay_queue`.
template <class T>
class delay_entry {
 public:
  delay_entry(T&& v, std::chrono::steady_clock::time_point at, delay_key k) noexcept
      : value(std::move(v)), deadline(at), key(k) {}

  T value;
  std::chrono::steady_clock::time_point deadline;
  delay_key key;
};

namespace detail {

[[noreturn]] void throw_no_such_delay(const char* what);
[[noreturn]] void throw_too_many_delays();

class delay_waiter;

/// A timer wheel that an operation can wait for: the part of a `delay_queue` that does not depend
/// on the type of its values.
///
/// Invariant: while `waiter_` is set, its wait ends at the tick `waits_for_` or before. So it is
/// woken when a timer becomes due before that tick, and when the last timer is removed.
class delay_wheel {
 public:
  // Ticks are counted from the epoch of the clock: a queue may be created outside of the runtime,
  // under another clock than the one it is used with.
  delay_wheel() noexcept : grid_(std::chrono::steady_clock::time_point()) {}
  delay_wheel(const delay_wheel&) = delete;
  delay_wheel& operator=(const delay_wheel&) = delete;
  ~delay_wheel() = default;

  /// A timer that has already passed is due now, not at the next tick.
  void insert(timer_node& timer, std::chrono::steady_clock::time_point at,
              bool has_passed) noexcept;
  void move(timer_node& timer, std::chrono::steady_clock::time_point to, bool has_passed) noexcept;
  void remove(timer_node& timer) noexcept;
  /// The first of the timers that are due; null if none is.
  [[nodiscard]] timer_node* due() noexcept;
  /// The timer that is due first, now or later; null if the wheel is empty.
  [[nodiscard]] timer_node* first() noexcept;
  [[nodiscard]] bool empty() const noexcept { return due_.empty() && wheel_.empty(); }

 private:
  friend class delay_waiter;
  void wake() noexcept;

  tick_grid grid_;
  timer_list due_;
  delay_waiter* waiter_ = nullptr;
  std::uint64_t waits_for_ = 0;
  timer_wheel wheel_;
};

/// Part of the operation that waits for the first timer.
class delay_waiter : public timer_operation {
 public:
  bool cancel() noexcept override {
    if (!timer_operation::cancel()) return false;
    leave();
    return true;
  }
  // Nothing was taken yet: only the next attempt takes what is due.
  bool withdraw() noexcept override {
    leave();
    return true;
  }

 protected:
  delay_waiter() noexcept = default;
  delay_waiter(delay_waiter&& other) noexcept
      : timer_operation(static_cast<timer_operation&&>(other)) {}
  ~delay_waiter() { leave(); }

  /// Waits until a timer is due. Without `stays`, also completes when no timer is left.
  attempt wait_for_first(delay_wheel& wheel, bool stays) noexcept;

 private:
  void enter(delay_wheel& wheel) noexcept {
    wheel_ = &wheel;
    wheel.waiter_ = this;
  }
  void leave() noexcept {
    if (wheel_ != nullptr) std::exchange(wheel_, nullptr)->waiter_ = nullptr;
  }

  delay_wheel* wheel_ = nullptr;  ///< the wheel whose waiter this is
};

/// `Stays`: the operation keeps waiting while the queue is empty.
template <class T, bool Stays>
class [[nodiscard]] next_delayed_operation final
    : public leaf_awaiter<next_delayed_operation<T, Stays>, delay_waiter> {
 public:
  using result_type = std::conditional_t<Stays, delay_entry<T>, std::optional<delay_entry<T>>>;

  explicit next_delayed_operation(delay_queue<T>& queue) noexcept : queue_(&queue) {
    this->retries_ = true;
  }
  next_delayed_operation(next_delayed_operation&&) noexcept = default;

  attempt try_or_wait() noexcept override {
    const attempt result = this->wait_for_first(*queue_->wheel_, Stays);
    // Taken now, not in await_resume(): another branch may run, and change the queue, in between.
    if (result == attempt::ready) taken_ = queue_->try_next();
    return result;
  }
  result_type await_resume() noexcept {
    if constexpr (Stays)
      return std::move(*taken_);
    else
      return std::move(taken_);
  }

 private:
  delay_queue<T>* queue_;
  std::optional<delay_entry<T>> taken_;
};

}  // namespace detail

/// Values that come out after a delay: for expiring what was not renewed, and for scheduling work
/// for later.
///
/// Inserting, removing and resetting take constant time; memory is allocated in pages of 64
/// entries, and freed by `compact` and with the queue. An empty queue takes 6 KiB.
///
/// Thread safety: none. The branches of a task share a queue without a lock, and so do the tasks of
/// a current-thread or local runtime: one may insert while another waits in `next()` or
/// `wait_next()`, which takes the new entry into account.
///
///     delay_queue<session_id> idle;
///     auto key = idle.insert(id, 30s);
///     …
///     idle.reset(key, 30s);  // it was used again
///     …
///     auto gone = co_await idle.next();
///     if (gone) close(gone->value);
template <class T>
class delay_queue {
  static_assert(std::is_nothrow_move_constructible_v<T>,
                "a delay_queue moves its values where an exception could not be handled");

 public:
  using key = delay_key;
  using entry = delay_entry<T>;
  using time_point = std::chrono::steady_clock::time_point;

  delay_queue() : wheel_(std::make_unique<detail::delay_wheel>()) {}
  /// A queue that was moved from can only be destroyed or assigned to. No operation may be waiting.
  delay_queue(delay_queue&&) noexcept = default;
  delay_queue& operator=(delay_queue&& other) noexcept {
    if (this != &other) {
      clear();
      wheel_ = std::move(other.wheel_);
      pages_ = std::move(other.pages_);
      free_ = other.free_;
      size_ = other.size_;
      serial_ = other.serial_;
      first_vacant_ = other.first_vacant_;
    }
    return *this;
  }
  /// No operation may be waiting.
  ~delay_queue() { clear(); }

  /// Adds a value that expires `delay` from now, or at a point in time; at once, if that has
  /// passed. Durations beyond the range of the clock mean "never".
  template <class Rep, class Period>
  key insert(T value, std::chrono::duration<Rep, Period> delay) {
    const std::chrono::nanoseconds length = detail::saturate(delay);
    return add(std::move(value), detail::deadline_after(length), length == length.zero());
  }
  key insert_at(T value, time_point at) {
    return add(std::move(value), at, kioto::deadline(at).has_passed());
  }
  template <detail::other_resolution Duration>
  key insert_at(T value, std::chrono::time_point<std::chrono::steady_clock, Duration> at) {
    return insert_at(std::move(value), detail::saturate(at));
  }

  /// Takes an entry out, expired or not. Throws std::out_of_range if it is gone.
  entry remove(const key& which) {
    auto found = try_remove(which);
    if (!found) detail::throw_no_such_delay("remove");
    return std::move(*found);
  }
  /// The same, but returns nothing instead of throwing.
  std::optional<entry> try_remove(const key& which) noexcept;

  /// Changes the time of an entry. Returns false if the entry is gone.
  template <class Rep, class Period>
  bool reset(const key& which, std::chrono::duration<Rep, Period> delay) noexcept {
    const std::chrono::nanoseconds length = detail::saturate(delay);
    return move(which, detail::deadline_after(length), length == length.zero());
  }
  bool reset_at(const key& which, time_point at) noexcept {
    return move(which, at, kioto::deadline(at).has_passed());
  }
  template <detail::other_resolution Duration>
  bool reset_at(const key& which,
                std::chrono::time_point<std::chrono::steady_clock, Duration> at) noexcept {
    return reset_at(which, detail::saturate(at));
  }

  [[nodiscard]] bool contains(const key& which) const noexcept { return find(which) != nullptr; }
  /// The time at which an entry expires; nothing if the entry is gone.
  [[nodiscard]] std::optional<time_point> deadline(const key& which) const noexcept {
    const slot* found = find(which);
    return found != nullptr ? std::optional(found->at) : std::nullopt;
  }
  /// The key of the entry that `next()` would return if nothing changes. May visit all entries.
  [[nodiscard]] std::optional<key> peek() const noexcept {
    detail::timer_node* first = wheel_->first();
    if (first == nullptr) return std::nullopt;
    return key_of(*static_cast<slot*>(first));
  }

  /// Waits for the entry that expires first, and takes it out.
  ///
  /// - Result: the entry; none if the queue is empty or becomes empty. Entries come out in the
  ///   order of their deadlines, with a resolution of a millisecond, never early; those of the same
  ///   millisecond in any order.
  /// - Errors: none. When the runtime shuts down the task is cancelled.
  /// - Cancellation: at once; no entry is lost.
  /// - In a select: withdrawn; an expired entry stays in the queue for the next call. An entry that
  ///   was already taken is in the result.
  /// - Lifetime: the queue outlives the operation and stays in place. One wait at a time.
  ///
  /// A loop that must continue while the queue is empty, because another task or branch inserts
  /// into it, uses `wait_next()`.
  [[nodiscard]] detail::next_delayed_operation<T, false> next() noexcept {
    return detail::next_delayed_operation<T, false>(*this);
  }
  /// The same, but while the queue is empty it waits for an entry to be inserted.
  ///
  /// - Result: the entry, a `delay_entry<T>`.
  /// - Errors, cancellation, in a select, lifetime: as for `next()`. If nothing is inserted it
  ///   waits for ever.
  ///
  ///     auto hit = co_await select(commands.recv(), idle.wait_next());
  [[nodiscard]] detail::next_delayed_operation<T, true> wait_next() noexcept {
    return detail::next_delayed_operation<T, true>(*this);
  }
  /// The next entry if one has expired.
  std::optional<entry> try_next() noexcept {
    detail::timer_node* due = wheel_->due();
    if (due == nullptr) return std::nullopt;
    return take(*static_cast<slot*>(due));
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

  /// Destroys all entries; their keys no longer match anything.
  void clear() noexcept;
  /// Frees the pages that hold no entry. Keys stay valid.
  void compact() noexcept;
  /// The number of entries that fit without allocating.
  [[nodiscard]] std::size_t capacity() const noexcept {
    std::size_t pages = 0;
    for (const auto& p : pages_) pages += p != nullptr ? 1 : 0;
    return pages * page_size;
  }

 private:
  template <class, bool>
  friend class detail::next_delayed_operation;

  static constexpr std::uint32_t page_size = 64;
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  struct slot : detail::timer_node {
    std::optional<T> value;
    time_point at;
    std::uint64_t serial = 0;  ///< zero while the slot is free
    std::uint32_t index = 0;
    std::uint32_t next_free = none;
  };
  struct page {
    std::array<slot, page_size> slots;
    std::uint32_t used = 0;
  };

  static key key_of(const slot& s) noexcept { return {s.index, s.serial}; }
  slot* find(const key& which) const noexcept;
  key add(T&& value, time_point at, bool has_passed);
  bool move(const key& which, time_point to, bool has_passed) noexcept;
  void add_page();
  void offer(slot& s) noexcept {
    s.next_free = free_;
    free_ = s.index;
  }
  entry take(slot& s) noexcept;

  std::unique_ptr<detail::delay_wheel> wheel_;
  std::vector<std::unique_ptr<page>> pages_;  ///< null where a page was freed
  std::size_t first_vacant_ = 0;              ///< no null before it
  std::uint32_t free_ = none;                 ///< the first free slot
  std::size_t size_ = 0;
  std::uint64_t serial_ = 0;
};

// ---- implementation ----------------------------------------------------------------------------

template <class T>
delay_key delay_queue<T>::add(T&& value, time_point at, bool has_passed) {
  if (free_ == none) add_page();
  page& p = *pages_[free_ / page_size];
  slot& s = p.slots[free_ % page_size];
  free_ = s.next_free;
  ++p.used;
  ++size_;
  s.serial = ++serial_;
  s.value.emplace(std::move(value));
  s.at = at;
  wheel_->insert(s, at, has_passed);
  return key_of(s);
}

template <class T>
std::optional<delay_entry<T>> delay_queue<T>::try_remove(const key& which) noexcept {
  slot* found = find(which);
  if (found == nullptr) return std::nullopt;
  return take(*found);
}

template <class T>
bool delay_queue<T>::move(const key& which, time_point to, bool has_passed) noexcept {
  slot* found = find(which);
  if (found == nullptr) return false;
  found->at = to;
  wheel_->move(*found, to, has_passed);
  return true;
}

template <class T>
void delay_queue<T>::clear() noexcept {
  for (auto& p : pages_)
    if (p != nullptr && p->used != 0)
      for (slot& s : p->slots)
        if (s.serial != 0) take(s);
}

template <class T>
void delay_queue<T>::compact() noexcept {
  free_ = none;
  for (auto& p : pages_) {
    if (p == nullptr) continue;
    if (p->used == 0) {
      p.reset();
      continue;
    }
    for (slot& s : p->slots)
      if (s.serial == 0) offer(s);
  }
  while (!pages_.empty() && pages_.back() == nullptr) pages_.pop_back();
  first_vacant_ = 0;
}

template <class T>
auto delay_queue<T>::find(const key& which) const noexcept -> slot* {
  const std::size_t at = which.index_ / page_size;
  if (which.serial_ == 0 || at >= pages_.size() || pages_[at] == nullptr) return nullptr;
  slot& s = pages_[at]->slots[which.index_ % page_size];
  return s.serial == which.serial_ ? &s : nullptr;
}

template <class T>
void delay_queue<T>::add_page() {
  while (first_vacant_ != pages_.size() && pages_[first_vacant_] != nullptr) ++first_vacant_;
  if (first_vacant_ >= none / page_size) detail::throw_too_many_delays();  // an index has 32 bits
  if (first_vacant_ == pages_.size()) pages_.emplace_back();
  page& added = *(pages_[first_vacant_] = std::make_unique<page>());
  // The last slot first, so that slots are handed out starting with the first one.
  for (std::uint32_t i = page_size; i-- != 0;) {
    added.slots[i].index = static_cast<std::uint32_t>(first_vacant_) * page_size + i;
    offer(added.slots[i]);
  }
}

template <class T>
auto delay_queue<T>::take(slot& s) noexcept -> entry {
  wheel_->remove(s);
  entry out(std::move(*s.value), s.at, key_of(s));
  s.value.reset();
  s.serial = 0;
  offer(s);
  --pages_[s.index / page_size]->used;
  --size_;
  return out;
}

}  // namespace kioto
