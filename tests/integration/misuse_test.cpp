// SPDX-License-Identifier: MIT What a program must not do, and the message that it gets.
#include <optional>
#include <stdexcept>
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

task<int> give(int value) { co_return value; }
task<> sleeps() { co_await sleep(100s); }

template <class F>
std::string what_is_said(F f) {
  try {
    f();
  } catch (const std::logic_error& e) {
    return e.what();
  }
  return "nothing";
}

}  // namespace

TEST_CASE("misuse: a local runtime is used on another thread") {
  auto rt = runtime::builder().build_local();
  REQUIRE(rt.has_value());
  const handle h = rt->handle();
  std::thread([&] {
    CHECK_THAT(what_is_said([&] { rt->block_on(give(1)); }), contains("local runtime"));
    CHECK_THAT(what_is_said([&] { rt->spawn(give(1)); }), contains("local runtime"));
    CHECK_THAT(what_is_said([&] { h.block_on(give(1)); }), contains("local runtime"));
    CHECK_THAT(what_is_said([&] { h.spawn(give(1)); }), contains("local runtime"));
    CHECK_THAT(what_is_said([&] { h.spawn_blocking([] {}); }), contains("local runtime"));
    const auto inside = h.enter();
    CHECK_THAT(what_is_said([&] { kioto::spawn(give(1)); }), contains("local runtime"));
    CHECK_THAT(what_is_said([&] { kioto::spawn_blocking([] {}); }), contains("local runtime"));
  }).join();
  CHECK(rt->block_on(give(4)) == 4);
  CHECK(rt->metrics().tasks_spawned == 1);
}

TEST_CASE("misuse: a local runtime is dropped on another thread") {
  const std::string said = last_words([] {
    std::optional<local_runtime> rt(std::move(runtime::builder().build_local()).value());
    std::thread([&rt] { rt.reset(); }).join();
  });
  CHECK_THAT(said, contains("thread that built it"));
}

TEST_CASE("misuse: a task that waits is destroyed by hand") {
  const std::string said = last_words([] {
    runtime rt = make_runtime(flavour::current_thread);
    rt.block_on([]() -> task<> {
      std::optional<task<>> child(sleeps());
      auto waiter =
          spawn([](std::optional<task<>>* c) -> task<> { co_await std::move(**c); }, &child);
      // The frame of the waiter is destroyed with the operation of its child in it.
      co_await sleep(2ms);
      detail::join_handle_access::header(waiter)->root().handle().destroy();
    });
  });
#if defined(NDEBUG)
  CHECK_THAT(said, contains("in flight"));
  CHECK_THAT(said, contains("abort it through its join_handle"));
#else
  CHECK_THAT(said, contains("must not be destroyed"));  // the assertion of the timer comes first
#endif
}

TEST_CASE("misuse: an empty task is awaited") {
  const std::string said = last_words([] {
    runtime rt = make_runtime(flavour::current_thread);
    rt.block_on([]() -> task<> {
      auto once = give(1);
      const int one = co_await std::move(once);
      const int two = co_await std::move(once);
      (void)(one + two);
    });
  });
  CHECK_THAT(said, contains("an empty task was awaited"));
}

TEST_CASE("misuse: a join handle is awaited twice at a time") {
  on_every_scheduler([]() -> task<> {
    sync::notify end;
    auto h = spawn([](sync::notify* n) -> task<> { co_await n->notified(); }, &end);
    const auto waits = [](join_handle<>* handle) -> task<std::string> {
      try {
        const auto r = co_await *handle;
        co_return r.has_value() ? "has ended" : "was cancelled";
      } catch (const std::logic_error& e) {
        co_return e.what();
      }
    };
    const auto ends = [](sync::notify* n) -> task<> {
      n->notify_one();
      co_return;
    };
    const auto [first, second, third] = co_await when_all(waits(&h), waits(&h), ends(&end));
    static_cast<void>(third);
    CHECK(first == "has ended");
    CHECK_THAT(second, contains("awaited while somebody else waits for it"));
  });
}

TEST_CASE("misuse: an empty join handle is awaited, and a result is taken twice") {
  on_every_scheduler([]() -> task<> {
    auto h = spawn(give(1));
    auto first = co_await h;
    CHECK(first.has_value());
    std::string said;
    try {
      auto second = co_await h;
      CHECK(second.has_value());
    } catch (const std::logic_error& e) {
      said = e.what();
    }
    CHECK_THAT(said, contains("has been taken already"));
    h.detach();
    try {
      auto third = co_await h;
      CHECK(third.has_value());
    } catch (const std::logic_error& e) {
      said = e.what();
    }
    CHECK_THAT(said, contains("an empty join_handle was awaited"));
  });
}
