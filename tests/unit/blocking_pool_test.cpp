// SPDX-License-Identifier: MIT
#include <kioto/detail/task/blocking_pool.hpp>

#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using kioto::detail::blocking_job;
using kioto::detail::blocking_pool;
using kioto::detail::blocking_pool_options;
using steady = std::chrono::steady_clock;

constexpr auto no_deadline = steady::time_point::max();

// Counts events and waits for them; the time limit only turns a hang into a failure.
class counter {
 public:
  void add(int n = 1) {
    std::lock_guard lock(mutex_);
    value_ += n;
    changed_.notify_all();
  }
  bool reaches(int n) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 20s, [&] { return value_ >= n; });
  }
  int value() {
    std::lock_guard lock(mutex_);
    return value_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int value_ = 0;
};

struct job : blocking_job {
  explicit job(std::function<void()> f)
      : blocking_job(
            [](blocking_job* j) noexcept {
              auto* self = static_cast<job*>(j);
              self->work();
              self->ran.add();
            },
            [](blocking_job* j) noexcept { static_cast<job*>(j)->cancelled.add(); }),
        work(std::move(f)) {}
  std::function<void()> work;
  counter ran, cancelled;
};

blocking_pool_options with_limit(std::size_t threads) {
  blocking_pool_options o;
  o.max_threads = threads;
  return o;
}

template <class F>
bool becomes_true(F condition) {
  const auto end = steady::now() + 20s;
  while (!condition()) {
    if (steady::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

}  // namespace

TEST_CASE("jobs run, and an idle thread is used again", "[blocking_pool]") {
  blocking_pool pool({});
  for (int i = 0; i != 20; ++i) {
    job j([] {});
    REQUIRE(pool.submit(j));
    REQUIRE(j.ran.reaches(1));
    REQUIRE(becomes_true([&] { return pool.read_counts().idle == 1; }));
  }
  CHECK(pool.read_counts().threads == 1);
  CHECK(pool.read_counts().queued == 0);
  CHECK(pool.shutdown(no_deadline));
  CHECK(pool.read_counts().threads == 0);
  CHECK(pool.read_counts().idle == 0);
}

TEST_CASE("jobs start in the order of submission", "[blocking_pool]") {
  blocking_pool pool(with_limit(1));
  std::vector<int> order;
  std::deque<job> jobs;
  for (int i = 0; i != 50; ++i) jobs.emplace_back([&order, i] { order.push_back(i); });
  for (job& j : jobs) REQUIRE(pool.submit(j));
  REQUIRE(jobs.back().ran.reaches(1));
  CHECK(pool.read_counts().threads == 1);
  CHECK(pool.shutdown(no_deadline));
  std::vector<int> expected(50);
  for (int i = 0; i != 50; ++i) expected[static_cast<std::size_t>(i)] = i;
  CHECK(order == expected);
}

TEST_CASE("the number of threads does not exceed the limit", "[blocking_pool]") {
  blocking_pool pool(with_limit(3));
  counter started, release;
  std::atomic<int> now{0}, most{0};
  std::deque<job> jobs;
  for (int i = 0; i != 12; ++i) {
    jobs.emplace_back([&] {
      const int n = ++now;
      int m = most.load();
      while (n > m && !most.compare_exchange_weak(m, n)) {
      }
      started.add();
      release.reaches(1);
      --now;
    });
  }
  for (job& j : jobs) REQUIRE(pool.submit(j));
  CHECK(started.reaches(3));
  CHECK(pool.read_counts().threads == 3);
  CHECK(pool.read_counts().queued == 9);
  CHECK(pool.read_counts().idle == 0);
  release.add();
  for (job& j : jobs) CHECK(j.ran.reaches(1));
  CHECK(most.load() == 3);
  CHECK(pool.shutdown(no_deadline));
}

TEST_CASE("each of several blocking jobs gets a thread, however idle ones are woken",
          "[blocking_pool]") {
  // Two submitters send pairs of long-lived jobs that end only when all have started.
  blocking_pool pool({});
  for (int round = 0; round != 200; ++round) {
    counter started;
    std::deque<job> jobs;
    for (int i = 0; i != 4; ++i)
      jobs.emplace_back([&] {
        started.add();
        started.reaches(4);
      });
    std::thread first([&] {
      (void)pool.submit(jobs[0]);
      (void)pool.submit(jobs[1]);
    });
    std::thread second([&] {
      (void)pool.submit(jobs[2]);
      (void)pool.submit(jobs[3]);
    });
    REQUIRE(started.reaches(4));
    first.join();
    second.join();
    for (job& j : jobs) REQUIRE(j.ran.reaches(1));
  }
  // Threads are reused. How many there are depends on timing: one that has finished its job but was
  // not scheduled since does not count as idle.
  CHECK(pool.read_counts().threads <= 100);
  CHECK(pool.shutdown(no_deadline));
}

TEST_CASE("an idle thread ends after its keep-alive", "[blocking_pool]") {
  blocking_pool_options o;
  o.keep_alive = 20ms;
  blocking_pool pool(o);
  for (int round = 0; round != 3; ++round) {
    counter started;
    std::deque<job> jobs;
    for (int i = 0; i != 3; ++i)
      jobs.emplace_back([&] {
        started.add();
        started.reaches(3);
      });
    for (job& j : jobs) REQUIRE(pool.submit(j));
    for (job& j : jobs) REQUIRE(j.ran.reaches(1));
    CHECK(becomes_true([&] { return pool.read_counts().threads == 0; }));
    CHECK(pool.read_counts().idle == 0);
  }
}

TEST_CASE("no job is lost when it meets the end of a keep-alive", "[blocking_pool]") {
  blocking_pool_options o;
  o.keep_alive = 200us;
  blocking_pool pool(o);
  for (int i = 0; i != 300; ++i) {
    job j([] {});
    REQUIRE(pool.submit(j));
    REQUIRE(j.ran.reaches(1));
    std::this_thread::sleep_for(std::chrono::microseconds(150 + i));
  }
}

TEST_CASE("a keep-alive without end is kept", "[blocking_pool]") {
  blocking_pool_options o;
  o.keep_alive = std::chrono::nanoseconds::max();
  blocking_pool pool(o);
  job j([] {});
  REQUIRE(pool.submit(j));
  REQUIRE(becomes_true([&] { return pool.read_counts().idle == 1; }));
  CHECK(pool.shutdown(no_deadline));
}

TEST_CASE("a queued job can be taken back, a started one cannot", "[blocking_pool]") {
  blocking_pool pool(with_limit(1));
  counter started, release;
  job blocker([&] {
    started.add();
    release.reaches(1);
  });
  job removed([] {}), kept([] {});
  CHECK_FALSE(pool.try_remove(removed));
  REQUIRE(pool.submit(blocker));
  REQUIRE(started.reaches(1));
  REQUIRE(pool.submit(removed));
  REQUIRE(pool.submit(kept));
  CHECK(pool.read_counts().queued == 2);
  CHECK_FALSE(pool.try_remove(blocker));
  CHECK(pool.try_remove(removed));
  CHECK_FALSE(pool.try_remove(removed));
  CHECK(pool.read_counts().queued == 1);
  release.add();
  CHECK(kept.ran.reaches(1));
  CHECK(pool.shutdown(no_deadline));
  CHECK(removed.ran.value() == 0);
  CHECK(removed.cancelled.value() == 0);
}

TEST_CASE("shutdown cancels what is queued and returns at the deadline", "[blocking_pool]") {
  counter started, release;
  job running([&] {
    started.add();
    release.reaches(1);
  });
  std::deque<job> queued;
  for (int i = 0; i != 5; ++i) queued.emplace_back([] {});
  {
    blocking_pool pool(with_limit(1));
    REQUIRE(pool.submit(running));
    REQUIRE(started.reaches(1));
    for (job& j : queued) REQUIRE(pool.submit(j));
    const auto begin = steady::now();
    CHECK_FALSE(pool.shutdown(begin + 50ms));
    CHECK(steady::now() - begin >= 50ms);
    CHECK(steady::now() - begin < 10s);
    for (job& j : queued) {
      CHECK(j.cancelled.value() == 1);
      CHECK(j.ran.value() == 0);
    }
    CHECK(pool.read_counts().queued == 0);
    CHECK_FALSE(pool.shutdown(steady::now()));
  }
  // The pool is gone; the job that outlived it still delivers.
  CHECK(running.ran.value() == 0);
  release.add();
  CHECK(running.ran.reaches(1));
}

TEST_CASE("shutdown without a deadline waits for running jobs", "[blocking_pool]") {
  blocking_pool pool({});
  counter started;
  std::deque<job> jobs;
  for (int i = 0; i != 3; ++i)
    jobs.emplace_back([&] {
      started.add();
      std::this_thread::sleep_for(30ms);
    });
  for (job& j : jobs) REQUIRE(pool.submit(j));
  REQUIRE(started.reaches(3));
  CHECK(pool.shutdown(no_deadline));
  for (job& j : jobs) CHECK(j.ran.value() == 1);
}

TEST_CASE("idle threads have ended when the pool is gone", "[blocking_pool]") {
  std::atomic<int> living{0};
  for (int round = 0; round != 20; ++round) {
    blocking_pool_options o;
    o.on_thread_start = [&] { ++living; };
    o.on_thread_stop = [&] { --living; };
    {
      blocking_pool pool(o);
      job a([] {}), b([] {});
      REQUIRE(pool.submit(a));
      REQUIRE(pool.submit(b));
      REQUIRE(a.ran.reaches(1));
      REQUIRE(b.ran.reaches(1));
      CHECK(living.load() >= 1);
      REQUIRE(becomes_true([&] { return pool.read_counts().idle == pool.read_counts().threads; }));
    }
    REQUIRE(living.load() == 0);
  }
}

TEST_CASE("a job submitted after shutdown is refused", "[blocking_pool]") {
  blocking_pool pool({});
  CHECK(pool.shutdown(no_deadline));
  CHECK(pool.shutdown(no_deadline));
  job late([] {});
  const kioto::result<void> submitted = pool.submit(late);
  REQUIRE_FALSE(submitted);
  CHECK(kioto::is_runtime_shutdown(submitted.error()));
  CHECK_FALSE(late.is_linked());
  CHECK(late.cancelled.value() == 0);
}

TEST_CASE("an urgent job runs also when the pool is shut down", "[blocking_pool]") {
  for (int round = 0; round != 50; ++round) {
    counter started, release;
    job busy([&] {
      started.add();
      release.reaches(1);
    });
    job queued([] {}), before([] {}), after([] {});
    before.urgent = true;
    after.urgent = true;
    blocking_pool pool(with_limit(1));
    REQUIRE(pool.submit(busy));
    REQUIRE(started.reaches(1));
    REQUIRE(pool.submit(queued));
    REQUIRE(pool.submit(before));
    CHECK_FALSE(pool.shutdown(steady::now()));
    CHECK(queued.cancelled.value() == 1);
    CHECK(before.ran.reaches(1));
    REQUIRE(pool.submit(after));
    CHECK(after.ran.reaches(1));
    release.add();
    CHECK(busy.ran.reaches(1));
    CHECK(pool.shutdown(no_deadline));
    CHECK(before.cancelled.value() + after.cancelled.value() == 0);
    CHECK(pool.read_counts().threads == 0);
  }
}

TEST_CASE("a shutdown that is repeated waits for longer", "[blocking_pool]") {
  std::atomic<int> living{0};
  blocking_pool_options o;
  o.on_thread_start = [&] { ++living; };
  o.on_thread_stop = [&] { --living; };
  blocking_pool pool(o);
  counter started, release;
  job running([&] {
    started.add();
    release.reaches(1);
  });
  REQUIRE(pool.submit(running));
  REQUIRE(started.reaches(1));
  for (int i = 0; i != 2; ++i) CHECK_FALSE(pool.shutdown(steady::now() + 1ms));
  CHECK(pool.read_counts().running == 1);
  release.add();
  CHECK(pool.shutdown(no_deadline));
  CHECK(living.load() == 0);
}

TEST_CASE("a thread that delivers a result takes the next job", "[blocking_pool]") {
  struct relay : job {
    relay(blocking_pool& p, job& n) : job([] {}), pool(p), next(n) {
      deliver = [](blocking_job* j) noexcept {
        auto& self = *static_cast<relay*>(j);
        self.was_quiet = self.pool.is_quiet_or_tells();
        self.accepted = self.pool.submit(self.next).has_value();
        self.threads = self.pool.read_counts().threads;
        self.delivered.add();
      };
    }
    blocking_pool& pool;
    job& next;
    bool was_quiet = true;
    bool accepted = false;
    std::size_t threads = 0;
    counter delivered;
  };
  counter quiet;
  blocking_pool_options o;
  o.on_quiet = [&] { quiet.add(); };
  blocking_pool pool(o);
  job last([] {});
  relay second(pool, last);
  relay first(pool, second);
  REQUIRE(pool.submit(first));
  REQUIRE(last.ran.reaches(1));
  for (relay* r : {&first, &second}) {
    CHECK(r->delivered.reaches(1));
    CHECK(r->ran.value() == 1);
    CHECK(r->accepted);
    CHECK_FALSE(r->was_quiet);
    CHECK(r->threads == 1);
  }
  CHECK(quiet.reaches(1));
  CHECK(pool.shutdown(no_deadline));
  CHECK(quiet.value() == 1);
}

TEST_CASE("a job may shut down its own pool", "[blocking_pool]") {
  auto pool = std::make_unique<blocking_pool>(blocking_pool_options{});
  counter ended;
  bool all = true;
  job j([&] {
    all = pool->shutdown(no_deadline);
    pool.reset();
    ended.add();
  });
  REQUIRE(pool->submit(j));
  CHECK(ended.reaches(1));
  CHECK_FALSE(all);
  CHECK(j.ran.reaches(1));
}

TEST_CASE("hooks and thread name", "[blocking_pool]") {
  blocking_pool_options o;
  o.thread_name = "a-name-that-is-too-long";
  o.stack_size = 1;  // raised to what the system needs
  counter starts, stops;
  o.on_thread_start = [&] { starts.add(); };
  o.on_thread_stop = [&] { stops.add(); };
  blocking_pool pool(o);
  std::string name;
  job j([&] {
    char buffer[64] = {};
    pthread_getname_np(pthread_self(), buffer, sizeof buffer);
    name = buffer;
  });
  REQUIRE(pool.submit(j));
  REQUIRE(j.ran.reaches(1));
  CHECK(name == "a-name-that-is-");
  CHECK(starts.value() == 1);
  CHECK(stops.value() == 0);
  CHECK(pool.shutdown(no_deadline));
  CHECK(stops.value() == 1);
}

TEST_CASE("a refused thread is an error only when there is none", "[blocking_pool]") {
  static std::atomic<int> failure;
  blocking_pool_options o;
  o.fail_thread_creation = []() noexcept { return failure.load(); };
  blocking_pool pool(o);
  counter started, release;
  job first([&] {
    started.add();
    release.reaches(1);
  });
  failure = EAGAIN;
  const kioto::result<void> refused = pool.submit(first);
  REQUIRE_FALSE(refused);
  CHECK(refused.error() == kioto::errc::resource_unavailable_try_again);
  CHECK_FALSE(first.is_linked());
  CHECK(pool.read_counts().queued == 0);
  failure = 0;
  REQUIRE(pool.submit(first));
  REQUIRE(started.reaches(1));
  failure = EAGAIN;
  job second([] {});
  REQUIRE(pool.submit(second));
  CHECK(pool.read_counts().queued == 1);
  release.add();
  CHECK(second.ran.reaches(1));
  CHECK(pool.shutdown(no_deadline));
}

TEST_CASE("every job of many submitters ends exactly once", "[blocking_pool]") {
  auto pool = std::make_unique<blocking_pool>(with_limit(4));
  std::atomic<int> executed{0};
  std::deque<std::deque<job>> jobs(3);
  std::vector<std::thread> submitters;
  std::atomic<int> removed{0}, refused{0};
  for (auto& mine : jobs) {
    for (int i = 0; i != 400; ++i) mine.emplace_back([&] { ++executed; });
    submitters.emplace_back([&, &own = mine] {
      for (std::size_t i = 0; i != own.size(); ++i) {
        job& j = own[i];
        if (!pool->submit(j))
          ++refused;
        else if (i % 3 == 0 && pool->try_remove(j))
          ++removed;
      }
    });
  }
  std::this_thread::sleep_for(2ms);
  pool->shutdown(no_deadline);
  for (std::thread& t : submitters) t.join();
  int ran = 0, cancelled = 0;
  for (auto& mine : jobs) {
    for (job& j : mine) {
      REQUIRE(j.ran.value() + j.cancelled.value() <= 1);
      ran += j.ran.value();
      cancelled += j.cancelled.value();
    }
  }
  CHECK(ran == executed.load());
  CHECK(ran + cancelled + removed.load() + refused.load() == 1200);
}

TEST_CASE("the end of the last job is told to who asked for it, once", "[blocking_pool]") {
  counter told;
  blocking_pool_options o = with_limit(2);
  o.on_quiet = [&] { told.add(); };
  blocking_pool pool(o);
  CHECK(pool.is_quiet_or_tells());
  counter release;
  std::deque<job> jobs;
  for (int i = 0; i != 4; ++i) jobs.emplace_back([&] { release.reaches(1); });
  for (job& j : jobs) REQUIRE(pool.submit(j));
  CHECK_FALSE(pool.is_quiet_or_tells());
  CHECK_FALSE(pool.is_quiet_or_tells());
  CHECK(told.value() == 0);
  release.add();
  REQUIRE(told.reaches(1));
  for (job& j : jobs) CHECK(j.ran.value() == 1);
  CHECK(pool.is_quiet_or_tells());

  // Without another request there is no notification.
  job another([] {});
  REQUIRE(pool.submit(another));
  REQUIRE(another.ran.reaches(1));
  CHECK(pool.shutdown(no_deadline));
  CHECK(told.value() == 1);
}
