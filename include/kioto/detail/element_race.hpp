// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include <kioto/detail/combinator.hpp>

namespace kioto::detail {

/// Waits until one of several streams has an element. The branches are their `next()`; once there
/// is an element the others are asked to stop, which costs them nothing but their place. Whatever
/// comes meanwhile is kept by who owns the streams.
class element_race : public combinator {
 protected:
  element_race() noexcept = default;
  element_race(element_race&&) noexcept = default;
  ~element_race() = default;

  /// The stream with this index has an element or has ended. True: there is one to hand over.
  virtual bool arrived(std::size_t index) noexcept = 0;
  /// Nothing is to be waited for: there is an element, or all have ended.
  [[nodiscard]] virtual bool is_over() const noexcept = 0;

 private:
  bool settle(branch_context& branch) noexcept override {
    return branch.outcome_ != outcome::stopped && arrived(branch.index_);
  }
  attempt conclude() noexcept override { return is_over() ? attempt::ready : attempt::stopped; }
};

}  // namespace kioto::detail
