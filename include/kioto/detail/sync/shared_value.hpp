// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <type_traits>
#include <utility>

#include <kioto/detail/base/pooled.hpp>

namespace kioto::detail {

/// A counted reference to an immutable value. Copying it runs no user code, so it may be copied
/// under a lock; the last reference destroys the value.
template <class T>
class shared_value {
 public:
  template <class... Args>
  explicit shared_value(std::in_place_t, Args&&... args)
      : at_(make_pooled<cell>(std::forward<Args>(args)...)) {}
  shared_value(const shared_value& other) noexcept : at_(other.at_) {
    if (at_ != nullptr) at_->references.fetch_add(1, std::memory_order_relaxed);
  }
  shared_value(shared_value&& other) noexcept : at_(std::exchange(other.at_, nullptr)) {}
  shared_value& operator=(shared_value other) noexcept {
    std::swap(at_, other.at_);
    return *this;
  }
  ~shared_value() {
    // If this is the only reference, no other can appear meanwhile, because new ones are copied
    // from existing ones.
    if (at_ != nullptr && (at_->references.load(std::memory_order_acquire) == 1 ||
                           at_->references.fetch_sub(1, std::memory_order_acq_rel) == 1))
      destroy_pooled(at_);
  }

  [[nodiscard]] const T& operator*() const noexcept { return at_->value; }
  [[nodiscard]] T& unshared() noexcept { return at_->value; }
  /// Returns true if there is no other reference.
  [[nodiscard]] bool is_unique() const noexcept {
    return at_->references.load(std::memory_order_acquire) == 1;
  }

 private:
  struct cell {
    template <class... Args>
    explicit cell(Args&&... args) : value(std::forward<Args>(args)...) {}
    std::atomic<std::size_t> references{1};
    T value;
  };
  cell* at_;
};

}  // namespace kioto::detail
