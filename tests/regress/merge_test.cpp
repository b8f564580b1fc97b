// SPDX-License-Identifier: MIT Merged streams: none starves, and exceptions are reported.
#include <kioto/stream/merge.hpp>
#include <kioto/stream/stream_map.hpp>

#include <functional>
#include <map>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <kioto/streams.hpp>
#include <kioto/sync/mpsc.hpp>
#include <kioto/sync/mutex.hpp>
#include <kioto/sync/notify.hpp>
#include <kioto/sync/rw_lock.hpp>
#include <kioto/sync/semaphore.hpp>
#include <kioto/testing/paused.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/streams.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

constexpr int tick = 1, turn = 2;

/// Something that many tasks want, one after the other.
struct contended {
  sync::mutex<int> mutex{0};
  sync::semaphore permits{1};
  sync::rw_lock<int> lock{0};
  sync::notify notify;
  std::pair<sync::mpsc::sender<int>, sync::mpsc::receiver<int>> channel =
      sync::mpsc::channel<int>(1);
  bool stop = false;
};

using take_turn = task<> (*)(contended&, std::chrono::microseconds hold);

task<> with_mutex(contended& c, std::chrono::microseconds hold) {
  const auto guard = co_await c.mutex.lock();
  if (hold != 0us) co_await sleep(hold);
}
task<> with_permit(contended& c, std::chrono::microseconds hold) {
  const auto permit = co_await c.permits.acquire();
  if (hold != 0us) co_await sleep(hold);
}
task<> with_write_lock(contended& c, std::chrono::microseconds hold) {
  const auto guard = co_await c.lock.write();
  if (hold != 0us) co_await sleep(hold);
}
task<> with_notice(contended& c, std::chrono::microseconds) { co_await c.notify.notified(); }
task<> with_send(contended& c, std::chrono::microseconds) {
  const auto sent = co_await c.channel.first.send(1);
  CHECK(sent.has_value());
}
task<> with_room(contended& c, std::chrono::microseconds) {
  auto room = co_await c.channel.first.reserve();
  if (room) room->send(1);
}

/// For those where the turn does not end by itself. At uneven times: a consumer that is away at
/// regular ones must not miss all of them.
task<> gives_turns(contended& c) {
  for (int n = 0; !c.stop; ++n) {
    co_await sleep(std::chrono::milliseconds(1 + n % 3));
    c.notify.notify_one();
    static_cast<void>(c.channel.second.try_recv());
  }
  for (int i = 0; i != 100; ++i) {
    c.notify.notify_one();
    static_cast<void>(c.channel.second.try_recv());
    co_await yield_now();
  }
}
task<> competitor(contended& c, take_turn take) {
  while (!c.stop) co_await take(c, 1100us);
}
async_generator<int> turns(contended& c, take_turn take) {
  for (;;) {
    co_await take(c, 0us);
    co_yield int(turn);
  }
}
/// The same, where next() is a task.
struct task_turns {
  contended* c;
  take_turn take;
  task<std::optional<int>> next() {
    co_await take(*c, 0us);
    co_return turn;
  }
};
async_generator<int> ticker() {
  for (;;) {
    co_await sleep(1ms);
    co_yield int(tick);
  }
}

using consumer = task<int> (*)(contended&, take_turn);

template <class S>
task<int> count_turns(S stream) {
  int n = 0;
  for (const auto end = now() + 2s; now() < end;) {
    auto e = co_await stream.next();
    if (*e == turn) ++n;
  }
  co_return n;
}
task<int> alone(contended& c, take_turn take) {
  int n = co_await count_turns(turns(c, take));
  co_return n;
}
task<int> merged(contended& c, take_turn take) {
  int n = co_await count_turns(streams::merge(turns(c, take), ticker()));
  co_return n;
}
task<int> merged_task(contended& c, take_turn take) {
  int n = co_await count_turns(streams::merge(task_turns{&c, take}, ticker()));
  co_return n;
}
task<int> merged_twice(contended& c, take_turn take) {
  auto inner = streams::merge(turns(c, take), ticker());
  int n = co_await count_turns(streams::merge(std::move(inner), ticker()));
  co_return n;
}
task<int> in_map(contended& c, take_turn take) {
  stream_map<int, async_generator<int>> map;
  map.insert(1, turns(c, take));
  map.insert(2, ticker());
  int n = 0;
  for (const auto end = now() + 2s; now() < end;) {
    auto e = co_await map.next();
    if (e->second == turn) ++n;
  }
  co_return n;
}
task<int> selected(contended& c, take_turn take) {
  auto g = turns(c, take);
  int n = 0;
  for (const auto end = now() + 2s; now() < end;) {
    auto e = co_await select(g.next(), sleep(1ms));
    if (e.template get<0>()) ++n;
  }
  co_return n;
}
/// A consumer that waits for something else between its elements.
task<int> merged_and_busy(contended& c, take_turn take) {
  auto both = streams::merge(turns(c, take), ticker());
  int n = 0;
  for (const auto end = now() + 2s; now() < end;) {
    auto e = co_await both.next();
    if (*e == turn) ++n;
    co_await sleep(100us);
  }
  co_return n;
}

int turns_of(consumer consume, take_turn take) {
  return testing::run_paused([&]() -> task<int> {
    contended c;
    std::vector<join_handle<>> others;
    for (int i = 0; i != 4; ++i) others.push_back(spawn(competitor(c, take)));
    others.push_back(spawn(gives_turns(c)));
    co_await sleep(5ms);
    const int n = co_await consume(c, take);
    c.stop = true;
    for (auto& h : others) {
      const auto ended = co_await h;
      CHECK(ended.has_value());
    }
    co_return n;
  });
}

/// Its move throws when its turn comes.
struct brittle {
  explicit brittle(int v) : value(v) {}
  brittle(const brittle& other) : value(other.value) { count(); }
  brittle(brittle&& other) : value(other.value) { count(); }
  brittle& operator=(const brittle& other) {
    value = other.value;
    count();
    return *this;
  }
  brittle& operator=(brittle&& other) {
    value = other.value;
    count();
    return *this;
  }
  ~brittle() = default;
  static void count() {
    if (--left == 0) throw std::runtime_error("cannot be moved");
  }

  int value;
  static inline int left = 0;
};

async_generator<brittle> brittles() {
  for (int i = 0; i != 3; ++i) {
    co_await yield_now();
    std::optional<brittle> element;
    element.emplace(i);
    co_yield std::move(*element);
  }
}
struct brittle_tasks {
  int left = 3;
  task<std::optional<brittle>> next() {
    co_await yield_now();
    if (left == 0) co_return std::nullopt;
    co_return std::optional<brittle>(std::in_place, --left);
  }
};

/// How a stream ended: how many elements and how many exceptions came, until its end.
struct tally {
  int elements = 0, failures = 0;
};
template <class S>
task<tally> tally_of(S stream) {
  tally t;
  for (bool more = true; more;) {
    try {
      auto e = co_await stream.next();
      more = e.has_value();
      if (more) ++t.elements;
    } catch (const std::exception&) {
      ++t.failures;
    }
    if (t.failures == 100) break;
  }
  co_return t;
}

}  // namespace

// Each tick sent the stream that waits in a queue to the end of that: it had 0 elements.
TEST_CASE("a stream that waited in a queue starved beside others") {
  struct kind {
    const char* name;
    take_turn take;
  };
  const kind kinds[] = {{"mutex", with_mutex},      {"permit", with_permit},
                        {"write", with_write_lock}, {"notify", with_notice},
                        {"send", with_send},        {"reserve", with_room}};
  struct way {
    const char* name;
    consumer consume;
  };
  const way ways[] = {{"merge", merged},
                      {"merge of a task", merged_task},
                      {"merge of a merge", merged_twice},
                      {"stream_map", in_map},
                      {"select", selected},
                      {"merge, and waiting between", merged_and_busy}};
  for (const kind& k : kinds) {
    const int by_itself = turns_of(alone, k.take);
    CHECK(by_itself > 150);
    for (const way& w : ways) {
      INFO(k.name << " in a " << w.name << "; alone " << by_itself);
      const int beside = turns_of(w.consume, k.take);
      CHECK(beside * 10 > by_itself * 6);
    }
  }
}

TEST_CASE("next() of a merged stream that threw ended the program") {
  on_every_scheduler([]() -> task<> {
    int calls = 0;
    auto bad = [&calls] {
      return streams::from_function([&calls] {
        if (++calls == 2) throw std::runtime_error("x");
        if (calls == 4) throw std::bad_alloc();
        return streams::never<int>().next();
      });
    };
    {
      auto t = co_await tally_of(streams::merge(bad(), numbers(4)) | streams::take(4));
      CHECK(t.elements == 4);
      CHECK(t.failures == 2);
    }
    calls = 0;
    {
      auto t = co_await tally_of(streams::merge(numbers(4), bad(), numbers(4)) | streams::take(8));
      CHECK(t.elements == 8);
      CHECK(t.failures >= 1);
    }
    calls = 0;
    {
      auto stream = bad();
      stream_map<int, decltype(stream)> map;
      map.insert(1, std::move(stream));
      int failures = 0;
      for (int i = 0; i != 4; ++i) {
        try {
          static_cast<void>(co_await select(map.next(), sleep(1ms)));
        } catch (const std::exception&) {
          ++failures;
        }
      }
      CHECK(failures == 2);
      CHECK(map.size() == 1);
    }
  });
}

TEST_CASE("an element of a merged stream whose move threw ended the program") {
  on_every_scheduler([]() -> task<> {
    const auto make = [](int which) -> task<tally> {
      tally t;
      if (which == 0) {
        t = co_await tally_of(streams::merge(brittles(), brittles()));
      } else if (which == 1) {
        t = co_await tally_of(streams::merge(brittle_tasks(), brittles()));
      } else if (which == 2) {
        stream_map<int, async_generator<brittle>> map;
        map.insert(1, brittles());
        map.insert(2, brittles());
        t = co_await tally_of(std::move(map));
      } else {
        stream_map<int, brittle_tasks> map;
        map.insert(1, brittle_tasks());
        map.insert(2, brittle_tasks());
        t = co_await tally_of(std::move(map));
      }
      co_return t;
    };
    for (int which = 0; which != 4; ++which) {
      INFO("stream " << which);
      bool was_reached = true;
      for (int k = 1; was_reached; ++k) {
        brittle::left = k;
        auto t = co_await make(which);
        was_reached = brittle::left <= 0;
        if (was_reached) {
          CHECK(t.failures == 1);
        } else {
          CHECK(t.failures == 0);
          CHECK(t.elements == 6);
        }
      }
    }
  });
}

TEST_CASE("stream_map: a stream is taken out while a task waits in its next()") {
  on_every_scheduler([]() -> task<> {
    int dropped = 0;
    struct waiting {
      int* dropped;
      std::string name = "a name that is long enough not to be stored in place";
      task<std::optional<int>> next() {
        const probe p(*dropped);
        co_await sleep(1h);
        co_return static_cast<int>(name.size());
      }
    };
    stream_map<int, waiting> map;
    map.insert(1, waiting{&dropped});
    static_cast<void>(co_await select(map.next(), sleep(1ms)));
    CHECK(dropped == 0);  // it has paused
    auto out = map.remove(1);
    CHECK(dropped == 1);
    CHECK(out.has_value());
  });
}
