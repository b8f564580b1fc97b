// SPDX-License-Identifier: MIT
// Blocking calls that began too late, or although they had been cancelled.
#include <netdb.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <kioto/detail/net/sys.hpp>

#include "support/catch.hpp"
#include "support/flag.hpp"
#include "support/handles.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

/// The order in which calls began.
class journal {
 public:
  void add(int which) {
    const std::lock_guard lock(mutex_);
    entries_.push_back(which);
  }
  [[nodiscard]] std::vector<int> entries() const {
    const std::lock_guard lock(mutex_);
    return entries_;
  }
  [[nodiscard]] bool reaches(std::size_t count) const {
    for (int i = 0; i != 20000 && entries().size() < count; ++i) std::this_thread::sleep_for(1ms);
    return entries().size() >= count;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<int> entries_;
};

const std::vector<int> in_order{0, 1, 2, 3};

/// Keeps the only thread of a pool busy until it is released.
struct busy_pool {
  explicit busy_pool(const handle& rt)
      : call(rt.spawn_blocking(
            [](flag start, flag end) {
              start->store(true);
              comes_true(*end);
            },
            begun, release)) {
    REQUIRE(comes_true(*begun));
  }
  const flag begun = make_flag();
  const flag release = make_flag();
  join_handle<> call;
};

}  // namespace

// The job was submitted by a task, which had to wait for the worker.
TEST_CASE("a blocking call did not begin while its worker was busy") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    runtime rt = std::move(builder_for(f).max_blocking_threads(1).build()).value();
    rt.block_on([]() -> task<> {
      const auto begun = std::make_shared<journal>();
      std::vector<join_handle<>> calls;
      for (int i = 0; i != 4; ++i) calls.push_back(spawn_blocking([=] { begun->add(i); }));
      // The worker computes.
      CHECK(begun->reaches(4));
      CHECK(begun->entries() == in_order);
      co_await wait_for_all(std::move(calls));
    });
  }
}

TEST_CASE("a blocking call did not begin on a current-thread runtime that nobody ran") {
  const auto check = [](auto& rt, auto spawn_call) {
    const auto begun = std::make_shared<journal>();
    std::vector<join_handle<>> calls;
    for (int i = 0; i != 4; ++i) calls.push_back(spawn_call([=] { begun->add(i); }));
    CHECK(begun->reaches(4));
    CHECK(begun->entries() == in_order);
    rt.block_on(wait_for_all(std::move(calls)));
    CHECK(rt.metrics().tasks_alive == 0);
  };
  {
    runtime rt =
        std::move(runtime::builder().current_thread().max_blocking_threads(1).build()).value();
    check(rt, [&](auto f) { return rt.spawn_blocking(f); });
    check(rt, [&](auto f) { return rt.handle().spawn_blocking(f); });
    const enter_guard guard = rt.enter();
    check(rt, [&](auto f) { return kioto::spawn_blocking(f); });
    const task_tracker tracker;
    check(rt, [&](auto f) { return tracker.spawn_blocking(f); });
    tracker.close();
    CHECK(tracker.empty());
  }
  local_runtime rt = std::move(runtime::builder().max_blocking_threads(1).build_local()).value();
  check(rt, [&](auto f) { return rt.handle().spawn_blocking(f); });
}

TEST_CASE("blocking calls of several threads did not begin in the order of the calls") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    runtime rt = std::move(builder_for(f).max_blocking_threads(1).build()).value();
    busy_pool busy(rt.handle());
    const auto begun = std::make_shared<journal>();
    std::vector<join_handle<>> calls;
    for (int i = 0; i != 4; ++i)
      std::thread([&] { calls.push_back(rt.spawn_blocking([=] { begun->add(i); })); }).join();
    CHECK(rt.metrics().blocking_queue_depth == 4);
    busy.release->store(true);
    CHECK(begun->reaches(4));
    CHECK(begun->entries() == in_order);
  }
}

// Withdrawing the job was left to its task, which had to wait for its worker.
TEST_CASE("a blocking call began after it had been aborted") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    runtime rt = std::move(builder_for(f).max_blocking_threads(1).build()).value();
    const auto begun = std::make_shared<journal>();
    const auto abort_one = [begun](const handle& on) {
      std::vector<join_handle<>> calls;
      busy_pool busy(on);
      for (int i = 0; i != 4; ++i) calls.push_back(on.spawn_blocking([=] { begun->add(i); }));
      calls[1].abort();
      calls[2].abort();
      busy.release->store(true);
      CHECK(begun->reaches(2));
      CHECK(begun->entries() == std::vector<int>{0, 3});
      return calls;
    };
    // From outside, where a current-thread runtime is not run meanwhile; and from a worker.
    auto from_outside = abort_one(rt.handle());
    rt.block_on([&]() -> task<> {
      for (std::size_t i = 0; i != 4; ++i) {
        auto r = co_await std::move(from_outside[i]);
        CHECK(r.is_cancelled() == (i == 1 || i == 2));
      }
    });
    rt.block_on([&]() -> task<> {
      const handle here = handle::current();
      const journal* const all = begun.get();
      CHECK(all->entries().size() == 2);
      std::vector<join_handle<>> calls;
      const flag start = make_flag();
      const flag end = make_flag();
      calls.push_back(spawn_blocking([start, end] {
        start->store(true);
        comes_true(*end);
      }));
      CHECK(comes_true(*start));
      for (int i = 4; i != 8; ++i) calls.push_back(spawn_blocking([=] { begun->add(i); }));
      calls[2].abort();
      end->store(true);
      CHECK(begun->reaches(5));
      CHECK(all->entries() == std::vector<int>{0, 3, 4, 6, 7});
      for (std::size_t i = 0; i != calls.size(); ++i) {
        auto r = co_await std::move(calls[i]);
        CHECK(r.is_cancelled() == (i == 2));
      }
    });
    CHECK(rt.metrics().blocking_queue_depth == 0);
    CHECK(rt.metrics().tasks_alive == 0);
  }
}

// A call that a thread of the pool meets before its task has withdrawn it frees its callable.
TEST_CASE("an aborted blocking call destroys its callable, and its join ends") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    runtime rt = std::move(builder_for(f).max_blocking_threads(1).build()).value();
    const auto token = std::make_shared<int>(0);
    for (int round = 0; round != 100; ++round) {
      busy_pool busy(rt.handle());
      auto aborted = rt.spawn_blocking([token] {});
      aborted.abort();
      busy.release->store(true);
      rt.block_on([&]() -> task<> {
        auto r = co_await std::move(aborted);
        CHECK(r.is_cancelled());
      });
      rt.block_on([&]() -> task<> {
        auto r = co_await std::move(busy.call);
        CHECK(r.has_value());
      });
    }
    CHECK(token.use_count() == 1);
  }
}

namespace {

std::atomic<int> lookups{0};
std::atomic<bool> answers{false};

// A name server that answers when the test wants it to.
int slow_getaddrinfo(const char*, const char*, const ::addrinfo*, ::addrinfo**) noexcept {
  ++lookups;
  comes_true(answers);
  return EAI_AGAIN;
}

}  // namespace

// A connect that was cancelled left its lookup in the queue of the pool, in front of all others.
TEST_CASE("lookups that had been cancelled ran, and everybody else waited for them") {
  auto calls = detail::sys::table();
  calls.getaddrinfo = &slow_getaddrinfo;
  const detail::sys::override_calls slow(calls);
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    lookups = 0;
    answers = false;
    runtime rt = std::move(builder_for(f).max_blocking_threads(2).build()).value();
    rt.block_on([]() -> task<> {
      std::vector<join_handle<>> connects;
      for (int i = 0; i != 20; ++i)
        connects.push_back(spawn(
            [](int way) -> task<> {
              if (way == 0) {
                auto r = co_await net::tcp_stream::connect("name.test:80");
                (void)r;
              } else {
                auto r = co_await net::tcp_listener::bind("name.test:80");
                (void)r;
              }
            },
            i % 2));
      while (lookups != 2) co_await yield_now();
      for (auto& c : connects) c.abort();
      for (auto& c : connects) {
        auto r = co_await std::move(c);
        CHECK(r.is_cancelled());
      }
      auto behind = spawn_blocking([] { return lookups.load(); });
      answers = true;
      auto begun = co_await std::move(behind);
      CHECK(std::move(begun).value() == 2);
    });
  }
}
