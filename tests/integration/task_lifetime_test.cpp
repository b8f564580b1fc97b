// SPDX-License-Identifier: MIT
// The cross product of how a task ends, when its handle goes, and when and by whom it is aborted.
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/signal.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

enum class ending { value, exception };
enum class drop_at { now, first_run, finish, consumption };
enum class abort_at { never, now, first_run, finish };
enum class abort_by { join_handle, abort_handle, other_thread };
enum class spawned { inside, outside };

struct combination {
  ending end;
  drop_at drop;
  abort_at abort;
  abort_by by;
  spawned from;
};

/// Made and destroyed: in total, moved-from ones included.
struct tally {
  std::atomic<int> made{0};
  std::atomic<int> gone{0};
};
class counted {
 public:
  explicit counted(tally& t) noexcept : tally_(&t) { ++tally_->made; }
  counted(counted&& other) noexcept : tally_(other.tally_) { ++tally_->made; }
  counted& operator=(counted&&) = delete;
  ~counted() { ++tally_->gone; }

 private:
  tally* tally_;
};

struct scene {
  tally parameters;
  tally locals;
  tally results;
  std::atomic<bool> started{false};
  std::atomic<int> unhandled{0};
  signal gate;
};

task<counted> subject(counted parameter, scene* s, ending end) {
  const counted local(s->locals);
  (void)parameter;
  s->started = true;
  co_await s->gate.wait();
  if (end == ending::exception) throw std::runtime_error("on purpose");
  co_return counted(s->results);
}

task<counted> make_subject(scene* s, ending end) { return subject(counted(s->parameters), s, end); }

bool all_gone(const tally& t) { return t.made == t.gone; }

template <class Condition>
task<> until(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (!condition() && std::chrono::steady_clock::now() < end) co_await sleep(1ms);
  CHECK(condition());
}

void request(abort_by by, const std::optional<join_handle<counted>>& handle, abort_handle& stop) {
  if (by == abort_by::join_handle)
    handle->abort();
  else if (by == abort_by::abort_handle)
    stop.abort();
  else
    std::thread([&stop] { stop.abort(); }).join();
}

void check_result(const combination& c, join_result<counted> result) {
  const bool stopped = c.abort == abort_at::now || c.abort == abort_at::first_run;
  CHECK(result.is_cancelled() == stopped);
  CHECK(result.has_value() == (!stopped && c.end == ending::value));
  CHECK(result.is_exception() == (!stopped && c.end == ending::exception));
  std::string said;
  try {
    (void)std::move(result).value();
  } catch (const std::runtime_error& e) {
    said = e.what();
  }
  if (stopped)
    CHECK_THAT(said, contains("was cancelled"));
  else
    CHECK(said == (c.end == ending::exception ? "on purpose" : ""));
}

// `handle` is empty if the subject is spawned in here.
task<> act(combination c, scene* s, std::optional<join_handle<counted>> handle) {
  if (!handle) handle.emplace(spawn(make_subject(s, c.end)));
  abort_handle stop = handle->abort_handle();
  const auto stage = [&](abort_at when_abort, drop_at when_drop) {
    if (c.abort == when_abort) request(c.by, handle, stop);
    if (c.drop == when_drop) handle.reset();
  };
  stage(abort_at::now, drop_at::now);
  if (c.abort != abort_at::now) {
    co_await until([s] { return s->started.load(); });
    stage(abort_at::first_run, drop_at::first_run);
  } else if (c.drop == drop_at::first_run) {
    handle.reset();
  }
  if (c.abort != abort_at::now && c.abort != abort_at::first_run) s->gate.set();
  co_await until([&] { return handle ? handle->is_finished() : stop.is_finished(); });
  // The frame is destroyed before anything learns of the end.
  CHECK(all_gone(s->parameters));
  CHECK(all_gone(s->locals));
  stage(abort_at::finish, drop_at::finish);
  if (handle) {
    auto result = co_await std::move(*handle);
    check_result(c, std::move(result));
    handle.reset();
  }
}

template <class Runtime>
void play(Runtime rt, scene& s, const combination& c) {
  std::optional<join_handle<counted>> handle;
  if (c.from == spawned::outside) handle.emplace(rt.spawn(make_subject(&s, c.end)));
  rt.block_on(act(c, &s, std::move(handle)));
}

void run(int where, const combination& c) {
  INFO("runtime " << where << ", ends by " << int(c.end) << ", dropped at " << int(c.drop)
                  << ", aborted at " << int(c.abort) << " by " << int(c.by) << ", spawned "
                  << int(c.from));
  scene s;
  const auto counts = [&s](const unhandled_exception_info&) { ++s.unhandled; };
  if (where == 3)
    play(std::move(runtime::builder().on_unhandled_exception(counts).build_local()).value(), s, c);
  else
    play(std::move(builder_for(static_cast<flavour>(where)).on_unhandled_exception(counts).build())
             .value(),
         s, c);
  CHECK(s.parameters.made >= 1);
  CHECK(all_gone(s.parameters));
  CHECK(all_gone(s.locals));
  CHECK(all_gone(s.results));
  const bool stopped = c.abort == abort_at::now || c.abort == abort_at::first_run;
  const bool thrown = !stopped && c.end == ending::exception;
  CHECK((s.results.made != 0) == (!stopped && !thrown));
  CHECK(s.unhandled == (thrown && c.drop != drop_at::consumption ? 1 : 0));
}

}  // namespace

TEST_CASE("acceptance 19: every combination of ending, dropping and aborting destroys once") {
  const no_descriptor_leak leak;
  int combinations = 0;
  for (const int where : {0, 1, 2, 3})
    for (const ending end : {ending::value, ending::exception})
      for (const drop_at drop :
           {drop_at::now, drop_at::first_run, drop_at::finish, drop_at::consumption})
        for (const abort_at abort :
             {abort_at::never, abort_at::now, abort_at::first_run, abort_at::finish})
          for (const abort_by by :
               {abort_by::join_handle, abort_by::abort_handle, abort_by::other_thread})
            for (const spawned from : {spawned::inside, spawned::outside}) {
              // Who aborts by the join handle has it still.
              const bool has_handle = int(abort) - 1 <= int(drop);
              if (by == abort_by::join_handle && !has_handle) continue;
              if (abort == abort_at::never && by != abort_by::join_handle) continue;
              run(where, {end, drop, abort, by, from});
              ++combinations;
            }
  CHECK(combinations == 592);
}
