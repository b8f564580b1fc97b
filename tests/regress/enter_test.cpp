// SPDX-License-Identifier: MIT An enter_guard that lived across a suspension made other tasks run
// in its runtime.
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

using Catch::Matchers::Contains;

task<> keeps_a_guard(const handle& other) {
  const enter_guard inside = other.enter();
  co_await sleep(1ms);
}

}  // namespace

TEST_CASE("an enter_guard that lived across a suspension left its runtime to other tasks") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    const std::string said = last_words([f] {
      runtime other = make_runtime(flavour::current_thread);
      const handle h = other.handle();
      make_runtime(f).block_on(keeps_a_guard(h));
    });
    CHECK_THAT(said, Contains("enter_guard") && Contains("enter_test.cpp") && Contains("co_await"));
    // Also in a branch, in a task that is awaited, across a yield, and in a task driven by hand.
    const std::string branch = last_words([f] {
      runtime other = make_runtime(flavour::current_thread);
      const handle h = other.handle();
      make_runtime(f).block_on(
          [](const handle& o) -> task<> { co_await when_all(keeps_a_guard(o), sleep(2ms)); }(h));
    });
    CHECK_THAT(branch, Contains("enter_guard"));
    const std::string yielded = last_words([f] {
      runtime other = make_runtime(flavour::current_thread);
      const handle h = other.handle();
      make_runtime(f).block_on([](const handle& o) -> task<> {
        const enter_guard inside = o.enter();
        co_await yield_now();
      }(h));
    });
    CHECK_THAT(yielded, Contains("enter_guard"));
  }
}

TEST_CASE("enter_guards that were destroyed out of order left the wrong runtime behind") {
  const std::string order = last_words([] {
    runtime rt = make_runtime(flavour::current_thread);
    std::unique_ptr<enter_guard> first(new enter_guard(rt.enter()));
    const std::unique_ptr<enter_guard> second(new enter_guard(rt.enter()));
    first.reset();
  });
  CHECK_THAT(order, Contains("enter_guard") && Contains("before a later one"));
  const std::string thread = last_words([] {
    runtime rt = make_runtime(flavour::current_thread);
    std::unique_ptr<enter_guard> guard(new enter_guard(rt.enter()));
    std::thread([&guard] { guard.reset(); }).join();
  });
  CHECK_THAT(thread, Contains("enter_guard") && Contains("another thread"));
}

TEST_CASE("an enter_guard between two suspensions, or around block_on, is right") {
  runtime other = make_runtime(flavour::four_workers);
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    runtime rt = make_runtime(f);
    const enter_guard around = other.enter();
    rt.block_on([](const runtime& elsewhere) -> task<> {
      std::optional<join_handle<int>> there;
      {
        const enter_guard inside = elsewhere.enter();
        const enter_guard again = elsewhere.enter();
        there.emplace(spawn([]() -> task<int> {
          co_await yield_now();
          co_return 5;
        }));
      }
      const auto five = co_await *there;
      CHECK(five.has_value());
      CHECK(elsewhere.metrics().tasks_spawned != 0);
      auto here = spawn([]() -> task<int> { co_return 6; });
      const auto six = co_await here;
      CHECK(six.has_value());
    }(other));
    CHECK(rt.metrics().tasks_spawned == 2);
  }
}
