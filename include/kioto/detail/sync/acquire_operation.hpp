// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <utility>

#include <kioto/detail/sync/semaphore_core.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>

namespace kioto::detail {

class acquire_operation;
using semaphore_core = basic_semaphore_core<std_sync, acquire_operation>;

/// The core that an operation waits for. It is a base, and not the last member of the operation:
/// next to a member of a derived class, g++ would load both with one wide load when a guard is made
/// from them, right after two narrow stores. That stalls the processor for as long as a lock takes.
class core_reference {
 public:
  explicit core_reference(semaphore_core& core) noexcept : core_(&core) {}
  [[nodiscard]] semaphore_core& core() const noexcept { return *core_; }

 private:
  semaphore_core* core_;
};

/// Waits for permits of a `semaphore_core`. Operations built on permits derive from it, add
/// `await_resume()`, and call `take()` there. Movable until it is awaited.
///
/// Permits that were granted and not taken are given back, because a combinator may drop an
/// operation that completed.
class acquire_operation : public leaf_awaiter<acquire_operation>,
                          protected core_reference,
                          public basic_semaphore_waiter<std_sync> {
 public:
  /// `permits` must not exceed the maximum of the semaphore.
  acquire_operation(semaphore_core& core, std::size_t permits) noexcept
      : core_reference(core), basic_semaphore_waiter(permits) {}
  acquire_operation(acquire_operation&& other) noexcept
      : leaf_awaiter(static_cast<leaf_awaiter&&>(other)),
        core_reference(other),
        basic_semaphore_waiter(other.wanted()) {}
  acquire_operation& operator=(acquire_operation&&) = delete;

  attempt try_or_wait() noexcept override {
    const grant now = core().try_acquire(wanted());
    if (now == grant::none) return wait_in_line();
    set_state(now);
    return attempt::ready;
  }
  bool cancel() noexcept override;
  bool withdraw() noexcept override;

  /// Called by the semaphore: the permits are granted, or it is closed.
  void fire() noexcept { complete(*this); }

 protected:
  ~acquire_operation() {
    if (state() == grant::granted) [[unlikely]]
      give_back();
  }

  /// Returns true if the permits now belong to the caller; false if the semaphore is closed.
  [[nodiscard]] bool take() noexcept {
    const bool granted = state() == grant::granted;
    set_state(grant::none);
    return granted;
  }

 private:
  attempt wait_in_line() noexcept;
  void give_back() noexcept;
};

}  // namespace kioto::detail

extern template class kioto::detail::basic_semaphore_core<kioto::detail::std_sync,
                                                          kioto::detail::acquire_operation>;
