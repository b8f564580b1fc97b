// SPDX-License-Identifier: MIT Random trees of everything that can be composed, against a model.
//
//   KIOTO_FUZZ_SEED=n     runs the tree n again and again, instead of a new one each time
//   KIOTO_FUZZ_IGNORE=s|t goes on where all failures that are found contain the text s or t
//   KIOTO_FUZZ_ROUNDS=n   so many trees on each scheduler, instead of some seconds
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/random_tree.hpp"
#include "support/runtimes.hpp"
#include "support/watchdog.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace kioto_test::trees;
using namespace std::chrono_literals;

namespace {

/// A thread that makes things happen, with pauses of random lengths.
class outsider {
 public:
  outsider() : thread_([this] { work(); }) {}
  outsider(const outsider&) = delete;
  outsider& operator=(const outsider&) = delete;
  ~outsider() {
    post({}, 0, true);
    thread_.join();
  }
  void post(std::vector<event> events, std::uint64_t seed, bool last = false) {
    {
      const std::lock_guard lock(mutex_);
      events_ = std::move(events);
      random_.seed(seed);
      has_work_ = true;
      last_ = last;
    }
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !has_work_; });
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return has_work_; });
      if (last_) return;
      lock.unlock();
      for (const event& e : events_) {
        const auto pause = random_() % 16;
        if (pause > 12) {
          std::this_thread::sleep_for(std::chrono::microseconds(random_() % 300));
        } else {
          const auto until =
              std::chrono::steady_clock::now() + std::chrono::microseconds(pause * 2);
          while (std::chrono::steady_clock::now() < until) {
          }
        }
        e();
      }
      lock.lock();
      events_.clear();
      has_work_ = false;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<event> events_;
  std::mt19937_64 random_;
  bool has_work_ = false;
  bool last_ = false;
  std::thread thread_;
};

task<> sleep_for_a_while(std::chrono::microseconds how_long) { co_await sleep(how_long); }

task<> insider(std::vector<event> events) {
  for (const event& e : events) {
    co_await yield_now();
    e();
  }
}

/// Splits `events` between two threads and, if `inside`, a task, whose part is returned.
std::vector<event> share_out(std::vector<event> events, std::array<outsider, 2>& threads,
                             std::mt19937_64& random, bool inside) {
  std::array<std::vector<event>, 3> parts;
  for (event& e : events) parts[random() % (inside ? 3 : 2)].push_back(std::move(e));
  for (std::size_t i = 0; i != 2; ++i) threads[i].post(std::move(parts[i]), random());
  return std::move(parts[2]);
}

task<> drive(world* w, std::vector<event> events, std::array<outsider, 2>* threads,
             std::uint64_t seed) {
  std::mt19937_64 random(seed);
  auto root = start(*w, *w->root);
  auto inside = spawn(insider(share_out(std::move(events), *threads, random, true)));
  auto ended = co_await std::move(root);
  static_cast<void>(ended);
  auto done = co_await std::move(inside);
  static_cast<void>(done);
  for (int i = 0; w->spawned != 0; ++i) {
    if (i < 100)
      co_await yield_now();
    else
      co_await sleep(1ms);
  }
}

/// Without workers: a current-thread runtime.
runtime_builder builder_with(unsigned workers) {
  auto builder = runtime::builder();
  if (workers == 0)
    builder.current_thread();
  else
    builder.worker_threads(workers);
  return builder;
}

/// Runs trees one after the other, on a runtime that it makes.
class player {
 public:
  player(const char* scheduler, bool is_current_thread, runtime_builder builder)
      : scheduler_(scheduler),
        is_current_thread_(is_current_thread),
        runtime_(std::move(builder)
                     .on_unhandled_exception([](const unhandled_exception_info&) {})
                     .max_blocking_threads(4)
                     .build()
                     .value()) {}

  /// What went wrong, if anything.
  std::optional<std::string> play(const plan& p, std::uint64_t seed) {
    world w(p);
    std::mt19937_64 random(seed);
    const bool trouble = random() % 4 != 0;
    auto events = events_of(w, random, trouble);
    dog_.begin([&w, seed, this] {
      std::string text =
          fmt::format("KIOTO_FUZZ_SEED={} on {}, hangs\n{}", seed, scheduler_, to_text(w));
      for (const task_dump& t : runtime_.dump()) text += t.to_string();
      return text;
    });
    runtime_.block_on(drive(&w, std::move(events), &threads_, random()));
    for (outsider& t : threads_) t.wait();
    // The last ones may be about to end on other threads.
    for (node* n : w.nodes) n->handle.reset();
    while (runtime_.metrics().tasks_alive != 0) {
      if (is_current_thread_)
        runtime_.block_on(sleep_for_a_while(0us));
      else
        std::this_thread::yield();
    }
    dog_.begin(nullptr);
    const std::string tree = to_text(w);
    const auto said = judge::of(w);
    if (said.empty()) return std::nullopt;
    std::string all = fmt::format("KIOTO_FUZZ_SEED={} on {}\n", seed, scheduler_);
    for (const auto& s : said) all += "  " + s + "\n";
    return all + tree;
  }

  /// A smaller tree that fails as well, if one is found in a few seconds.
  std::string shrink(plan p, std::uint64_t seed, std::string said) {
    const auto limit = std::chrono::steady_clock::now() + 10s;
    for (bool smaller = true; smaller;) {
      smaller = false;
      for (std::size_t at = 0; at != size_of(p) && !smaller; ++at) {
        for (const plan& candidate : variants_at(p, at)) {
          if (std::chrono::steady_clock::now() > limit) return said;
          auto failed = fails(candidate, seed);
          if (!failed) continue;
          p = candidate;
          said = std::move(*failed);
          smaller = true;
          break;
        }
      }
    }
    return said;
  }

 private:
  std::optional<std::string> fails(const plan& p, std::uint64_t seed) {
    for (std::uint64_t i = 0; i != 40; ++i)
      if (auto said = play(p, seed + i)) return "a smaller tree: " + *said;
    return std::nullopt;
  }
  static plan* node_at(plan& p, std::size_t& at) {
    if (at == 0) return &p;
    --at;
    for (plan& c : p.children)
      if (plan* const found = node_at(c, at)) return found;
    return nullptr;
  }
  /// The plan without a part of what is below the node `at`, in several ways.
  static std::vector<plan> variants_at(const plan& p, std::size_t at) {
    std::vector<plan> all;
    const auto vary = [&](auto change) {
      plan copy = p;
      std::size_t i = at;
      plan* const n = node_at(copy, i);
      if (n == nullptr || !change(*n)) return;
      all.push_back(std::move(copy));
    };
    vary([](plan& n) {
      if (n.children.empty()) return false;
      n.what = kind::ready;
      n.children.clear();
      return true;
    });
    for (std::size_t c = 0; c != 4; ++c)
      vary([c](plan& n) {
        if (c >= n.children.size()) return false;
        plan child = std::move(n.children[c]);
        n = std::move(child);
        return true;
      });
    vary([](plan& n) {
      if (!n.children.empty() || n.what == kind::ready || n.what == kind::never) return false;
      n.what = kind::ready;
      return true;
    });
    return all;
  }

  const char* scheduler_;
  bool is_current_thread_;
  watchdog dog_{60s};
  std::array<outsider, 2> threads_;
  runtime runtime_;
};

void play_trees(const char* scheduler, unsigned workers) {
  const no_descriptor_leak leak;
  const auto fixed = from_environment("KIOTO_FUZZ_SEED", 0);
  const auto rounds = from_environment("KIOTO_FUZZ_ROUNDS", 0);
  player trees(scheduler, workers == 0, builder_with(workers));
  std::uint64_t seed = fixed != 0 ? fixed : (std::uint64_t{std::random_device{}()} << 16) + 1;
  const auto end = std::chrono::steady_clock::now() + 2s;
  std::uint64_t played = 0;
  while (rounds != 0 ? played != rounds : std::chrono::steady_clock::now() < end) {
    const plan p = planner(seed).make();
    if (auto said = trees.play(p, seed)) {
      const std::string smaller = trees.shrink(p, seed, *said);
      FAIL(*said << "after " << played << " trees\n" << smaller);
    }
    ++played;
    if (fixed == 0) ++seed;
  }
  CHECK(played != 0);
}

}  // namespace

TEST_CASE("random trees on a current-thread runtime") { play_trees("a current-thread runtime", 0); }
TEST_CASE("random trees on one worker") { play_trees("one worker", 1); }
TEST_CASE("random trees on two workers") { play_trees("two workers", 2); }
TEST_CASE("random trees on four workers") { play_trees("four workers", 4); }

// Without a model: nothing may hang, and everything has to be destroyed.
TEST_CASE("a runtime that is shut down under random trees destroys all of them") {
  const no_descriptor_leak leak;
  const auto fixed = from_environment("KIOTO_FUZZ_SEED", 0);
  const auto rounds = from_environment("KIOTO_FUZZ_ROUNDS", 0);
  watchdog dog(60s);
  std::array<outsider, 2> threads;
  std::uint64_t seed = fixed != 0 ? fixed : (std::uint64_t{std::random_device{}()} << 16) + 1;
  const auto end = std::chrono::steady_clock::now() + 3s;
  for (std::uint64_t played = 0;
       rounds != 0 ? played != rounds : std::chrono::steady_clock::now() < end; ++played) {
    std::mt19937_64 random(seed);
    const unsigned workers = static_cast<unsigned>(random() % 4);
    auto builder = builder_with(workers);
    builder.on_unhandled_exception([](const unhandled_exception_info&) {});
    std::vector<plan> plans;
    for (std::uint64_t i = 0; i != 3; ++i) plans.push_back(planner(seed + i).make());
    std::vector<std::unique_ptr<world>> worlds;
    for (const plan& p : plans) worlds.push_back(std::make_unique<world>(p));
    std::optional<runtime> rt(std::move(builder.build()).value());
    dog.begin([&] {
      std::string text =
          fmt::format("KIOTO_FUZZ_SEED={}, the shutdown of {} workers hangs\n", seed, workers);
      for (const auto& w : worlds) text += to_text(*w);
      return text;
    });
    std::vector<event> events;
    for (const auto& w : worlds)
      for (event& e : events_of(*w, random, true)) events.push_back(std::move(e));
    {
      const auto here = rt->enter();
      for (const auto& w : worlds) start(*w, *w->root).detach();
      // What a shield waits for has to come from threads, because no task is left to send it.
      static_cast<void>(share_out(std::move(events), threads, random, false));
    }
    const auto how_long = std::chrono::microseconds(random() % 2000);
    if (workers == 0)
      rt->block_on(sleep_for_a_while(how_long));
    else
      std::this_thread::sleep_for(how_long);
    rt.reset();
    for (outsider& t : threads) t.wait();
    dog.begin(nullptr);
    INFO("KIOTO_FUZZ_SEED=" << seed);
    for (const auto& w : worlds) {
      for (node* n : w->nodes) n->handle.reset();
      INFO(to_text(*w));
      CHECK(w->frames == 0);
      CHECK(w->spawned == 0);
      CHECK(w->overcrowded == 0);
      for (node* n : w->nodes) n->things.reset();
      CHECK(w->values == 0);
      CHECK(w->errors == 0);
    }
    if (fixed == 0) seed += 3;
  }
}
