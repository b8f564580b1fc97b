// SPDX-License-Identifier: MIT
// The local queue: one owner that pushes and pops, up to two thieves; rings of 2 and 4 items.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "scheduler/local_queue.hpp"

#include "relacy_policy.hpp"

using namespace kioto_model;
namespace detail = kioto::detail;

namespace {

struct node {
  node* queue_next = nullptr;
};

// What each thread got, checked at the end: every item exactly once. Beside the queues, nothing of
// this is modelled; `taken` is only touched by the thread it belongs to.
template <unsigned Threads, std::size_t Items, std::size_t Capacity>
struct base {
  using queue = detail::basic_local_queue<model_sync, node, Capacity>;

  std::array<node, Items> nodes{};
  // The payload of an item: written by its producer, read by its consumer, so a publication that
  // does not order the item's content is a race.
  std::array<model_sync::var<int>, Items> payload{};
  std::array<std::array<int, Items>, Threads> taken{};
  queue source;
  std::array<queue, Threads> rings;  // those of the thieves

  void make(std::size_t i) { payload[i].set(static_cast<int>(i) + 1); }

  void take(unsigned thread, node* n) {
    const auto i = static_cast<std::size_t>(n - nodes.data());
    check(i < Items, "an item of ours");
    check(payload[i].get() == static_cast<int>(i) + 1, "the content of the item is visible");
    ++taken[thread][i];
  }

  void overflowed(node* first, node* last, std::size_t count) {
    check(last->queue_next == nullptr, "the chain ends");
    std::size_t n = 0;
    for (node* p = first; p != nullptr; p = p->queue_next, ++n) {
      check(n < count, "the chain is as long as it says");
      if (p->queue_next == nullptr) check(p == last, "the last one is last");
      take(0, p);
    }
    check(n == count, "the chain is as long as it says");
  }

  void push(std::size_t i) {
    make(i);
    source.push_back(&nodes[i], [this](node* first, node* last, std::size_t count) {
      overflowed(first, last, count);
    });
  }

  void pop_all() {
    while (node* n = source.pop()) take(0, n);
    check(source.is_empty(), "the owner sees its queue empty");
  }

  void steal_once(unsigned thread) {
    std::size_t stolen = 0;
    check(source.size() <= Capacity, "a size that is possible");
    if (node* n = source.steal_into(rings[thread], stolen)) {
      check(stolen >= 1, "counted");
      take(thread, n);
      for (std::size_t i = 1; i < stolen; ++i) {
        node* more = rings[thread].pop();
        check(more != nullptr, "the others are in the thief's ring");
        take(thread, more);
      }
    }
    check(rings[thread].pop() == nullptr, "and no more");
  }

  void after() {
    pop_all();
    for (std::size_t i = 0; i != Items; ++i) {
      int times = 0;
      for (const auto& t : taken) times += t[i];
      check(times == 1, "every item exactly once");
    }
  }
};

// Overflow, wrap-around and reuse of slots against one thief.
struct one_thief : rl::test_suite<one_thief, 2>, base<2, 5, 2> {
  void thread(unsigned index) {
    if (index == 0) {
      for (std::size_t i = 0; i != 5; ++i) {
        push(i);
        if (i == 2) {
          if (node* n = source.pop()) take(0, n);
        }
      }
      pop_all();
    } else {
      steal_once(1);
      steal_once(1);
    }
  }
  void after() { base<2, 5, 2>::after(); }
};

// Two thieves against each other and the owner; halves of more than one item.
struct two_thieves : rl::test_suite<two_thieves, 3>, base<3, 6, 4> {
  void thread(unsigned index) {
    if (index == 0) {
      for (std::size_t i = 0; i != 6; ++i) push(i);
      pop_all();
    } else {
      steal_once(index);
      steal_once(index);
    }
  }
  void after() { base<3, 6, 4>::after(); }
};

// Thread 0 owns rings[0], is robbed by thread 1 and steals from the source itself: the slots that
// its loot goes to must have been read, and its loot may be stolen again.
struct robbed_thief : rl::test_suite<robbed_thief, 2>, base<2, 7, 4> {
  void before() {
    for (std::size_t i = 0; i != 3; ++i) push(i);
    for (std::size_t i = 3; i != 7; ++i) {
      make(i);
      rings[0].push_back(&nodes[i], [](node*, node*, std::size_t) { check(false, "it fits"); });
    }
  }
  void thread(unsigned index) {
    if (index == 0) {
      for (int i = 0; i != 2; ++i) {
        if (node* n = rings[0].pop()) take(0, n);
      }
      if (node* n = source.steal_into(rings[0])) take(0, n);
      while (node* n = rings[0].pop()) take(0, n);
    } else {
      for (int i = 0; i != 2; ++i) {
        if (node* n = rings[0].steal_into(rings[1])) take(1, n);
      }
      while (node* n = rings[1].pop()) take(1, n);
    }
  }
  void after() { base<2, 7, 4>::after(); }
};

// Batches in, as from the injection queue.
struct batches : rl::test_suite<batches, 2>, base<2, 6, 4> {
  void thread(unsigned index) {
    if (index == 0) {
      for (std::size_t i = 0; i != 6;) {
        const std::size_t n = std::min({source.free_slots(), std::size_t{3}, 6 - i});
        for (std::size_t k = 0; k != n; ++k) {
          make(i + k);
          nodes[i + k].queue_next = k + 1 == n ? nullptr : &nodes[i + k + 1];
        }
        if (n > 0) check(source.push_batch(&nodes[i], n) == nullptr, "all of them");
        i += n;
        if (n == 0) model_sync::pause();  // a thief holds the slots
        if (node* got = source.pop()) take(0, got);
      }
    } else {
      steal_once(1);
      steal_once(1);
    }
  }
  void after() { base<2, 6, 4>::after(); }
};

// The owner takes back what it pushed last, and pushes again: the slots are reused at once.
struct newest : rl::test_suite<newest, 2>, base<2, 5, 4> {
  std::array<std::size_t, 5> stack{};  // of the owner: what it pushed, and did not take back
  std::size_t depth = 0;
  void push_newest(std::size_t i) {
    check(source.free_slots() <= source.capacity(), "nobody claims beyond the end");
    push(i);
    stack[depth++] = i;
  }
  void take_back() {
    node* const n = source.pop_newest();
    if (n == nullptr) return;
    check(depth != 0 && n == &nodes[stack[depth - 1]], "the newest one: thieves take the oldest");
    --depth;
    take(0, n);
  }
  void thread(unsigned index) {
    if (index == 0) {
      push_newest(0);
      push_newest(1);
      take_back();
      push_newest(2);
      push_newest(3);
      take_back();
      take_back();
      push_newest(4);
      pop_all();
    } else {
      steal_once(1);
      steal_once(1);
    }
  }
  void after() { base<2, 5, 4>::after(); }
};

// The owner has a second ring, and moves what is in it to the first one. A thief robs both.
struct two_rings : rl::test_suite<two_rings, 2>, base<2, 5, 4> {
  void thread(unsigned index) {
    if (index == 0) {
      for (std::size_t i = 0; i != 3; ++i) push(i);
      if (source.move_into(rings[0])) check(rings[0].size() <= 2, "half a ring at most");
      push(3);
      if (node* n = rings[0].pop()) take(0, n);
      (void)source.move_into(rings[0]);
      push(4);
      while (node* n = rings[0].pop()) take(0, n);
      pop_all();
    } else {
      steal_once(1);
      if (node* n = rings[0].steal_into(rings[1])) take(1, n);
      while (node* n = rings[1].pop()) take(1, n);
    }
  }
  void after() { base<2, 5, 4>::after(); }
};

// As if no thief were at work.
std::uint64_t without_thief(std::uint64_t head) {
  const std::uint64_t real = head & 0xffffU;
  return (head & ~std::uint64_t{0xffff0000U}) | real << 16;
}

}  // namespace

int main() {
  effort e;
  e.search_seconds = 1.5;
  e.random_seconds = 1.5;
  run_model<one_thief>("ring of 2, one thief", expect::passes, e);
  run_model<two_thieves>("ring of 4, two thieves", expect::passes, e);
  run_model<robbed_thief>("the thief is robbed", expect::passes, e);
  run_model<batches>("batches in, one thief", expect::passes, e);
  run_model<newest>("the newest one is taken back", expect::passes, e);
  run_model<two_rings>("two rings of one owner", expect::passes, e);

  constexpr auto acquire = std::memory_order_acquire;
  constexpr auto release = std::memory_order_release;
  run_model<one_thief>("tail published relaxed", expect::fails,
                       weaken(op::store, 2, "try_push_back"));
  run_model<batches>("batch published relaxed", expect::fails, weaken(op::store, 2, "push_batch"));
  run_model<robbed_thief>("loot published relaxed", expect::fails,
                          weaken(op::store, 2, "take_into"));
  run_model<one_thief>("thief reads tail relaxed", expect::fails,
                       weaken(op::load, 2, "take_into", acquire));
  run_model<one_thief>("owner reads head relaxed", expect::fails,
                       weaken(op::load, 8, "try_push_back"));
  run_model<batches>("owner reads head relaxed for a batch", expect::fails,
                     weaken(op::load, 8, "free_slots"));
  run_model<robbed_thief>("thief reads heads relaxed", expect::fails,
                          weaken(op::load, 8, "take_into", acquire));
  run_model<one_thief>("slots given back relaxed", expect::fails,
                       weaken(op::compare_exchange, 8, "take_into", release));
  run_model<one_thief>("pop claims relaxed", expect::fails, weaken(op::compare_exchange, 8, "pop"));
  run_model<one_thief>("overflow claims relaxed", expect::fails,
                       weaken(op::compare_exchange, 8, "push_back"));
  run_model<one_thief>("pop does not claim atomically", expect::fails,
                       tear(op::compare_exchange, 8, "pop"));
  run_model<one_thief>("steal does not claim atomically", expect::fails,
                       tear(op::compare_exchange, 8, "take_into", acquire));
  run_model<one_thief>("steal does not end atomically", expect::fails,
                       tear(op::compare_exchange, 8, "take_into", release));
  run_model<one_thief>("overflow does not claim atomically", expect::fails,
                       tear(op::compare_exchange, 8, "push_back"));
  run_model<one_thief>("owner overwrites what is being stolen", expect::fails,
                       corrupt_load(8, "try_push_back", without_thief));
  run_model<newest>("taking back does not claim atomically", expect::fails,
                    tear(op::compare_exchange, 8, "pop_newest"));
  run_model<newest>("the shorter queue is published relaxed", expect::fails,
                    weaken(op::store, 8, "pop_newest"));
  run_model<two_rings>("what was moved is published relaxed", expect::fails,
                       weaken(op::store, 2, "take_into"));
  run_model<two_rings>("a move does not claim atomically", expect::fails,
                       tear(op::compare_exchange, 8, "take_into", acquire));
  run_model<two_rings>("a move does not end atomically", expect::fails,
                       tear(op::compare_exchange, 8, "take_into", release));
  return finish_models();
}
