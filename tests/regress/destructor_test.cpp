// SPDX-License-Identifier: MIT
// Destructors that throw while a frame, or a result, is destroyed: a second removal, a hang or a
// bad free. And what they throw after a co_return: the error was made over the value.
#include <array>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <kioto/detail/task/leaf_awaiter.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/gate.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

// Throws when it ends, unless it was moved from.
class bomb {
 public:
  bomb() = default;
  bomb(bomb&& other) noexcept : armed_(std::exchange(other.armed_, false)) {}
  bomb& operator=(bomb&&) = delete;
  // NOLINTNEXTLINE(bugprone-exception-escape): that is what it is for
  ~bomb() noexcept(false) {
    if (armed_) throw std::runtime_error("a bomb went off");
  }

 private:
  bool armed_ = true;
};

task<> waits() { co_await sleep(1h); }
task<> holds_a_local() {
  const bomb b;
  co_await sleep(1h);
}
// NOLINTNEXTLINE(performance-unnecessary-value-param): the frame owns it
task<> holds_a_parameter(bomb) { co_await sleep(1h); }
task<> has_ended(bomb) { co_return; }
task<> awaits_one() {
  co_await holds_a_local();
  FAIL_CHECK("it was not stopped");
}
task<> absorbs() {
  const auto r = co_await as_result(awaits_one());
  static_cast<void>(r);
}
task<> stops(join_handle<>* handle) {
  co_await yield_now();
  handle->abort();
  static_cast<void>(co_await *handle);
}
task<> aborts(task<> work) {
  auto handle = spawn(std::move(work));
  co_await stops(&handle);
}
async_generator<int> numbers_with_local() {
  const bomb b;
  co_yield 1;
}
async_generator<int> numbers_with_frames() {
  co_yield 1;
  co_await holds_a_local();
  co_yield 2;
}
task<int> gives(bomb) { co_return 1; }
task<bomb> makes() { co_return bomb(); }

// What the program says when it runs `work` on a current-thread runtime.
template <class Work>
std::string says(Work work) {
  return last_words([&work] {
    runtime rt = make_runtime(flavour::current_thread);
    rt.block_on(work());
  });
}

void check_names(const std::string& said) {
  CHECK_THAT(said, contains("kioto: task "));
  CHECK_THAT(said, contains("spawned at "));
  CHECK_THAT(said, contains("destructor_test.cpp:"));
  CHECK_THAT(said, contains("a destructor threw"));
  CHECK_THAT(said, contains("a bomb went off"));
  CHECK(said.find("it went on") == std::string::npos);
}

}  // namespace

TEST_CASE("a destructor threw while its task was stopped") {
  SECTION("of a local") {
    check_names(says([] { return aborts(holds_a_local()); }));
  }
  SECTION("of a local of an inner frame") {
    check_names(says([] { return aborts(awaits_one()); }));
  }
  SECTION("of a parameter") {
    check_names(says([] { return aborts(holds_a_parameter({})); }));
  }
  SECTION("of a parameter, and the task never ran") {
    check_names(says([]() -> task<> {
      auto handle = spawn(holds_a_parameter(bomb()));
      handle.abort();
      static_cast<void>(co_await handle);
    }));
  }
  SECTION("of a parameter, and the task has ended") {
    check_names(says([]() -> task<> {
      auto handle = spawn(has_ended(bomb()));
      static_cast<void>(co_await handle);
    }));
  }
  SECTION("of an argument that spawn keeps") {
    check_names(says([]() -> task<> {
      const auto uses = [](const bomb&) -> task<> { co_await sleep(1h); };
      auto handle = spawn(uses, bomb());
      co_await stops(&handle);
    }));
  }
  SECTION("of a local, and a worker runs it") {
    check_names(last_words([] {
      runtime rt = make_runtime(flavour::one_worker);
      rt.block_on([]() -> task<> { co_await aborts(holds_a_local()); });
    }));
  }
}

TEST_CASE("a destructor threw in a branch, a child or a body that was stopped") {
  SECTION("a branch that lost") {
    check_names(
        says([]() -> task<> { static_cast<void>(co_await select(holds_a_local(), sleep(1ms))); }));
  }
  SECTION("a branch that has ended") {
    check_names(says([]() -> task<> {
      auto all = co_await when_all(gives(bomb()), gives(bomb()));
      static_cast<void>(all);
    }));
  }
  SECTION("an operation that timed out") {
    check_names(says([]() -> task<> { co_await timeout(1ms, holds_a_local()); }));
  }
  SECTION("below as_result") {
    check_names(says([] { return aborts(absorbs()); }));
  }
  SECTION("a child") {
    check_names(says([]() -> task<> {
      co_await scope([](task_scope& s) -> task<> {
        s.spawn(holds_a_local());
        co_await yield_now();
        s.cancel();
      });
    }));
  }
  SECTION("a body") {
    check_names(says([]() -> task<> {
      co_await scope([](task_scope& s) -> task<> {
        s.cancel();
        co_await holds_a_local();
      });
    }));
  }
  SECTION("a branch in a body that is kept") {
    check_names(says([]() -> task<> {
      co_await scope([](task_scope& s) -> task<> {
        s.spawn(waits());
        co_await yield_now();
        s.cancel();
        static_cast<void>(co_await select(holds_a_local(), sleep(1h)));
      });
    }));
  }
}

TEST_CASE("a destructor threw in a generator that was destroyed") {
  SECTION("a local") {
    check_names(says([]() -> task<> {
      auto numbers = numbers_with_local();
      static_cast<void>(co_await numbers.next());
    }));
  }
  SECTION("a frame that it awaits") {
    check_names(says([]() -> task<> {
      auto numbers = numbers_with_frames();
      static_cast<void>(co_await numbers.next());
      static_cast<void>(co_await select(numbers.next(), sleep(1ms)));
    }));
  }
}

TEST_CASE("a destructor threw at a shutdown, when a task was refused, and outside of one") {
  SECTION("at the shutdown") {
    for (const flavour f : {flavour::current_thread, flavour::one_worker})
      check_names(last_words([f] {
        runtime rt = make_runtime(f);
        rt.block_on([]() -> task<> {
          auto handle = spawn(holds_a_local());
          co_await yield_now();
          handle.detach();
        });
      }));
  }
  SECTION("of a parameter of a task that is refused") {
    check_names(last_words([] {
      runtime rt = make_runtime(flavour::current_thread);
      const handle h = rt.handle();
      rt.shutdown(0ms);
      auto refused = h.spawn(has_ended(bomb()));
      static_cast<void>(refused);
    }));
  }
  SECTION("of a parameter of a task that nobody spawned") {
    const std::string said = last_words([] {
      const auto never = has_ended(bomb());
      static_cast<void>(never);
    });
    CHECK_THAT(said, contains("kioto: outside of a task: a destructor threw"));
    CHECK_THAT(said, contains("a bomb went off"));
  }
}

TEST_CASE("the destructor of a result threw") {
  SECTION("nobody took it") {
    check_names(says([]() -> task<> {
      auto handle = spawn(makes());
      co_await yield_now();
      CHECK(handle.is_finished());
    }));
  }
  SECTION("the handle went first") {
    check_names(says([]() -> task<> {
      spawn(makes()).detach();
      co_await yield_now();
    }));
  }
}

// ---- after co_return ---------------------------------------------------------------------------

namespace {

// Counts its objects, so that one that is constructed over another one is missed.
class counted {
 public:
  explicit counted(int& alive, int value = 0) noexcept : alive_(&alive), value_(value) {
    ++*alive_;
  }
  counted(const counted& other) noexcept : alive_(other.alive_), value_(other.value_) { ++*alive_; }
  counted& operator=(const counted&) = delete;
  ~counted() { --*alive_; }
  [[nodiscard]] int value() const noexcept { return value_; }

 private:
  int* alive_;
  int value_;
};

task<counted> throws_after_return(int& alive) {
  const bomb b;
  co_await yield_now();
  co_return counted(alive);
}
task<counted> returns_again(int& alive) {
  try {
    const bomb b;
    co_return counted(alive, 1);
  } catch (const std::runtime_error&) {
    static_cast<void>(0);
  }
  co_await yield_now();
  co_return counted(alive, 2);
}
task<counted> throws_again(int& alive) {
  const bomb other;
  try {
    const bomb b;
    co_return counted(alive, 1);
  } catch (const std::runtime_error&) {
    static_cast<void>(0);
  }
  co_await yield_now();
  co_return counted(alive, 2);
}
task<counted> waits_after_return(int& alive) {
  try {
    const bomb b;
    co_return counted(alive, 1);
  } catch (const std::runtime_error&) {
    static_cast<void>(0);
  }
  co_await sleep(1h);
  co_return counted(alive, 2);
}
task<int> small_result_again() {
  try {
    const bomb b;
    co_return 1;
  } catch (const std::runtime_error&) {
    static_cast<void>(0);
  }
  co_await yield_now();
  co_return 2;
}
// The second value cannot be made.
class picky {
 public:
  picky(int& alive, int value) : alive_(alive) {
    if (value == 2) throw std::logic_error("not a second time");
    ++alive_;
  }
  picky(const picky& other) : picky(other.alive_, 2) {}
  picky(picky&& other) noexcept : alive_(other.alive_) { ++alive_; }
  picky& operator=(const picky&) = delete;
  ~picky() { --alive_; }

 private:
  int& alive_;
};
task<picky> fails_to_return_again(int& alive) {
  const picky source(alive, 1);
  try {
    const bomb b;
    co_return picky(alive, 1);
  } catch (const std::runtime_error&) {
    static_cast<void>(0);
  }
  co_return source;
}
async_generator<std::string> yields_then_throws() {
  const bomb b;
  co_yield std::string(100, 'x');
}

template <class T>
task<std::string> what_it_throws(task<T> work) {
  try {
    static_cast<void>(co_await std::move(work));
  } catch (const std::exception& e) {
    co_return e.what();
  }
  co_return "nothing";
}

}  // namespace

TEST_CASE("the destructor of a local threw after co_return, and the value leaked") {
  on_every_scheduler([]() -> task<> {
    int alive = 0;
    {
      const auto said = co_await what_it_throws(throws_after_return(alive));
      CHECK(said == "a bomb went off");
      CHECK(alive == 0);
    }
    {
      auto handle = spawn(throws_after_return(alive));
      auto ended = co_await handle;
      CHECK(ended.is_exception());
      CHECK(alive == 0);
    }
    {
      std::string said;
      try {
        auto both = co_await when_all(throws_after_return(alive), yield_now());
        static_cast<void>(both);
      } catch (const std::exception& e) {
        said = e.what();
      }
      CHECK(said == "a bomb went off");
      CHECK(alive == 0);
    }
  });
}

TEST_CASE("a second co_return made its value over the first") {
  on_every_scheduler([]() -> task<> {
    int alive = 0;
    {
      const counted last = co_await returns_again(alive);
      CHECK(last.value() == 2);
      CHECK(alive == 1);
    }
    CHECK(alive == 0);
    const auto said = co_await what_it_throws(throws_again(alive));
    CHECK(said == "a bomb went off");
    CHECK(alive == 0);
    const auto why = co_await what_it_throws(fails_to_return_again(alive));
    CHECK(why == "not a second time");
    CHECK(alive == 0);
    const int small = co_await small_result_again();
    CHECK(small == 2);
  });
}

TEST_CASE("a task was stopped after a co_return that did not count") {
  on_every_scheduler([]() -> task<> {
    int alive = 0;
    auto handle = spawn(waits_after_return(alive));
    co_await yield_now();
    handle.abort();
    const auto ended = co_await handle;
    CHECK(ended.is_cancelled());
    CHECK(alive == 0);
    const auto r = co_await select(waits_after_return(alive), sleep(1ms));
    CHECK(r.index() == 1);
    CHECK(alive == 0);
  });
}

TEST_CASE("the destructor of a local threw at the end of a generator") {
  on_every_scheduler([]() -> task<> {
    auto numbers = yields_then_throws();
    const auto first = co_await numbers.next();
    CHECK(first.has_value());
    std::string said;
    try {
      static_cast<void>(co_await numbers.next());
    } catch (const std::exception& e) {
      said = e.what();
    }
    CHECK(said == "a bomb went off");
    const auto end = co_await numbers.next();
    CHECK_FALSE(end.has_value());
  });
}
