// SPDX-License-Identifier: MIT
// What went wrong in scopes.
#include <array>
#include <atomic>
#include <memory>
#include <thread>

#include <kioto/detail/task/scope_children.hpp>

#include "support/catch.hpp"

using namespace kioto::detail;

namespace {

struct tag {};

struct child : list_node<tag> {
  child* queue_next = nullptr;
  void add_reference() noexcept {}
};

struct waiter : list_node<> {
  waiter* queue_next = nullptr;
  std::atomic<bool> fired{false};
};

using state = basic_scope_children<std_sync, child, tag, waiter>;

}  // namespace

// The thread that took the waiters left them linked in a list of its own; withdrawing one, under
// the lock of the scope, changed links that this thread followed without the lock.
TEST_CASE("a waiter of a scope was withdrawn from among those already taken") {
  for (int round = 0; round != 2000; ++round) {
    auto scope = std::make_unique<state>();
    child only;
    std::array<waiter, 8> waiters;
    REQUIRE(scope->admit(only) == state::admission::start);
    for (waiter& w : waiters) REQUIRE(scope->link_for_end(w));

    std::atomic<bool> begun{false};
    std::thread ending([&] {
      while (!begun.load()) {
      }
      state::released released;
      scope->ended(only, released);
      while (waiter* w = released.fired.pop_front()) w->fired.store(true);
    });
    begun.store(true);
    int withdrawn = 0;
    for (waiter& w : waiters) {
      if (scope->unlink(w))
        ++withdrawn;
      else
        while (!w.fired.load()) std::this_thread::yield();
    }
    ending.join();

    int fired = 0;
    for (waiter& w : waiters) fired += w.fired.load() ? 1 : 0;
    CHECK(withdrawn + fired == 8);
  }
}
