// SPDX-License-Identifier: MIT
// The acceptance behaviours of collections of tasks and of task locals.
#include <atomic>
#include <memory>
#include <vector>

#include <kioto/join_set.hpp>
#include <kioto/task_local.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

task<int> sleeps_for(std::chrono::milliseconds time, int result) {
  co_await sleep(time);
  co_return result;
}
task<int> nearly_done(int result) { co_return result; }

constinit task_local<int> number;

/// What a destructor can know of the task that it runs in.
struct seen_at_end {
  std::vector<int> values;
  std::vector<task_id> ids;
};
class looks_at_end {
 public:
  explicit looks_at_end(seen_at_end& seen) noexcept : seen_(&seen) {}
  looks_at_end(looks_at_end&& other) noexcept : seen_(std::exchange(other.seen_, nullptr)) {}
  looks_at_end& operator=(looks_at_end&&) = delete;
  ~looks_at_end() {
    if (seen_ == nullptr) return;
    seen_->values.push_back(number.try_get() != nullptr ? number.get() : -1);
    seen_->ids.push_back(current_task_id());
  }

 private:
  seen_at_end* seen_;
};
task<> holds(looks_at_end, seen_at_end* seen, bool completes) {
  const looks_at_end local(*seen);
  if (completes)
    co_await yield_now();
  else
    co_await sleep(1000h);
}
task<> holds_with_value(looks_at_end outside, seen_at_end* seen, bool completes) {
  const looks_at_end also_outside = std::move(outside);
  co_await number.scope(21, holds(looks_at_end(*seen), seen, completes));
}

}  // namespace

TEST_CASE("acceptance 20: a set of 16 tasks, every other one aborted") {
  on_every_scheduler([]() -> task<> {
    join_set<int> set;
    std::vector<abort_handle> stops;
    // The odd ones would not end before the test does.
    for (int i = 0; i != 16; ++i)
      stops.push_back(set.spawn(sleeps_for(i % 2 == 0 ? 1ms * i : 1000h, i)));
    for (std::size_t i = 1; i < 16; i += 2) stops[i].abort();
    int values = 0, cancelled = 0, sum = 0;
    for (;;) {
      auto r = co_await set.join_next();
      if (!r) break;
      if (r->is_cancelled())
        ++cancelled;
      else
        ++values, sum += std::move(*r).value();
    }
    CHECK(values == 8);
    CHECK(cancelled == 8);
    CHECK(sum == 0 + 2 + 4 + 6 + 8 + 10 + 12 + 14);
  });
}

TEST_CASE("acceptance 20: the runtime of a set goes, and its tasks are cancelled") {
  join_set<int> set;
  {
    auto rt = make_runtime(flavour::four_workers);
    for (int i = 0; i != 16; ++i) set.spawn_on(rt.handle(), sleeps_for(1000h, i));
  }
  auto rt = make_runtime(flavour::current_thread);
  rt.block_on([&set]() -> task<> {
    int cancelled = 0;
    for (;;) {
      auto r = co_await set.join_next();
      if (!r) break;
      cancelled += r->is_cancelled() ? 1 : 0;
    }
    CHECK(cancelled == 16);
  });
}

TEST_CASE("acceptance 20: draining a thousand ended tasks yields") {
  on_every_scheduler([]() -> task<> {
    auto others_run = std::make_shared<std::atomic<int>>(0);
    auto stop = std::make_shared<std::atomic<bool>>(false);
    join_set<int> set;
    std::vector<abort_handle> tasks;
    for (int i = 0; i != 1000; ++i) tasks.push_back(set.spawn(nearly_done(i)));
    for (const auto& t : tasks)
      while (!t.is_finished()) co_await yield_now();
    // On the same thread, the other task runs only if the drain yields.
    auto other = spawn(
        [](std::shared_ptr<std::atomic<int>> n, std::shared_ptr<std::atomic<bool>> s) -> task<> {
          while (!s->load()) {
            ++*n;
            co_await yield_now();
          }
        },
        others_run, stop);
    int results = 0;
    for (;;) {
      auto r = co_await set.join_next();
      if (!r) break;
      ++results;
    }
    CHECK(results == 1000);
    while (others_run->load() == 0) co_await yield_now();
    *stop = true;
    auto r = co_await other;
    CHECK(r.has_value());
  });
  // With one thread there is no other way to run.
  auto rt = make_runtime(flavour::current_thread);
  rt.block_on([]() -> task<> {
    join_set<int> set;
    for (int i = 0; i != 1000; ++i) set.spawn(nearly_done(i));
    co_await yield_now();
    int runs = 0;
    auto other = spawn(
        [](int* n) -> task<> {
          for (;;) {
            ++*n;
            co_await yield_now();
          }
        },
        &runs);
    int results = 0;
    for (;;) {
      auto r = co_await set.join_next();
      if (!r) break;
      ++results;
    }
    CHECK(results == 1000);
    CHECK(runs >= 1);
    other.abort();
    auto r = co_await other;
    CHECK(r.is_cancelled());
  });
}

TEST_CASE("acceptance 21: task local and task id are readable in destructors") {
  on_every_scheduler([]() -> task<> {
    for (const bool completes : {true, false}) {
      seen_at_end seen;
      auto h = spawn(holds_with_value(looks_at_end(seen), &seen, completes));
      const task_id id = h.id();
      if (!completes) {
        for (int i = 0; i != 10; ++i) co_await yield_now();
        h.abort();
      }
      auto r = co_await h;
      CHECK(r.is_cancelled() == !completes);
      CHECK(seen.values == std::vector<int>{21, 21, -1});
      CHECK(seen.ids == std::vector<task_id>(3, id));
    }
    // Aborted before it ran: the frame is destroyed in the task, too.
    seen_at_end seen;
    auto h = spawn(holds_with_value(looks_at_end(seen), &seen, true));
    const task_id id = h.id();
    h.abort();
    auto r = co_await h;
    if (r.is_cancelled() && seen.ids.size() == 1) CHECK(seen.ids.front() == id);
  });
}

TEST_CASE("acceptance 21: a task that is refused is destroyed under its own id") {
  auto rt = make_runtime(flavour::one_worker);
  const auto handle = rt.handle();
  CHECK(rt.shutdown(10s));
  seen_at_end seen;
  auto h = handle.spawn(holds(looks_at_end(seen), &seen, true));
  CHECK(h.is_finished());
  CHECK(seen.ids == std::vector<task_id>{h.id()});
  CHECK(current_task_id() == task_id());
}
