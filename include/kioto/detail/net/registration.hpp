// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include <kioto/config.hpp>
#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/base/spinlock.hpp>
#include <kioto/detail/base/sync_policy.hpp>
#include <kioto/net/interest.hpp>

namespace kioto::detail {

/// The two directions of a descriptor; each has a tick of its own.
enum class direction : std::uint8_t { read, write };

/// Why a waiter is fired.
enum class wake_cause : std::uint8_t {
  readiness,
  shutdown,  ///< the reactor has shut down
  closing,   ///< the registration ends: it must not be touched again
};

template <class Sync>
class basic_registration;

/// The readiness of a `basic_registration` at one moment, with the ticks by which
/// `clear_readiness()` detects whether anything has happened since.
class ready_event {
 public:
  ready_event() noexcept = default;
  ready_event(std::uint64_t word, net::ready wanted) noexcept : word_(word), wanted_(wanted) {}

  [[nodiscard]] inline net::ready set() const noexcept;
  /// Returns true if there is nothing to do but wait.
  [[nodiscard]] inline bool is_empty() const noexcept;
  [[nodiscard]] inline bool is_shut_down() const noexcept;
  [[nodiscard]] inline bool is_closing() const noexcept;
  [[nodiscard]] inline bool is_over() const noexcept;

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
  typename Sync::template var<bool> in_place_{false};  ///< for the waiting thread: where it was put
  typename Sync::template var<bool> linked_{false};    ///< guarded by the registration's lock
};

/// Layout of the readiness word. All flags are in its lower half. The write tick is at the top, and
/// the bit above the read tick absorbs its carry; so one addition increments both ticks.
struct readiness_word {
  static constexpr unsigned tick_bits = 20;
  static constexpr std::uint64_t tick_mask = (std::uint64_t{1} << tick_bits) - 1;
  static constexpr std::uint64_t carry = std::uint64_t{1} << tick_bits;
  static constexpr unsigned ready_shift = tick_bits + 1;
  static constexpr std::uint64_t closing = std::uint64_t{1} << 27;
  static constexpr std::uint64_t shutdown = std::uint64_t{1} << 28;
  static constexpr std::uint64_t over = closing | shutdown;
  static constexpr std::uint64_t has_reader = std::uint64_t{1} << 29;
  static constexpr std::uint64_t has_writer = std::uint64_t{1} << 30;
  static constexpr std::uint64_t has_waiters = std::uint64_t{1} << 31;
  static constexpr unsigned write_tick_shift = 64 - tick_bits;

  static constexpr std::uint64_t bits(net::ready r) noexcept {
    return std::uint64_t{r.bits()} << ready_shift;
  }
  static constexpr net::ready readiness(std::uint64_t word) noexcept {
    return net::ready::from_bits(static_cast<std::uint32_t>(word >> ready_shift));
  }
  /// Returns true if there was no event in direction `d` between the two words.
  static constexpr bool same_tick(std::uint64_t a, std::uint64_t b, direction d) noexcept {
    return d == direction::read ? ((a ^ b) & tick_mask) == 0 : (a ^ b) >> write_tick_shift == 0;
  }
  /// The word after an event: adds the readiness, and increments the ticks of the directions that
  /// it affects.
  static constexpr std::uint64_t with(std::uint64_t word, net::ready arrived) noexcept {
    return ((word + bumps[arrived.bits()]) & ~carry) | bits(arrived);
  }

 private:
  // For each readiness, the increment for the ticks of the directions that it affects.
  static constexpr auto bumps = [] {
    using net::ready;
    constexpr ready reads =
        ready::readable() | ready::read_closed() | ready::priority() | ready::error();
    constexpr ready writes = ready::writable() | ready::write_closed() | ready::error();
    std::array<std::uint64_t, std::size_t{ready::all().bits()} + 1> out{};
    for (std::uint32_t i = 0; i != out.size(); ++i) {
      const ready arrived = ready::from_bits(i);
      if (!(arrived & reads).is_empty()) out[i] += 1;
      if (!(arrived & writes).is_empty()) out[i] += std::uint64_t{1} << write_tick_shift;
    }
    return out;
  }();
};

/// The readiness of one descriptor, and the waiters for it. Sockets use only this interface.
///
/// One word holds readiness bits, a tick for each direction, marks that there are waiters, and two
/// final marks: shutdown (of the reactor) and closing (this registration ends).
///
/// Most often one task reads and one writes. So each direction has a place for one waiter, which
/// needs no lock; a waiter that finds it taken, or waits for something else, goes into the list.
///
/// Invariants:
/// - R1 Every transition starts from the current word, so no bit is ever lost; shutdown and closing
///   are never cleared within a life.
/// - R2 Readiness that arrives increments the tick of each direction it affects.
///   `clear_readiness()` acts on a direction only if its tick is the one of the event: an edge that
///   arrived between a system call that would block and the clearing survives. 20 bits wrap after a
///   million edges within one system call.
/// - R3 A waiter of the list marks the word with a read-modify-write, under the lock, and checks
///   the readiness in the result of that operation. So each edge is either seen there, or sees the
///   mark and takes the lock. If the mark is already set, a load is enough: an edge that the load
///   misses saw the mark, and its wake either waits for the lock, or had it before, and then the
///   load cannot miss the edge.
/// - R4 The mark of the list is cleared only under the lock, by a wake that finds no waiter. It may
///   be set while there is no waiter.
/// - R5 A waiter is in a place, in the list, in the list of one wake in progress, or in none. It is
///   fired at most once per wait, by the thread that takes it out of its place, or under the lock
///   out of its list.
/// - R6 No waiter is fired under the lock; a fired one may do anything, including removing the
///   registration: its memory stays until no turn of the reactor is in progress.
/// - R7 A waiter first makes sure that the word has the mark of its place, which is never cleared.
///   Then it enters the place with a read-modify-write, and then it checks the readiness. An edge
///   before the mark is seen. The wake of a later one empties the place with a read-modify-write:
///   either that finds the waiter; or it came before the waiter's read-modify-write, which acquires
///   it, and then the load cannot miss the edge.
///
/// Memory order: writers of the word release, readers acquire, because an operation that continues
/// after an edge must see what the thread of the reactor did before. R3 and R7 need no more: both
/// sides are read-modify-writes of one word, or synchronise through the lock or the place.
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

  /// The current readiness, restricted to `wanted`. Any thread.
  [[nodiscard]] ready_event readiness(net::ready wanted) const noexcept {
    return ready_event(word_.load(std::memory_order_acquire), wanted);
  }

  /// Queues a waiter, unless some readiness in `wanted` is already there: then the returned event
  /// is not empty and the waiter is not queued.
  [[nodiscard]] ready_event wait(waiter& w, net::ready wanted) noexcept {
    w.wanted_ = wanted;
    const bool reads = wanted == mask(direction::read);
    if (!reads && wanted != mask(direction::write)) return wait_in_list(w);
    const std::uint64_t mark = reads ? word::has_reader : word::has_writer;
    if ((word_.load(std::memory_order_relaxed) & mark) == 0) [[unlikely]]
      word_.fetch_or(mark, std::memory_order_acq_rel);
    w.in_place_.set(true);  // before other threads see it
    auto& place = places_[reads ? 0 : 1];
    waiter* nobody = nullptr;
    if (!place.compare_exchange_strong(nobody, &w, std::memory_order_acq_rel,
                                       std::memory_order_relaxed))
      return wait_in_list(w);
    const ready_event event(word_.load(std::memory_order_acquire), wanted);  // see R7
    // If the waiter is no longer in its place, it will be fired, as if the edge had come a little
    // later.
    if (event.is_empty() || leave_place(place, w)) [[likely]]
      return event;
    return ready_event();
  }

  /// Cancels a wait. Returns false if the waiter has been fired, or is about to be.
  [[nodiscard]] bool cancel_wait(waiter& w) noexcept {
    if (w.in_place_.get())
      return leave_place(places_[w.wanted_ == mask(direction::read) ? 0 : 1], w);
    const std::lock_guard lock(lock_);
    if (!w.linked_.get()) return false;
    w.linked_.set(false);
    intrusive_list<waiter>::erase(w);
    return true;
  }

  /// For poll-style callers: like `wait()`, but there is one slot for each direction, and a second
  /// waiter replaces the first, which is then not fired.
  [[nodiscard]] ready_event poll_readiness(direction d, waiter& w) noexcept {
    const std::lock_guard lock(lock_);
    const ready_event now = mark_and_look(mask(d));
    if (now.is_empty()) slot(d) = &w;
    return now;
  }
  /// Empties the slot. Returns the waiter that was in it; null if it has been fired, or is about to
  /// be.
  waiter* clear_poll_waiter(direction d) noexcept {
    const std::lock_guard lock(lock_);
    waiter* const old = slot(d);
    slot(d) = nullptr;
    return old;
  }

  /// Called by the reactor when readiness has arrived. Wakes the waiters for it.
  void dispatch(net::ready arrived) noexcept { wake(add(arrived), arrived, wake_cause::readiness); }

  /// Called after a system call that would block: clears the readiness that `what` covers.
  /// Directions with a new edge since `event` are left unchanged.
  void clear_readiness(const ready_event& event, net::interest what) noexcept {
    net::ready read;
    net::ready write;
    if (what.is_readable()) read |= mask(direction::read) | net::ready::error();
    if (what.is_priority()) read |= net::ready::priority();
    if (what.is_writable()) write |= mask(direction::write) | net::ready::error();
    if (what.is_error()) write |= net::ready::error();
    clear(event.word_, read, write);
  }

  /// After a read or write that moved fewer bytes than asked, on an edge-triggered plain stream:
  /// the next system call would block. The closed bits stay, because the end of the stream may
  /// follow the bytes. It does not hold if urgent data came, because a read ends at the urgent
  /// mark, even if there are bytes after it.
  void clear_after_short_io(const ready_event& event, direction d) noexcept {
    const bool reads = d == direction::read;
    if (reads && (event.word_ & word::bits(net::ready::priority())) != 0) return;
    const net::ready gone = reads ? net::ready::readable() : net::ready::writable();
    // The common case: nothing has happened since.
    std::uint64_t now = event.word_;
    if (word_.compare_exchange_strong(now, now & ~word::bits(gone), std::memory_order_acq_rel,
                                      std::memory_order_relaxed)) [[likely]]
      return;
    clear(event.word_, reads ? gone : net::ready(), reads ? net::ready() : gone);
  }

  /// The reactor has shut down: wakes all waiters, and no later operation waits. Idempotent, any
  /// thread.
  void shutdown() noexcept { end(word::shutdown, wake_cause::shutdown); }
  /// The registration ends. Waiters must not touch it again.
  void close() noexcept { end(word::closing, wake_cause::closing); }

  /// The number of the current life: how many descriptors this was used for before.
  // Relaxed: an event that a race dispatches to the next life is a false hint, which every waiter
  // tolerates.
  [[nodiscard]] std::uint8_t life() const noexcept { return life_.load(std::memory_order_relaxed); }
  /// Begins the next life, for another descriptor and other waiters. The registration must be
  /// closed, and accessible to the turn of the reactor only.
  void begin_anew(net::ready initial) noexcept {
    life_.store(static_cast<std::uint8_t>(life() + 1), std::memory_order_relaxed);
    word_.store(word::bits(initial), std::memory_order_release);
  }

  /// Returns true if there is no waiter. For tests and assertions.
  [[nodiscard]] bool has_no_waiters() noexcept {
    const std::lock_guard lock(lock_);
    return nobody_waits() && places_[0].load(std::memory_order_relaxed) == nullptr &&
           places_[1].load(std::memory_order_relaxed) == nullptr;
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

  KIOTO_NOINLINE ready_event wait_in_list(waiter& w) noexcept {
    w.in_place_.set(false);
    const std::lock_guard lock(lock_);
    const ready_event now = mark_and_look(w.wanted_);
    if (!now.is_empty()) return now;
    w.linked_.set(true);
    waiters_.push_back(w);
    return now;
  }

  static bool leave_place(typename Sync::template atomic<waiter*>& place, waiter& w) noexcept {
    waiter* expected = &w;
    return place.compare_exchange_strong(expected, nullptr, std::memory_order_acq_rel,
                                         std::memory_order_relaxed);
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
    std::uint64_t now = word_.load(std::memory_order_relaxed);
    while (!word_.compare_exchange_weak(now, word::with(now, arrived), std::memory_order_acq_rel,
                                        std::memory_order_relaxed)) {
    }
    return now;
  }

  KIOTO_NOINLINE void clear(std::uint64_t event, net::ready read, net::ready write) noexcept {
    std::uint64_t now = word_.load(std::memory_order_relaxed);
    for (;;) {
      std::uint64_t gone = 0;
      if (word::same_tick(now, event, direction::read)) gone |= word::bits(read);
      if (word::same_tick(now, event, direction::write)) gone |= word::bits(write);
      if ((now & gone) == 0) return;
      if (word_.compare_exchange_weak(now, now & ~gone, std::memory_order_acq_rel,
                                      std::memory_order_relaxed))
        return;
    }
  }

  void end(std::uint64_t mark, wake_cause cause) noexcept {
    const std::uint64_t before = word_.fetch_or(mark, std::memory_order_acq_rel);
    if ((before & mark) == 0) wake(before, net::ready::all(), cause);
  }

  // Wakes the waiters for `what`, as far as the marks in the word `before` say that there may be
  // any.
  void wake(std::uint64_t before, net::ready what, wake_cause cause) noexcept {
    constexpr std::uint64_t marks = word::has_reader | word::has_writer | word::has_waiters;
    if ((before & marks) == 0) return;
    if ((before & marks) == word::has_reader) [[likely]] {
      if ((mask(direction::read) & what).is_empty()) return;
      waiter* const reader = empty_place(places_[0]);
      if (reader != nullptr) reader->fire_(*reader, cause);
      return;
    }
    wake_any(before, what, cause);
  }

  KIOTO_NOINLINE void wake_any(std::uint64_t before, net::ready what, wake_cause cause) noexcept {
    waiter* reader = nullptr;
    waiter* writer = nullptr;
    if ((before & word::has_reader) != 0 && !(mask(direction::read) & what).is_empty())
      reader = empty_place(places_[0]);
    if ((before & word::has_writer) != 0 && !(mask(direction::write) & what).is_empty())
      writer = empty_place(places_[1]);
    if ((before & word::has_waiters) != 0) return wake_list(reader, writer, what, cause);
    if (reader != nullptr) reader->fire_(*reader, cause);
    if (writer != nullptr) writer->fire_(*writer, cause);
  }

  static waiter* empty_place(typename Sync::template atomic<waiter*>& place) noexcept {
    return place.exchange(nullptr, std::memory_order_acq_rel);
  }

  // Takes out all affected waiters at once, and fires them in the order of their arrival, 32 at a
  // time without the lock. Waiters that are added meanwhile are ignored, so this terminates.
  void wake_list(waiter* reader, waiter* writer, net::ready what, wake_cause cause) noexcept {
    std::array<waiter*, batch> firing;
    std::size_t count = 0;
    if (reader != nullptr) firing[count++] = reader;
    if (writer != nullptr) firing[count++] = writer;
    intrusive_list<waiter> due;
    std::unique_lock lock(lock_);
    if (nobody_waits()) word_.fetch_and(~word::has_waiters, std::memory_order_acq_rel);
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
      // A waiter that is cancelled meanwhile leaves `due` under the lock.
      const bool last = due.empty();
      lock.unlock();
      for (std::size_t i = 0; i != count; ++i) firing[i]->fire_(*firing[i], cause);
      if (last) return;
      count = 0;
      lock.lock();
    }
  }

  typename Sync::template atomic<std::uint64_t> word_;
  /// The waiter to read, and the one to write.
  std::array<typename Sync::template atomic<waiter*>, 2> places_{};
  basic_spinlock<Sync> lock_;
  typename Sync::template atomic<std::uint8_t> life_{0};
  intrusive_list<waiter> waiters_;
  waiter* reader_ = nullptr;
  waiter* writer_ = nullptr;
};

inline net::ready ready_event::set() const noexcept {
  return readiness_word::readiness(word_) & wanted_;
}
inline bool ready_event::is_over() const noexcept { return (word_ & readiness_word::over) != 0; }
inline bool ready_event::is_empty() const noexcept {
  return (word_ & (readiness_word::bits(wanted_) | readiness_word::over)) == 0;
}
inline bool ready_event::is_shut_down() const noexcept {
  return (word_ & readiness_word::shutdown) != 0;
}
inline bool ready_event::is_closing() const noexcept {
  return (word_ & readiness_word::closing) != 0;
}

using io_waiter = basic_io_waiter<std_sync>;

}  // namespace kioto::detail
