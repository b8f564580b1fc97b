// SPDX-License-Identifier: MIT Children of fork() removed sockets from the epoll set of the parent,
// and hung in its runtime.
#include <array>
#include <atomic>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <kioto/detail/base/frame_allocator.hpp>

#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/flag.hpp"
#include "support/runtimes.hpp"
#include "support/tcp.hpp"

// NOLINTNEXTLINE(bugprone-reserved-identifier): LeakSanitizer asks it
extern "C" int __lsan_is_turned_off();

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

#if defined(__SANITIZE_THREAD__)
constexpr bool child_may_have_threads = false;  // ThreadSanitizer allows none after such a fork
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
constexpr bool child_may_have_threads = false;
#else
constexpr bool child_may_have_threads = true;
#endif
#else
constexpr bool child_may_have_threads = true;
#endif

constexpr std::array every_scheduler = {flavour::current_thread, flavour::one_worker,
                                        flavour::four_workers};

/// A byte from one end to the other, and a new connection.
task<bool> both_ways(tcp_pair& sockets) {
  std::array<char, 1> byte{};
  const auto sent = co_await sockets.a.write_all("x");
  const auto got = co_await timeout(5s, sockets.b.read(byte));
  if (!sent || !got || *got != 1) co_return false;
  auto connected = co_await net::tcp_stream::connect(sockets.listener.local_address().value());
  auto accepted = co_await timeout(5s, sockets.listener.accept());
  co_return connected.has_value() && accepted.has_value();
}

template <class F>
task<std::invoke_result_t<F>> on_the_pool(F f) {
  auto ended = co_await spawn_blocking(std::move(f));
  co_return std::move(ended).value();
}

task<bool> everything_works() {
  co_await sleep(1ms);
  auto spawned = spawn([]() -> task<int> {
    co_await yield_now();
    co_return 22;
  });
  int sum = (co_await spawned).value();
  if (child_may_have_threads)
    sum += co_await on_the_pool(+[] { return 20; });
  else
    sum += 20;
  auto pair = co_await connected_pair();
  const bool works = co_await both_ways(pair);
  co_return sum == 42 && works;
}

/// What a child must be able to do: use a runtime of its own, of each kind.
bool own_runtimes_work() {
  if (!make_runtime(flavour::current_thread).block_on(everything_works())) return false;
  auto local = runtime::builder().build_local();
  if (!local.value().block_on(everything_works())) return false;
  return !child_may_have_threads ||
         make_runtime(flavour::four_workers).block_on(everything_works());
}

template <class F>
std::string what_is_said(F&& f) {
  try {
    f();
  } catch (const std::logic_error& e) {
    return e.what();
  }
  return "nothing";
}

}  // namespace

TEST_CASE("a forked child that let go of inherited sockets made its parent deaf") {
  for (const flavour f : every_scheduler) {
    INFO("scheduler " << static_cast<int>(f));
    runtime rt = make_runtime(f);
    std::optional<tcp_pair> sockets = rt.block_on(connected_pair());
    {
      child_process child;
      if (child.is_child()) {
        sockets.reset();
        child.leave(0);
      }
      CHECK(child.wait() == "0");
    }
    CHECK(rt.block_on(both_ways(*sockets)));
    // The same by a child of a task, and by one that gives the descriptor away.
    rt.block_on([](std::optional<tcp_pair>* all) -> task<> {
      child_process child;
      if (child.is_child()) {
        if (std::move((*all)->a).into_native() < 0) child.leave(1);
        all->reset();
        child.leave(0);
      }
      CHECK(child.wait() == "0");
      co_return;
    }(&sockets));
    CHECK(rt.block_on(both_ways(*sockets)));
  }
}

TEST_CASE("a forked child that destroyed the runtime of its parent hung") {
  for (const flavour f : every_scheduler) {
    INFO("scheduler " << static_cast<int>(f));
    const flag go = make_flag();
    const flag busy = make_flag();
    std::optional<runtime> rt(make_runtime(f));
    handle h = rt->handle();
    // Things to wait for: a task, a thread of the blocking pool, a socket.
    auto sleeper = rt->spawn([]() -> task<> { co_await sleep(1h); });
    auto job = rt->spawn_blocking([go, busy] {
      busy->store(true);
      comes_true(*go);
    });
    if (f == flavour::current_thread)
      rt->block_on([](flag b) -> task<> {
        while (!b->load()) co_await sleep(1ms);
      }(busy));
    REQUIRE(comes_true(*busy));
    std::optional<tcp_pair> sockets = rt->block_on(connected_pair());
    {
      child_process child;
      if (child.is_child()) {
        const std::size_t before = open_descriptors();
        if (!rt->shutdown(10s)) child.leave(1);
        rt.reset();
        if (open_descriptors() != before - 2) child.leave(2);
        sockets.reset();
        if (open_descriptors() != before - 5) child.leave(3);
        if (!own_runtimes_work()) child.leave(4);
        child.leave(0);
      }
      CHECK(child.wait() == "0");
    }
    CHECK(rt->block_on(both_ways(*sockets)));
    go->store(true);
  }
  {
    std::optional<local_runtime> rt(std::move(runtime::builder().build_local()).value());
    auto sleeper = rt->spawn([]() -> task<> { co_await sleep(1h); });
    child_process child;
    if (child.is_child()) {
      rt.reset();
      child.leave(own_runtimes_work() ? 0 : 1);
    }
    CHECK(child.wait() == "0");
  }
}

namespace {

// In the child of another thread LeakSanitizer does not look at what was the stack of the first
// one, and takes for lost whatever the test framework has there.
const std::thread::id thread_of_main = std::this_thread::get_id();
bool stack_of_main_is_gone = false;

// Static objects, as programs have them: destroyed by exit() in a child, while the parent still
// uses them.
std::optional<runtime> static_runtime;
std::optional<tcp_pair> static_sockets;

}  // namespace

// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" int __lsan_is_turned_off() { return stack_of_main_is_gone ? 1 : 0; }

TEST_CASE("std::exit in a forked child hung in the destructors of static objects") {
  for (const flavour f : every_scheduler) {
    INFO("scheduler " << static_cast<int>(f));
    static_runtime.emplace(make_runtime(f));
    static_sockets.emplace(static_runtime->block_on(connected_pair()));
    const auto forks = [] {
      child_process child;
      if (child.is_child()) {
        stack_of_main_is_gone = std::this_thread::get_id() != thread_of_main;
        std::exit(0);
      }
      return child.wait();
    };
    CHECK(forks() == "0");
    CHECK(static_runtime->block_on(
              [](auto fork_here) -> task<std::string> { co_return fork_here(); }(forks)) == "0");
    CHECK(static_runtime->block_on(on_the_pool(forks)) == "0");
    CHECK(static_runtime->block_on(both_ways(*static_sockets)));
    static_sockets.reset();
    static_runtime.reset();
  }
}

TEST_CASE("a forked child could not use a runtime of its own") {
  const auto forks = [] {
    child_process child;
    if (child.is_child()) child.leave(own_runtimes_work() ? 0 : 1);
    return child.wait();
  };
  for (const flavour f : every_scheduler) {
    INFO("scheduler " << static_cast<int>(f));
    runtime rt = make_runtime(f);
    CHECK(forks() == "0");
    {
      const enter_guard inside = rt.enter();
      CHECK(forks() == "0");
    }
    CHECK(rt.block_on([](auto fork_here) -> task<std::string> { co_return fork_here(); }(forks)) ==
          "0");
    CHECK(rt.block_on(on_the_pool(forks)) == "0");
    if (f != flavour::current_thread)
      CHECK(rt.block_on([](auto fork_here) -> task<std::string> {
        co_return block_in_place(fork_here);
      }(forks)) == "0");
  }
  // A child of a child.
  child_process child;
  if (child.is_child()) {
    runtime rt = make_runtime(flavour::current_thread);
    child.leave(forks() == "0" && rt.block_on(everything_works()) ? 0 : 1);
  }
  CHECK(child.wait() == "0");
}

TEST_CASE("using the runtime of the parent in a forked child hung") {
  for (const flavour f : every_scheduler) {
    INFO("scheduler " << static_cast<int>(f));
    runtime rt = make_runtime(f);
    const handle h = rt.handle();
    auto running = rt.spawn([]() -> task<> { co_await sleep(1h); });
    child_process child;
    if (child.is_child()) {
      const auto nothing = []() -> task<> { co_return; };
      int failures = 0;
      const auto refused = [&](const char* what, std::string said) {
        if (said.find("fork()") != std::string::npos) return;
        ++failures;
        std::fprintf(stderr, "%s said: %s\n", what, said.c_str());
      };
      refused("spawn", what_is_said([&] { rt.spawn(nothing()); }));
      refused("block_on", what_is_said([&] { rt.block_on(nothing()); }));
      refused("handle::spawn", what_is_said([&] { h.spawn(nothing()); }));
      refused("handle::block_on", what_is_said([&] { h.block_on(nothing()); }));
      refused("spawn_blocking", what_is_said([&] { rt.spawn_blocking([] {}); }));
      refused("metrics", what_is_said([&] { (void)rt.metrics(); }));
      refused("dump", what_is_said([&] { (void)h.dump(); }));
      {
        const enter_guard inside = rt.enter();
        refused("kioto::spawn", what_is_said([&] { kioto::spawn(nothing()); }));
        refused("kioto::spawn_blocking", what_is_said([&] { kioto::spawn_blocking([] {}); }));
        refused("handle::current", what_is_said([&] { (void)handle::current(); }));
        refused("from_native", what_is_said([&] { (void)net::tcp_stream::from_native(0); }));
        if (handle::try_current()) ++failures;
      }
      runtime own = make_runtime(flavour::current_thread);
      own.block_on([](auto& check, join_handle<>& parents) -> task<> {
        std::string said = "nothing";
        try {
          const auto r = co_await parents;
          (void)r;
        } catch (const std::logic_error& e) {
          said = e.what();
        }
        check("awaiting a join_handle", said);
      }(refused, running));
      running.abort();
      running.detach();
      child.leave(failures);
    }
    CHECK(child.wait() == "0");
  }
}

TEST_CASE("awaiting an inherited socket in a forked child hung") {
  for (const flavour f : every_scheduler) {
    INFO("scheduler " << static_cast<int>(f));
    runtime rt = make_runtime(f);
    tcp_pair sockets = rt.block_on(connected_pair());
    REQUIRE(sockets.b.try_write("early").has_value());
    child_process child;
    if (child.is_child()) {
      runtime own = make_runtime(flavour::current_thread);
      child.leave(own.block_on([](tcp_pair all) -> task<int> {
        const std::error_code expected = error::inherited_by_fork;
        std::array<char, 5> bytes{};
        const auto read = co_await all.a.read(bytes);  // though there are bytes
        if (read || read.error() != expected) co_return 1;
        const auto waiting = co_await all.b.read(bytes);
        if (waiting || waiting.error() != expected) co_return 2;
        const auto written = co_await all.a.write_all("x");
        if (written || written.error() != expected) co_return 3;
        const auto accepted = co_await all.listener.accept();
        if (accepted || accepted.error() != expected) co_return 4;
        const auto readable = co_await all.a.readable();
        if (readable || readable.error() != expected) co_return 5;
        const auto tried = all.a.try_read(bytes);
        if (tried || tried.error() != expected) co_return 6;
        if (expected.message().find("into_native") == std::string::npos) co_return 7;
        // How the child can go on using it.
        auto mine = net::tcp_stream::from_native(std::move(all.a).into_native());
        if (!mine) co_return 8;
        const auto all_of_it = co_await timeout(5s, mine->read_exact(bytes));
        if (!all_of_it) co_return 9;
        const auto answered = co_await mine->write_all("late!");
        co_return answered ? 0 : 10;
      }(std::move(sockets))));
    }
    CHECK(child.wait() == "0");
    const bool heard = rt.block_on([](net::tcp_stream& b) -> task<bool> {
      std::array<char, 5> bytes{};
      const auto got = co_await timeout(5s, b.read_exact(bytes));
      co_return got.has_value() && bytes[0] == 'l';
    }(sockets.b));
    CHECK(heard);
  }
}

TEST_CASE("a task that suspended in a forked child went on with the tasks of the parent") {
  enum class does : unsigned char { sleeps, yields, returns, waits_for_its_like };
  for (const flavour f : every_scheduler) {
    for (const does what : {does::sleeps, does::yields, does::returns, does::waits_for_its_like}) {
      INFO("scheduler " << static_cast<int>(f) << ", case " << static_cast<int>(what));
      runtime rt = make_runtime(f);
      const flag ran = make_flag();
      const std::string said = rt.block_on([](does d, flag other) -> task<std::string> {
        // Ready, in the queue behind this one: the parent runs it, and nobody else.
        auto behind = spawn([](flag r) -> task<> {
          r->store(true);
          co_return;
        }(other));
        // Not the root: where that returns, block_on does.
        auto forks = spawn([](does w) -> task<std::string> {
          child_process child;
          if (child.is_child()) {
            if (w == does::sleeps) co_await sleep(1ms);
            if (w == does::yields) co_await yield_now();
            if (w == does::waits_for_its_like) {
              sync::notify never;
              co_await never.notified();
            }
            if (w != does::returns) child.leave(1);
            co_return "";
          }
          co_return child.wait();
        }(d));
        auto result = co_await forks;
        const auto ended = co_await behind;
        CHECK(ended.has_value());
        co_return std::move(result).value();
      }(what, ran));
      CHECK_THAT(said, Catch::Matchers::Contains("signal 6"));
      CHECK_THAT(said, Catch::Matchers::Contains("a task that called fork()"));
      CHECK(ran->load());
    }
    runtime rt = make_runtime(f);
    const std::string said = rt.block_on([]() -> task<std::string> {
      const auto forks = []() -> std::string {
        child_process child;
        return child.is_child() ? "" : child.wait();
      };
      co_return co_await on_the_pool(forks);
    });
    CHECK_THAT(said, Catch::Matchers::Contains("a blocking call that called fork()"));
  }
}

TEST_CASE("block_on of a current-thread runtime returns also in the child of its task") {
  std::optional<runtime> rt(make_runtime(flavour::current_thread));
  std::optional<child_process> child;
  const int value = rt->block_on([](std::optional<child_process>* c) -> task<int> {
    c->emplace();
    co_return 7;
  }(&child));
  if (child->is_child()) {
    rt.reset();
    child->leave(value == 7 && own_runtimes_work() ? 0 : 1);
  }
  CHECK(child->wait() == "0");
}

// The locks that all threads share were held by threads that the child does not have.
TEST_CASE("a forked child found the locks of the frame pool, or of the tasks, held for ever") {
  // The allocators of sanitizers, which then serve instead, keep their locks over a fork().
  if (!detail::frame_pool_enabled()) return;
  std::optional<runtime> rt(make_runtime(flavour::four_workers));
  const flag stop = make_flag();
  std::vector<join_handle<>> noise;
  for (int i = 0; i != 4; ++i)
    noise.push_back(rt->spawn([](flag s) -> task<> {
      while (!s->load()) {
        std::vector<join_handle<>> many;
        for (int n = 0; n != 300; ++n)
          many.push_back(spawn([]() -> task<> { co_await yield_now(); }));
        for (auto& one : many) static_cast<void>(co_await one);
      }
    }(stop)));
  const auto forks = [] {
    child_process child;
    if (child.is_child())
      child.leave(make_runtime(flavour::current_thread).block_on([]() -> task<int> {
        std::vector<join_handle<int>> many;
        for (int n = 0; n != 1000; ++n) many.push_back(spawn([]() -> task<int> { co_return 1; }));
        int sum = 0;
        for (auto& one : many) sum += (co_await one).value();
        co_return sum == 1000 ? 0 : 1;
      }));
    return child.wait();
  };
  for (int i = 0; i != 20; ++i) {
    CHECK(forks() == "0");
    CHECK(rt->block_on([](auto fork_here) -> task<std::string> { co_return fork_here(); }(forks)) ==
          "0");
  }
  stop->store(true);
  for (auto& one : noise)
    rt->block_on([](join_handle<>& h) -> task<> { static_cast<void>(co_await h); }(one));
}
