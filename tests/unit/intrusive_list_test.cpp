// SPDX-License-Identifier: MIT
#include <kioto/detail/base/intrusive_list.hpp>

#include <array>
#include <vector>

#include "support/catch.hpp"

namespace {

using kioto::detail::intrusive_list;
using kioto::detail::intrusive_queue;
using kioto::detail::list_node;

struct by_age {};
struct by_name {};

struct person : list_node<by_age>, list_node<by_name> {
  explicit person(int n) : number(n) {}
  int number;
};
using age_list = intrusive_list<person, by_age>;
using name_list = intrusive_list<person, by_name>;

std::vector<int> drain(age_list& list) {
  std::vector<int> out;
  while (person* p = list.pop_front()) out.push_back(p->number);
  return out;
}

struct job {
  int number = 0;
  job* queue_next = nullptr;
};

std::vector<int> drain(intrusive_queue<job>& queue) {
  std::vector<int> out;
  while (job* j = queue.pop_front()) {
    CHECK(j->queue_next == nullptr);
    out.push_back(j->number);
  }
  return out;
}

}  // namespace

TEST_CASE("intrusive_list keeps the order of insertion at both ends", "[intrusive_list]") {
  person a{1}, b{2}, c{3};
  age_list list;
  CHECK(list.empty());
  CHECK(list.front() == nullptr);
  CHECK(list.back() == nullptr);
  CHECK(list.pop_front() == nullptr);
  CHECK(list.pop_back() == nullptr);
  list.push_back(b);
  list.push_back(c);
  list.push_front(a);
  CHECK(list.front() == &a);
  CHECK(list.back() == &c);
  CHECK(list.next(a) == &b);
  CHECK(list.next(c) == nullptr);
  CHECK(list.pop_back() == &c);
  CHECK(drain(list) == std::vector<int>{1, 2});
}

TEST_CASE("intrusive_list erases any element and knows what is linked", "[intrusive_list]") {
  person a{1}, b{2}, c{3};
  age_list list;
  CHECK_FALSE(static_cast<list_node<by_age>&>(a).is_linked());
  for (person* p : {&a, &b, &c}) list.push_back(*p);
  CHECK(static_cast<list_node<by_age>&>(b).is_linked());
  age_list::erase(b);
  CHECK_FALSE(static_cast<list_node<by_age>&>(b).is_linked());
  age_list::erase(a);
  list.push_back(b);
  CHECK(drain(list) == std::vector<int>{3, 2});
  CHECK(list.empty());
}

TEST_CASE("intrusive_list splices in order and leaves the source usable", "[intrusive_list]") {
  person a{1}, b{2}, c{3}, d{4};
  age_list left, right;
  left.splice_back(right);
  CHECK(left.empty());
  right.push_back(a);
  left.splice_back(right);
  CHECK(right.empty());
  right.push_back(b);
  right.push_back(c);
  left.splice_back(right);
  left.splice_back(left);
  right.push_back(d);
  CHECK(left.next(a) == &b);
  age_list::erase(b);  // needs no knowledge of the list that holds it now
  CHECK(drain(left) == std::vector<int>{1, 3});
  CHECK(drain(right) == std::vector<int>{4});
}

TEST_CASE("intrusive_list gives up its elements one by one", "[intrusive_list]") {
  person a{1}, b{2}, c{3};
  age_list list, odd;
  list.consume([](person&) { FAIL("the list is empty"); });
  for (person* p : {&a, &b, &c}) list.push_back(*p);
  list.consume([&](person& p) { (p.number % 2 != 0 ? odd : list).push_back(p); });
  CHECK(drain(list) == std::vector<int>{2});
  CHECK(drain(odd) == std::vector<int>{1, 3});
}

// Both also walk from the other end; they must not look at what is behind them, nor pass each
// other.
TEST_CASE("intrusive_list of any length is warmed, and gives up elements that die at once",
          "[intrusive_list]") {
  for (int length = 0; length != 9; ++length) {
    INFO("of " << length);
    age_list list;
    for (int i = 0; i != length; ++i) list.push_back(*new person(i));
    list.warm();
    int next = 0;
    list.consume([&next](person& p) {
      CHECK(p.number == next++);
      delete &p;
    });
    CHECK(next == length);
    CHECK(list.empty());
  }
}

TEST_CASE("an element is in one list per tag at the same time", "[intrusive_list]") {
  person a{1}, b{2};
  age_list ages;
  name_list names;
  ages.push_back(a);
  ages.push_back(b);
  names.push_back(b);
  names.push_back(a);
  CHECK(names.pop_front() == &b);
  CHECK(drain(ages) == std::vector<int>{1, 2});
  CHECK(names.pop_front() == &a);
}

TEST_CASE("intrusive_queue is first in first out", "[intrusive_list]") {
  std::array<job, 4> jobs{job{0}, job{1}, job{2}, job{3}};
  intrusive_queue<job> queue;
  CHECK(queue.empty());
  CHECK(queue.pop_front() == nullptr);
  queue.push_back(&jobs[1]);
  queue.push_back(&jobs[2]);
  queue.push_front(&jobs[0]);
  CHECK(queue.front() == &jobs[0]);
  CHECK(queue.pop_front() == &jobs[0]);
  queue.push_back(&jobs[3]);
  queue.push_back(&jobs[0]);
  CHECK(drain(queue) == std::vector<int>{1, 2, 3, 0});
  queue.push_front(&jobs[2]);
  queue.push_back(&jobs[3]);
  CHECK(drain(queue) == std::vector<int>{2, 3});
}

TEST_CASE("intrusive_queue splices, takes chains and moves", "[intrusive_list]") {
  std::array<job, 5> jobs{job{0}, job{1}, job{2}, job{3}, job{4}};
  intrusive_queue<job> left, right;
  left.splice_back(right);
  CHECK(left.empty());
  right.push_back(&jobs[0]);
  left.splice_back(right);
  CHECK(right.empty());
  jobs[1].queue_next = &jobs[2];
  right.push_back_chain(&jobs[1], &jobs[2]);
  left.splice_back(right);
  left.splice_back(left);
  right.push_back(&jobs[3]);
  intrusive_queue<job> moved(std::move(left));
  CHECK(left.empty());
  moved.push_back(&jobs[4]);
  CHECK(drain(moved) == std::vector<int>{0, 1, 2, 4});
  moved = std::move(right);
  CHECK(right.empty());
  CHECK(drain(moved) == std::vector<int>{3});
}
