// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/task/completion_queue.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>

namespace kioto::detail {

class runtime_core;
class standing_waits;

/// A wait for the next element of a stream that stays armed while nobody awaits it: a strand that
/// no task runs, with one leaf operation, which holds nothing when it has completed. Its completion
/// is a hint: the stream is asked again then.
///
/// It may be armed by one task and be looked at by another one. What the operation needs of a
/// runtime is that of the task that armed it, which is kept.
class standing_wait : public strand, public list_node<> {
 public:
  standing_wait(const standing_wait&) = delete;
  standing_wait& operator=(const standing_wait&) = delete;
  virtual ~standing_wait() = default;

  /// From `schedule()`, any thread: the operation has completed. The last access to this.
  void completed() noexcept;
  [[nodiscard]] inline runtime_core& core() const noexcept;
  [[nodiscard]] bool has_ended() const noexcept { return has_ended_; }

  /// Asks the stream. `ready`: what came of it is stored, and `has_ended_` is set if that is the
  /// end. `suspended`: it is armed, and may have been queued by now.
  virtual attempt ask() noexcept = 0;

  /// Where it is. For the consumer only, as is all that follows.
  enum class place : std::uint8_t {
    nowhere,
    due,      ///< to be asked, in `due_`
    waiting,  ///< armed, or in the completion queue
    resting,  ///< its runtime is shut down; in `resting_`
    arrived,  ///< has an element that was not taken
    taken,    ///< its element was taken: to be asked after all that are due
    ended,    ///< in `ended_`: nobody was told yet
  };
  place place_ = place::nowhere;
  standing_wait* queue_next = nullptr;
  standing_waits* waits_ = nullptr;

 protected:
  standing_wait() noexcept : strand(strand_kind::standing) {}
  bool has_ended_ = false;
};

/// The waits of one consumer for several streams. What an element costs does not depend on how many
/// of them wait: only those are asked that have completed, were added, or had their element taken.
///
/// Invariants:
/// - W1 A wait that is armed is completed once, and then is in the completion queue, once; or it is
///   cancelled. So a wait is in one place.
/// - W2 Whoever completes a wait touches nothing of it after it is in the queue, and nothing of
///   this unless a consumer waits: Q2 of the queue. So both may go when no wait is armed, and those
///   that could not be cancelled have been found in the queue.
/// - W3 A stream whose element was taken is asked after those that have completed meanwhile: they
///   take turns.
/// - W4 All that are armed were armed in one runtime: `core_`. When somebody in another one looks,
///   they are armed again there, because nobody may be driving the old one.
///
/// Everything but `completed()` belongs to the consumer, who may be another task each time.
class standing_waits {
 public:
  standing_waits() = default;
  standing_waits(const standing_waits&) = delete;
  standing_waits& operator=(const standing_waits&) = delete;
  /// No wait is armed.
  ~standing_waits() = default;

  void add(standing_wait& wait) noexcept;
  /// Nothing of the wait is in flight afterwards; what it had is dropped.
  void remove(standing_wait& wait) noexcept;
  /// The same for all that are added, who let go of each before the first is destroyed. Afterwards
  /// this can only be destroyed.
  void let_go(standing_wait& wait) noexcept;

  /// Asks those whose turn it is. `ready`: one has an element, or all have ended; `stopped`: those
  /// that have not ended cannot wait any more.
  attempt look(strand& consumer) noexcept;

  /// How many have not ended.
  [[nodiscard]] std::size_t live() const noexcept { return live_; }
  /// The one that has an element, or null.
  [[nodiscard]] standing_wait* arrived() const noexcept { return arrived_; }
  void take_arrived() noexcept;
  /// One that has ended and was not told yet, or null.
  standing_wait* pop_ended() noexcept;

  // For the operation of the consumer.
  [[nodiscard]] bool wait(leaf_operation& waiter) noexcept {
    waiter_ = &waiter;
    return queue_.wait();
  }
  [[nodiscard]] bool stop_waiting() noexcept { return queue_.stop_waiting(); }

  [[nodiscard]] runtime_core& core() const noexcept { return *core_; }

 private:
  friend standing_wait;
  using place = standing_wait::place;
  using queue = basic_completion_queue<std_sync, standing_wait>;

  void collect() noexcept;
  void move_to(runtime_core& core) noexcept;
  static bool withdraw(standing_wait& wait) noexcept;

  queue queue_;
  leaf_operation* waiter_ = nullptr;
  standing_wait* arrived_ = nullptr;
  standing_wait* taken_ = nullptr;
  intrusive_queue<standing_wait> due_;
  intrusive_queue<standing_wait> resting_;
  intrusive_queue<standing_wait> ended_;
  intrusive_list<standing_wait> all_;  ///< that have not ended
  std::size_t live_ = 0;               ///< how many these are
  std::shared_ptr<runtime_core> core_;
};

inline runtime_core& standing_wait::core() const noexcept { return waits_->core(); }

/// The one operation that waits for all of them. It has nothing to withdraw: it only stops waiting.
template <class Derived>
class [[nodiscard]] standing_operation : public leaf_awaiter<Derived> {
 public:
  static constexpr standing stands = standing::if_owned;

  attempt try_or_wait() noexcept override {
    if (waits_ == nullptr) return attempt::ready;
    for (;;) {
      const attempt looked = waits_->look(*this->strand_);
      if (looked != attempt::suspended) return looked;
      const attempt result = this->wait([this]() noexcept { return waits_->wait(*this); });
      if (result != attempt::ready) return result;
      // Something has completed meanwhile.
    }
  }
  bool cancel() noexcept override { return waits_->stop_waiting(); }
  bool withdraw() noexcept override { return true; }  // what came is kept by the waits

 protected:
  /// Null: there is no stream.
  explicit standing_operation(standing_waits* waits) noexcept : waits_(waits) {
    this->retries_ = true;
  }
  standing_operation(standing_operation&&) noexcept = default;
  ~standing_operation() = default;

  standing_waits* waits_;
};

}  // namespace kioto::detail
