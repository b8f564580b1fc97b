// SPDX-License-Identifier: MIT The stall monitor: it rests only while all workers sleep, so that a
// worker that gets stuck is found.

#include <chrono>
#include <cstddef>
#include <mutex>
#include <optional>

#include "scheduler/idle_set.hpp"
#include "scheduler/stall_monitor.hpp"

#include "relacy_policy.hpp"

using namespace kioto_model;
namespace detail = kioto::detail;

namespace {

constexpr int begins_without_a_word = 1;
constexpr int tells_before_it_counts = 2;
constexpr int rests_without_a_look = 3;

// Time passes at once: how long a sleep takes is of no interest here.
struct timed_sync : model_sync {
  static void wait_for(atomic<std::uint32_t>&, std::uint32_t, std::chrono::nanoseconds) {
    model_sync::yield();
  }
};

// Each worker sleeps, wakes, and is stuck until the stall monitor has looked round twice, which is
// when it can detect that. If the stall monitor rests meanwhile, that never happens, and Relacy
// reports a deadlock.
template <unsigned Workers>
struct workers_and_monitor
    : rl::test_suite<workers_and_monitor<Workers>, static_cast<int>(Workers) + 1> {
  std::optional<detail::basic_idle_set<model_sync>> idle;
  detail::basic_stall_monitor<timed_sync> stall_monitor;
  model_sync::mutex look_mutex;
  model_sync::condition_variable looked;
  int looks = 0;  // by the mutex
  model_sync::atomic<unsigned> running{Workers};

  void before() { idle.emplace(std::size_t{Workers}); }
  void after() { idle.reset(); }

  void get_stuck() {
    std::unique_lock lock(look_mutex);
    for (const int before = looks; looks < before + 2;) looked.wait(lock);
  }
  // What src/scheduler/multi_thread.cpp does on the way into sleep and out of it.
  void sleep_and_wake(std::size_t self) {
    (void)idle->transition_to_parked(self, false);
    for (unsigned i = rl::rand(12); i != 0; --i) model_sync::yield();
    if (planted(tells_before_it_counts)) stall_monitor.work_begins();
    (void)idle->unpark(self);
    if (!planted(begins_without_a_word) && !planted(tells_before_it_counts))
      stall_monitor.work_begins();
  }
  void thread(unsigned index) {
    if (index == Workers) {
      stall_monitor.run(
          std::chrono::nanoseconds(2),
          [this] {
            const std::lock_guard lock(look_mutex);
            ++looks;
            looked.notify_all();
            return false;
          },
          [this] { return planted(rests_without_a_look) || idle->parked() == Workers; });
      return;
    }
    sleep_and_wake(index);
    get_stuck();
    if (running.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      stall_monitor.end();
      return;
    }
    (void)idle->transition_to_parked(index, false);
  }
};

}  // namespace

int main() {
  effort e;
  e.search_seconds = 1;
  e.random_seconds = 3;
  run_model<workers_and_monitor<1>>("a worker that gets stuck", expect::passes, e);
  run_model<workers_and_monitor<2>>("two workers that get stuck", expect::passes, e);

  run_model<workers_and_monitor<1>>("a worker that says nothing", expect::fails,
                                    logic(begins_without_a_word), e);
  run_model<workers_and_monitor<1>>("a worker that says it before it counts", expect::fails,
                                    logic(tells_before_it_counts), e);
  run_model<workers_and_monitor<1>>("a stall monitor that does not look before it rests",
                                    expect::fails, logic(rests_without_a_look), e);
  run_model<workers_and_monitor<1>>("a mark that is set by a plain store", expect::fails,
                                    tear(op::exchange, 4, "fall_asleep"), e);
  run_model<workers_and_monitor<1>>("a beginning that is not atomic", expect::fails,
                                    tear(op::exchange, 4, "must_wake"), e);
  return finish_models();
}
