// SPDX-License-Identifier: MIT
#pragma once

#include <kioto/kioto.hpp>

#include <kioto/detail/task/join_state.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>

namespace kioto_test {

/// An operation that any thread completes, once: it stands for events outside the runtime.
class signal {
 public:
  class [[nodiscard]] operation final : public kioto::detail::leaf_awaiter<operation> {
   public:
    explicit operation(signal& from) noexcept : from_(&from) {}
    operation(operation&&) noexcept = default;

    kioto::detail::attempt try_or_wait() noexcept override {
      if (from_->state_.is_done()) return kioto::detail::attempt::ready;
      return wait([this]() noexcept { return from_->state_.link(this); });
    }
    bool cancel() noexcept override { return from_->state_.unlink(this); }
    static void await_resume() noexcept {}

   private:
    signal* from_;
  };

  /// One waiter at a time.
  operation wait() noexcept { return operation(*this); }
  void set() noexcept {
    const auto end = state_.finish();
    if (end.waiter != nullptr) complete(*end.waiter);
  }
  [[nodiscard]] bool is_set() const noexcept { return state_.is_done(); }

 private:
  kioto::detail::basic_join_state<kioto::detail::std_sync, kioto::detail::leaf_operation> state_;
};

}  // namespace kioto_test
