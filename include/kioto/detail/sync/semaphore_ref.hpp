// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include <kioto/detail/sync/acquire_operation.hpp>

namespace kioto::detail {

/// The reference of a guard or a permit: a plain pointer to the core, or shared ownership of the
/// object that the core is part of.
using borrowed_core = semaphore_core*;
using shared_core = std::shared_ptr<semaphore_core>;

/// Base of an operation that keeps the object it waits for alive. It precedes the operation among
/// the bases, so that it is destroyed after it.
template <class Owner>
class semaphore_ref;

template <>
class semaphore_ref<borrowed_core> {
 public:
  explicit semaphore_ref(borrowed_core) noexcept {}
  // In a register of its own: g++ would load it together with what lies beside it in the operation,
  // right after these have been stored one by one, and the processor stalls on that.
  [[nodiscard]] static borrowed_core release(semaphore_core& core) noexcept {
    borrowed_core out = &core;
    asm("" : "+r"(out));
    return out;
  }
};

template <>
class semaphore_ref<shared_core> {
 public:
  explicit semaphore_ref(shared_core owner) noexcept : owner_(std::move(owner)) {}
  [[nodiscard]] shared_core release(semaphore_core&) noexcept { return std::move(owner_); }

 private:
  shared_core owner_;
};

}  // namespace kioto::detail
