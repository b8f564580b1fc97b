// SPDX-License-Identifier: MIT
// The sleeper of a current-thread runtime: work that comes from outside is done, whenever it comes.

#include "base/wake_flag.hpp"

#include "relacy_policy.hpp"

using namespace kioto_model;
namespace detail = kioto::detail;

namespace {

constexpr int looks_before_it_marks = 1;

// Looking for work is relaxed, like the length of the injection queue: what makes the work visible
// is the flag. The wake-up is a token, like the counter of an eventfd, without an order of its own.
struct sleeper : rl::test_suite<sleeper, 3> {
  detail::basic_wake_flag<model_sync> mark;
  model_sync::atomic<int> work{0};
  model_sync::atomic<int> token{0};

  bool no_work() { return work.load(std::memory_order_relaxed) == 0; }
  void thread(unsigned index) {
    if (index != 0) {
      work.fetch_add(1, std::memory_order_relaxed);
      if (mark.must_wake()) token.store(1, std::memory_order_relaxed);
      return;
    }
    for (int done = 0; done != 2;) {
      if (!no_work()) {
        work.fetch_sub(1, std::memory_order_relaxed);
        ++done;
        continue;
      }
      const bool early = planted(looks_before_it_marks) && no_work();
      mark.fall_asleep();
      if (early || no_work())
        while (token.exchange(0, std::memory_order_relaxed) == 0) model_sync::yield();
      mark.wake_up();
    }
  }
};

}  // namespace

int main() {
  effort e;
  e.search_seconds = 1.5;
  e.random_seconds = 3;
  run_model<sleeper>("a sleeper and two who bring work", expect::passes, e);

  run_model<sleeper>("waking up is a plain store", expect::fails, tear(op::exchange, 4, "wake_up"));
  run_model<sleeper>("falling asleep is a plain store", expect::fails,
                     tear(op::exchange, 4, "fall_asleep"));
  run_model<sleeper>("bringing work is not atomic", expect::fails,
                     tear(op::exchange, 4, "must_wake"));
  run_model<sleeper>("bringing work is relaxed", expect::fails,
                     weaken(op::exchange, 4, "must_wake"));
  run_model<sleeper>("the last look comes before the mark", expect::fails,
                     logic(looks_before_it_marks));
  return finish_models();
}
