// SPDX-License-Identifier: MIT
#include <kioto/detail/base/locked_waiters.hpp>

#include <deque>
#include <functional>
#include <vector>

#include "support/catch.hpp"

namespace {

struct operation {
  std::function<void()> completed;
};
void complete(operation& op) { op.completed(); }

using waiter = kioto::detail::list_waiter<operation>;

struct checked_lock {
  void lock() {
    CHECK_FALSE(held);
    held = true;
  }
  void unlock() {
    CHECK(held);
    held = false;
  }
  bool held = false;
};

struct line {
  explicit line(int count) {
    for (int i = 0; i != count; ++i) {
      operations.push_back({[this, i] {
        CHECK_FALSE(lock.held);
        completed.push_back(i);
      }});
      waiters.emplace_back(operations.back());
      list.push_back(waiters.back());
    }
    lock.lock();
  }
  std::deque<operation> operations;
  std::deque<waiter> waiters;
  kioto::detail::intrusive_list<waiter> list;
  checked_lock lock;
  std::vector<int> completed;
};

}  // namespace

TEST_CASE("complete_all: completes in order, without the lock") {
  for (const int count : {0, 1, 31, 32, 33, 100}) {
    line l(count);
    complete_all(l.list, l.lock);
    CHECK_FALSE(l.lock.held);
    CHECK(l.list.empty());
    REQUIRE(l.completed.size() == static_cast<std::size_t>(count));
    for (int i = 0; i != count; ++i) CHECK(l.completed[static_cast<std::size_t>(i)] == i);
  }
}

TEST_CASE("complete_all: leaves alone who is withdrawn, or comes, meanwhile") {
  line l(40);
  operation late{[] { FAIL("came later"); }};
  waiter newcomer(late);
  l.operations[0].completed = [&l, &newcomer] {
    l.list.erase(l.waiters[39]);
    l.list.push_back(newcomer);
  };
  complete_all(l.list, l.lock);
  CHECK(l.completed.size() == 38);  // neither the first, nor the last
  CHECK(l.list.pop_front() == &newcomer);
  CHECK(l.list.empty());
}
