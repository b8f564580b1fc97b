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

/// The children of a scope, those who wait for them, and what was decided about them. Any thread.
///
/// `Child` is a node of `intrusive_list<Child, ChildTag>`, has `queue_next`, and `add_reference()`,
/// which keeps its memory. `Waiter` is a node of `intrusive_list<Waiter>`, and has `queue_next`.
///
/// Invariants:
/// - S1 A child counts from `admit()` until `ended()`, which is called after its frame and the
///   result that nobody keeps are destroyed. Only who is counted, or the parent, calls `admit()`;
///   so once the count is zero, and the body has ended, it stays zero.
/// - S2 A waiter is linked only while the count is not zero. Who takes it out of the list fires it,
///   and it waits until then. It is taken under the lock, and not linked any longer from then on.
///   The scope therefore lives until the last child has let go of the lock, and who has let go of
///   the lock touches the scope no more, but for the waiters it took.
/// - S3 Every child is asked to stop once, whether it was admitted before or after that was
///   decided: the one who asks takes it out of its list under the lock, with a reference, and then
///   nobody else starts or asks it.
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

  /// At most this many children run at a time. Before there are any.
  void set_limit(std::size_t most) noexcept { limit_ = most; }

  // ---- children

  enum class admission : std::uint8_t {
    start,          ///< the caller starts it
    start_stopped,  ///< the same, and it is asked to stop before that
    later,          ///< it waits for a place: ended() names it
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

  /// Whoever waited for what has happened. The caller fires them, after which the scope may be
  /// gone.
  struct released {
    Child* next = nullptr;  ///< to be started
    intrusive_queue<Waiter> fired;
  };
  void ended(Child& child, released& out) noexcept {
    const std::lock_guard lock(lock_);
    children::erase(child);
    --running_;
    pending_.set(pending_.get() - 1);
    // Once it stops, those that wait for a place belong to who asks the children.
    if (!stopping_) out.next = queued_.pop_front();
    if (out.next != nullptr) {
      ++running_;
      unasked_.push_back(*out.next);
    } else {
      // All of them, because a place is not kept for anybody: one that stops before it uses it
      // would leave the others waiting beside it.
      take_all(for_place_, out);
    }
    if (pending_.get() == 0) take_all(for_end_, out);
  }

  // ---- stopping

  /// True for the first caller: it is the one that asks the children. Nobody waits for a place any
  /// longer.
  [[nodiscard]] bool begin_to_stop(released& out) noexcept {
    const std::lock_guard lock(lock_);
    if (stopping_) return false;
    stopping_ = true;
    take_all(for_place_, out);
    return true;
  }
  struct to_ask {
    Child* child = nullptr;     ///< null: there is none left
    bool has_to_start = false;  ///< it still waited for a place
  };
  /// The next child to be asked. Its memory is kept by a reference, which the caller drops.
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

  /// The first failure is the one that counts: true for it.
  [[nodiscard]] bool claim_failure() noexcept {
    const std::lock_guard lock(lock_);
    if (failed_) return false;
    failed_ = true;
    return true;
  }

  // ---- the body

  /// True: the caller sends the body word that it shall stop. Once.
  [[nodiscard]] bool begin_to_tell_body() noexcept {
    const std::lock_guard lock(lock_);
    if (body_ended_ || body_told_) return false;
    body_told_ = true;
    return true;
  }
  /// True: word is on its way to the body, and has to be waited for.
  [[nodiscard]] bool body_ended() noexcept {
    const std::lock_guard lock(lock_);
    body_ended_ = true;
    return body_told_;
  }

  // ---- waiters

  /// False: there is no child.
  [[nodiscard]] bool link_for_end(Waiter& waiter) noexcept {
    const std::lock_guard lock(lock_);
    if (pending_.get() == 0) return false;
    for_end_.push_back(waiter);
    return true;
  }
  /// False: there is a place, or everything stops.
  [[nodiscard]] bool link_for_place(Waiter& waiter) noexcept {
    const std::lock_guard lock(lock_);
    if (stopping_ || running_ < limit_) return false;
    for_place_.push_back(waiter);
    return true;
  }
  /// False: it has been taken, and is or will be fired.
  [[nodiscard]] bool unlink(Waiter& waiter) noexcept {
    const std::lock_guard lock(lock_);
    if (!waiter.is_linked()) return false;
    waiters::erase(waiter);
    return true;
  }

  // ---- for those who look

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
  /// Visits the children that have started, which cannot end meanwhile.
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
  std::size_t running_ = 0;                              ///< those of them that have started
  std::uint64_t admitted_ = 0;                           ///< ever
  std::size_t limit_ = std::numeric_limits<std::size_t>::max();
  children unasked_;  ///< have started, and were not asked to stop
  children asked_;
  intrusive_queue<Child> queued_;  ///< wait for a place
  waiters for_end_;
  waiters for_place_;
};

}  // namespace kioto::detail
