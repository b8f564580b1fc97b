// SPDX-License-Identifier: MIT
// Timers: every inserted timer fires or is cancelled, once, also when the driver shuts down
// meanwhile; and a sleeping driver learns of a timer that is due before all others.

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>

#include "driver/driver.hpp"
#include "driver/time_driver.hpp"

#include "relacy_policy.hpp"

using namespace kioto_model;
namespace detail = kioto::detail;

namespace {

enum bug {
  forgets_to_close = 1,
  frees_what_fires,
  takes_elapsed_for_inserted,
  moves_up_before_inserting,
  does_not_move_up,
};

using time_point = std::chrono::steady_clock::time_point;
struct timer;
using drivers = detail::basic_time_driver<model_sync, timer>;

// A timer and who ended it. `payload` is what the owner writes before it inserts, and whoever ends
// the timer uses.
struct timer : detail::timer_node {
  void fire() noexcept {
    payload.set(payload.get() + 1);
    check(ends.fetch_add(1, std::memory_order_release) == 0, "fires once");
  }
  void cancelled() {
    payload.set(payload.get() + 1);
    check(ends.fetch_add(1, std::memory_order_release) == 0, "what was cancelled does not fire");
  }
  void wait_until_ended() {
    while (ends.load(std::memory_order_acquire) == 0) model_sync::yield();
  }
  model_sync::var<int> payload{0};
  model_sync::atomic<int> ends{0};
};

// An owner that inserts and cancels, a driver that fires, and a shutdown.
struct life_of_a_timer : rl::test_suite<life_of_a_timer, 3> {
  drivers driver{time_point{}};
  timer subject;
  void own() {
    subject.payload.set(1);
    if (driver.insert(subject, 5) == detail::timer_insert::elapsed &&
        !planted(takes_elapsed_for_inserted)) {
      subject.cancelled();
      return;
    }
    if (driver.cancel(subject))
      subject.cancelled();
    else if (!planted(frees_what_fires))
      subject.wait_until_ended();
    // The owner has it back.
    subject.payload.set(subject.payload.get() + 1);
  }
  void thread(unsigned index) {
    if (index == 0)
      own();
    else if (index == 1)
      driver.process(5);
    else
      driver.shutdown();
  }
  void after() { check(subject.ends.load(std::memory_order_relaxed) == 1, "the timer has ended"); }
};

// Timers that nobody cancels end with the shutdown at the latest, also those that come after it.
struct insert_against_shutdown : rl::test_suite<insert_against_shutdown, 3> {
  drivers driver{time_point{}};
  std::array<timer, 2> timers;
  void thread(unsigned index) {
    if (index == 2) {
      if (planted(forgets_to_close))
        driver.process(100);
      else
        driver.shutdown();
      return;
    }
    timer& mine = timers[index];
    mine.payload.set(1);
    if (driver.insert(mine, 1000 + index) == detail::timer_insert::elapsed) {
      check(mine.cancelled_by_shutdown(), "refused because of the shutdown");
      mine.cancelled();
    }
  }
  void after() {
    for (timer& t : timers)
      check(t.ends.load(std::memory_order_relaxed) == 1, "the timer has ended");
  }
};

// A reactor without events: a turn lasts until it is unparked or, if it has a limit, for a while.
class io {
 public:
  void turn(std::optional<std::chrono::nanoseconds> limit) {
    if (limit) {
      (void)token_.exchange(0, std::memory_order_acquire);
      return;
    }
    while (token_.exchange(0, std::memory_order_acquire) == 0) model_sync::yield();
  }
  // Relaxed: that the sleeper sees the timer must not depend on the reactor.
  void unpark() { token_.exchange(1, std::memory_order_relaxed); }
  void unpark_to_see() { token_.exchange(1, std::memory_order_release); }

 private:
  model_sync::atomic<int> token_{0};
};

// Each look at it is later than every deadline.
struct late_clock {
  [[nodiscard]] static time_point now() noexcept { return time_point{} + std::chrono::hours(1); }
};

// One thread sleeps in the driver while another sets a timer, or two do.
template <bool BesideTimers, unsigned Owners>
struct sleeping_driver : rl::test_suite<sleeping_driver<BesideTimers, Owners>, 1 + Owners> {
  drivers driver{time_point{}};
  io reactor;
  late_clock clock;
  detail::basic_driver<model_sync, io, drivers, late_clock> seat{reactor, driver, clock};
  std::array<timer, Owners> timers;

  [[nodiscard]] bool all_ended() {
    for (timer& t : timers)
      if (t.ends.load(std::memory_order_acquire) == 0) return false;
    return true;
  }
  void sleep() {
    while (!all_ended()) {
      if (BesideTimers)
        seat.turn_beside_timers(std::nullopt,
                                [this] { return !driver.earliest_deadline().has_value(); });
      else
        seat.turn(std::nullopt);
    }
  }
  void thread(unsigned index) {
    if (index == 0) return sleep();
    timer& mine = timers[index - 1];
    if (planted(moves_up_before_inserting)) seat.timer_moved_up();
    mine.payload.set(1);
    switch (driver.insert(mine, 10 - index)) {
      case detail::timer_insert::elapsed:
        mine.cancelled();         // as a sleep that need not wait
        reactor.unpark_to_see();  // so that the sleeper finds its work done
        break;
      case detail::timer_insert::inserted_earliest:
        if (!planted(does_not_move_up) && !planted(moves_up_before_inserting))
          seat.timer_moved_up();
        break;
      case detail::timer_insert::inserted:
        break;
    }
  }
  void after() {
    for (timer& t : timers)
      check(t.ends.load(std::memory_order_relaxed) == 1, "the timer has ended");
  }
};

}  // namespace

int main() {
  effort e;
  e.search_seconds = 1.2;
  e.random_seconds = 1.2;
  using sleeper = sleeping_driver<false, 1>;
  using paused = sleeping_driver<true, 1>;
  run_model<life_of_a_timer>("insert, cancel, fire, shutdown", expect::passes, e);
  run_model<insert_against_shutdown>("two insertions and a shutdown", expect::passes, e);
  run_model<sleeper>("a timer and a sleeper", expect::passes, e);
  run_model<sleeping_driver<false, 2>>("two timers and a sleeper", expect::passes, e);
  run_model<paused>("a timer and a sleeper beside the timers", expect::passes, e);

  run_model<life_of_a_timer>("a timer is reused before it has fired", expect::fails,
                             logic(frees_what_fires));
  run_model<life_of_a_timer>("a refused timer is waited for", expect::fails,
                             logic(takes_elapsed_for_inserted));
  run_model<insert_against_shutdown>("a shutdown that does not close", expect::fails,
                                     logic(forgets_to_close));
  run_model<sleeper>("an earlier timer does not wake", expect::fails, logic(does_not_move_up));
  run_model<sleeper>("woken before the timer is in", expect::fails,
                     logic(moves_up_before_inserting));
  run_model<sleeper>("the look at the sleeper is a plain load", expect::fails,
                     only_load(op::bit_or, 4, "timer_moved_up"));
  run_model<sleeper>("the look at the sleeper is relaxed", expect::fails,
                     weaken(op::bit_or, 4, "timer_moved_up"));
  run_model<sleeper>("going to sleep is relaxed", expect::fails,
                     weaken(op::exchange, 4, "sleep", std::memory_order_acq_rel));
  run_model<paused>("beside the timers: an earlier one does not wake", expect::fails,
                    logic(does_not_move_up));
  run_model<paused>("beside the timers: woken before the timer is in", expect::fails,
                    logic(moves_up_before_inserting));
  return finish_models();
}
