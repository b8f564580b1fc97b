// SPDX-License-Identifier: MIT
// Parkers: no wake-up is lost, whether the sleeper is in the driver or by itself.

#include <array>
#include <chrono>
#include <optional>

#include "base/parker.hpp"

#include "relacy_policy.hpp"

using namespace kioto_model;
namespace detail = kioto::detail;

namespace {

// Two wakers publish plain data; the sleeper must see what each of them published.
struct thread_parker : rl::test_suite<thread_parker, 3> {
  detail::basic_thread_parker<model_sync> parker;
  std::array<model_sync::atomic<int>, 2> flags;
  std::array<model_sync::var<int>, 2> data{};
  thread_parker() : flags{{{0}, {0}}} {}
  void thread(unsigned index) {
    if (index != 0) {
      data[index - 1].set(9);
      flags[index - 1].store(1, std::memory_order_relaxed);
      parker.unpark();
      return;
    }
    for (int i = 0; i != 2; ++i) {
      while (flags[static_cast<std::size_t>(i)].load(std::memory_order_relaxed) == 0) parker.park();
    }
  }
};

// A sleeper that goes on after one notification must see the data of its waker.
struct handed_over : rl::test_suite<handed_over, 2> {
  detail::basic_thread_parker<model_sync> parker;
  model_sync::var<int> data{0};
  void thread(unsigned index) {
    if (index == 0) {
      parker.park();
      check(data.get() == 9, "what came before the wake-up is visible");
    } else {
      data.set(9);
      parker.unpark();
    }
  }
};

// A driver that can be slept in: unpark() ends its turn, or the next one.
class driver {
 public:
  bool try_lock() { return locked_.exchange(1, std::memory_order_acquire) == 0; }
  void unlock() { locked_.store(0, std::memory_order_release); }
  void turn(std::optional<std::chrono::nanoseconds>) {
    while (token_.exchange(0, std::memory_order_acquire) == 0) model_sync::yield();
  }
  void unpark() { token_.store(1, std::memory_order_release); }

 private:
  model_sync::atomic<int> locked_{0};
  model_sync::atomic<int> token_{0};
};

// Two workers, one in the driver and one beside it, or one after the other; each gets its wake-up.
struct workers : rl::test_suite<workers, 3> {
  driver seat;
  std::array<detail::basic_parker<model_sync, driver>, 2> parkers;
  std::array<model_sync::atomic<int>, 2> flags;
  workers() : flags{{{0}, {0}}} {}
  void thread(unsigned index) {
    if (index < 2) {
      while (flags[index].load(std::memory_order_acquire) == 0) parkers[index].park(seat);
    } else {
      for (std::size_t i = 0; i != 2; ++i) {
        flags[i].store(1, std::memory_order_release);
        parkers[i].unpark(seat);
      }
    }
  }
};

}  // namespace

int main() {
  effort e;
  e.search_seconds = 1.5;
  e.random_seconds = 1.5;
  run_model<thread_parker>("a thread and two wakers", expect::passes, e);
  run_model<handed_over>("what the waker hands over", expect::passes, e);
  run_model<workers>("two workers and a driver", expect::passes, e);

  run_model<handed_over>("unpark relaxed", expect::fails, weaken(op::exchange, 4, "unpark"));
  run_model<handed_over>("unpark not atomic", expect::fails, tear(op::exchange, 4, "unpark"));
  run_model<handed_over>("sleeping not decided atomically", expect::fails,
                         tear(op::compare_exchange, 4, "prepare"));
  run_model<workers>("worker: unpark not atomic", expect::fails, tear(op::exchange, 4, "unpark"));
  run_model<workers>("worker: sleeping not decided atomically", expect::fails,
                     tear(op::compare_exchange, 4, "prepare"));
  return finish_models();
}
