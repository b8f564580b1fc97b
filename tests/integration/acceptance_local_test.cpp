// SPDX-License-Identifier: MIT
// The acceptance behaviours of local runtimes: their tasks end where they live.
#include <array>
#include <atomic>
#include <optional>
#include <thread>
#include <utility>

#include "support/catch.hpp"
#include "support/flag.hpp"
#include "support/runtimes.hpp"
#include "support/signal.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

/// What was destroyed on the thread that made this, and what elsewhere.
struct places {
  const std::thread::id owner = std::this_thread::get_id();
  std::atomic<int> here{0};
  std::atomic<int> elsewhere{0};
};
class notes_the_thread {
 public:
  explicit notes_the_thread(places& out) noexcept : out_(&out) {}
  notes_the_thread(notes_the_thread&& other) noexcept : out_(std::exchange(other.out_, nullptr)) {}
  notes_the_thread& operator=(notes_the_thread&&) = delete;
  ~notes_the_thread() {
    if (out_ != nullptr)
      ++(std::this_thread::get_id() == out_->owner ? out_->here : out_->elsewhere);
  }

 private:
  places* out_;
};

struct scene {
  places ends;
  signal news;
  std::atomic<bool> waits{false};
  std::atomic<int> runs{0};
};
// A parameter and a local, and the same in a frame that it awaits.
constexpr int objects = 4;
constexpr int parameters = 1;

enum class wait_by : unsigned char { news, yielding };

task<> inner(notes_the_thread parameter, scene* s, wait_by how) {
  (void)parameter;
  const notes_the_thread local(s->ends);
  s->waits = true;
  if (how == wait_by::news) co_await s->news.wait();
  for (;;) {
    ++s->runs;
    co_await yield_now();
  }
}
task<> outer(notes_the_thread parameter, scene* s, wait_by how) {
  (void)parameter;
  const notes_the_thread local(s->ends);
  auto child = inner(notes_the_thread(s->ends), s, how);
  co_await std::move(child);
}
task<> subject(scene& s, wait_by how) { return outer(notes_the_thread(s.ends), &s, how); }

local_runtime make_local() { return std::move(runtime::builder().build_local()).value(); }

task<> until_it_waits(const scene* s) {
  while (!s->waits) co_await yield_now();
}
void abort_elsewhere(const join_handle<>& h) {
  std::thread([stop = h.abort_handle()]() mutable { stop.abort(); }).join();
}
task<bool> joins_cancelled(join_handle<> h) {
  auto ended = co_await std::move(h);
  co_return ended.is_cancelled();
}

void check_end(const scene& s, int all) {
  CHECK(s.ends.here == all);
  CHECK(s.ends.elsewhere == 0);
}

}  // namespace

TEST_CASE("acceptance 17: aborted from another thread while it is suspended and nobody runs") {
  scene s;
  local_runtime rt = make_local();
  auto h = rt.spawn(subject(s, wait_by::news));
  rt.block_on(until_it_waits(&s));
  abort_elsewhere(h);
  check_end(s, 0);  // it asked, and touched nothing
  CHECK(rt.block_on(joins_cancelled(std::move(h))));
  check_end(s, objects);
  CHECK(s.runs == 0);
}

TEST_CASE(
    "acceptance 17: aborted from another thread while it is suspended and its thread sleeps") {
  for (int round = 0; round != 20; ++round) {
    scene s;
    std::thread other;
    {
      local_runtime rt = make_local();
      auto h = rt.spawn(subject(s, wait_by::news));
      rt.block_on(until_it_waits(&s));
      std::atomic<bool> goes{false};
      other = std::thread([&goes, stop = h.abort_handle()]() mutable {
        comes_true(goes);
        stop.abort();
      });
      // Nothing else is there to run: this thread is on its way to sleep, or sleeps.
      goes = true;
      CHECK(rt.block_on(joins_cancelled(std::move(h))));
    }
    other.join();
    check_end(s, objects);
    CHECK(s.runs == 0);
  }
}

TEST_CASE("acceptance 17: aborted from another thread while it is queued for its first run") {
  scene s;
  local_runtime rt = make_local();
  auto h = rt.spawn(subject(s, wait_by::news));
  abort_elsewhere(h);
  check_end(s, 0);
  CHECK(rt.block_on(joins_cancelled(std::move(h))));
  check_end(s, parameters);  // it has not begun
  CHECK_FALSE(s.waits);
}

TEST_CASE(
    "acceptance 17: aborted from another thread while it is queued, woken from here or there") {
  for (const bool from_here : {true, false}) {
    INFO("woken from its own thread: " << from_here);
    scene s;
    local_runtime rt = make_local();
    auto h = rt.spawn(subject(s, wait_by::news));
    rt.block_on(until_it_waits(&s));
    rt.block_on([](scene* at, bool here, abort_handle stop) -> task<> {
      if (here) at->news.set();
      std::thread([at, here, &stop] {
        if (!here) at->news.set();
        stop.abort();
      }).join();
      CHECK(at->ends.here + at->ends.elsewhere == 0);
      co_return;
    }(&s, from_here, h.abort_handle()));
    CHECK(rt.block_on(joins_cancelled(std::move(h))));
    check_end(s, objects);
    CHECK(s.runs <= 1);  // what it waited for had come, so it goes on to its next wait
  }
}

TEST_CASE("acceptance 17: aborted from another thread while it runs and is queued in turns") {
  for (int round = 0; round != 50; ++round) {
    scene s;
    std::thread other;
    {
      local_runtime rt = make_local();
      auto h = rt.spawn(subject(s, wait_by::yielding));
      other = std::thread([&s, round, stop = h.abort_handle()]() mutable {
        while (s.runs < round) std::this_thread::yield();
        stop.abort();
      });
      CHECK(rt.block_on(joins_cancelled(std::move(h))));
    }
    other.join();
    CHECK(s.ends.here == (s.waits ? objects : parameters));
    CHECK(s.ends.elsewhere == 0);
  }
}

TEST_CASE(
    "acceptance 17: aborted from another thread, and never run again before its runtime goes") {
  for (const bool begun : {true, false}) {
    INFO("begun: " << begun);
    scene s;
    std::optional<join_handle<>> h;
    {
      local_runtime rt = make_local();
      h.emplace(rt.spawn(subject(s, wait_by::news)));
      if (begun) rt.block_on(until_it_waits(&s));
      abort_elsewhere(*h);
      check_end(s, 0);
    }
    check_end(s, begun ? objects : parameters);
    CHECK(h->is_finished());
  }
}
