// SPDX-License-Identifier: MIT
#include <kioto/cancellation_token.hpp>

#include <atomic>
#include <memory>
#include <stop_token>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

task<> count_when_cancelled(cancellation_token token, std::atomic<int>* count) {
  co_await token.cancelled();
  ++*count;
}

task<int> answer_after_yield() {
  co_await yield_now();
  co_return 42;
}
task<int> sleeps_for_ever(int* destroyed) {
  const probe p(*destroyed);
  co_await sleep(1000h);
  co_return 1;
}
task<int> fails() {
  co_await yield_now();
  throw std::runtime_error("no");
}

}  // namespace

TEST_CASE("cancellation_token: copies are one token, children follow, parents do not") {
  cancellation_token root;
  const cancellation_token copy = root;
  const cancellation_token child = root.child_token();
  const cancellation_token grandchild = child.child_token();
  const cancellation_token sibling = root.child_token();
  CHECK(copy == root);
  CHECK_FALSE(child == root);

  child.cancel();
  CHECK(child.is_cancelled());
  CHECK(grandchild.is_cancelled());
  CHECK_FALSE(root.is_cancelled());
  CHECK_FALSE(sibling.is_cancelled());
  CHECK(child.child_token().is_cancelled());

  root.cancel();
  root.cancel();
  CHECK(copy.is_cancelled());
  CHECK(sibling.is_cancelled());
}

TEST_CASE("cancellation_token: a child outlives the tokens above it") {
  auto root = std::make_unique<cancellation_token>();
  auto middle = std::make_unique<cancellation_token>(root->child_token());
  const cancellation_token leaf = middle->child_token();
  middle.reset();
  CHECK_FALSE(leaf.is_cancelled());
  root->cancel();
  root.reset();
  CHECK(leaf.is_cancelled());
}

TEST_CASE("cancellation_token: long chains and wide trees need no stack") {
  cancellation_token root;
  {
    cancellation_token deepest = root;
    for (int i = 0; i != 100'000; ++i) deepest = deepest.child_token();
    std::vector<cancellation_token> wide;
    for (int i = 0; i != 1000; ++i) wide.push_back(root.child_token());
    root.cancel();
    CHECK(deepest.is_cancelled());
    CHECK(wide.back().is_cancelled());
  }
  cancellation_token deepest;
  for (int i = 0; i != 100'000; ++i) deepest = deepest.child_token();
  CHECK_FALSE(deepest.is_cancelled());
}

TEST_CASE(
    "cancellation_token: cancelled() wakes every waiter of the tree, and is ready afterwards") {
  on_every_scheduler([]() -> task<> {
    cancellation_token root;
    const cancellation_token child = root.child_token();
    std::atomic<int> count{0};
    std::vector<join_handle<>> waiters;
    for (int i = 0; i != 50; ++i)
      waiters.push_back(spawn(count_when_cancelled(i % 2 == 0 ? root : child, &count)));
    for (int i = 0; i != 20; ++i) co_await yield_now();
    CHECK(count == 0);
    root.cancel();
    for (auto& w : waiters) {
      auto r = co_await w;
      CHECK(r.has_value());
    }
    CHECK(count == 50);
    co_await child.cancelled();
  });
}

TEST_CASE("cancellation_token: a waiter that was aborted is gone from the list") {
  on_every_scheduler([]() -> task<> {
    cancellation_token token;
    std::atomic<int> count{0};
    auto a = spawn(count_when_cancelled(token, &count));
    auto b = spawn(count_when_cancelled(token, &count));
    for (int i = 0; i != 20; ++i) co_await yield_now();
    a.abort();
    auto ra = co_await a;
    CHECK(ra.is_cancelled());
    token.cancel();
    auto rb = co_await b;
    CHECK(rb.has_value());
    CHECK(count == 1);
  });
}

TEST_CASE(
    "cancellation_token: when cancel returns every descendant is cancelled, for all callers") {
  for (int round = 0; round != 50; ++round) {
    cancellation_token root;
    std::vector<cancellation_token> leaves;
    for (int i = 0; i != 200; ++i) leaves.push_back(root.child_token().child_token());
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int i = 0; i != 3; ++i)
      threads.emplace_back([&] {
        root.cancel();
        for (const auto& leaf : leaves) wrong += leaf.is_cancelled() ? 0 : 1;
      });
    for (auto& t : threads) t.join();
    CHECK(wrong == 0);
  }
}

TEST_CASE("cancellation_token: trees grow, shrink and are cancelled from many threads") {
  for (int round = 0; round != 20; ++round) {
    cancellation_token root;
    std::atomic<int> missed{0};
    std::vector<std::thread> threads;
    for (int i = 0; i != 3; ++i)
      threads.emplace_back([&] {
        const cancellation_token mine = root.child_token();
        while (!root.is_cancelled()) {
          const cancellation_token a = mine.child_token();
          const cancellation_token b = a.child_token();
          const cancellation_token c = root.child_token();
        }
        // The root is marked first; the state of the others has to be queried.
        root.cancel();
        missed += mine.is_cancelled() ? 0 : 1;
      });
    std::this_thread::yield();
    root.cancel();
    for (auto& t : threads) t.join();
    CHECK(missed == 0);
  }
}

TEST_CASE("cancellation_token: run_until_cancelled returns the value, or nothing") {
  on_every_scheduler([]() -> task<> {
    cancellation_token token;
    int destroyed = 0;
    auto first = co_await token.run_until_cancelled(answer_after_yield());
    CHECK(first == 42);
    const auto nothing = co_await token.run_until_cancelled(yield_now());
    CHECK(nothing.has_value());

    auto canceller = spawn(
        [](cancellation_token t) -> task<> {
          for (int i = 0; i != 5; ++i) co_await yield_now();
          t.cancel();
        },
        token);
    auto second = co_await token.run_until_cancelled(sleeps_for_ever(&destroyed));
    CHECK_FALSE(second.has_value());
    CHECK(destroyed == 1);
    auto r = co_await canceller;
    CHECK(r.has_value());

    // Cancelled already: the operation does not even start.
    auto third = co_await token.run_until_cancelled(sleeps_for_ever(&destroyed));
    CHECK_FALSE(third.has_value());
    CHECK(destroyed == 1);
  });
}

TEST_CASE("cancellation_token: run_until_cancelled passes exceptions and errors on") {
  on_every_scheduler([]() -> task<> {
    cancellation_token token;
    bool caught = false;
    try {
      co_await token.run_until_cancelled(fails());
    } catch (const std::runtime_error&) {
      caught = true;
    }
    CHECK(caught);
  });
}

TEST_CASE("cancellation_token: the task may be aborted inside run_until_cancelled") {
  on_every_scheduler([]() -> task<> {
    cancellation_token token;
    int destroyed = 0;
    auto h = spawn([](cancellation_token t,
                      int* d) -> task<> { co_await t.run_until_cancelled(sleeps_for_ever(d)); },
                   token, &destroyed);
    for (int i = 0; i != 10; ++i) co_await yield_now();
    h.abort();
    auto r = co_await h;
    CHECK(r.is_cancelled());
    token.cancel();
  });
}

TEST_CASE("cancellation_token: the guard cancels at the end of its scope unless it is disarmed") {
  cancellation_token a;
  {
    auto guard = a.drop_guard();
    auto moved = std::move(guard);
    CHECK_FALSE(a.is_cancelled());
  }
  CHECK(a.is_cancelled());
  cancellation_token b;
  {
    auto guard = b.drop_guard();
    CHECK(guard.disarm() == b);
  }
  CHECK_FALSE(b.is_cancelled());
}

TEST_CASE("cancellation_token: a std::stop_source cancels it") {
  std::stop_source source;
  const cancellation_token token(source.get_token());
  const cancellation_token child = token.child_token();
  CHECK_FALSE(token.is_cancelled());
  source.request_stop();
  CHECK(token.is_cancelled());
  CHECK(child.is_cancelled());
  CHECK(cancellation_token(source.get_token()).is_cancelled());

  // The token is destroyed before the source.
  std::stop_source later;
  {
    const cancellation_token gone(later.get_token());
  }
  later.request_stop();
  // A stop_token that can never be stopped.
  CHECK_FALSE(cancellation_token(std::stop_token()).is_cancelled());
}

TEST_CASE("cancellation_token: a std::stop_token follows it") {
  cancellation_token root;
  const cancellation_token child = root.child_token();
  const std::stop_token stop = child.get_stop_token();
  CHECK(child.get_stop_token() == stop);
  int calls = 0;
  const std::stop_callback on_stop(stop, [&calls] { ++calls; });
  CHECK_FALSE(stop.stop_requested());
  root.cancel();
  CHECK(stop.stop_requested());
  CHECK(calls == 1);
  CHECK(root.get_stop_token().stop_requested());

  std::stop_token orphan;
  {
    const cancellation_token gone;
    orphan = gone.get_stop_token();
    CHECK(orphan.stop_possible());
  }
  CHECK_FALSE(orphan.stop_requested());
  CHECK_FALSE(orphan.stop_possible());
}

TEST_CASE("cancellation_token: the last copy may go inside the cancellation") {
  std::stop_source source;
  auto token = std::make_unique<cancellation_token>(source.get_token());
  const std::stop_token stop = token->get_stop_token();
  const std::stop_callback on_stop(stop, [&token] { token.reset(); });
  source.request_stop();
  CHECK(token == nullptr);
}

TEST_CASE("cancellation_token: a stop request races with the end of the token") {
  for (int i = 0; i != 300; ++i) {
    std::stop_source source;
    auto token = std::make_unique<cancellation_token>(source.get_token());
    std::thread other([&source] { source.request_stop(); });
    token.reset();
    other.join();
  }
}
