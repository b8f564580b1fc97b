// SPDX-License-Identifier: MIT
#pragma once

// Random trees of everything that can be composed in kioto, and the model that says how each of
// them may end.
//
// A node of a tree is a coroutine that runs its children in some way, and ends with its own number,
// with an exception of a leaf below it, or stopped. It notes how it ended, and when. What happens
// to a tree from outside (messages, notices, aborts, cancelled tokens) comes from threads, at
// random moments, and is noted as well. When everything has ended, `judge` walks the tree and
// checks for each node whether it was allowed to end as it did, given how its children ended and
// what had asked it to stop. Nothing that it checks depends on time, except that no timeout comes
// early.

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <kioto/kioto.hpp>
#include <kioto/streams.hpp>

namespace kioto_test::trees {

using namespace std::chrono_literals;

enum class kind : std::uint8_t {
  // leaves
  ready,
  throws,
  yields,
  sleeps,
  receives,  ///< from a bounded channel
  sends,     ///< into one that is full
  awaits_oneshot,
  awaits_broadcast,
  awaits_watch,
  awaits_notice,
  blocks,     ///< on the blocking pool
  never,      ///< sleeps for an hour: has to be stopped
  takes_one,  ///< a select over operations, without tasks: exactly one takes effect
  // with children
  selects,
  selects_range,
  any_of,
  all_of,
  all_of_range,
  tries_all,
  in_time,  ///< timeout
  scopes,
  scope_cancels,  ///< the body cancels the scope when it ends
  shields,
  as_value,  ///< as_result
  until_token,
  spawns,        ///< and joins
  spawns_owned,  ///< and joins, or aborts
  joins_set,
  one_by_one,
  locks,      ///< a mutex, around its child
  permits,    ///< the same with a semaphore
  writes,     ///< the same with an rw_lock
  generates,  ///< runs its children in a generator
  impatient,  ///< the same, and cancels next() again and again
  merges,     ///< one generator for each child, merged
  maps,       ///< a stream_map of them
  last,
};
inline const char* name_of(kind k) {
  constexpr std::array names{
      "ready",     "throws",    "yields",      "sleeps",    "receives", "sends",
      "oneshot",   "broadcast", "watch",       "notified",  "blocks",   "never",
      "takes_one", "select",    "select(vec)", "when_any",  "when_all", "when_all(vec)",
      "try_all",   "timeout",   "scope",       "scope!",    "shield",   "as_result",
      "until",     "spawn",     "spawn_owned", "join_set",  "seq",      "mutex",
      "semaphore", "rw_lock",   "generator",   "impatient", "merge",    "stream_map"};
  static_assert(names.size() == static_cast<std::size_t>(kind::last));
  return names[static_cast<std::size_t>(k)];
}

/// What a tree consists of; the state of a run is kept elsewhere, so that it can be run again.
struct plan {
  kind what = kind::ready;
  int number = 0;
  unsigned amount = 0;  ///< microseconds, times
  unsigned lock = 0;    ///< which of the locks; those below have higher numbers
  std::vector<plan> children;
};

inline std::size_t size_of(const plan& p) {
  std::size_t n = 1;
  for (const plan& c : p.children) n += size_of(c);
  return n;
}

inline constexpr unsigned lock_count = 4;

class planner {
 public:
  explicit planner(std::uint64_t seed) : random_(seed) {}

  plan make() {
    left_ = 3 + below(22);
    plan p = node(true, 0, 0);
    int number = 0;
    give_numbers(p, number);
    return p;
  }

 private:
  unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }

  /// `ends`: nothing outside stops it, so it has to end by itself. `lock`: the first lock that may
  /// be used.
  plan node(bool ends, unsigned lock, unsigned depth) {
    plan p;
    p.lock = lock;
    p.amount = below(8) == 0 ? 1000 + below(1500) : below(200);
    if (left_ != 0) --left_;
    if (left_ == 0 || depth > 7 || below(10) < depth) return leaf(std::move(p), ends);
    const auto first = static_cast<unsigned>(kind::selects);
    p.what = static_cast<kind>(first + below(static_cast<unsigned>(kind::last) - first));
    unsigned count = 1;
    bool rest_ends = true;  // the children but the first one
    bool first_ends = true;
    unsigned inner = lock;
    switch (p.what) {
      case kind::selects:
      case kind::selects_range:
      case kind::any_of:
        count = 2 + below(2);
        first_ends = ends;
        rest_ends = ends && below(3) != 0;
        if (p.what == kind::selects_range) count = 1 + below(4);
        break;
      case kind::all_of:
      case kind::tries_all:
        count = 2 + below(2);
        first_ends = rest_ends = ends;
        break;
      case kind::all_of_range:
        count = 1 + below(4);
        first_ends = rest_ends = ends;
        break;
      case kind::in_time:
      case kind::until_token:
        first_ends = below(2) == 0;
        break;
      case kind::scopes:
        count = 1 + below(4);
        break;
      case kind::scope_cancels:
        count = 1 + below(4);
        first_ends = ends;
        rest_ends = below(2) == 0;
        break;
      case kind::joins_set:
      case kind::one_by_one:
      case kind::generates:
      case kind::impatient:
      case kind::merges:
      case kind::maps:
        count = 1 + below(3);
        break;
      case kind::locks:
      case kind::permits:
      case kind::writes:
        if (lock == lock_count) {
          p.what = kind::one_by_one;
        } else {
          p.lock = lock + below(lock_count - lock);
          inner = p.lock + 1;
        }
        break;
      default:
        break;
    }
    // The body of a scope that is stopped keeps its frames, and the locks in them, until the
    // children have ended; a child in a shield must not wait for one of these. So bodies take none.
    const bool has_body = p.what == kind::scopes || p.what == kind::scope_cancels;
    for (unsigned i = 0; i != count; ++i)
      p.children.push_back(node(i == 0 ? first_ends : rest_ends,
                                i == 0 && has_body ? lock_count : inner, depth + 1));
    return p;
  }
  plan leaf(plan p, bool ends) {
    if (!ends && below(2) == 0) {
      p.what = kind::never;
    } else {
      p.what = static_cast<kind>(below(static_cast<unsigned>(kind::selects)));
      // Exceptions are kept rare: they end everything around them.
      if (p.what == kind::never || (p.what == kind::throws && below(2) != 0)) p.what = kind::yields;
    }
    return p;
  }
  static void give_numbers(plan& p, int& number) {
    p.number = ++number;
    for (plan& c : p.children) give_numbers(c, number);
  }

  std::mt19937_64 random_;
  unsigned left_ = 0;
};

// ---- how it runs -------------------------------------------------------------------------------

enum class ending : std::uint8_t { none, running, value, exception, stopped };
inline const char* name_of(ending e) {
  constexpr std::array names{"not started", "running", "value", "exception", "stopped"};
  return names[static_cast<std::size_t>(e)];
}

/// What the trees throw; counted.
class tree_error : public std::exception {
 public:
  tree_error(std::atomic<int>& alive, int from) : alive_(&alive), from_(from) { ++*alive_; }
  tree_error(const tree_error& other) noexcept
      : std::exception(other), alive_(other.alive_), from_(other.from_) {
    ++*alive_;
  }
  tree_error& operator=(const tree_error&) = delete;
  ~tree_error() override { --*alive_; }
  [[nodiscard]] const char* what() const noexcept override { return "an exception of a tree"; }

 private:
  std::atomic<int>* alive_;
  int from_;
};

/// A value that is sent; counted.
class unit {
 public:
  explicit unit(std::atomic<int>& alive) noexcept : alive_(&alive) { ++*alive_; }
  unit(unit&& other) noexcept : alive_(std::exchange(other.alive_, nullptr)) {}
  unit(const unit& other) noexcept : alive_(other.alive_) {
    if (alive_ != nullptr) ++*alive_;
  }
  unit& operator=(unit other) noexcept {
    std::swap(alive_, other.alive_);
    return *this;
  }
  ~unit() {
    if (alive_ != nullptr) --*alive_;
  }

 private:
  std::atomic<int>* alive_;
};

/// The things that a leaf waits for.
struct leaf_things {
  explicit leaf_things(std::atomic<int>& alive) : values(alive) {}

  std::atomic<int>& values;
  std::pair<kioto::sync::mpsc::sender<unit>, kioto::sync::mpsc::receiver<unit>> channel =
      kioto::sync::mpsc::channel<unit>(1);
  std::pair<kioto::sync::oneshot::sender<unit>, kioto::sync::oneshot::receiver<unit>> once =
      kioto::sync::oneshot::channel<unit>();
  std::pair<kioto::sync::broadcast::sender<unit>, kioto::sync::broadcast::receiver<unit>> all =
      kioto::sync::broadcast::channel<unit>(2);
  std::pair<kioto::sync::watch::sender<int>, kioto::sync::watch::receiver<int>> state =
      kioto::sync::watch::channel<int>(0);
  kioto::sync::notify news;
  std::atomic<int> sent{0};       ///< from outside, into `channel`, `once` or `all`
  std::atomic<int> received{0};   ///< by the leaf
  std::atomic<int> noticed{0};    ///< by `takes_one`
  std::atomic<int> taken{0};      ///< from outside, out of `channel`
  std::atomic<int> delivered{0};  ///< by the leaf, into `channel`
};

struct node {
  explicit node(const plan& p) : what(p) {}

  const plan& what;
  node* parent = nullptr;
  std::vector<std::unique_ptr<node>> children;
  std::atomic<ending> end{ending::none};
  std::atomic<int> starts{0};
  std::atomic<bool> aborted{false};          ///< from outside
  std::atomic<bool> token_cancelled{false};  ///< from outside
  std::atomic<bool> cancelled_scope{false};
  std::atomic<int> effects{0};         ///< branches of `takes_one` that took effect
  std::atomic<std::int64_t> began{0};  ///< ns
  std::atomic<std::int64_t> ended{0};
  int chosen = -1;
  std::unique_ptr<leaf_things> things;
  kioto::cancellation_token token;
  std::mutex mutex;  ///< for the handle
  std::optional<kioto::abort_handle> handle;

  [[nodiscard]] bool completed() const noexcept {
    return end == ending::value || end == ending::exception;
  }
};

inline std::int64_t time_now() {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}

/// A tree that runs, and what is around it.
class world {
 public:
  explicit world(const plan& p) : root(build(p, nullptr)) {}

  std::atomic<int> frames{0};   ///< nodes that are alive
  std::atomic<int> values{0};   ///< units that are alive
  std::atomic<int> errors{0};   ///< exceptions that are alive
  std::atomic<int> spawned{0};  ///< tasks of their own that have not ended
  std::atomic<int> overcrowded{0};
  std::array<kioto::sync::mutex<int>, lock_count> mutexes;
  std::array<kioto::sync::semaphore, lock_count> semaphores{
      kioto::sync::semaphore(2), kioto::sync::semaphore(2), kioto::sync::semaphore(2),
      kioto::sync::semaphore(2)};
  std::array<kioto::sync::rw_lock<int>, lock_count> rw_locks;
  std::array<std::atomic<int>, lock_count> in_semaphore{};
  std::vector<node*> nodes;
  std::unique_ptr<node> root;

 private:
  std::unique_ptr<node> build(const plan& p, node* parent) {
    auto n = std::make_unique<node>(p);
    n->parent = parent;
    if (p.what < kind::selects) n->things = std::make_unique<leaf_things>(values);
    if (p.what == kind::sends) {
      static_cast<void>(n->things->channel.first.try_send(unit(values)));
      n->things->sent = 1;
    }
    nodes.push_back(n.get());
    for (const plan& c : p.children) n->children.push_back(build(c, n.get()));
    return n;
  }
};

/// A node from its start to its end.
class running {
 public:
  running(world& w, node& n) : world_(w), node_(n) {
    ++w.frames;
    ++n.starts;
    n.began = time_now();
    n.end = ending::running;
  }
  running(const running&) = delete;
  running& operator=(const running&) = delete;
  ~running() {
    if (node_.end == ending::running) finish(ending::stopped);
    --world_.frames;
  }
  void finish(ending how) {
    node_.ended = time_now();
    node_.end = how;
  }

 private:
  world& world_;
  node& node_;
};

using body = kioto::task<int>;
body run(world& w, node& n);

/// The same as a task of its own, with a handle for those outside.
class spawned_task {
 public:
  explicit spawned_task(world& w) : world_(&w) { ++w.spawned; }
  spawned_task(spawned_task&& other) noexcept : world_(std::exchange(other.world_, nullptr)) {}
  spawned_task& operator=(spawned_task&&) = delete;
  ~spawned_task() {
    if (world_ != nullptr) --world_->spawned;
  }

 private:
  world* world_;
};
inline body run_spawned(spawned_task, world* w, node* n) { co_return co_await run(*w, *n); }
inline void publish(node& n, kioto::abort_handle handle) {
  const std::lock_guard lock(n.mutex);
  n.handle.emplace(std::move(handle));
}
inline kioto::join_handle<int> start(world& w, node& n) {
  auto handle = kioto::spawn(run_spawned(spawned_task(w), &w, &n));
  publish(n, handle.abort_handle());
  return handle;
}

inline void expect_child(const node& child, int value) {
  if (value != child.what.number) throw std::logic_error("the value of another node");
}

inline body receives(node& n) {
  auto v = co_await n.things->channel.second.recv();
  if (v) ++n.things->received;
  co_return n.what.number;
}
inline body sends(node& n) {
  unit value(n.things->values);
  auto sent = co_await n.things->channel.first.send(std::move(value));
  if (sent) ++n.things->delivered;
  co_return n.what.number;
}
inline body awaits_oneshot(node& n) {
  auto v = co_await n.things->once.second.recv();
  if (v) ++n.things->received;
  co_return n.what.number;
}
inline body awaits_broadcast(node& n) {
  auto v = co_await n.things->all.second.recv();
  if (v) ++n.things->received;
  co_return n.what.number;
}
inline body awaits_watch(node& n) {
  auto v = co_await n.things->state.second.changed();
  if (v) ++n.things->received;
  co_return n.what.number;
}
inline body awaits_notice(node& n) {
  auto notice = n.things->news.notified();
  co_await notice;
  ++n.things->received;
  co_return n.what.number;
}
inline body yields(node& n) {
  for (unsigned i = 0; i != n.what.amount % 6; ++i) co_await kioto::yield_now();
  co_return n.what.number;
}
inline body sleeps(node& n) {
  co_await kioto::sleep(std::chrono::microseconds(n.what.amount));
  co_return n.what.number;
}
inline body never(node& n) {
  co_await kioto::sleep(1h);
  co_return n.what.number;
}
inline body blocks(node& n) {
  auto job = kioto::spawn_blocking([how_long = std::chrono::microseconds(n.what.amount)] {
    std::this_thread::sleep_for(how_long);
    return 1;
  });
  auto done = co_await std::move(job);
  static_cast<void>(std::move(done).value());
  co_return n.what.number;
}
inline body throws(world& w, node& n) {
  if (n.what.amount % 2 == 0) co_await kioto::yield_now();
  throw tree_error(w.errors, n.what.number);
}
inline body takes_one(node& n) {
  leaf_things& t = *n.things;
  auto notice = t.news.notified();
  auto hit = co_await kioto::select(t.channel.second.recv(), t.once.second.recv(), notice,
                                    kioto::sleep(std::chrono::microseconds(n.what.amount)));
  n.effects = static_cast<int>(hit.count());
  if (auto& v = hit.get<0>()) {
    if (*v) ++t.received;
  }
  if (auto& v = hit.get<1>()) {
    if (*v) ++t.received;
  }
  if (hit.has<2>()) ++t.noticed;
  co_return n.what.number;
}

inline body selects(world& w, node& n) {
  if (n.children.size() == 2) {
    auto hit = co_await kioto::select(run(w, *n.children[0]), run(w, *n.children[1]));
    n.chosen = static_cast<int>(hit.index());
    if (auto& v = hit.get<0>()) expect_child(*n.children[0], *v);
    if (auto& v = hit.get<1>()) expect_child(*n.children[1], *v);
    co_return n.what.number;
  }
  auto hit = co_await kioto::select(kioto::biased, run(w, *n.children[0]), run(w, *n.children[1]),
                                    run(w, *n.children[2]));
  n.chosen = static_cast<int>(hit.index());
  if (auto& v = hit.get<0>()) expect_child(*n.children[0], *v);
  if (auto& v = hit.get<1>()) expect_child(*n.children[1], *v);
  if (auto& v = hit.get<2>()) expect_child(*n.children[2], *v);
  co_return n.what.number;
}
inline std::vector<body> run_all(world& w, node& n) {
  std::vector<body> all;
  for (auto& c : n.children) all.push_back(run(w, *c));
  return all;
}
inline body selects_range(world& w, node& n) {
  auto hit = co_await kioto::select(run_all(w, n));
  n.chosen = static_cast<int>(hit.index());
  for (std::size_t i = 0; i != n.children.size(); ++i)
    if (auto& v = hit.get(i)) expect_child(*n.children[i], *v);
  co_return n.what.number;
}
inline body any_of(world& w, node& n) {
  if (n.children.size() == 2) {
    auto hit = co_await kioto::when_any(run(w, *n.children[0]), run(w, *n.children[1]));
    n.chosen = static_cast<int>(hit.index());
    co_return n.what.number;
  }
  auto hit = co_await kioto::when_any(run(w, *n.children[0]), run(w, *n.children[1]),
                                      run(w, *n.children[2]));
  n.chosen = static_cast<int>(hit.index());
  co_return n.what.number;
}
inline body all_of(world& w, node& n) {
  if (n.children.size() == 2) {
    auto all = co_await kioto::when_all(run(w, *n.children[0]), run(w, *n.children[1]));
    expect_child(*n.children[0], std::get<0>(all));
    expect_child(*n.children[1], std::get<1>(all));
    co_return n.what.number;
  }
  auto all = co_await kioto::when_all(run(w, *n.children[0]), run(w, *n.children[1]),
                                      run(w, *n.children[2]));
  expect_child(*n.children[2], std::get<2>(all));
  co_return n.what.number;
}
inline body all_of_range(world& w, node& n) {
  auto all = co_await kioto::when_all(run_all(w, n));
  for (std::size_t i = 0; i != n.children.size(); ++i) expect_child(*n.children[i], all[i]);
  co_return n.what.number;
}
inline body tries_all(world& w, node& n) {
  if (n.children.size() == 2) {
    auto all = co_await kioto::try_all(run(w, *n.children[0]), run(w, *n.children[1]));
    expect_child(*n.children[1], std::get<1>(all));
    co_return n.what.number;
  }
  auto all = co_await kioto::try_all(run(w, *n.children[0]), run(w, *n.children[1]),
                                     run(w, *n.children[2]));
  expect_child(*n.children[2], std::get<2>(all));
  co_return n.what.number;
}
inline body in_time(world& w, node& n) {
  const int v =
      co_await kioto::timeout(std::chrono::microseconds(n.what.amount), run(w, *n.children[0]));
  expect_child(*n.children[0], v);
  co_return n.what.number;
}
inline body scopes(world& w, node& n) {
  const bool cancels = n.what.what == kind::scope_cancels;
  co_await kioto::scope([&](kioto::task_scope& s) -> kioto::task<> {
    for (std::size_t i = 1; i < n.children.size(); ++i)
      s.spawn(
          [](world* of, node* child) -> kioto::task<> {
            const int v = co_await run(*of, *child);
            expect_child(*child, v);
          },
          &w, n.children[i].get());
    const int v = co_await run(w, *n.children[0]);
    expect_child(*n.children[0], v);
    if (cancels) {
      n.cancelled_scope = true;
      s.cancel();
    }
  });
  co_return n.what.number;
}
inline body shields(world& w, node& n) {
  const int v = co_await kioto::shield(run(w, *n.children[0]));
  expect_child(*n.children[0], v);
  co_return n.what.number;
}
inline body as_value(world& w, node& n) {
  auto v = co_await kioto::as_result(run(w, *n.children[0]));
  if (v) expect_child(*n.children[0], *v);
  co_return n.what.number;
}
inline body until_token(world& w, node& n) {
  auto v = co_await n.token.run_until_cancelled(run(w, *n.children[0]));
  if (v) expect_child(*n.children[0], *v);
  co_return n.what.number;
}
inline body spawns(world& w, node& n) {
  auto handle = start(w, *n.children[0]);
  auto r = co_await handle;
  if (!r.is_cancelled()) expect_child(*n.children[0], std::move(r).value());
  co_return n.what.number;
}
inline body spawns_owned(world& w, node& n) {
  kioto::abort_on_drop<int> owned(start(w, *n.children[0]));
  auto r = co_await owned;
  if (!r.is_cancelled()) expect_child(*n.children[0], std::move(r).value());
  co_return n.what.number;
}
inline body joins_set(world& w, node& n) {
  kioto::join_set<int> set;
  for (auto& c : n.children) publish(*c, set.spawn(run_spawned(spawned_task(w), &w, c.get())));
  for (;;) {
    auto r = co_await set.join_next();
    if (!r) break;
    if (!r->is_cancelled()) static_cast<void>(std::move(*r).value());
  }
  co_return n.what.number;
}
inline body one_by_one(world& w, node& n) {
  for (auto& c : n.children) {
    const int v = co_await run(w, *c);
    expect_child(*c, v);
  }
  co_return n.what.number;
}
inline body locks(world& w, node& n) {
  auto guard = co_await w.mutexes[n.what.lock].lock();
  if (++*guard != 1) ++w.overcrowded;
  class leaves {
   public:
    explicit leaves(int& inside) : inside_(inside) {}
    leaves(const leaves&) = delete;
    leaves& operator=(const leaves&) = delete;
    ~leaves() { --inside_; }

   private:
    int& inside_;
  };
  const leaves at_end(*guard);
  const int v = co_await run(w, *n.children[0]);
  expect_child(*n.children[0], v);
  co_return n.what.number;
}
inline body permits(world& w, node& n) {
  auto permit = co_await w.semaphores[n.what.lock].acquire_many(1 + n.what.amount % 2);
  std::atomic<int>& inside = w.in_semaphore[n.what.lock];
  const int mine = static_cast<int>(permit->count());
  if (inside.fetch_add(mine) + mine > 2) ++w.overcrowded;
  class leaves {
   public:
    leaves(std::atomic<int>& inside_now, int count) : inside_(inside_now), count_(count) {}
    leaves(const leaves&) = delete;
    leaves& operator=(const leaves&) = delete;
    ~leaves() { inside_ -= count_; }

   private:
    std::atomic<int>& inside_;
    int count_;
  };
  const leaves at_end(inside, mine);
  const int v = co_await run(w, *n.children[0]);
  expect_child(*n.children[0], v);
  co_return n.what.number;
}
inline body writes(world& w, node& n) {
  if (n.what.amount % 3 != 0) {
    auto guard = co_await w.rw_locks[n.what.lock].read();
    if (*guard != 0) ++w.overcrowded;
    const int v = co_await run(w, *n.children[0]);
    expect_child(*n.children[0], v);
    co_return n.what.number;
  }
  auto guard = co_await w.rw_locks[n.what.lock].write();
  if (++*guard != 1) ++w.overcrowded;
  class leaves {
   public:
    explicit leaves(int& inside) : inside_(inside) {}
    leaves(const leaves&) = delete;
    leaves& operator=(const leaves&) = delete;
    ~leaves() { --inside_; }

   private:
    int& inside_;
  };
  const leaves at_end(*guard);
  const int v = co_await run(w, *n.children[0]);
  expect_child(*n.children[0], v);
  co_return n.what.number;
}
inline kioto::async_generator<int> elements(world& w, node& n, std::size_t first,
                                            std::size_t last) {
  for (std::size_t i = first; i != last; ++i) {
    const int v = co_await run(w, *n.children[i]);
    expect_child(*n.children[i], v);
    co_yield int(v);
  }
}
inline body generates(world& w, node& n) {
  auto g = elements(w, n, 0, n.children.size());
  for (;;) {
    auto v = co_await g.next();
    if (!v) break;
  }
  co_return n.what.number;
}
inline body impatient(world& w, node& n) {
  auto g = elements(w, n, 0, n.children.size());
  for (unsigned round = 0;; ++round) {
    if (round % 3 == 2) {
      auto hit = co_await kioto::select(g.next(), kioto::sleep(200us));
      if (auto& v = hit.get<0>(); v && !*v) break;
    } else {
      auto hit = co_await kioto::select(kioto::biased, g.next(), kioto::yield_now());
      if (auto& v = hit.get<0>(); v && !*v) break;
    }
  }
  co_return n.what.number;
}
inline body merges(world& w, node& n) {
  const std::size_t count = n.children.size();
  const std::size_t middle = count / 2;
  auto all = kioto::streams::merge(elements(w, n, 0, middle), elements(w, n, middle, count));
  for (;;) {
    auto v = co_await all.next();
    if (!v) break;
  }
  co_return n.what.number;
}
inline body maps(world& w, node& n) {
  kioto::stream_map<std::size_t, kioto::async_generator<int>> all;
  for (std::size_t i = 0; i != n.children.size(); ++i) all.insert(i, elements(w, n, i, i + 1));
  for (;;) {
    auto v = co_await all.next();
    if (!v) break;
  }
  co_return n.what.number;
}

inline body make_body(world& w, node& n) {
  switch (n.what.what) {
    case kind::throws:
      return throws(w, n);
    case kind::yields:
      return yields(n);
    case kind::sleeps:
      return sleeps(n);
    case kind::receives:
      return receives(n);
    case kind::sends:
      return sends(n);
    case kind::awaits_oneshot:
      return awaits_oneshot(n);
    case kind::awaits_broadcast:
      return awaits_broadcast(n);
    case kind::awaits_watch:
      return awaits_watch(n);
    case kind::awaits_notice:
      return awaits_notice(n);
    case kind::blocks:
      return blocks(n);
    case kind::never:
      return never(n);
    case kind::takes_one:
      return takes_one(n);
    case kind::selects:
      return selects(w, n);
    case kind::selects_range:
      return selects_range(w, n);
    case kind::any_of:
      return any_of(w, n);
    case kind::all_of:
      return all_of(w, n);
    case kind::all_of_range:
      return all_of_range(w, n);
    case kind::tries_all:
      return tries_all(w, n);
    case kind::in_time:
      return in_time(w, n);
    case kind::scopes:
    case kind::scope_cancels:
      return scopes(w, n);
    case kind::shields:
      return shields(w, n);
    case kind::as_value:
      return as_value(w, n);
    case kind::until_token:
      return until_token(w, n);
    case kind::spawns:
      return spawns(w, n);
    case kind::spawns_owned:
      return spawns_owned(w, n);
    case kind::joins_set:
      return joins_set(w, n);
    case kind::one_by_one:
      return one_by_one(w, n);
    case kind::locks:
      return locks(w, n);
    case kind::permits:
      return permits(w, n);
    case kind::writes:
      return writes(w, n);
    case kind::generates:
      return generates(w, n);
    case kind::impatient:
      return impatient(w, n);
    case kind::merges:
      return merges(w, n);
    case kind::maps:
      return maps(w, n);
    case kind::ready:
    case kind::last:
      break;
  }
  return [](int number) -> body { co_return number; }(n.what.number);
}

inline body run(world& w, node& n) {
  running here(w, n);
  int value = 0;
  try {
    value = co_await make_body(w, n);
  } catch (...) {
    here.finish(ending::exception);
    throw;
  }
  here.finish(ending::value);
  co_return value;
}

// ---- what happens from outside -----------------------------------------------------------------

using event = std::function<void()>;

inline void abort_node(node& n) {
  const std::lock_guard lock(n.mutex);
  if (!n.handle) return;
  n.aborted = true;
  n.handle->abort();
}

/// Everything that a tree needs in order to end, and some disturbances, in a random order.
inline std::vector<event> events_of(world& w, std::mt19937_64& random, bool trouble) {
  std::vector<event> all;
  for (node* n : w.nodes) {
    leaf_things* const t = n->things.get();
    const auto send = [t] {
      if (t->channel.first.try_send(unit(t->values)).has_value()) ++t->sent;
    };
    const auto send_once = [t] {
      if (t->once.first.send(unit(t->values)).has_value()) ++t->sent;
    };
    switch (n->what.what) {
      case kind::receives:
        all.emplace_back(send);
        break;
      case kind::sends:
        // Only one thread at a time may receive: there is one such event for each leaf.
        all.emplace_back([t] {
          if (t->channel.second.try_recv().has_value()) ++t->taken;
        });
        break;
      case kind::awaits_oneshot:
        all.emplace_back(send_once);
        break;
      case kind::awaits_broadcast:
        all.emplace_back([t] {
          if (t->all.first.send(unit(t->values)).receivers() != 0) ++t->sent;
        });
        break;
      case kind::awaits_watch:
        all.emplace_back([t] {
          if (t->state.first.send(1).has_value()) ++t->sent;
        });
        break;
      case kind::awaits_notice:
        all.emplace_back([t] { t->news.notify_one(); });
        break;
      case kind::takes_one:
        all.emplace_back(send);
        all.emplace_back(send_once);
        all.emplace_back([t] { t->news.notify_one(); });
        break;
      case kind::until_token:
        // Another leaf may depend on it.
        all.emplace_back([n] {
          n->token_cancelled = true;
          n->token.cancel();
        });
        break;
      default:
        break;
    }
    if (trouble && random() % 4 == 0) all.emplace_back([n] { abort_node(*n); });
  }
  if (trouble && random() % 3 != 0) all.emplace_back([&w] { abort_node(*w.root); });
  std::shuffle(all.begin(), all.end(), random);
  return all;
}

// ---- the model ---------------------------------------------------------------------------------

class judge {
 public:
  /// What went wrong in a tree that has ended; empty if nothing.
  static std::vector<std::string> of(world& w) {
    judge j;
    j.look(*w.root, w.root->aborted, false);
    for (node* n : w.nodes) j.count(*n);
    for (node* n : w.nodes) n->things.reset();
    const auto must_be = [&j](const char* what, long is, long should) {
      if (is != should) j.said_.push_back(fmt::format("{}: {}, not {}", what, is, should));
    };
    must_be("frames of nodes that are left", w.frames, 0);
    must_be("spawned tasks that are left", w.spawned, 0);
    must_be("values that are left", w.values, 0);
    must_be("exceptions that are left", w.errors, 0);
    must_be("too many inside a lock", w.overcrowded, 0);
    for (std::size_t i = 0; i != lock_count; ++i) {
      must_be("a mutex that is free", static_cast<bool>(w.mutexes[i].try_lock()), 1);
      must_be("permits of a semaphore", static_cast<long>(w.semaphores[i].available_permits()), 2);
      must_be("an rw_lock that is free", static_cast<bool>(w.rw_locks[i].try_write()), 1);
    }
    j.forget_what_is_known();
    return std::move(j.said_);
  }

 private:
  /// For finding other failures behind known ones.
  void forget_what_is_known() {
    const char* const known = std::getenv("KIOTO_FUZZ_IGNORE");
    if (known == nullptr) return;
    std::istringstream texts(known);
    for (std::string text; std::getline(texts, text, '|');)
      std::erase_if(said_, [&](const auto& s) { return s.find(text) != std::string::npos; });
  }

  void say(const node& n, const char* what) {
    said_.push_back(fmt::format("{} #{} ({}): {}", name_of(n.what.what), n.what.number,
                                name_of(n.end.load()), what));
  }

  static bool any_child(const node& n, ending e) {
    return std::any_of(n.children.begin(), n.children.end(),
                       [e](const auto& c) { return c->end == e; });
  }
  /// Whether another child was stopped, or has failed.
  static bool another(const node& n, const node& than, bool or_failed) {
    return std::any_of(n.children.begin(), n.children.end(), [&](const auto& c) {
      if (c.get() == &than) return false;
      return c->end == ending::stopped || c->end == ending::none ||
             (or_failed && c->end == ending::exception);
    });
  }
  static bool contains_scope(const node& n) {
    if (n.what.what == kind::scopes || n.what.what == kind::scope_cancels) return true;
    return std::any_of(n.children.begin(), n.children.end(),
                       [](const auto& c) { return contains_scope(*c); });
  }
  static bool all_values(const node& n) {
    return std::all_of(n.children.begin(), n.children.end(),
                       [](const auto& c) { return c->end == ending::value; });
  }

  /// `asked`: somebody may have asked the node to stop. `pauses`: a generator is around it, so that
  /// it may be destroyed where it waits, without having been asked.
  void look(node& n, bool asked, bool pauses) {
    const ending end = n.end;
    if (n.starts > 1) say(n, "was started twice");
    if (end == ending::running) say(n, "has not ended");
    if (end == ending::stopped && !asked) say(n, "was stopped, and nobody had asked for that");
    if (end == ending::none) {
      if (!asked) say(n, "was never started");
      return;
    }
    const auto allow = [&](bool ok, const char* what) {
      if (!ok) say(n, what);
    };
    const bool value = end == ending::value;
    const bool exception = end == ending::exception;
    const bool stopped = end == ending::stopped;
    const bool child_completed = any_child(n, ending::value) || any_child(n, ending::exception);
    const bool child_failed = any_child(n, ending::exception);
    const bool child_stopped = any_child(n, ending::stopped) || any_child(n, ending::none);
    const auto look_at_all = [&](bool ask) {
      for (auto& c : n.children) look(*c, ask, pauses);
    };

    switch (n.what.what) {
      case kind::throws:
        allow(!value, "has lost its exception");
        return;
      case kind::selects:
      case kind::selects_range:
      case kind::any_of: {
        std::size_t completed = 0;
        for (auto& c : n.children) completed += c->completed() ? 1 : 0;
        for (auto& c : n.children)
          look(*c, asked || completed > (c->completed() ? 1U : 0U), pauses);
        if (value) {
          allow(
              n.chosen >= 0 && n.children[static_cast<std::size_t>(n.chosen)]->end == ending::value,
              "the branch that it says came first has no value");
        }
        allow(!exception || child_failed, "an exception from nowhere");
        allow(!stopped || !child_completed || pauses,
              "was stopped although a branch had completed");
        return;
      }
      case kind::all_of:
      case kind::all_of_range:
        for (auto& c : n.children) look(*c, asked || another(n, *c, false), pauses);
        allow(!value || all_values(n), "a value is missing");
        allow(!exception || child_failed, "an exception from nowhere");
        allow(!stopped || child_stopped || pauses, "was stopped although all had completed");
        return;
      case kind::tries_all:
        for (auto& c : n.children) look(*c, asked || another(n, *c, true), pauses);
        allow(!value || all_values(n), "a value is missing");
        allow(!exception || child_failed, "an exception from nowhere");
        allow(!stopped || (child_stopped && !child_failed) || pauses,
              "was stopped although all had completed, or one had failed");
        return;
      case kind::in_time: {
        const node& child = *n.children[0];
        const bool late = n.ended - n.began >= std::int64_t{n.what.amount} * 1000;
        look_at_all(asked || late);
        allow(!value || child.end == ending::value, "a value from nowhere");
        allow(!exception || child.end == ending::exception || late, "timed out too early");
        allow(!stopped || !child.completed() || pauses, "was stopped although it had a value");
        return;
      }
      case kind::scopes:
      case kind::scope_cancels:
        look_at_all(asked || child_failed || n.cancelled_scope);
        allow(!value || !child_failed, "a failure of a child was lost");
        allow(!value || n.children[0]->end == ending::value || n.cancelled_scope,
              "the body has no value");
        allow(!exception || child_failed, "an exception from nowhere");
        allow(!stopped || !child_failed || pauses, "was stopped although a child had failed");
        return;
      case kind::shields:
        // Anything may happen, except that a shielded operation is stopped.
        look_at_all(false);
        allow(!stopped || pauses, "a shield was stopped");
        return;
      case kind::as_value:
        look_at_all(asked);
        allow(!stopped || pauses, "the stop was not turned into a value");
        allow(!exception || child_failed, "an exception from nowhere");
        return;
      case kind::until_token:
        look_at_all(asked || n.token_cancelled);
        allow(!value || n.children[0]->end == ending::value || n.token_cancelled,
              "ended without a value although the token was not cancelled");
        allow(!exception || child_failed, "an exception from nowhere");
        allow(!stopped || !child_completed || pauses, "was stopped although it had a value");
        return;
      case kind::spawns:
        look(*n.children[0], n.children[0]->aborted, false);
        allow(!value || !child_failed, "an exception was lost");
        allow(!exception || child_failed, "an exception from nowhere");
        return;
      case kind::spawns_owned:
        look(*n.children[0], n.children[0]->aborted || stopped, false);
        allow(!value || !child_failed, "an exception was lost");
        allow(!exception || child_failed, "an exception from nowhere");
        return;
      case kind::joins_set:
        for (auto& c : n.children) look(*c, c->aborted || !value, false);
        allow(!value || !child_failed, "an exception was lost");
        allow(!exception || child_failed, "an exception from nowhere");
        return;
      case kind::one_by_one:
      case kind::locks:
      case kind::permits:
      case kind::writes: {
        bool before = true;  // all before this one have values
        for (auto& c : n.children) {
          look(*c, asked || !before, pauses);
          allow(before || c->end == ending::none, "a later child was started");
          before = before && c->end == ending::value;
        }
        allow(!value || all_values(n), "a value is missing");
        allow(exception == child_failed, "an exception from nowhere, or one that was lost");
        return;
      }
      case kind::generates:
      case kind::impatient:
      case kind::merges:
      case kind::maps: {
        // A generator that waits in a scope cannot pause: it is stopped, for good.
        const bool ends_early = (n.what.what != kind::generates && contains_scope(n)) || pauses;
        for (auto& c : n.children) look(*c, asked || ends_early || !value, true);
        allow(!value || all_values(n) || ends_early, "an element is missing");
        allow(!exception || child_failed, "an exception from nowhere");
        // A `next()` that could not be withdrawn lost: its exception went to the hook.
        allow(!value || !child_failed || (n.what.what == kind::impatient && contains_scope(n)),
              "an exception was lost");
        return;
      }
      default:
        allow(!exception, "an exception from nowhere");
        return;
    }
  }

  /// What was sent to a leaf was received, or is still in its channel.
  void count(node& n) {
    if (n.things == nullptr) return;
    leaf_things& t = *n.things;
    if (n.what.what == kind::takes_one) {
      if (n.end == ending::value && n.effects != 1) say(n, "not exactly one branch took effect");
    }
    int left = 0;
    switch (n.what.what) {
      case kind::receives:
      case kind::takes_one:
        while (t.channel.second.try_recv().has_value()) ++left;
        if (t.once.second.try_recv().has_value()) ++left;
        if (t.sent != t.received + left) say(n, "a message was lost, or came twice");
        if (n.what.what == kind::takes_one) {
          auto again = t.news.notified();
          if (t.noticed + (again.enable() ? 1 : 0) != 1) say(n, "a notice was lost, or came twice");
        }
        break;
      case kind::sends:
        while (t.channel.second.try_recv().has_value()) ++left;
        if (t.sent + t.delivered != t.taken + left)
          say(n, "a message was lost, or was sent although the send was cancelled");
        if (t.channel.first.capacity() != 1) say(n, "room in a channel was lost");
        break;
      case kind::awaits_oneshot:
        if (t.once.second.try_recv().has_value()) ++left;
        if (t.sent != t.received + left) say(n, "a message was lost, or came twice");
        break;
      case kind::awaits_broadcast:
        if (t.all.second.try_recv().has_value()) ++left;
        if (t.sent != t.received + left) say(n, "a message was lost, or came twice");
        break;
      case kind::awaits_watch: {
        const auto changed = t.state.second.has_changed();
        if (changed && *changed) ++left;
        if (t.sent != t.received + left) say(n, "a change was not seen, or twice");
        break;
      }
      case kind::awaits_notice: {
        auto again = t.news.notified();
        if (again.enable()) ++left;
        if (t.received + left != 1) say(n, "a notice was lost, or came twice");
        break;
      }
      default:
        break;
    }
  }

  std::vector<std::string> said_;
};

/// The tree and how it ended, one node per line.
inline void print(const node& n, unsigned depth, std::string& out) {
  out += fmt::format(
      "{:{}}{} #{} amount {}{}: {}{}{}{}{}\n", "", 2 * depth, name_of(n.what.what), n.what.number,
      n.what.amount,
      n.what.what == kind::locks || n.what.what == kind::permits || n.what.what == kind::writes
          ? fmt::format(" lock {}", n.what.lock)
          : std::string(),
      name_of(n.end.load()), n.aborted ? ", aborted" : "",
      n.token_cancelled ? ", token cancelled" : "", n.cancelled_scope ? ", scope cancelled" : "",
      n.chosen >= 0 ? fmt::format(", chose {}", n.chosen) : std::string());
  for (const auto& c : n.children) print(*c, depth + 1, out);
}
inline std::string to_text(const world& w) {
  std::string out;
  print(*w.root, 1, out);
  return out;
}

}  // namespace kioto_test::trees
