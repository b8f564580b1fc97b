// SPDX-License-Identifier: MIT Shutdowns that returned a wrong result, hung, or left something
// behind.
#include <array>
#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <kioto/testing/paused.hpp>

#include "support/catch.hpp"
#include "support/flag.hpp"
#include "support/runtimes.hpp"
#include "support/signal.hpp"
#include "support/stderr.hpp"
#include "support/tcp.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

using steady = std::chrono::steady_clock;

local_runtime make_local() { return std::move(runtime::builder().build_local()).value(); }

/// Calls `body` with a fresh runtime of each kind, as an lvalue of type std::optional.
template <class Body>
void on_every_runtime(Body body) {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    std::optional<runtime> rt(make_runtime(f));
    body(rt);
  }
  INFO("local");
  std::optional<local_runtime> rt(make_local());
  body(rt);
}

/// Until so many tasks have begun, and so will reach their shields whatever comes.
std::atomic<int> begun_tasks{0};
task<> until_begun(int count) {
  while (begun_tasks != count) co_await yield_now();
  begun_tasks = 0;
}

std::size_t threads_of_process() {
  std::size_t n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/task"))
    ++n;
  return n;
}
/// With whatever thread a sanitizer starts for itself along with the first one.
std::size_t threads_at_first() {
  std::thread([] {}).join();
  return threads_of_process();
}

template <class Count>
bool becomes(const Count& count, int value) {
  for (int i = 0; i != 20000 && count != value; ++i) std::this_thread::sleep_for(1ms);
  return count == value;
}

}  // namespace

// The second call returned true at once.
TEST_CASE("a repeated shutdown said that everything had ended while a blocking call ran") {
  on_every_runtime([](auto& rt) {
    const flag begun = make_flag();
    const flag release = make_flag();
    const flag ended = make_flag();
    rt->handle().spawn_blocking([=] {
      begun->store(true);
      comes_true(*release);
      ended->store(true);
    });
    REQUIRE(comes_true(*begun));
    CHECK_FALSE(rt->shutdown(1ms));
    CHECK_FALSE(rt->shutdown(1ms));
    CHECK_FALSE(rt->shutdown(0ns));
    release->store(true);
    CHECK(rt->shutdown(20s));
    CHECK(ended->load());
    CHECK(rt->shutdown(0ns));
    CHECK(rt->metrics().tasks_alive == 0);
    CHECK(rt->metrics().blocking_threads == 0);
  });
}

TEST_CASE("a repeated shutdown said that everything had ended while a task was shielded") {
  on_every_runtime([](auto& rt) {
    signal s;
    std::atomic<int> destroyed{0};
    auto h = rt->handle().spawn(
        [](signal* from, shared_probe) -> task<> {
          ++begun_tasks;
          co_await shield(from->wait());
        },
        &s, shared_probe(destroyed));
    rt->block_on(until_begun(1));
    CHECK_FALSE(rt->shutdown(1ms));
    CHECK_FALSE(rt->shutdown(1ms));
    CHECK(destroyed == 0);
    s.set();
    CHECK(rt->shutdown(20s));
    CHECK(destroyed == 1);
    CHECK(h.is_finished());
  });
}

TEST_CASE("several threads shut down at a time, and each is told the truth") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    for (int round = 0; round != 20; ++round) {
      runtime rt = make_runtime(f);
      const flag release = make_flag();
      std::atomic<int> destroyed{0};
      for (int i = 0; i != 10; ++i)
        rt.spawn([](shared_probe) -> task<> { co_await sleep(1h); }, shared_probe(destroyed));
      const flag begun = make_flag();
      rt.spawn_blocking([=] {
        begun->store(true);
        comes_true(*release);
      });
      REQUIRE(comes_true(*begun));
      std::vector<std::thread> others;
      std::atomic<int> wrong{0};
      for (int i = 0; i != 3; ++i)
        others.emplace_back([&] {
          if (!rt.shutdown(20s) || destroyed != 10) ++wrong;
        });
      if (rt.shutdown(0ns)) ++wrong;
      release->store(true);
      for (auto& t : others) t.join();
      CHECK(wrong == 0);
    }
  }
}

// The deadline cut off the tasks whose turn had not come, and the destructor did nothing.
TEST_CASE("a runtime whose shutdown missed its deadline left tasks and descriptors") {
  on_every_runtime([](auto& rt) {
    const no_descriptor_leak leak;
    std::atomic<int> destroyed{0};
    std::atomic<int> bound{0};
    for (int i = 0; i != 200; ++i)
      rt->handle().spawn(
          [](shared_probe, std::atomic<int>* count) -> task<> {
            auto listener = co_await net::tcp_listener::bind("127.0.0.1:0");
            CHECK(listener.has_value());
            ++*count;
            co_await sleep(1h);
          },
          shared_probe(destroyed), &bound);
    rt->block_on([](std::atomic<int>* count) -> task<> {
      while (*count != 200) co_await yield_now();
    }(&bound));
    (void)rt->shutdown(0ns);
    const bool goes_on = rt->metrics().workers.size() == 4;
    rt.reset();
    // Others may have been ended by workers that still go on.
    if (goes_on)
      CHECK(becomes(destroyed, 200));
    else
      CHECK(destroyed == 200);
  });
}

TEST_CASE("a runtime that another one replaced left tasks behind") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker}) {
    std::atomic<int> destroyed{0};
    runtime rt = make_runtime(f);
    rt.spawn([](shared_probe) -> task<> { co_await sleep(1h); }, shared_probe(destroyed));
    rt.shutdown_background();
    rt = make_runtime(f);
    CHECK(becomes(destroyed, 1));
    CHECK(rt.block_on([]() -> task<int> { co_return 3; }) == 3);
  }
}

TEST_CASE("a task that is shielded when its runtime goes is ended in the background") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    const std::size_t threads = threads_at_first();
    const no_descriptor_leak leak;
    std::atomic<int> destroyed{0};
    signal s;
    {
      runtime rt = make_runtime(f);
      rt.spawn(
          [](signal* from, shared_probe) -> task<> {
            ++begun_tasks;
            co_await shield(from->wait());
            sync::notify never;
            auto hit = co_await shield(select(never.notified(), sleep(1ms)));
            (void)hit;
          },
          &s, shared_probe(destroyed));
      rt.block_on(until_begun(1));
      CHECK_FALSE(rt.shutdown(1ms));
    }
    CHECK(destroyed == 0);
    s.set();
    CHECK(becomes(destroyed, 1));
    for (int i = 0; i != 20000 && threads_of_process() > threads; ++i)
      std::this_thread::sleep_for(1ms);
    CHECK(threads_of_process() <= threads);
  }
}

TEST_CASE("timers of a local runtime come at once when it has no time left") {
  std::atomic<int> destroyed{0};
  std::atomic<int> went_on{0};
  {
    local_runtime rt = make_local();
    rt.spawn(
        [](shared_probe, std::atomic<int>* count) -> task<> {
          ++begun_tasks;
          sync::notify never;
          auto hit = co_await shield(select(never.notified(), sleep(1h)));
          (void)hit;
          co_await shield(sleep(1h));
          ++*count;
          co_await sleep(1h);
          ++*count;
        },
        shared_probe(destroyed), &went_on);
    rt.spawn(
        [](shared_probe) -> task<> {
          ++begun_tasks;
          co_await shield(sleep_until(steady::time_point::max()));
        },
        shared_probe(destroyed));
    rt.block_on(until_begun(2));
    CHECK_FALSE(rt.shutdown(1ms));
    CHECK(destroyed == 0);
  }
  CHECK(destroyed == 2);
  CHECK(went_on == 1);
}

// The tasks that were left were never destroyed.
TEST_CASE("a runtime dropped by one of its tasks left the others behind") {
  const auto check = [](auto made) {
    std::atomic<int> destroyed{0};
    const no_descriptor_leak leak;
    auto rt = std::make_unique<decltype(made)>(std::move(made));
    for (int i = 0; i != 10; ++i)
      rt->spawn([](shared_probe) -> task<> { co_await sleep(1h); }, shared_probe(destroyed));
    const captured_stderr said;
    try {
      rt->block_on([](auto* mine) -> task<> {
        co_await yield_now();
        mine->reset();
      }(&rt));
    } catch (const task_cancelled&) {
    }
    if (std::is_same_v<decltype(made), local_runtime>)
      CHECK(destroyed == 10);
    else
      CHECK(becomes(destroyed, 10));
    CHECK_THAT(said.text(), contains("from within"));
  };
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    check(make_runtime(f));
  }
  check(make_local());
}

TEST_CASE("a local runtime dropped by a task that its own shutdown ends") {
  std::atomic<int> destroyed{0};
  std::weak_ptr<int> options;
  {
    const auto alive = std::make_shared<int>(0);
    options = alive;
    auto rt = std::make_unique<local_runtime>(
        std::move(runtime::builder().on_thread_stop([alive] {}).build_local()).value());
    local_runtime& same = *rt;
    for (int i = 0; i != 2; ++i)
      same.spawn([](shared_probe) -> task<> { co_await sleep(1h); }, shared_probe(destroyed));
    same.spawn([](std::unique_ptr<local_runtime>) -> task<> { co_await sleep(1h); }, std::move(rt));
    same.block_on([]() -> task<> { co_await yield_now(); });
    const captured_stderr said;
    CHECK(same.shutdown(20s));
  }
  CHECK(destroyed == 2);
  CHECK(options.expired());
}

// A shutdown from within must not change how long the owner waits.
TEST_CASE("a shutdown from within a task does not keep the destructor from waiting") {
  on_every_runtime([](auto& rt) {
    std::atomic<int> destroyed{0};
    rt->spawn(
        [](shared_probe) -> task<> {
          sync::notify never;
          auto hit = co_await shield(select(never.notified(), sleep(30ms)));
          (void)hit;
        },
        shared_probe(destroyed));
    const captured_stderr said;
    try {
      rt->block_on([](auto* mine) -> task<> {
        co_await yield_now();
        CHECK_FALSE((*mine)->shutdown(1h));
      }(&rt));
    } catch (const task_cancelled&) {
    }
    rt.reset();
    CHECK(destroyed == 1);
  });
}

// The timers were ended as if cancelled, so a shielded select waited for its other branch for ever.
TEST_CASE("a shielded wait with a timeout hung in the shutdown") {
  on_every_runtime([](auto& rt) {
    std::atomic<int> destroyed{0};
    std::atomic<int> later{0};
    const auto begin = steady::now();
    rt->spawn(
        [](shared_probe, std::atomic<int>* count) -> task<> {
          ++begun_tasks;
          sync::notify never;
          auto hit = co_await shield(select(never.notified(), sleep(60ms)));
          (void)hit;
          co_await shield(when_any(never.notified(), sleep(1ms)));
          bool timed_out = false;
          try {
            co_await shield(timeout(1ms, never.notified()));
          } catch (const timeout_error&) {
            timed_out = true;
          }
          if (timed_out) ++*count;
          // One that begins during the shutdown.
          co_await shield(sleep(1ms));
          ++*count;
          co_await sleep(1h);
          ++*count;
        },
        shared_probe(destroyed), &later);
    rt->block_on(until_begun(1));
    rt.reset();
    CHECK(destroyed == 1);
    CHECK(later == 2);
    CHECK(steady::now() - begin >= 60ms);
  });
}

TEST_CASE("a shielded wait hung in the shutdown of a runtime whose clock is paused") {
  for (const auto by_itself : {auto_advance::on, auto_advance::off}) {
    std::atomic<int> destroyed{0};
    {
      runtime rt = testing::paused_runtime(by_itself);
      rt.spawn(
          [](shared_probe) -> task<> {
            ++begun_tasks;
            sync::notify never;
            auto hit = co_await shield(select(never.notified(), sleep(1h)));
            (void)hit;
          },
          shared_probe(destroyed));
      rt.block_on(until_begun(1));
    }
    CHECK(destroyed == 1);
  }
}

TEST_CASE("shielded I/O ends with an error in the shutdown, also beside a long timer") {
  on_every_runtime([](auto& rt) {
    const no_descriptor_leak leak;
    std::error_code seen;
    const auto begin = steady::now();
    rt->spawn(
        [](std::error_code* out) -> task<> {
          auto listener = co_await listen_somewhere();
          ++begun_tasks;
          auto hit = co_await shield(select(listener.accept(), sleep(1h)));
          if (hit.template has<0>()) *out = hit.template get<0>()->error();
        },
        &seen);
    rt->block_on(until_begun(1));
    rt.reset();
    CHECK(is_runtime_shutdown(seen));
    CHECK(steady::now() - begin < 20s);
  });
}

TEST_CASE("a shutdown that misses its limit says what is left, and so does the destructor") {
  on_every_runtime([](auto& rt) {
    signal s;
    const flag begun = make_flag();
    const flag release = make_flag();
    auto waits = rt->spawn(
        [](signal* from) -> task<> {
          ++begun_tasks;
          co_await shield(from->wait());
        },
        &s);
    rt->block_on(until_begun(1));
    auto call = rt->handle().spawn_blocking([=] {
      begun->store(true);
      comes_true(*release);
    });
    REQUIRE(comes_true(*begun));
    const std::string name = "task " + std::to_string(waits.id().value());
    const std::string name_of_call = "task " + std::to_string(call.id().value());
    {
      const captured_stderr said;
      CHECK_FALSE(rt->shutdown(0ns));
      CHECK(said.text().empty());
      // A worker may still be about to tell them to stop.
      const auto waits_in = [&](const std::string& task) {
        return said.text().find(task + ", waits in ") != std::string::npos;
      };
      for (int i = 0; i != 1000 && !(waits_in(name) && waits_in(name_of_call)); ++i)
        CHECK_FALSE(rt->shutdown(1ms));
      CHECK(waits_in(name));
      CHECK(waits_in(name_of_call));
      CHECK_THAT(said.text(), contains("missed its time limit"));
      CHECK_THAT(said.text(), contains("shutdown_again_test.cpp"));
      CHECK_THAT(said.text(), contains("run_blocking"));
      CHECK_THAT(said.text(), contains("blocking calls that run: 1"));
    }
    {
      const captured_stderr said;
      rt.reset();
      CHECK_THAT(said.text(), contains("was destroyed"));
      CHECK_THAT(said.text(), contains((name + ", ").c_str()));
    }
    release->store(true);
    for (int i = 0; i != 20000 && !call.is_finished(); ++i) std::this_thread::sleep_for(1ms);
    CHECK(call.is_finished());
    s.set();
    waits.detach();
    call.detach();
  });
}

TEST_CASE("a runtime that has ended in time is silent") {
  on_every_runtime([](auto& rt) {
    rt->handle().spawn([]() -> task<> { co_await sleep(1h); });
    const captured_stderr said;
    CHECK(rt->shutdown(20s));
    rt.reset();
    CHECK(said.text().empty());
  });
}

// The pool refused or cancelled the hand-over, and the worker had no thread, or a blocked one.
TEST_CASE("a worker whose task blocks in place after a missed shutdown has another thread") {
  runtime rt = make_runtime(flavour::one_worker);
  const flag begun = make_flag();
  const flag shut = make_flag();
  const flag other_ended = make_flag();
  const flag came = make_flag();
  const flag over = make_flag();
  struct raises_at_end {
    explicit raises_at_end(flag f) : raised(std::move(f)) {}
    raises_at_end(raises_at_end&&) = default;
    raises_at_end& operator=(raises_at_end&&) = delete;
    ~raises_at_end() {
      if (raised != nullptr) raised->store(true);
    }
    flag raised;
  };
  rt.spawn(
      [](raises_at_end) -> task<> {
        ++begun_tasks;
        co_await shield(sleep(50ms));
      },
      raises_at_end(other_ended));
  rt.block_on(until_begun(1));
  rt.spawn([=]() -> task<> {
    begun->store(true);
    while (!shut->load()) std::this_thread::sleep_for(1ms);
    if (block_in_place([&] { return comes_true(*other_ended, 10s); })) came->store(true);
    over->store(true);
    co_return;
  });
  REQUIRE(comes_true(*begun));
  CHECK_FALSE(rt.shutdown(0ns));
  shut->store(true);
  CHECK(comes_true(*over));
  CHECK(came->load());
  CHECK(rt.shutdown(20s));
}

TEST_CASE("shutdowns beside block_in_place left threads behind") {
  const std::size_t before = threads_at_first();
  std::atomic<int> destroyed{0};
  int made = 0;
  for (int i = 0; i != 300; ++i) {
    auto rt = std::move(runtime::builder().worker_threads(1 + static_cast<unsigned>(i) % 2).build())
                  .value();
    for (int k = 0; k != 3; ++k, ++made)
      rt.spawn(
          [](shared_probe) -> task<> {
            for (;;) {
              block_in_place([] { std::this_thread::sleep_for(5us); });
              co_await yield_now();
            }
          },
          shared_probe(destroyed));
    std::this_thread::sleep_for(std::chrono::microseconds(100 + i % 300));
    rt.shutdown_background();
  }
  CHECK(becomes(destroyed, made));
  for (int i = 0; i != 20000 && threads_of_process() > before; ++i)
    std::this_thread::sleep_for(1ms);
  CHECK(threads_of_process() <= before);
}
