// SPDX-License-Identifier: MIT The idle set with work, searchers and sleepers: no work is left
// while all workers sleep.

#include <array>
#include <cstddef>
#include <optional>

#include "base/parker.hpp"
#include "scheduler/idle_set.hpp"

#include "relacy_policy.hpp"

using namespace kioto_model;
namespace detail = kioto::detail;

namespace {

constexpr int no_second_look = 1;
constexpr int no_look_after_the_find = 2;

template <unsigned Publishers>
struct pool : rl::test_suite<pool<Publishers>, 2 + Publishers> {
  // Made and destroyed within the interleaving, because Relacy accounts for its memory.
  std::optional<detail::basic_idle_set<model_sync>> idle;
  std::array<detail::basic_thread_parker<model_sync>, 2> parkers;
  model_sync::atomic<int> work{0};
  model_sync::atomic<int> left{static_cast<int>(Publishers)};

  void before() { idle.emplace(std::size_t{2}); }
  void after() { idle.reset(); }

  void notify() {
    if (const auto w = idle->worker_to_notify()) parkers[*w].unpark();
  }
  bool take() {
    int now = work.load(std::memory_order_relaxed);
    while (now != 0)
      if (work.compare_exchange_strong(now, now - 1, std::memory_order_relaxed,
                                       std::memory_order_relaxed))
        return true;
    return false;
  }
  void worker(std::size_t self) {
    bool searching = false;
    for (;;) {
      if (!searching) searching = idle->transition_to_searching();
      if (take()) {
        if (searching) {
          searching = false;
          if (idle->transition_from_searching() && !planted(no_look_after_the_find) &&
              work.load(std::memory_order_relaxed) != 0)
            notify();
          // What this worker found keeps it busy until all is taken.
          if (Publishers == 2)
            while (work.load(std::memory_order_relaxed) != 0) model_sync::yield();
        }
        if (left.fetch_sub(1, std::memory_order_acq_rel) == 1)
          for (auto& p : parkers) p.unpark();
        continue;
      }
      if (left.load(std::memory_order_acquire) == 0) return;
      if (idle->transition_to_parked(self, searching) && !planted(no_second_look) &&
          work.load(std::memory_order_relaxed) != 0)
        notify();
      searching = false;
      for (;;) {
        parkers[self].park();
        if (!idle->is_parked(self)) {
          searching = true;
          break;
        }
        if (left.load(std::memory_order_acquire) == 0) {
          searching = !idle->unpark(self);
          break;
        }
      }
    }
  }
  void thread(unsigned index) {
    if (index < 2) {
      worker(index);
    } else {
      work.fetch_add(1, std::memory_order_relaxed);
      notify();
    }
  }
};

}  // namespace

int main() {
  effort e;
  e.search_seconds = 2;
  e.random_seconds = 2;
  run_model<pool<1>>("two workers, one piece of work", expect::passes, e);
  run_model<pool<2>>("two workers, two pieces of work", expect::passes, e);

  run_model<pool<1>>("no second look before sleep", expect::fails, logic(no_second_look), e);
  run_model<pool<2>>("no second look after a find", expect::fails, logic(no_look_after_the_find),
                     e);
  run_model<pool<1>>("publisher only reads", expect::fails,
                     only_load(op::add, 4, "worker_to_notify"), e);
  run_model<pool<1>>("parking not atomic", expect::fails, tear(op::sub, 4, "transition_to_parked"),
                     e);
  return finish_models();
}
