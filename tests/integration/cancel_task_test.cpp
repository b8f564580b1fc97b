// SPDX-License-Identifier: MIT
// The operations on collections of tasks, tokens and streams, cancelled at every point of their
// life.
#include <atomic>
#include <functional>
#include <memory>

#include <kioto/cancellation_token.hpp>
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

}  // namespace

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
