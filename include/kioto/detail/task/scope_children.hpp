// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>

#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/base/spinlock.hpp>
#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

/// The children of a scope, the waiters for them, and the decisions about them (stopping, the first
/// failure). Any thread.
///
/// `Child` is a node of `intrusive_list<Child, ChildTag>`, has `queue_next`, and `add_reference()`,
/// which keeps its memory. `Waiter` is a node of `intrusive_list<Waiter>`, and has `queue_next`.
///
/// Invariants:
/// - S1 A child counts from `admit()` until `ended()`, which is called after its frame, and its
///   result if no handle keeps it, are destroyed. Only a counted child or the parent calls
///   `admit()`; so once the count is zero and the body has ended, it stays zero.
/// - S2 A waiter is linked only while the count is not zero. The thread that takes it out of the
///   list, under the lock, fires it, and it waits until then. The scope therefore lives until the
///   last child has released the lock, and a thread that has released the lock no longer touches
///   the scope, except for the waiters it took.
/// - S3 Every child is asked to stop once, whether it was admitted before or after the decision to
///   stop: the thread that asks takes it out of its list under the lock, with a reference, and then
///   no other thread starts or asks it.
///
/// Memory order: everything is under the lock.
template <class Sync, class Child, class ChildTag, class Waiter>
class basic_scope_children {
 public:
  using children = intrusive_list<Child, ChildTag>;
  using waiters = intrusive_list<Waiter>;

  basic_scope_children() = default;
  basic_scope_children(const basic_scope_children&) = delete;
  basic_scope_children& operator=(const basic_scope_children&) = delete;

  /// Limits how many children run at a time. Called before there are any.
  void set_limit(std::size_t most) noexcept { limit_ = most; }

  // ---- children

  enum class admission : std::uint8_t {
    start,          ///< the caller starts it
    start_stopped,  ///< the caller starts it, having asked it to stop
    later,          ///< it waits for a slot: a later ended() returns it
  };
  [[nodiscard]] admission admit(Child& child) noexcept {
    const std::lock_guard lock(lock_);
    pending_.set(pending_.get() + 1);
    ++admitted_;
    if (!stopping_ && running_ >= limit_) {
      queued_.push_back(&child);
      return admission::later;
    }
    ++running_;
    (stopping_ ? asked_ : unasked_).push_back(child);
    return stopping_ ? admission::start_stopped : admission::start;
  }

  /// What an event releases. The caller starts and fires them, after which the scope may be
  /// destroyed.
  struct released {
    Child* next = nullptr;  ///< a child to be started
    intrusive_queue<Waiter> fired;
  };
  void ended(Child& child, released& out) noexcept {
    const std::lock_guard lock(lock_);
    children::erase(child);
    --running_;
    pending_.set(pending_.get() - 1);
    // Once the scope is stopping, queued children are taken by the thread that asks the children to
    // stop.
    if (!stopping_) out.next = queued_.pop_front();
    if (out.next != nullptr) {
      ++running_;
      unasked_.push_back(*out.next);
    } else {
      // All of them, because a slot is not reserved: a waiter that stops before it uses the slot
      // would leave the others waiting although it is free.
      take_all(for_place_, out);
    }
    if (pending_.get() == 0) take_all(for_end_, out);
  }

  // ---- stopping

  /// Returns true for the first caller, which then asks the children to stop. Releases the waiters
  /// for a slot.
  [[nodiscard]] bool begin_to_stop(released& out) noexcept {
    const std::lock_guard lock(lock_);
    if (stopping_) return false;
    stopping_ = true;
    take_all(for_place_, out);
    return true;
  }
  struct to_ask {
    Child* child = nullptr;     ///< null if none is left
    bool has_to_start = false;  ///< it was still waiting for a slot
  };
  /// The next child to be asked to stop. A reference, which the caller drops, keeps its memory.
  [[nodiscard]] to_ask next_to_ask() noexcept {
    const std::lock_guard lock(lock_);
    to_ask out;
    out.child = unasked_.pop_front();
    if (out.child == nullptr) {
      out.child = queued_.pop_front();
      if (out.child == nullptr) return out;
      out.has_to_start = true;
      ++running_;
    }
    asked_.push_back(*out.child);
    out.child->add_reference();
    return out;
  }

  /// Returns true for the first failure, which is the one that is reported.
  [[nodiscard]] bool claim_failure() noexcept {
    const std::lock_guard lock(lock_);
    if (failed_) return false;
    failed_ = true;
    return true;
  }

  // ---- the body

  /// Returns true once, if the body has not ended: the caller then sends the body the request to
  /// stop.
  [[nodiscard]] bool begin_to_tell_body() noexcept {
    const std::lock_guard lock(lock_);
    if (body_ended_ || body_told_) return false;
    body_told_ = true;
    return true;
  }
  /// Called when the body has ended. Returns true if a request to stop is on its way to the body,
  /// and has to be waited for.
  [[nodiscard]] bool body_ended() noexcept {
    const std::lock_guard lock(lock_);
    body_ended_ = true;
    return body_told_;
  }

  // ---- waiters

  /// Returns false if there is no child.
  [[nodiscard]] bool link_for_end(Waiter& waiter) noexcept {
    const std::lock_guard lock(lock_);
    if (pending_.get() == 0) return false;
    for_end_.push_back(waiter);
    return true;
  }
  /// Returns false if there is a free slot, or the scope is stopping.
  [[nodiscard]] bool link_for_place(Waiter& waiter) noexcept {
    const std::lock_guard lock(lock_);
    if (stopping_ || running_ < limit_) return false;
    for_place_.push_back(waiter);
    return true;
  }
  /// Returns false if it has been taken, and has been or will be fired.
  [[nodiscard]] bool unlink(Waiter& waiter) noexcept {
    const std::lock_guard lock(lock_);
    if (!waiter.is_linked()) return false;
    waiters::erase(waiter);
    return true;
  }

  // ---- inspection

  [[nodiscard]] std::size_t pending() noexcept {
    const std::lock_guard lock(lock_);
    return pending_.get();
  }
  [[nodiscard]] std::uint64_t admitted() noexcept {
    const std::lock_guard lock(lock_);
    return admitted_;
  }
  [[nodiscard]] bool is_stopping() noexcept {
    const std::lock_guard lock(lock_);
    return stopping_;
  }
  /// Visits the children that have started; they cannot end during the visit.
  template <class Visitor>
  void for_each(Visitor&& visit) {
    const std::lock_guard lock(lock_);
    for (children* list : {&unasked_, &asked_})
      for (Child* child = list->front(); child != nullptr; child = list->next(*child))
        visit(*child);
  }

 private:
  static void take_all(waiters& from, released& out) noexcept {
    while (Waiter* const w = from.pop_front()) out.fired.push_back(w);
  }

  basic_spinlock<Sync> lock_;
  bool stopping_ = false;
  bool failed_ = false;
  bool body_told_ = false;
  bool body_ended_ = false;
  typename Sync::template var<std::size_t> pending_{0};  ///< children that have not ended
  std::size_t running_ = 0;                              ///< of these, the ones that have started
  std::uint64_t admitted_ = 0;                           ///< in total
  std::size_t limit_ = std::numeric_limits<std::size_t>::max();
  children unasked_;  ///< started, and not asked to stop
  children asked_;
  intrusive_queue<Child> queued_;  ///< waiting for a slot
  waiters for_end_;
  waiters for_place_;
};

}  // namespace kioto::detail
