// SPDX-License-Identifier: MIT Random trees of generators, tasks and combinators, whose consumers
// stop waiting at random, go on in other tasks, and are aborted. Nothing is lost or delivered
// twice, nothing hangs, and nothing is cancelled that was not asked to stop.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include <kioto/streams.hpp>
#include <kioto/testing/paused.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

/// What the parts of a tree share. All of it is on one thread.
class world {
 public:
  world(std::uint64_t seed, bool with_scopes) : random_(seed), with_scopes_(with_scopes) {}

  int below(int bound) { return std::uniform_int_distribution<int>(0, bound - 1)(random_); }
  std::chrono::microseconds moment() { return std::chrono::microseconds(below(4) * 400); }
  [[nodiscard]] bool with_scopes() const { return with_scopes_; }
  int new_leaf() { return leaves_++; }
  [[nodiscard]] int leaves() const { return leaves_; }

 private:
  std::mt19937_64 random_;
  bool with_scopes_;
  int leaves_ = 0;
};

constexpr int elements_of_a_leaf = 3;

task<> pause_somehow(world& w) {
  switch (w.below(w.with_scopes() ? 10 : 8)) {
    case 0:
      co_await sleep(w.moment());
      break;
    case 1:
      for (int n = w.below(4); n != 0; --n) co_await yield_now();
      break;
    case 2:
      co_await shield(sleep(w.moment()));
      break;
    case 3:
      co_await shield(pause_somehow(w));
      break;
    case 4:
      static_cast<void>(co_await when_all(sleep(w.moment()), shield(sleep(w.moment()))));
      break;
    case 5:
      static_cast<void>(co_await select(pause_somehow(w), sleep(w.moment())));
      break;
    case 6:  // no lock here: a shielded wait would wait for a lock that is paused with it
      static_cast<void>(co_await when_all(pause_somehow(w), pause_somehow(w)));
      break;
    case 7:
      co_await pause_somehow(w);
      co_await pause_somehow(w);
      break;
    case 8: {
      auto body = [&w](task_scope& s) -> task<> {
        s.spawn([](world* v) -> task<> { co_await shield(sleep(v->moment())); }, &w);
        co_await sleep(w.moment());
      };
      co_await scope(body);
      break;
    }
    default: {
      auto body = [&w](task_scope& s) -> task<> {
        s.spawn([](world* v) -> task<> { co_await sleep(v->moment()); }, &w);
        co_return;
      };
      static_cast<void>(co_await as_result(scope(body)));
    }
  }
}

async_generator<int> leaf(world& w) {
  const int first = w.new_leaf() * elements_of_a_leaf;
  for (int i = 0; i != elements_of_a_leaf; ++i) {
    co_await pause_somehow(w);
    co_yield first + i;
  }
}
async_generator<int> passing(async_generator<int> below) {
  for (;;) {
    auto x = co_await below.next();
    if (!x) co_return;
    co_yield int(*x);
  }
}
template <class S>
async_generator<int> passing_merged(S below) {
  for (;;) {
    auto x = co_await below.next();
    if (!x) co_return;
    co_yield int(*x);
  }
}
task<std::optional<int>> next_in_a_task(async_generator<int>* below) {
  auto x = co_await below->next();
  co_return x;
}
async_generator<int> passing_by_task(async_generator<int> below) {
  for (;;) {
    auto x = co_await next_in_a_task(&below);
    if (!x) co_return;
    co_yield int(*x);
  }
}
/// Gives up again and again itself.
async_generator<int> passing_impatiently(world& w, async_generator<int> below) {
  for (;;) {
    auto r = co_await select(biased, below.next(), sleep(w.moment()));
    auto& x = r.template get<0>();
    if (!x) continue;
    if (!*x) co_return;
    co_yield int(**x);
  }
}
/// Hides the end of the wait from those who stop it.
async_generator<int> passing_shielded(async_generator<int> below) {
  for (;;) {
    auto x = co_await shield(below.next());
    if (!x) co_return;
    co_yield int(*x);
  }
}
struct by_tasks {
  async_generator<int> below;
  task<std::optional<int>> next() { return next_in_a_task(&below); }
};

async_generator<int> tree(world& w, int depth) {
  if (depth == 0) return leaf(w);
  switch (w.below(8)) {
    case 0:
      return passing(tree(w, depth - 1));
    case 1:
      return passing_by_task(tree(w, depth - 1));
    case 2:
      return passing_impatiently(w, tree(w, depth - 1));
    case 3:
      return passing_shielded(tree(w, depth - 1));
    case 4:
      return passing_merged(streams::merge(by_tasks{tree(w, depth - 1)}, tree(w, depth - 1)));
    case 5: {
      stream_map<int, async_generator<int>> map;
      map.insert(1, tree(w, depth - 1));
      map.insert(2, tree(w, depth - 1));
      return passing_merged(std::move(map) | streams::map([](auto pair) { return pair.second; }));
    }
    default:
      return passing_merged(streams::merge(tree(w, depth - 1), tree(w, depth - 1)));
  }
}

struct consumption {
  async_generator<int> stream;
  std::vector<int> got;
  bool ended = false;
};

task<> take_one(consumption& c) {
  auto x = co_await c.stream.next();
  if (x)
    c.got.push_back(*x);
  else
    c.ended = true;
}
task<> take_one_in_time(consumption& c, std::chrono::microseconds limit) {
  try {
    co_await timeout(limit, take_one(c));
  } catch (const timeout_error&) {
  }
}
/// Waits for an element, and gives up, in one of many ways.
task<> try_to_take(world& w, consumption& c) {
  switch (w.below(5)) {
    case 0:
      co_await take_one(c);
      break;
    case 1:
      static_cast<void>(co_await select(biased, take_one(c), sleep(w.moment())));
      break;
    case 2:
      static_cast<void>(
          co_await select(biased, take_one_in_time(c, w.moment()), sleep(w.moment())));
      break;
    case 3:
      static_cast<void>(
          co_await select(biased, shield(take_one_in_time(c, w.moment())), sleep(w.moment())));
      break;
    default:
      static_cast<void>(co_await as_result(take_one_in_time(c, w.moment())));
  }
}
task<> consume(world& w, consumption& c) {
  for (int round = 0; !c.ended; ++round) {
    REQUIRE(round < 100'000);
    switch (w.below(4)) {
      case 0: {  // in another task
        auto other = spawn(try_to_take(w, c));
        const auto r = co_await other;
        CHECK_FALSE(r.is_cancelled());
        break;
      }
      case 1: {  // in one that is aborted
        auto other = spawn(try_to_take(w, c));
        co_await sleep(w.moment());
        other.abort();
        static_cast<void>(co_await other);
        break;
      }
      default:
        co_await try_to_take(w, c);
    }
  }
}

void try_tree(std::uint64_t seed, bool with_scopes) {
  INFO("seed " << seed << (with_scopes ? ", with scopes" : ""));
  bool in_time = false, cancelled = true;
  std::vector<int> got;
  int leaves = 0;
  {
    auto rt = testing::paused_runtime(auto_advance::on, seed);
    rt.block_on([&]() -> task<> {
      auto w = std::make_unique<world>(seed, with_scopes);
      auto c = std::make_unique<consumption>();
      c->stream = tree(*w, 1 + w->below(4));
      auto consumer = spawn(consume(*w, *c));
      auto r = co_await select(consumer, sleep(24h));
      if (auto& x = r.template get<0>()) {
        in_time = true;
        cancelled = x->is_cancelled();
        CHECK_FALSE(x->is_exception());
      } else {
        std::fprintf(stderr, "seed %llu hangs\n", static_cast<unsigned long long>(seed));
        std::abort();  // it cannot be stopped either
      }
      got = c->got;
      leaves = w->leaves();
    });
  }
  CHECK(in_time);
  CHECK_FALSE(cancelled);
  std::sort(got.begin(), got.end());
  if (with_scopes) {
    // A generator that waits in a scope is stopped for good; but nothing is delivered twice.
    CHECK(std::adjacent_find(got.begin(), got.end()) == got.end());
    return;
  }
  std::vector<int> all(static_cast<std::size_t>(leaves * elements_of_a_leaf));
  std::iota(all.begin(), all.end(), 0);
  CHECK(got == all);
}

int rounds() {
  const char* const given = std::getenv("KIOTO_TREES");
  return given != nullptr ? std::atoi(given) : 400;
}

}  // namespace

TEST_CASE("random trees of generators that pause lose nothing, and never hang") {
  for (int seed = 1; seed <= rounds(); ++seed) try_tree(static_cast<std::uint64_t>(seed), false);
}

TEST_CASE("random trees of generators, some of which cannot pause, never hang or stop others") {
  for (int seed = 1; seed <= rounds(); ++seed) try_tree(static_cast<std::uint64_t>(seed), true);
}
