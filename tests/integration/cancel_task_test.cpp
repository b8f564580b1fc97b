// SPDX-License-Identifier: MIT
// The operations on collections of tasks, tokens and streams, cancelled at every point of their
// life.
#include <atomic>
#include <functional>
#include <memory>

#include <kioto/cancellation_token.hpp>
#include <kioto/join_set.hpp>
#include <kioto/task_tracker.hpp>

#include "support/cancel_harness.hpp"
#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

/// A subject around an object: `wait` waits on it, `act` makes the wait complete.
template <class Object>
task<std::function<subject()>> with_object(task<bool> (*wait)(std::shared_ptr<Object>),
                                           task<> (*act)(std::shared_ptr<Object>)) {
  auto object = std::make_shared<Object>();
  co_return [object, wait, act] {
    return subject{[object, wait] { return wait(object); }, [object, act] { return act(object); }};
  };
}

template <class Object>
void cancel_everywhere(task<bool> (*wait)(std::shared_ptr<Object>),
                       task<> (*act)(std::shared_ptr<Object>)) {
  on_every_scheduler([wait, act]() -> task<> {
    return at_every_point([wait, act] { return with_object<Object>(wait, act); });
  });
}

task<bool> wait_cancelled(std::shared_ptr<cancellation_token> t) {
  co_await t->cancelled();
  co_return t->is_cancelled();
}
task<bool> wait_child_cancelled(std::shared_ptr<cancellation_token> t) {
  const auto child = t->child_token();
  co_await child.cancelled();
  co_return child.is_cancelled();
}
task<bool> wait_until_cancelled(std::shared_ptr<cancellation_token> t) {
  const auto r = co_await t->run_until_cancelled(sleep(1000h));
  co_return !r.has_value();
}
task<> cancel(std::shared_ptr<cancellation_token> t) {
  t->cancel();
  co_return;
}

task<bool> wait_tracker(std::shared_ptr<task_tracker> t) {
  co_await t->wait();
  co_return t->is_closed();
}
task<bool> wait_tracked(std::shared_ptr<task_tracker> t) {
  co_await t->track(t->wait());  // waits for itself
  co_return false;
}
task<> close(std::shared_ptr<task_tracker> t) {
  t->close();
  co_return;
}

/// A set of tasks that end when `released` is set.
struct task_set {
  join_set<int> set;
  std::atomic<bool> released{false};
  std::atomic<int> taken{0};

  static task<int> member(std::shared_ptr<task_set> s, int result) {
    while (!s->released.load()) co_await sleep(1ms);
    co_return result;
  }
};
task<bool> wait_join_next(std::shared_ptr<task_set> s) {
  if (s->set.empty()) s->set.spawn(&task_set::member, s, 3);
  auto r = co_await s->set.join_next();
  ++s->taken;
  co_return std::move(*r).value() == 3;
}
task<bool> wait_join_all(std::shared_ptr<task_set> s) {
  for (int i = 0; i != 3; ++i) s->set.spawn(&task_set::member, s, i);
  auto r = co_await s->set.join_all();
  ++s->taken;
  co_return r.size() == 3;
}
task<bool> wait_shutdown(std::shared_ptr<task_set> s) {
  // Its tasks cannot stop before they are released.
  s->set.spawn(
      [](std::shared_ptr<task_set> t) -> task<int> {
        while (!t->released.load()) {
          const auto r = co_await as_result(sleep(1ms));
          if (!r) co_await shield(yield_now());
        }
        co_return 1;
      },
      s);
  co_await s->set.shutdown();
  ++s->taken;
  co_return s->set.empty();
}
task<> release(std::shared_ptr<task_set> s) {
  s->released = true;
  co_return;
}

task<> nothing_is_lost(task<bool> (*wait)(std::shared_ptr<task_set>)) {
  for (const point p : {point::before_start, point::armed, point::beside_completion,
                        point::from_a_thread, point::after_completion, point::never}) {
    auto s = std::make_shared<task_set>();
    auto make = [s, wait] {
      return subject{[s, wait] { return wait(s); }, [s] { return release(s); }};
    };
    co_await drive(std::move(make), p);
    // A cancelled wait has taken nothing: every task is still in the set.
    const bool all_there = s->taken == 1 ? s->set.empty() : true;
    CHECK(all_there);
    const std::size_t left = s->set.size();
    std::size_t found = 0;
    for (;;) {
      auto r = co_await s->set.join_next();
      if (!r) break;
      ++found;
    }
    CHECK(found == left);
  }
}

}  // namespace

TEST_CASE("cancel at every suspension: join_set") {
  for (auto* wait : {&wait_join_next, &wait_join_all, &wait_shutdown})
    on_every_scheduler([wait]() -> task<> { return nothing_is_lost(wait); });
}

TEST_CASE("cancel at every suspension: cancellation_token") {
  cancel_everywhere<cancellation_token>(&wait_cancelled, &cancel);
  cancel_everywhere<cancellation_token>(&wait_child_cancelled, &cancel);
  cancel_everywhere<cancellation_token>(&wait_until_cancelled, &cancel);
}

TEST_CASE("cancel at every suspension: task_tracker") {
  cancel_everywhere<task_tracker>(&wait_tracker, &close);
  on_every_scheduler([]() -> task<> {
    for (const point p : {point::before_start, point::armed}) {
      auto make = co_await with_object<task_tracker>(&wait_tracked, &close);
      co_await drive(std::move(make), p);
    }
  });
}
