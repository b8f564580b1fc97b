// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include <kioto/detail/sync/acquire_operation.hpp>
#include <kioto/detail/sync/semaphore_ref.hpp>
#include <kioto/detail/task/thread_wait.hpp>
#include <kioto/result.hpp>

namespace kioto {
namespace detail {

[[noreturn]] void throw_foreign_permit();
/// Throws std::invalid_argument: `count` is more than the maximum number of permits of a semaphore.
[[noreturn]] std::size_t refused_permits(std::size_t count);
/// Throws std::overflow_error: adding `count` permits would exceed the maximum.
[[noreturn]] void refuse_more_permits(std::size_t count, std::size_t total);

/// The core of a semaphore that also counts all permits, held or not: all of them may be given back
/// at the same time.
///
/// Invariant: `total_` is never less than the sum of the permits in the core and those that are
/// held. So it grows before the core does, and shrinks after permits were taken out. Memory order:
/// `add()` acquires what `forgotten()` released, so it sees the core without the forgotten permits.
class counted_semaphore_core : public semaphore_core {
 public:
  constexpr explicit counted_semaphore_core(std::size_t permits) noexcept
      : semaphore_core(permits), total_(permits) {}

  void add(std::size_t n) {
    std::size_t now = total_.load(std::memory_order_acquire);
    do {
      if (n > max_permits - now) refuse_more_permits(n, now);
    } while (!total_.compare_exchange_weak(now, now + n, std::memory_order_acquire,
                                           std::memory_order_acquire));
    release(n);
  }
  /// See `basic_semaphore_core::forget`.
  std::size_t forget(std::size_t n) noexcept {
    const std::size_t taken = semaphore_core::forget(n);
    forgotten(taken);
    return taken;
  }
  /// `n` permits are gone for good: they will not be given back.
  void forgotten(std::size_t n) noexcept { total_.fetch_sub(n, std::memory_order_release); }

 private:
  std::atomic<std::size_t> total_;
};

template <class Owner>
class permit_operation;

}  // namespace detail

namespace sync {

/// Holds permits of a semaphore; gives them back when it is destroyed.
///
/// Lifetime: a `semaphore_permit` must not outlive its semaphore; an `owned_semaphore_permit` keeps
/// it alive. Thread safety: as a plain value; it may be destroyed on any thread.
template <class Owner>
class [[nodiscard]] basic_semaphore_permit {
 public:
  /// Holds nothing.
  basic_semaphore_permit() noexcept = default;
  basic_semaphore_permit(basic_semaphore_permit&& other) noexcept
      : owner_(std::exchange(other.owner_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  basic_semaphore_permit& operator=(basic_semaphore_permit&& other) noexcept {
    if (this != &other) {
      release();
      owner_ = std::exchange(other.owner_, nullptr);
      count_ = std::exchange(other.count_, 0);
    }
    return *this;
  }
  ~basic_semaphore_permit() { release(); }

  /// The number of permits it holds.
  [[nodiscard]] std::size_t count() const noexcept { return count_; }

  /// Gives the permits back now.
  void release() noexcept {
    if (count_ != 0) owner_->release(std::exchange(count_, 0));
    owner_ = nullptr;
  }
  /// Drops the permits without giving them back: the semaphore has that many fewer from now on.
  void forget() noexcept {
    if (count_ != 0)
      static_cast<detail::counted_semaphore_core&>(*owner_).forgotten(std::exchange(count_, 0));
    owner_ = nullptr;
  }
  /// Takes over the permits of another one. Throws std::logic_error if they belong to another
  /// semaphore.
  void merge(basic_semaphore_permit&& other) {
    if (other.count_ == 0) return;
    if (count_ != 0 && owner_ != other.owner_) detail::throw_foreign_permit();
    owner_ = std::exchange(other.owner_, nullptr);
    count_ += std::exchange(other.count_, 0);
  }
  /// Moves `n` of the permits into a new object. Returns nothing if it holds fewer.
  [[nodiscard]] std::optional<basic_semaphore_permit> split(std::size_t n) noexcept {
    if (n > count_) return std::nullopt;
    count_ -= n;
    return basic_semaphore_permit(owner_, n);
  }

 private:
  friend class semaphore;
  friend class detail::permit_operation<Owner>;

  basic_semaphore_permit(Owner owner, std::size_t count) noexcept
      : owner_(std::move(owner)), count_(count) {}

  Owner owner_ = nullptr;
  std::size_t count_ = 0;
};

using semaphore_permit = basic_semaphore_permit<detail::borrowed_core>;
using owned_semaphore_permit = basic_semaphore_permit<detail::shared_core>;

}  // namespace sync

namespace detail {

template <class Owner>
class [[nodiscard]] permit_operation final : private semaphore_ref<Owner>,
                                             public acquire_operation {
  using permit = sync::basic_semaphore_permit<Owner>;

 public:
  permit_operation(semaphore_core& core, Owner owner, std::size_t count) noexcept
      : semaphore_ref<Owner>(std::move(owner)), acquire_operation(core, count) {}
  permit_operation(permit_operation&&) noexcept = default;
  permit_operation& operator=(permit_operation&&) = delete;
  ~permit_operation() = default;

  result<permit> await_resume() noexcept {
    if (!take()) return error::closed;
    return permit(this->release(core()), wanted());
  }
};

}  // namespace detail

namespace sync {

/// A number of permits, to limit how many tasks do something at a time. 32 bytes.
///
/// Permits are granted in the order of arrival. A waiter that wants many gathers them at the head
/// of the queue; no later one overtakes it, even if there are enough permits for that one.
///
/// - Waits for: `acquire*` wait until the permits wanted are available. If they already are, this
///   costs one compare-and-swap, no internal lock and no allocation.
/// - Result: `result<semaphore_permit>`. What happened before a permit was given back happens
///   before the return of the `acquire` that gets it.
/// - Errors: `error::closed` after `close()`; of the `try_` forms also `error::full`: not enough
///   permits at the moment, or other tasks are waiting. Throws std::invalid_argument for more than
///   `max_permits`.
/// - Cancellation: loses the place in the queue; permits that were gathered go to the next waiter.
/// - In a select: withdrawn; permits that were granted or gathered go to the next waiter.
/// - Lifetime: the semaphore outlives its waiters and permits. The `_owned` forms take a
///   `std::shared_ptr` instead and share ownership. The task that gets the last permit may destroy
///   the semaphore at once, even if the call that gave the permit back has not returned yet.
/// - Thread safety: every member may be called from any thread.
/// - Deadlock: a task that waits for permits which it holds itself waits for ever.
///
///     auto permit = co_await connections.acquire();
///     if (!permit) co_return;  // closed
///     serve(std::move(*permit));
class semaphore {
  using core = detail::counted_semaphore_core;
  using operation = detail::permit_operation<detail::borrowed_core>;
  using owned_operation = detail::permit_operation<detail::shared_core>;

 public:
  static constexpr std::size_t max_permits = core::max_permits;

  constexpr explicit semaphore(std::size_t permits)
      : core_(permits <= max_permits ? permits : detail::refused_permits(permits)) {}
  semaphore(const semaphore&) = delete;
  semaphore& operator=(const semaphore&) = delete;

  [[nodiscard]] operation acquire() noexcept { return operation(core_, &core_, 1); }
  [[nodiscard]] operation acquire_many(std::size_t n) {
    if (n > max_permits) detail::refused_permits(n);
    return operation(core_, &core_, n);
  }
  [[nodiscard]] result<semaphore_permit> try_acquire() noexcept { return try_acquire_many(1); }
  [[nodiscard]] result<semaphore_permit> try_acquire_many(std::size_t n) {
    if (n > max_permits) detail::refused_permits(n);
    return attempt<detail::borrowed_core>(core_, &core_, n);
  }
  /// For threads outside of the runtime: throws std::logic_error in a task.
  [[nodiscard]] result<semaphore_permit> blocking_acquire() {
    return detail::run_on_thread(acquire(), "semaphore::blocking_acquire");
  }
  [[nodiscard]] result<semaphore_permit> blocking_acquire_many(std::size_t n) {
    return detail::run_on_thread(acquire_many(n), "semaphore::blocking_acquire_many");
  }

  [[nodiscard]] static owned_operation acquire_owned(std::shared_ptr<semaphore> self) noexcept {
    core& c = self->core_;
    return owned_operation(c, share(std::move(self)), 1);
  }
  [[nodiscard]] static owned_operation acquire_many_owned(std::shared_ptr<semaphore> self,
                                                          std::size_t n) {
    if (n > max_permits) detail::refused_permits(n);
    core& c = self->core_;
    return owned_operation(c, share(std::move(self)), n);
  }
  [[nodiscard]] static result<owned_semaphore_permit> try_acquire_owned(
      std::shared_ptr<semaphore> self) noexcept {
    return try_acquire_many_owned(std::move(self), 1);
  }
  [[nodiscard]] static result<owned_semaphore_permit> try_acquire_many_owned(
      std::shared_ptr<semaphore> self, std::size_t n) {
    if (n > max_permits) detail::refused_permits(n);
    core& c = self->core_;
    return attempt(c, share(std::move(self)), n);
  }

  /// Adds permits, which go to the waiters first. Throws std::overflow_error, without effect, if
  /// there would be more than `max_permits`, including those that are held.
  void add_permits(std::size_t n) { core_.add(n); }
  /// Removes up to `n` permits that are not held. Returns how many were removed.
  std::size_t forget_permits(std::size_t n) noexcept { return core_.forget(n); }
  /// All present and future waiters get `error::closed`. Permits that are held stay valid.
  void close() noexcept { core_.close(); }
  [[nodiscard]] bool is_closed() const noexcept { return core_.is_closed(); }
  /// The number of permits that are not held, excluding those that the first waiter has gathered.
  [[nodiscard]] std::size_t available_permits() const noexcept { return core_.available(); }

 private:
  static detail::shared_core share(std::shared_ptr<semaphore> self) noexcept {
    core* c = &self->core_;
    return detail::shared_core(std::move(self), c);
  }
  template <class Owner>
  static result<basic_semaphore_permit<Owner>> attempt(core& c, Owner owner,
                                                       std::size_t n) noexcept {
    switch (c.try_acquire(n)) {
      case detail::grant::granted:
        return basic_semaphore_permit<Owner>(std::move(owner), n);
      case detail::grant::closed:
        return error::closed;
      default:
        return error::full;
    }
  }

  core core_;
};
static_assert(sizeof(semaphore) == 8 + 2 * sizeof(void*) + 8);

}  // namespace sync
}  // namespace kioto
