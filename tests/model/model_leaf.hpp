// SPDX-License-Identifier: MIT
#pragma once

// A task that waits in one operation, for the models of primitives: the protocol of
// kioto/detail/task/strand.hpp and of task_header::enter() on the real suspension word. Whoever
// comes to own the strand runs it, on the spot.

#include <kioto/detail/task/suspension.hpp>

#include "relacy_policy.hpp"

namespace kioto_model {

/// `Derived` has
/// - `bool try_now()`: completes at once;
/// - `bool link()`: hands the operation to the primitive; false: it completed instead;
/// - `bool withdraw()`: takes it back; false: it has been or will be fired;
/// - `void ended(bool value)`: the frame goes on with the value, or is destroyed.
/// The primitive calls `fire()`, others `stop()`.
template <class Derived>
class model_leaf {
  using suspension = kioto::detail::basic_suspension<model_sync>;

 public:
  void start() {
    frame_.set(1);
    if (self().try_now()) return end(true);
    if (word_.stop_requested()) return end(false);
    ticket_ = word_.prepare();
    if (!self().link()) return end(true);
    switch (word_.arm(ticket_, false)) {
      case suspension::arm_result::suspended:
        return;
      case suspension::arm_result::fired:
        return end(true);
      case suspension::arm_result::stop:
        if (self().withdraw()) return end(false);
        if (word_.arm(ticket_, true) == suspension::arm_result::fired) end(true);
    }
  }

  void fire() noexcept {
    check(ended_.load(std::memory_order_relaxed) == 0, "an operation that ended is gone");
    if (word_.complete(ticket_.fired)) run();
  }
  void stop() {
    if (word_.request_stop()) run();
  }

  [[nodiscard]] bool has_ended() const { return ended_.load(std::memory_order_acquire) != 0; }
  void wait_until_ended() const {
    while (!has_ended()) model_sync::yield();
  }

 private:
  Derived& self() { return static_cast<Derived&>(*this); }

  void run() {
    frame_.set(frame_.get() + 1);
    if (!word_.has_fired(ticket_.fired)) {
      if (word_.stop_requested() && self().withdraw()) return end(false);
      if (word_.arm({suspension::owned, ticket_.fired}, true) == suspension::arm_result::suspended)
        return;
    }
    end(true);
  }
  void end(bool value) {
    frame_.set(frame_.get() + 1);
    self().ended(value);
    check(ended_.exchange(1, std::memory_order_acq_rel) == 0, "ended once");
  }

  suspension word_;
  typename suspension::ticket ticket_{};
  model_sync::var<int> frame_{0};
  model_sync::atomic<int> ended_{0};
};

}  // namespace kioto_model
