// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include <kioto/config.hpp>
#include <kioto/detail/intrusive_list.hpp>
#include <kioto/detail/spinlock.hpp>
#include <kioto/detail/sync_policy.hpp>
#include <kioto/net/interest.hpp>

namespace kioto::detail {

/// The two directions of a descriptor; each has a tick of its own.
enum class direction : std::uint8_t { read, write };

/// Why a waiter is fired.
enum class wake_cause : std::uint8_t {
  readiness,
  shutdown,  ///< the driver is gone
  closing,   ///< the registration ends: it must not be touched again
};

template <class Sync>
class basic_registration;

/// What `basic_registration` said at one moment, and what `clear_readiness()` needs to tell whether
/// anything has happened since.
class ready_event {
 public:
  ready_event() noexcept = default;
  ready_event(std::uint64_t word, net::ready wanted) noexcept : word_(word), wanted_(wanted) {}

  [[nodiscard]] inline net::ready set() const noexcept;
  /// Nothing to do but wait.
  [[nodiscard]] bool is_empty() const noexcept { return set().is_empty() && !is_over(); }
  [[nodiscard]] inline bool is_shut_down() const noexcept;
  [[nodiscard]] inline bool is_closing() const noexcept;
  [[nodiscard]] bool is_over() const noexcept { return is_shut_down() || is_closing(); }

 private:
  template <class>
  friend class basic_registration;

  std::uint64_t word_ = 0;
  net::ready wanted_;
};

/// A waiter of a registration. Lives in the operation; `fire` is the last access to it and is
/// called with no lock held.
template <class Sync>
class basic_io_waiter : public list_node<> {
 public:
  using fire_function = void (*)(basic_io_waiter&, wake_cause) noexcept;

  explicit basic_io_waiter(fire_function fire) noexcept : fire_(fire) {}

 private:
  friend class basic_registration<Sync>;

  fire_function fire_;
  net::ready wanted_;
  typename Sync::template var<bool> linked_{false};  ///< guarded by the registration's lock
};

/// Layout of the readiness word.
struct readiness_word {
  static constexpr unsigned tick_bits = 20;
  static constexpr std::uint64_t tick_mask = (std::uint64_t{1} << tick_bits) - 1;
  static constexpr unsigned write_tick_shift = tick_bits;
  static constexpr unsigned ready_shift = 2 * tick_bits;
  static constexpr std::uint64_t has_waiters = std::uint64_t{1} << 46;
  static constexpr std::uint64_t closing = std::uint64_t{1} << 62;
  static constexpr std::uint64_t shutdown = std::uint64_t{1} << 63;

  static constexpr std::uint64_t bits(net::ready r) noexcept {
    return std::uint64_t{r.bits()} << ready_shift;
  }
  static constexpr net::ready readiness(std::uint64_t word) noexcept {
    return net::ready::from_bits(static_cast<std::uint32_t>(word >> ready_shift));
  }
  static constexpr std::uint64_t tick(std::uint64_t word, direction d) noexcept {
    return (d == direction::read ? word : word >> write_tick_shift) & tick_mask;
  }
  static constexpr std::uint64_t bump(std::uint64_t word, direction d) noexcept {
    const unsigned shift = d == direction::read ? 0 : write_tick_shift;
    const std::uint64_t next = (tick(word, d) + 1) & tick_mask;
    return (word & ~(tick_mask << shift)) | next << shift;
  }
};

/// The readiness of one descriptor, and who waits for it. Sockets talk to nothing else.
///
/// One word holds readiness bits, a tick for each direction, a mark that there are waiters, and two
/// final marks: shutdown (the driver is gone) and closing (this registration ends).
///
/// Invariants:
/// - R1 Every transition starts from the current word, so no bit is ever lost; shutdown and closing
///   are never cleared.
/// - R2 Readiness that arrives bumps the tick of each direction it touches. `clear_readiness()`
///   acts on a direction only if its tick is the one of the event: an edge that arrived between a
///   system call that would block and the clearing survives. 20 bits wrap after a million edges
///   within one system call.
/// - R3 A waiter marks the word with a read-modify-write, under the lock, and looks at the
///   readiness in that very result. So each edge either is seen there, or sees the mark and takes
///   the lock. If the mark stands already, a load will do: an edge that the load misses saw the
///   mark, and its wake either waits for the lock, or had it before, and then the load cannot miss
///   the edge.
/// - R4 The mark is cleared only under the lock, by a wake that finds nobody. It may stand with
///   nobody there: where one waiter comes for each edge, it is written once and then left alone.
/// - R5 A waiter is in the list, or in the list of one wake in progress, or in none. It is fired at
///   most once per wait; whoever takes it out of its list, under the lock, decides.
/// - R6 No waiter is fired under the lock; a fired one may do everything, remove the registration
///   included: its memory stays until no turn of the driver is in progress.
///
/// Memory order: writers of the word release, readers acquire, because an operation that goes on
/// after an edge must see what the driver's thread did before. R3 needs no more: both sides are
/// read-modify-writes of one word, or meet at the lock.
///
/// The scheme of ticks and waiter lists comes from Tokio's ScheduledIo.
template <class Sync>
class basic_registration {
  using word = readiness_word;

 public:
  using waiter = basic_io_waiter<Sync>;

  explicit basic_registration(net::ready initial = {}) noexcept : word_(word::bits(initial)) {}
  basic_registration(const basic_registration&) = delete;
  basic_registration& operator=(const basic_registration&) = delete;

  /// What of `wanted` is there now. Any thread.
  [[nodiscard]] ready_event readiness(net::ready wanted) const noexcept {
    return ready_event(word_.load(std::memory_order_acquire), wanted);
  }

  /// Queues a waiter, unless something of `wanted` is there already: then the event is not empty
  /// and the waiter is not queued.
  [[nodiscard]] ready_event wait(waiter& w, net::ready wanted) noexcept {
    const std::lock_guard lock(lock_);
    const ready_event now = mark_and_look(wanted);
    if (!now.is_empty()) return now;
    w.wanted_ = wanted;
    w.linked_.set(true);
    waiters_.push_back(w);
    return now;
  }

  /// Withdraws a waiter. False: it has been fired, or is about to be.
  [[nodiscard]] bool cancel_wait(waiter& w) noexcept {
    const std::lock_guard lock(lock_);
    if (!w.linked_.get()) return false;
    w.linked_.set(false);
    intrusive_list<waiter>::erase(w);
    return true;
  }

  /// For callers that poll: like `wait()`, but there is one place for each direction, and a second
  /// waiter takes it over; the first is then not fired.
  [[nodiscard]] ready_event poll_readiness(direction d, waiter& w) noexcept {
    const std::lock_guard lock(lock_);
    const ready_event now = mark_and_look(mask(d));
    if (now.is_empty()) slot(d) = &w;
    return now;
  }
  /// Empties the place. Returns who was there; null if it has been fired, or is about to be.
  waiter* clear_poll_waiter(direction d) noexcept {
    const std::lock_guard lock(lock_);
    waiter* const old = slot(d);
    slot(d) = nullptr;
    return old;
  }

  /// Driver: readiness has arrived. Wakes whoever waits for it.
  void dispatch(net::ready arrived) noexcept {
    if ((add(arrived) & word::has_waiters) != 0) wake(arrived, wake_cause::readiness);
  }

  /// After a system call that would block: what `interest` asks for is not there. Directions with
  /// news since `event` are left alone.
  void clear_readiness(const ready_event& event, net::interest what) noexcept {
    net::ready read;
    net::ready write;
    if (what.is_readable()) read |= mask(direction::read) | net::ready::error();
    if (what.is_priority()) read |= net::ready::priority();
    if (what.is_writable()) write |= mask(direction::write) | net::ready::error();
    if (what.is_error()) write |= net::ready::error();
    clear(event, read, write);
  }

  /// After a read or write that moved fewer bytes than asked, on an edge-triggered plain stream:
  /// the next system call would block. The closed bits stay: behind the bytes may be the end. Nor
  /// does it hold where urgent data came, because a read ends at its mark, whatever is behind it.
  void clear_after_short_io(const ready_event& event, direction d) noexcept {
    if (d == direction::write)
      clear(event, {}, net::ready::writable());
    else if ((event.word_ & word::bits(net::ready::priority())) == 0)
      clear(event, net::ready::readable(), {});
  }

  /// The driver is gone: everybody wakes, and nobody waits any more. Idempotent, any thread.
  void shutdown() noexcept { end(word::shutdown, wake_cause::shutdown); }
  /// The registration ends. Waiters must not touch it again.
  void close() noexcept { end(word::closing, wake_cause::closing); }

  /// True if nobody waits. For tests and assertions.
  [[nodiscard]] bool has_no_waiters() noexcept {
    const std::lock_guard lock(lock_);
    return nobody_waits();
  }

 private:
  static constexpr std::size_t batch = 32;

  static constexpr net::ready mask(direction d) noexcept {
    return d == direction::read ? net::interest::readable().mask()
                                : net::interest::writable().mask();
  }
  [[nodiscard]] waiter*& slot(direction d) noexcept {
    return d == direction::read ? reader_ : writer_;
  }
  [[nodiscard]] bool nobody_waits() noexcept {
    return waiters_.empty() && reader_ == nullptr && writer_ == nullptr;
  }

  // Under the lock: see R3.
  ready_event mark_and_look(net::ready wanted) noexcept {
    std::uint64_t now = word_.load(std::memory_order_acquire);
    if ((now & word::has_waiters) == 0 && ready_event(now, wanted).is_empty())
      now = word_.fetch_or(word::has_waiters, std::memory_order_acq_rel);
    return ready_event(now, wanted);
  }

  // Returns the word before.
  std::uint64_t add(net::ready arrived) noexcept {
    using net::ready;
    const bool reads =
        !((ready::readable() | ready::read_closed() | ready::priority() | ready::error()) & arrived)
             .is_empty();
    const bool writes =
        !((ready::writable() | ready::write_closed() | ready::error()) & arrived).is_empty();
    std::uint64_t now = word_.load(std::memory_order_relaxed);
    for (;;) {
      std::uint64_t next = now | word::bits(arrived);
      if (reads) next = word::bump(next, direction::read);
      if (writes) next = word::bump(next, direction::write);
      if (word_.compare_exchange_weak(now, next, std::memory_order_acq_rel,
                                      std::memory_order_relaxed))
        return now;
    }
  }

  void clear(const ready_event& event, net::ready read, net::ready write) noexcept {
    std::uint64_t now = word_.load(std::memory_order_relaxed);
    for (;;) {
      std::uint64_t gone = 0;
      if (word::tick(now, direction::read) == word::tick(event.word_, direction::read))
        gone |= word::bits(read);
      if (word::tick(now, direction::write) == word::tick(event.word_, direction::write))
        gone |= word::bits(write);
      if ((now & gone) == 0) return;
      if (word_.compare_exchange_weak(now, now & ~gone, std::memory_order_acq_rel,
                                      std::memory_order_relaxed))
        return;
    }
  }

  void end(std::uint64_t mark, wake_cause cause) noexcept {
    const std::uint64_t before = word_.fetch_or(mark, std::memory_order_acq_rel);
    if ((before & mark) == 0 && (before & word::has_waiters) != 0) wake(net::ready::all(), cause);
  }

  void wake(net::ready what, wake_cause cause) noexcept {
    std::unique_lock lock(lock_);
    waiter* const only = waiters_.only();
    if (only != nullptr && reader_ == nullptr && writer_ == nullptr) [[likely]] {
      if ((only->wanted_ & what).is_empty()) return;
      intrusive_list<waiter>::erase(*only);
      only->linked_.set(false);
      lock.unlock();
      only->fire_(*only, cause);
      return;
    }
    if (nobody_waits()) {
      word_.fetch_and(~word::has_waiters, std::memory_order_acq_rel);
      return;
    }
    wake_many(lock, what, cause);
  }

  // Takes out everybody who is concerned at once, and fires them in the order of their arrival, 32
  // at a time without the lock. Who waits again meanwhile is not looked at: this ends.
  KIOTO_NOINLINE void wake_many(std::unique_lock<basic_spinlock<Sync>>& lock, net::ready what,
                                wake_cause cause) noexcept {
    std::array<waiter*, batch> firing;
    std::size_t count = 0;
    intrusive_list<waiter> due;
    if (reader_ != nullptr && !(mask(direction::read) & what).is_empty())
      firing[count++] = std::exchange(reader_, nullptr);
    if (writer_ != nullptr && !(mask(direction::write) & what).is_empty())
      firing[count++] = std::exchange(writer_, nullptr);
    for (waiter* w = waiters_.front(); w != nullptr;) {
      waiter* const next = waiters_.next(*w);
      if (!(w->wanted_ & what).is_empty()) {
        intrusive_list<waiter>::erase(*w);
        due.push_back(*w);
      }
      w = next;
    }
    for (;;) {
      while (count != batch && !due.empty()) {
        waiter* const w = due.pop_front();
        w->linked_.set(false);
        firing[count++] = w;
      }
      // Whoever is withdrawn meanwhile comes out of `due`, under the lock.
      const bool last = due.empty();
      lock.unlock();
      for (std::size_t i = 0; i != count; ++i) firing[i]->fire_(*firing[i], cause);
      if (last) return;
      count = 0;
      lock.lock();
    }
  }

  typename Sync::template atomic<std::uint64_t> word_;
  basic_spinlock<Sync> lock_;
  intrusive_list<waiter> waiters_;
  waiter* reader_ = nullptr;
  waiter* writer_ = nullptr;
};

inline net::ready ready_event::set() const noexcept {
  return readiness_word::readiness(word_) & wanted_;
}
inline bool ready_event::is_shut_down() const noexcept {
  return (word_ & readiness_word::shutdown) != 0;
}
inline bool ready_event::is_closing() const noexcept {
  return (word_ & readiness_word::closing) != 0;
}

using io_waiter = basic_io_waiter<std_sync>;

}  // namespace kioto::detail
