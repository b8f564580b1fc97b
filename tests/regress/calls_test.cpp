// SPDX-License-Identifier: MIT Faults of running tasks that spawn and await each other in the order
// of calls.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/flag.hpp"
#include "support/handles.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

using counter = std::atomic<std::uint64_t>;

void compute(std::chrono::microseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
  }
}

task<> count_up(counter* runs) {
  runs->fetch_add(1);
  co_return;
}

task<> await_it(join_handle<>* other) {
  auto r = co_await *other;
  CHECK(r.has_value());
}

}  // namespace

// The callee was taken out of the queue of the scheduler that awaited it, even if it was in another
// one.
TEST_CASE("a task that was awaited from another runtime ran there") {
  runtime here = make_runtime(flavour::current_thread);
  runtime there = make_runtime(flavour::current_thread);
  for (const bool from_inside : {true, false}) {
    INFO("spawned from inside " << from_inside);
    counter foreign_runs = 0;
    counter own_runs = 0;
    join_handle<> foreign;
    if (from_inside) {
      // The root ends before its child has begun: that is ready, and nobody runs it.
      foreign = there.block_on([](counter* runs) -> task<join_handle<>> {
        auto h = spawn(count_up(runs));
        co_return std::move(h);
      }(&foreign_runs));
    } else {
      foreign = there.handle().spawn(count_up(&foreign_runs));
    }
    REQUIRE(foreign_runs == 0);
    here.block_on([](join_handle<>* other, counter* own, counter* not_own) -> task<> {
      auto waits = spawn(await_it(other));
      auto bystander = spawn(count_up(own));
      auto r = co_await std::move(bystander);
      CHECK(r.has_value());
      for (int i = 0; i != 10; ++i) co_await yield_now();
      CHECK(not_own->load() == 0);
      CHECK_FALSE(waits.is_finished());
      waits.abort();
      auto stopped = co_await std::move(waits);
      CHECK(stopped.is_cancelled());
      bool in_time = true;
      try {
        [[maybe_unused]] auto r2 = co_await timeout(2ms, *other);
      } catch (const timeout_error&) {
        in_time = false;
      }
      CHECK_FALSE(in_time);
    }(&foreign, &own_runs, &foreign_runs));
    CHECK(own_runs == 1);
    CHECK(foreign_runs == 0);
    there.block_on(await_it(&foreign));
    CHECK(foreign_runs == 1);
  }
}

namespace {

// Destroyed before the handle that it looks at: lets the task end, and waits for that.
class ends_it {
 public:
  ends_it(join_handle<>& which, flag go) : which_(which), go_(std::move(go)) {}
  ends_it(const ends_it&) = delete;
  ends_it& operator=(const ends_it&) = delete;
  ~ends_it() {
    go_->store(true);
    while (!which_.is_finished()) std::this_thread::yield();
  }

 private:
  join_handle<>& which_;
  flag go_;
};

task<> ends_when_told(flag go) {
  while (!go->load()) std::this_thread::yield();
  co_return;
}

// Awaits with a stop pending, so that the wait ends before it begins, and the handle is dropped.
task<> stops_while_it_awaits(std::shared_ptr<std::optional<abort_handle>> self, handle elsewhere) {
  (*self)->abort();
  const flag go = make_flag();
  join_handle<> other = elsewhere.spawn(ends_when_told(go));
  const ends_it guard(other, go);
  auto r = co_await other;
  static_cast<void>(r);
  FAIL("a stop was pending");
}

}  // namespace

// The callee was reported to the scheduler before the wait had begun, and accessed although it was
// destroyed by then.
TEST_CASE("a wait that a stop prevented told the scheduler about a task that was gone") {
  runtime elsewhere = make_runtime(flavour::one_worker);
  runtime here = make_runtime(flavour::current_thread);
  here.block_on([](handle other) -> task<> {
    for (int i = 0; i != 300; ++i) {
      const auto self = std::make_shared<std::optional<abort_handle>>();
      auto h = spawn(stops_while_it_awaits(self, other));
      self->emplace(h.abort_handle());
      // Not awaited while it runs: then its caller would be the next one.
      while (!h.is_finished()) co_await yield_now();
      auto r = co_await std::move(h);
      CHECK(r.is_cancelled());
    }
  }(elsewhere.handle()));
}

namespace {

struct busy_loops {
  counter calls = 0;
  std::atomic<bool> end = false;
};

task<> calls_without_end(busy_loops* state) {
  while (!state->end) {
    const auto work = [](counter* calls) -> task<> {
      compute(20us);
      calls->fetch_add(1);
      co_return;
    };
    auto h = spawn(work, &state->calls);
    auto r = co_await std::move(h);
    CHECK(r.has_value());
  }
}

task<std::uint64_t> calls_while_asleep(busy_loops* state, int times) {
  std::uint64_t sum = 0;
  for (int i = 0; i != times; ++i) {
    const auto before = state->calls.load();
    co_await sleep(1ms);
    sum += state->calls - before;
  }
  co_return sum;
}

}  // namespace

// The queue from outside had its turn once in 61 times the longest streak of calls.
TEST_CASE("what came from outside, and timers, waited for tens of thousands of calls") {
  // One would have waited for some 15,000 calls on average, 31,000 at most.
  constexpr int times = 8;
  constexpr std::uint64_t limit = 40'000;
  for (const flavour f : {flavour::current_thread, flavour::one_worker}) {
    INFO("scheduler " << static_cast<int>(f));
    runtime rt = make_runtime(f);
    busy_loops state;
    counter calls_from_outside = 0;
    std::atomic<bool> all_came = true;
    std::thread outside([&, h = rt.handle()] {
      while (state.calls == 0 && !state.end) std::this_thread::yield();
      for (int i = 0; i != times && all_came; ++i) {
        const flag came = make_flag();
        const auto before = state.calls.load();
        auto joined =
            h.spawn([](busy_loops* s, counter* sum, std::uint64_t since, flag here) -> task<> {
              *sum += s->calls - since;
              here->store(true);
              co_return;
            }(&state, &calls_from_outside, before, came));
        all_came = comes_true(*came);
      }
      state.end = true;
    });
    const std::uint64_t calls_asleep = rt.block_on([](busy_loops* s) -> task<std::uint64_t> {
      auto asleep = spawn(calls_while_asleep(s, times));
      auto first = spawn(calls_without_end(s));
      auto second = spawn(calls_without_end(s));
      auto a = co_await std::move(first);
      CHECK(a.has_value());
      auto b = co_await std::move(second);
      CHECK(b.has_value());
      // With nothing else to do, what is left of it is short.
      auto sum = co_await std::move(asleep);
      co_return std::move(sum).value();
    }(&state));
    outside.join();
    CHECK(all_came);
    CHECK(calls_from_outside < limit);
    CHECK(calls_asleep < limit);
  }
}

namespace {

struct crowd {
  explicit crowd(std::size_t n) : rounds(n), bells(n) {}
  std::vector<counter> rounds;
  std::vector<sync::notify> bells;
  std::atomic<bool> end = false;
};

// Rings its partner, and waits to be rung.
task<> rings(crowd* all, std::size_t mine) {
  const std::size_t partner = mine ^ 1U;
  while (!all->end && all->rounds[mine] != 20'000) {
    all->bells[partner].notify_one();
    co_await all->bells[mine].notified();
    all->rounds[mine].fetch_add(1);
  }
  all->end = true;  // too many: the others have not had their turn
  all->bells[partner].notify_one();
}

task<> yields(counter* turns, int times) {
  for (int i = 0; i != times; ++i) {
    co_await yield_now();
    turns->fetch_add(1);
  }
}

}  // namespace

// Tasks that yielded ran again only if the ring had room for them.
TEST_CASE("tasks that yield starved while others kept the ring full") {
  constexpr std::size_t ringers = 700;  // half of them are ready at any time
  constexpr int times = 20;
  runtime rt = make_runtime(flavour::one_worker);
  crowd all(ringers);
  std::vector<counter> turns(20);
  rt.block_on([](crowd* c, std::vector<counter>* t) -> task<> {
    std::vector<join_handle<>> ringing;
    for (std::size_t i = 0; i != ringers; ++i) ringing.push_back(spawn(rings(c, i)));
    std::vector<join_handle<>> yielding;
    for (counter& mine : *t) yielding.push_back(spawn(yields(&mine, times)));
    co_await wait_for_all(std::move(yielding));
    CHECK_FALSE(c->end.load());
    for (const counter& r : c->rounds)
      while (r == 0 && !c->end) co_await yield_now();
    CHECK_FALSE(c->end.load());
    c->end = true;
    co_await wait_for_all(std::move(ringing));
  }(&all, &turns));
  for (const counter& t : turns) CHECK(t == times);
}

// Such a task ends on a thread that has no worker any more, and nothing there runs its caller.
TEST_CASE("the caller of a task that ended after block_in_place goes on once") {
  for (const flavour f : {flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    runtime rt = make_runtime(f);
    const int went_on = rt.block_on([]() -> task<int> {
      int n = 0;
      for (int i = 0; i != 100; ++i) {
        const flag other_ran = make_flag();
        const auto raise = [](flag r) -> task<> {
          r->store(true);
          co_return;
        };
        const auto block = [](flag r) -> task<bool> {
          co_return block_in_place([r] { return comes_true(*r); });
        };
        auto other = spawn(raise, other_ran);
        auto blocks = spawn(block, other_ran);
        auto came = co_await std::move(blocks);
        CHECK(std::move(came).value());
        auto r = co_await std::move(other);
        CHECK(r.has_value());
        ++n;
      }
      co_return n;
    });
    CHECK(went_on == 100);
  }
}

namespace {

// Makes the end of its task take a while, even if the task has never begun.
struct slow_end {
  slow_end() = default;
  slow_end(const slow_end&) = delete;
  slow_end& operator=(const slow_end&) = delete;
  ~slow_end() { compute(25ms); }
};

task<> ends_slowly(std::unique_ptr<slow_end>) { co_return; }

task<> await_all(std::shared_ptr<sync::notify> begin, std::vector<join_handle<>>* callees,
                 flag waiting, counter* returns) {
  auto told = begin->notified();
  waiting->store(true);
  co_await std::move(told);
  for (auto& h : *callees) {
    auto r = co_await h;
    CHECK((r.has_value() || r.is_cancelled()));
    returns->fetch_add(1);
  }
}

task<> await_all_behind_a_shield(std::shared_ptr<sync::notify> begin,
                                 std::vector<join_handle<>>* callees, flag waiting,
                                 counter* returns) {
  co_await shield(await_all(begin, callees, waiting, returns));
}

// Leaves the caller first in the queue of the runtime, and so many callees behind it.
join_handle<> make_ready_calls(runtime& rt, std::size_t calls, std::vector<join_handle<>>& callees,
                               counter& returns) {
  const auto begin = std::make_shared<sync::notify>();
  const flag waiting = make_flag();
  auto caller = rt.spawn(await_all_behind_a_shield(begin, &callees, waiting, &returns));
  rt.block_on([](flag w) -> task<> {
    while (!w->load()) co_await yield_now();
  }(waiting));
  rt.block_on([](std::shared_ptr<sync::notify> b, std::vector<join_handle<>>* all,
                 std::size_t n) -> task<> {
    b->notify_one();
    for (std::size_t i = 0; i != n; ++i)
      all->push_back(spawn(ends_slowly(std::make_unique<slow_end>())));
    co_return;
  }(begin, &callees, calls));
  return caller;
}

runtime looks_after_each_run() {
  return std::move(runtime::builder().current_thread().event_interval(1).build()).value();
}

}  // namespace

// For the first 20 ms of a shutdown the reactor goes on. That time is over when the first callee
// has ended: its caller is next, and in no queue.
TEST_CASE("a caller is not lost between the two parts of a shutdown") {
  constexpr std::size_t calls = 3;
  for (int round = 0; round != 3; ++round) {
    runtime rt = looks_after_each_run();
    std::vector<join_handle<>> callees;
    counter returns = 0;
    auto caller = make_ready_calls(rt, calls, callees, returns);
    CHECK(rt.shutdown(20s));
    CHECK(caller.is_finished());
    CHECK(returns == calls);
  }
}

TEST_CASE("a runtime whose shutdown failed in the middle of calls is destroyed") {
  constexpr std::size_t calls = 3;
  for (int round = 0; round != 6; ++round) {
    std::vector<join_handle<>> callees;
    counter returns = 0;
    std::optional<runtime> rt = looks_after_each_run();
    auto caller = make_ready_calls(*rt, calls, callees, returns);
    CHECK_FALSE(rt->shutdown(std::chrono::milliseconds(round)));
    rt.reset();
    // What is left goes on in the background, and ends there.
    for (int i = 0; !caller.is_finished() && i != 20000; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    CHECK(caller.is_finished());
    CHECK(returns == calls);
    for (const auto& h : callees) CHECK(h.is_finished());
  }
}

// The end of a callee and the abort of its caller race for the waiter.
TEST_CASE("each task ends once if its caller is aborted from another thread meanwhile") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    const auto spawned = std::make_shared<counter>(0);
    const auto ended = std::make_shared<counter>(0);
    auto builder = builder_for(f);
    builder.on_task_spawn([spawned](task_id, std::source_location) { ++*spawned; });
    builder.on_task_end([ended](task_id) { ++*ended; });
    std::atomic<int> destroyed = 0;
    constexpr int rounds = 100;
    {
      runtime rt = std::move(builder.build()).value();
      for (int round = 0; round != rounds; ++round) {
        counter calls = 0;
        auto caller = rt.spawn([](counter* n, shared_probe) -> task<> {
          for (;;) {
            auto h = spawn(count_up(n));
            [[maybe_unused]] auto r = co_await std::move(h);
          }
        }(&calls, shared_probe(destroyed)));
        std::thread aborter([&calls, a = caller.abort_handle(), round] {
          while (calls.load() <= static_cast<std::uint64_t>(round)) std::this_thread::yield();
          a.abort();
        });
        const bool cancelled = rt.block_on([](join_handle<> h) -> task<bool> {
          auto r = co_await std::move(h);
          co_return r.is_cancelled();
        }(std::move(caller)));
        aborter.join();
        CHECK(cancelled);
        CHECK(destroyed == round + 1);
        // A callee that nobody awaits any more may still be on its way, and counts.
        for (int i = 0; rt.metrics().tasks_alive != 0 && i != 20'000; ++i) {
          if (f == flavour::current_thread)
            rt.block_on([]() -> task<> { co_await yield_now(); });
          else
            std::this_thread::sleep_for(1ms);
        }
        REQUIRE(rt.metrics().tasks_alive == 0);
      }
    }
    CHECK(destroyed == rounds);
    CHECK(*spawned == *ended);
  }
}

TEST_CASE("more tasks that yield than the ring holds have their turns") {
  constexpr int times = 50;
  runtime rt = make_runtime(flavour::one_worker);
  std::vector<counter> turns(600);
  rt.block_on([](std::vector<counter>* t) -> task<> {
    std::vector<join_handle<>> all;
    for (counter& mine : *t) all.push_back(spawn(yields(&mine, times)));
    co_await wait_for_all(std::move(all));
  }(&turns));
  for (const counter& t : turns) CHECK(t == times);
}

// To those that wait, a long series of calls looks like one task.
TEST_CASE("a bystander has its turns during more calls in a row than are allowed") {
  constexpr int calls = 5000;
  for (const flavour f : {flavour::current_thread, flavour::one_worker}) {
    INFO("scheduler " << static_cast<int>(f));
    runtime rt = make_runtime(f);
    counter made = 0;
    counter turns = 0;
    std::atomic<bool> end = false;
    std::uint64_t turns_meanwhile = 0;
    rt.block_on([](counter* n, counter* t, std::atomic<bool>* e, std::uint64_t* seen) -> task<> {
      auto bystander = spawn([](counter* mine, std::atomic<bool>* until) -> task<> {
        while (!until->load()) {
          mine->fetch_add(1);
          co_await yield_now();
        }
      }(t, e));
      for (int i = 0; i != calls; ++i) {
        auto h = spawn(count_up(n));
        auto r = co_await std::move(h);
        CHECK(r.has_value());
      }
      *seen = t->load();
      e->store(true);
      auto r = co_await std::move(bystander);
      CHECK(r.has_value());
    }(&made, &turns, &end, &turns_meanwhile));
    CHECK(made == calls);
    CHECK(turns_meanwhile >= 2);  // 10,000 runs, of which 1024 may follow each other
  }
}
