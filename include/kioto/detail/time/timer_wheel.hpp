// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>

#include <kioto/detail/base/intrusive_list.hpp>

namespace kioto::detail {

struct timer_tag {};

/// A timer, the base of the operation that waits for it. Its state is never copied; it stays in
/// place while it is inserted.
///
/// Small, because every sleeping task has one: the deadline, its position, and the reason for
/// firing share a word. So only the thread that may insert or remove the timer accesses any of
/// them.
struct timer_node : list_node<timer_tag> {
  static constexpr unsigned tick_bits = 53;

  timer_node() noexcept : timer_node(0) {}
  explicit timer_node(std::uint64_t deadline, bool has_passed = false) noexcept
      : deadline_(deadline),
        level_(0),
        slot_(0),
        cancelled_by_shutdown_(0),
        has_passed_(has_passed ? 1 : 0) {}

  /// The tick at which it is due, as of the last insertion.
  [[nodiscard]] std::uint64_t deadline() const noexcept { return deadline_; }

  /// Returns true if it was fired because of the shutdown of the driver and not because of the
  /// time.
  [[nodiscard]] bool cancelled_by_shutdown() const noexcept { return cancelled_by_shutdown_ != 0; }
  void set_cancelled_by_shutdown(bool on) noexcept { cancelled_by_shutdown_ = on ? 1 : 0; }

  /// Returns true if the deadline, before it was rounded up to a tick, had passed at construction.
  [[nodiscard]] bool has_passed() const noexcept { return has_passed_ != 0; }

 private:
  friend class timer_wheel;

  std::uint64_t deadline_ : tick_bits;
  std::uint64_t level_ : 3;
  std::uint64_t slot_ : 6;
  std::uint64_t cancelled_by_shutdown_ : 1;
  std::uint64_t has_passed_ : 1;
};
static_assert(sizeof(void*) != 8 || sizeof(timer_node) == 24);

using timer_list = intrusive_list<timer_node, timer_tag>;

/// The outcome of an insertion.
enum class timer_insert : std::uint8_t {
  inserted,
  inserted_earliest,  ///< the driver may sleep for too long: unpark it
  elapsed,            ///< not inserted, will not fire: already due, or `cancelled_by_shutdown()`
};

/// Hierarchical timing wheel: 6 levels of 64 slots. A slot of level n spans 64^n ticks.
///
/// Invariants:
/// - W1 A timer is at the level of the highest group of 6 bits in which its deadline differs from
///   the current tick, in the slot given by this group of its deadline. So the slot of the current
///   tick is empty at every level, and timers at a lower level are due earlier.
/// - W2 Timers beyond the span of the wheel are also at the top level; only there may a timer be in
///   the current slot, which is then due a rotation later. They are filed again when the slot is
///   reached.
/// - W3 A bit of `occupied_` is set exactly if its slot is not empty.
///
/// Timers of the same tick expire in the order of their insertion. Thread safety: none.
class timer_wheel {
 public:
  static constexpr unsigned levels = 6;
  static constexpr unsigned slots = 64;
  /// The last tick, in a quarter of a million years.
  static constexpr std::uint64_t never = (std::uint64_t{1} << timer_node::tick_bits) - 1;

  explicit timer_wheel(std::uint64_t now = 0) noexcept : now_(now) {}

  [[nodiscard]] std::uint64_t now() const noexcept { return now_; }
  [[nodiscard]] bool empty() const noexcept {
    for (std::uint64_t bits : occupied_)
      if (bits != 0) return false;
    return true;
  }

  /// Inserts a timer. Returns false, without effect, if it is already due.
  [[nodiscard]] bool insert(timer_node& timer, std::uint64_t deadline) noexcept {
    assert(deadline <= never);
    timer.deadline_ = deadline & never;
    if (deadline <= now_) return false;
    file(timer);
    return true;
  }

  /// Removes a timer that is in the wheel, or still in a list that the wheel moved it to.
  void remove(timer_node& timer) noexcept {
    timer_list::erase(timer);
    // Also correct for a timer that has left the wheel: by W3 this changes nothing then.
    if (wheel_[timer.level_][timer.slot_].empty())
      occupied_[timer.level_] &= ~(std::uint64_t{1} << timer.slot_);
  }

  /// Advances the time and appends the timers that are due to `expired`, ordered by deadline. A
  /// time before the current one is ignored.
  void advance(std::uint64_t now, timer_list& expired) noexcept {
    if (now < now_) return;
    for (position next = first(); next.start <= now && next.level != levels; next = first()) {
      now_ = next.start;
      timer_list due;
      take(next.level, next.slot, due);
      if (next.level == 0) {
        due.warm();
        expired.splice_back(due);
        continue;
      }
      due.consume([&](timer_node& timer) {
        if (timer.deadline_ <= now_)
          expired.push_back(timer);
        else
          file(timer);
      });
    }
    now_ = now;
  }

  /// The tick at which to call `advance` next: not later than the earliest deadline, but possibly
  /// earlier, when a slot of a higher level begins. `never` if the wheel is empty.
  [[nodiscard]] std::uint64_t next_expiration() const noexcept { return first().start; }

  /// The timer that is due first; `next_expiration()` may be earlier than that. Null if the wheel
  /// is empty. Visits the timers of one slot, or of the whole top level if no timer is nearer.
  [[nodiscard]] timer_node* earliest() noexcept {
    timer_node* found = nullptr;
    const auto walk = [&found](timer_list& slot) {
      for (timer_node* t = slot.front(); t != nullptr; t = slot.next(*t))
        if (found == nullptr || t->deadline_ < found->deadline_) found = t;
    };
    const position next = first();
    if (next.level < levels - 1)
      walk(wheel_[next.level][next.slot]);
    else if (next.level == levels - 1)
      for (timer_list& slot : wheel_[levels - 1]) walk(slot);  // by W2
    return found;
  }

  /// Appends all timers to `out`, in no order.
  void drain(timer_list& out) noexcept {
    for (unsigned level = 0; level != levels; ++level)
      while (occupied_[level] != 0)
        take(level, static_cast<unsigned>(std::countr_zero(occupied_[level])), out);
  }

 private:
  struct position {
    unsigned level;
    unsigned slot;
    std::uint64_t start;
  };

  static constexpr unsigned slot_bits = 6;
  static constexpr std::uint64_t slot_mask = slots - 1;

  static constexpr unsigned slot_at(std::uint64_t tick, unsigned level) noexcept {
    return static_cast<unsigned>((tick >> (slot_bits * level)) & slot_mask);
  }

  void file(timer_node& timer) noexcept {
    const std::uint64_t deadline = timer.deadline_;
    const unsigned group = static_cast<unsigned>(std::bit_width(deadline ^ now_) - 1) / slot_bits;
    const unsigned level = group < levels ? group : levels - 1;
    const unsigned slot = slot_at(deadline, level);
    timer.level_ = level & 7U;
    timer.slot_ = slot & slot_mask;
    wheel_[level][slot].push_back(timer);
    occupied_[level] |= std::uint64_t{1} << slot;
  }

  void take(unsigned level, unsigned slot, timer_list& out) noexcept {
    out.splice_back(wheel_[level][slot]);
    occupied_[level] &= ~(std::uint64_t{1} << slot);
  }

  /// The occupied slot that begins first; level `levels` if there is none.
  [[nodiscard]] position first() const noexcept {
    for (unsigned level = 0; level != levels; ++level) {
      if (occupied_[level] == 0) continue;
      const unsigned shift = slot_bits * level;
      const unsigned present = slot_at(now_, level);
      // The search starts with the slot after the current one, so the current one comes last, by
      // W2.
      const std::uint64_t ahead =
          std::rotr(occupied_[level], static_cast<int>((present + 1) & slot_mask));
      const std::uint64_t distance = static_cast<unsigned>(std::countr_zero(ahead)) + 1U;
      const std::uint64_t begin = (now_ >> shift) + distance;
      const bool overflow = begin > (never >> shift);
      return {level, static_cast<unsigned>((present + distance) & slot_mask),
              overflow ? never - 1 : begin << shift};
    }
    return {levels, 0, never};
  }

  std::uint64_t now_;
  std::array<std::uint64_t, levels> occupied_{};
  std::array<std::array<timer_list, slots>, levels> wheel_;
};

}  // namespace kioto::detail
