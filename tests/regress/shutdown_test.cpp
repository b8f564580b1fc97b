// SPDX-License-Identifier: MIT Things that outlived a runtime and accessed it.
#include <fcntl.h>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>

#include <kioto/detail/net/sys.hpp>

#include "support/catch.hpp"
#include "support/flag.hpp"
#include "support/runtimes.hpp"
#include "support/signal.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

std::atomic<bool> in_unpark{false};
std::atomic<bool> runtime_gone{false};
std::atomic<bool> descriptor_alive{false};
thread_local bool slow_unpark = false;

}  // namespace

// schedule_remote() publishes the task and then wakes the runtime. The task had ended, and the
// runtime had been dropped, before the wake-up was complete.
TEST_CASE("a wake-up from outside touched the runtime after the task had ended") {
  in_unpark = false;
  runtime_gone = false;
  descriptor_alive = false;
  auto calls = detail::sys::table();
  calls.write = [](int fd, const void* data, std::size_t size) -> std::ptrdiff_t {
    if (slow_unpark) {
      in_unpark = true;
      comes_true(runtime_gone, 200ms);
      descriptor_alive = ::fcntl(fd, F_GETFD) != -1;
    }
    return detail::sys::native().write(fd, data, size);
  };
  const detail::sys::override_calls slow(calls);

  signal s;
  std::thread other;
  {
    runtime rt = make_runtime(flavour::current_thread);
    auto ended = rt.spawn([](signal* from) -> task<> { co_await from->wait(); }, &s);
    other = std::thread([&s] {
      std::this_thread::sleep_for(5ms);
      slow_unpark = true;
      s.set();
    });
    rt.block_on([](join_handle<> h) -> task<> {
      while (!in_unpark) co_await sleep(1ms);
      auto r = co_await std::move(h);
      CHECK(r.has_value());
    }(std::move(ended)));
  }
  runtime_gone = true;
  other.join();
  CHECK(descriptor_alive);
}

// The threads of the blocking pool run the hooks of their runtime, and what they call may spawn. A
// runtime that had not waited for them was freed under them.
TEST_CASE("a blocking call outlived the runtime whose hooks it ran") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    const auto alive = std::make_shared<std::atomic<int>>(0);
    const flag started = make_flag();
    const flag release = make_flag();
    const flag refused = make_flag();
    {
      auto builder = builder_for(f);
      builder.on_thread_stop([alive] { ++*alive; });
      runtime rt = std::move(builder.build()).value();
      auto job = rt.spawn_blocking([started, release, refused] {
        started->store(true);
        while (!release->load()) std::this_thread::sleep_for(1ms);
        auto late = kioto::spawn([]() -> task<> { co_return; });
        refused->store(late.is_finished());
      });
      if (f == flavour::current_thread) rt.block_on([]() -> task<> { co_await yield_now(); });
      REQUIRE(comes_true(*started));
      CHECK_FALSE(rt.shutdown(1ms));
    }
    CHECK(alive.use_count() > 1);
    const int before = alive->load();
    release->store(true);
    CHECK(comes_true(*refused));
    for (int i = 0; i != 20000 && alive->load() == before; ++i) std::this_thread::sleep_for(1ms);
    CHECK(alive->load() > before);
  }
}

// A task that could not be ended within the time limit was left behind by its current-thread
// runtime; its wake-up went to a scheduler that was gone. A thread of its own runs it now.
TEST_CASE("a task that outlived its current-thread runtime was scheduled on it") {
  signal s;
  const auto alive = std::make_shared<int>(0);
  std::optional<join_handle<>> left;
  {
    auto rt = runtime::builder().current_thread().on_thread_stop([alive] {}).build();
    REQUIRE(rt.has_value());
    left.emplace(rt->spawn([](signal* from) -> task<> { co_await shield(from->wait()); }, &s));
    rt->block_on([]() -> task<> { co_await yield_now(); });
    CHECK_FALSE(rt->shutdown(1ms));
  }
  CHECK(alive.use_count() > 1);
  CHECK_FALSE(left->is_finished());
  left->abort();
  s.set();
  for (int i = 0; i != 20000 && alive.use_count() != 1; ++i) std::this_thread::sleep_for(1ms);
  CHECK(left->is_finished());
  CHECK(alive.use_count() == 1);
}

// The same on a local runtime, whose tasks have no other thread: this one is never destroyed.
TEST_CASE("a task that outlived its local runtime was scheduled on it") {
  signal s;
  const auto alive = std::make_shared<int>(0);
  std::optional<join_handle<>> left;
  {
    auto rt = runtime::builder().on_thread_stop([alive] {}).build_local();
    REQUIRE(rt.has_value());
    left.emplace(rt->spawn([](signal* from) -> task<> { co_await shield(from->wait()); }, &s));
    rt->block_on([]() -> task<> { co_await yield_now(); });
    CHECK_FALSE(rt->shutdown(1ms));
  }
  CHECK(alive.use_count() > 1);
  s.set();
  CHECK_FALSE(left->is_finished());
  left->abort();
}

TEST_CASE("a current-thread runtime dropped by one of its tasks was freed under its own loop") {
  const auto alive = std::make_shared<int>(0);
  auto built = runtime::builder().current_thread().on_thread_stop([alive] {}).build();
  auto rt = std::make_unique<runtime>(std::move(built).value());
  std::weak_ptr<int> seen = alive;
  rt->block_on([](std::unique_ptr<runtime>* mine, std::weak_ptr<int> options) -> task<> {
    mine->reset();
    CHECK(options.use_count() > 1);
    co_return;
  }(&rt, seen));
  CHECK(rt == nullptr);
}

// A blocking call is a part of the runtime, too: dropping the runtime there waited for itself.
TEST_CASE("a runtime dropped inside a blocking call of its own waited for ever") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    const flag dropped = make_flag();
    auto rt = std::make_shared<std::optional<runtime>>(make_runtime(f));
    const handle h = (*rt)->handle();
    auto job = h.spawn_blocking([rt, dropped] {
      rt->reset();
      dropped->store(true);
    });
    if (f == flavour::current_thread) {
      const auto yields = [](flag end) -> task<> {
        while (!end->load()) co_await yield_now();
      };
      try {
        h.block_on(yields(dropped));
      } catch (const task_cancelled&) {
      }
    }
    CHECK(comes_true(*dropped));
  }
}
