// SPDX-License-Identifier: MIT
// What a select did to the branches that had not won: their values were lost, their frames kept,
// and those that had not started broke a shield.
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <kioto/as_result.hpp>
#include <kioto/blocking.hpp>
#include <kioto/join_set.hpp>
#include <kioto/scope.hpp>
#include <kioto/select.hpp>
#include <kioto/shield.hpp>
#include <kioto/sync/mpsc.hpp>
#include <kioto/sync/mutex.hpp>
#include <kioto/sync/notify.hpp>
#include <kioto/sync/oneshot.hpp>
#include <kioto/sync/semaphore.hpp>
#include <kioto/time/sleep.hpp>
#include <kioto/timeout.hpp>
#include <kioto/try_all.hpp>
#include <kioto/when_all.hpp>
#include <kioto/when_any.hpp>
#include <kioto/yield.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

/// Runs `body` on the current-thread scheduler, where tasks run in a known order.
template <class Body>
void on_current_thread(Body body) {
  runtime rt = make_runtime(flavour::current_thread);
  rt.block_on(body());
}

task<> send_many(sync::mpsc::sender<int> tx, int count) {
  for (int i = 0; i != count; ++i) {
    auto sent = co_await tx.send(i);
    if (!sent) co_return;
    if (i % 8 == 0) co_await sleep(1ms);
  }
}

// Looks only at which branch won, as programs written with Tokio's select! in mind do.
task<> receive_by_index(sync::mpsc::receiver<int> rx, std::vector<int>& got) {
  for (;;) {
    auto hit = co_await select(rx.recv(), sleep(1ms));
    if (hit.index() == 1) continue;
    auto& message = *hit.get<0>();
    if (!message) co_return;
    got.push_back(*message);
  }
}

task<> receive_by_match(sync::mpsc::receiver<int> rx, std::vector<int>& got) {
  for (bool more = true; more;) {
    auto hit = co_await select(sleep(1ms), rx.recv());
    more = std::move(hit).match([] { return true; },
                                [&got](std::optional<int> message) {
                                  if (message) got.push_back(*message);
                                  return message.has_value();
                                });
  }
}

task<std::optional<int>> receive(sync::mpsc::receiver<int>& rx) {
  auto message = co_await rx.recv();
  co_return message;
}

task<> receive_in_tasks(sync::mpsc::receiver<int> rx, std::vector<int>& got) {
  for (;;) {
    auto hit = co_await select(receive(rx), sleep(1ms));
    if (hit.index() == 1) continue;
    auto& message = *hit.get<0>();
    if (!message) co_return;
    got.push_back(*message);
  }
}

template <class Receive>
void nothing_is_lost(Receive receive_all) {
  constexpr int count = 3000;
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    std::vector<int> got;
    runtime rt = make_runtime(f);
    rt.block_on([&]() -> task<> {
      auto [tx, rx] = sync::mpsc::channel<int>(16);
      auto receiver = spawn(receive_all(std::move(rx), got));
      auto sender = spawn(send_many(std::move(tx), count));
      auto sent = co_await sender;
      auto received = co_await receiver;
      CHECK(sent.has_value());
      CHECK(received.has_value());
    });
    REQUIRE(got.size() == std::size_t{count});
    for (int i = 0; i != count; ++i) CHECK(got[static_cast<std::size_t>(i)] == i);
  }
}

/// A task that turns the stop into a value.
task<int> stops_with(int value, sync::notify& never) {
  auto stopped = co_await as_result(never.notified());
  static_cast<void>(stopped);
  co_return value;
}

}  // namespace

TEST_CASE("regress: a loop around a select that looks at index() lost messages") {
  nothing_is_lost(receive_by_index);
}

TEST_CASE("regress: a loop around a select that uses match() lost messages") {
  nothing_is_lost(receive_by_match);
}

TEST_CASE("regress: a select around a task that receives lost messages") {
  nothing_is_lost(receive_in_tasks);
}

TEST_CASE("regress: two branches of a select that were woken together both took effect") {
  on_current_thread([]() -> task<> {
    auto [tx_a, a] = sync::mpsc::channel<int>(4);
    auto [tx_b, b] = sync::mpsc::unbounded_channel<int>();
    auto [tx_c, c] = sync::oneshot::channel<int>();
    auto [tx_d, d] = sync::mpsc::channel<int>(4);
    auto feeder = spawn([&]() -> task<> {
      CHECK(tx_b.send(2).has_value());
      CHECK(tx_a.try_send(1).has_value());
      CHECK(std::move(tx_c).send(3).has_value());
      CHECK(tx_d.try_send(4).has_value());
      co_return;
    });
    auto hit = co_await select(a.recv(), b.recv(), receive(d), c);
    CHECK(hit.index() == 1);
    CHECK(hit.count() == 1);
    CHECK(a.try_recv() == 1);
    CHECK(c.try_recv() == 3);
    CHECK(d.try_recv() == 4);
    auto ended = co_await feeder;
    CHECK(ended.has_value());
  });
}

TEST_CASE("regress: an aborted select that was woken for two branches took both") {
  on_current_thread([]() -> task<> {
    auto [tx_a, a] = sync::mpsc::channel<int>(4);
    auto [tx_b, b] = sync::mpsc::channel<int>(4);
    int taken = 0;
    auto waiter = spawn([&]() -> task<> {
      auto hit = co_await select(a.recv(), b.recv());
      taken = static_cast<int>(hit.count());
    });
    co_await yield_now();
    CHECK(tx_a.try_send(1).has_value());
    CHECK(tx_b.try_send(2).has_value());
    waiter.abort();
    auto ended = co_await waiter;
    static_cast<void>(ended);
    const int left = (a.try_recv().has_value() ? 1 : 0) + (b.try_recv().has_value() ? 1 : 0);
    CHECK(taken <= 1);
    CHECK(taken + left == 2);
  });
}

TEST_CASE("regress: a permit that was granted to a branch which lost is handed on at once") {
  on_current_thread([]() -> task<> {
    sync::semaphore permits(0);
    sync::notify go;
    sync::notify never;
    bool next_has_it = false;
    auto selecting = spawn([&]() -> task<> {
      // The third branch ends late, and so does the select: the permit does not wait for that.
      auto hit = co_await select(biased, permits.acquire(), go.notified(),
                                 [&]() -> task<> { co_await shield(never.notified()); }());
      CHECK(hit.index() == 1);
      CHECK_FALSE(hit.has<0>());
    });
    auto next = spawn([&]() -> task<> {
      auto permit = co_await permits.acquire();
      next_has_it = permit.has_value();
    });
    co_await yield_now();
    go.notify_one();
    permits.add_permits(1);
    for (int i = 0; i != 8; ++i) co_await yield_now();
    CHECK(next_has_it);
    never.notify_one();
    auto a = co_await selecting;
    auto b = co_await next;
    CHECK((a.has_value() && b.has_value()));
    CHECK(permits.available_permits() == 1);
  });
}

TEST_CASE("regress: a lock that was granted to a branch which lost is handed on at once") {
  on_current_thread([]() -> task<> {
    sync::mutex<int> shared(0);
    sync::notify go;
    bool next_has_it = false;
    std::optional<sync::mutex_guard<int>> held;
    {
      auto guard = co_await shared.lock();
      held.emplace(std::move(guard));
    }
    auto selecting = spawn([&]() -> task<> {
      auto hit = co_await select(biased, shared.lock(), go.notified());
      CHECK(hit.index() == 1);
      CHECK(hit.count() == 1);
    });
    auto next = spawn([&]() -> task<> {
      auto guard = co_await shared.lock();
      next_has_it = true;
    });
    co_await yield_now();
    go.notify_one();
    held.reset();
    auto a = co_await selecting;
    auto b = co_await next;
    CHECK((a.has_value() && b.has_value()));
    CHECK(next_has_it);
  });
}

TEST_CASE("regress: a notification for a branch which lost goes to the next waiter") {
  on_current_thread([]() -> task<> {
    sync::notify work;
    auto [tx, rx] = sync::oneshot::channel<int>();
    bool next_has_it = false;
    auto selecting = spawn([&]() -> task<> {
      auto hit = co_await select(biased, work.notified(), rx);
      CHECK(hit.index() == 1);
      CHECK_FALSE(hit.has<0>());
    });
    auto next = spawn([&]() -> task<> {
      co_await work.notified();
      next_has_it = true;
    });
    co_await yield_now();
    CHECK(std::move(tx).send(1).has_value());
    work.notify_one();
    auto a = co_await selecting;
    for (int i = 0; i != 4; ++i) co_await yield_now();
    CHECK(a.has_value());
    CHECK(next_has_it);
    auto b = co_await next;
    CHECK(b.has_value());
  });
}

TEST_CASE("regress: a message of a branch which lost was sent") {
  on_current_thread([]() -> task<> {
    auto [tx, rx] = sync::mpsc::channel<std::string>(1);
    CHECK(tx.try_send("first").has_value());
    sync::notify go;
    auto selecting = spawn([&]() -> task<> {
      auto hit = co_await select(biased, tx.send("second"), go.notified());
      CHECK(hit.index() == 1);
      CHECK_FALSE(hit.has<0>());
    });
    co_await yield_now();
    go.notify_one();
    auto first = co_await rx.recv();  // makes room, which is granted to the branch
    CHECK(first == "first");
    auto ended = co_await selecting;
    CHECK(ended.has_value());
    CHECK_FALSE(rx.try_recv().has_value());
    CHECK(tx.capacity() == 1);
    // And a branch that wins does send.
    CHECK(tx.try_send("third").has_value());
    auto sending = spawn([&]() -> task<> {
      auto hit = co_await select(biased, tx.send("fourth"), go.notified());
      CHECK(hit.index() == 0);
      CHECK((*hit.get<0>()).has_value());
    });
    co_await yield_now();
    auto third = co_await rx.recv();
    CHECK(third == "third");
    auto fourth = co_await rx.recv();
    CHECK(fourth == "fourth");
    auto sent = co_await sending;
    CHECK(sent.has_value());
    CHECK(tx.capacity() == 1);
  });
}

TEST_CASE("regress: a branch that loses within another combinator left an effect behind") {
  on_current_thread([]() -> task<> {
    auto [tx_a, a] = sync::mpsc::channel<int>(4);
    auto [tx_b, b] = sync::mpsc::channel<int>(4);
    auto [tx_c, c] = sync::mpsc::channel<int>(4);
    auto [tx_d, d] = sync::mpsc::channel<int>(4);
    sync::notify go;
    auto selecting = spawn([&]() -> task<> {
      auto hit =
          co_await select(biased, timeout(1h, a.recv()), when_any(select(b.recv(), receive(d))),
                          when_all(c.recv(), go.notified()), go.notified());
      CHECK(hit.index() == 3);
      CHECK(hit.count() == 1);
    });
    co_await yield_now();
    go.notify_last();
    CHECK(tx_a.try_send(1).has_value());
    CHECK(tx_b.try_send(2).has_value());
    CHECK(tx_c.try_send(3).has_value());
    CHECK(tx_d.try_send(4).has_value());
    auto ended = co_await selecting;
    CHECK(ended.has_value());
    CHECK(a.try_recv() == 1);
    CHECK(b.try_recv() == 2);
    CHECK(c.try_recv() == 3);
    CHECK(d.try_recv() == 4);
  });
}

TEST_CASE("regress: a when_all that was stopped destroyed the message of a branch") {
  on_current_thread([]() -> task<> {
    auto [tx, rx] = sync::mpsc::channel<int>(4);
    sync::notify never;
    for (int round = 0; round != 3; ++round) {
      auto both = spawn([&, round]() -> task<> {
        if (round == 0) {
          auto values = co_await when_all(rx.recv(), never.notified());
          static_cast<void>(values);
        } else if (round == 1) {
          auto values = co_await when_all(never.notified(), receive(rx));
          static_cast<void>(values);
        } else {
          auto values = co_await try_all(never.notified(), rx.recv());
          static_cast<void>(values);
        }
      });
      co_await yield_now();
      CHECK(tx.try_send(7).has_value());
      both.abort();
      auto ended = co_await both;
      CHECK(ended.is_cancelled());
      CHECK(rx.try_recv() == 7);
    }
  });
}

TEST_CASE("regress: a result of a joined task was lost by a select") {
  on_current_thread([]() -> task<> {
    sync::notify go;
    auto job = spawn([&]() -> task<std::string> {
      co_await go.notified();
      co_return "done";
    });
    join_set<int> set;
    set.spawn([&]() -> task<int> {
      co_await go.notified();
      co_return 5;
    });
    co_await yield_now();
    auto selecting = spawn([&]() -> task<> {
      auto hit = co_await select(biased, job, set.join_next(), go.notified());
      CHECK(hit.index() == 2);
      CHECK(hit.count() == 1);
    });
    co_await yield_now();
    go.notify_waiters();
    auto ended = co_await selecting;
    CHECK(ended.has_value());
    auto done = co_await job;
    CHECK(std::move(done).value() == "done");
    auto next = co_await set.join_next();
    REQUIRE(next.has_value());
    CHECK(std::move(*next).value() == 5);
  });
}

namespace {

/// A runtime on the calling thread that counts what is reported.
class reporting_runtime {
 public:
  reporting_runtime()
      : runtime_(
            std::move(runtime::builder()
                          .current_thread()
                          .on_unhandled_exception([this](const unhandled_exception_info& info) {
                            ++reports;
                            try {
                              std::rethrow_exception(info.error);
                            } catch (const std::exception& e) {
                              last = e.what();
                            }
                          })
                          .build())
                .value()) {}
  template <class Body>
  void operator()(Body body) {
    runtime_.block_on(body());
  }

  int reports = 0;
  std::string last;

 private:
  runtime runtime_;
};

}  // namespace

TEST_CASE("regress: a value that could not be withdrawn was dropped without a word") {
  reporting_runtime run;
  sync::notify never;
  SECTION("index() alone") {
    run([&]() -> task<> {
      auto hit = co_await select(biased, stops_with(1, never), yield_now());
      CHECK(hit.index() == 1);
    });
    CHECK(run.reports == 1);
    CHECK(run.last.find("branch 0") != std::string::npos);
  }
  SECTION("match() alone") {
    run([&]() -> task<> {
      auto hit = co_await select(biased, stops_with(1, never), yield_now());
      hit.match([](int) {}, [] {});
    });
    CHECK(run.reports == 1);
  }
  SECTION("get() of another one") {
    run([&]() -> task<> {
      auto hit = co_await select(biased, stops_with(1, never), stops_with(2, never), yield_now());
      CHECK(hit.get<1>() == 2);
    });
    CHECK(run.reports == 1);
  }
  SECTION("of a range") {
    run([&]() -> task<> {
      std::vector<task<int>> branches;
      branches.push_back(stops_with(1, never));
      branches.push_back([]() -> task<int> {
        co_await yield_now();
        co_return 2;
      }());
      auto hit = co_await select(biased, std::move(branches));
      CHECK(hit.index() == 1);
    });
    CHECK(run.reports == 1);
  }
  SECTION("beside an exception of the winner") {
    run([&]() -> task<> {
      auto failing = []() -> task<> {
        co_await yield_now();
        throw std::runtime_error("winner");
      };
      CHECK_THROWS_AS(
          co_await [&]() -> task<> {
            auto hit = co_await select(biased, stops_with(1, never), failing());
            static_cast<void>(hit);
          }(),
          std::runtime_error);
    });
    CHECK(run.reports == 1);
  }
}

TEST_CASE("a value that could not be withdrawn is in the result") {
  reporting_runtime run;
  sync::notify never;
  run([&]() -> task<> {
    auto seen = co_await select(biased, stops_with(1, never), yield_now());
    CHECK(seen.index() == 1);
    CHECK(seen.count() == 2);
    CHECK(seen.get<0>() == 1);

    auto visited = co_await select(biased, stops_with(1, never), yield_now());
    int value = 0;
    visited.visit([&value](int v) { value = v; }, [] {});
    CHECK(value == 1);

    auto moved = std::move(seen);
    CHECK(moved.get<0>() == 1);

    std::vector<task<int>> branches;
    branches.push_back(stops_with(3, never));
    branches.push_back([]() -> task<int> {
      co_await yield_now();
      co_return 2;
    }());
    auto range = co_await select(biased, std::move(branches));
    CHECK(range.order().size() == 2);
    CHECK(range.get(0) == 3);

    // The result is not looked at at all: that is no oversight.
    static_cast<void>(co_await select(biased, stops_with(1, never), yield_now()));
  });
  CHECK(run.reports == 0);
}

TEST_CASE("a blocking call that runs when another branch wins completes") {
  runtime rt = make_runtime(flavour::one_worker);
  rt.block_on([]() -> task<> {
    std::atomic<bool> begun{false};
    auto wait_for_begin = [&begun]() -> task<> {
      while (!begun.load()) co_await sleep(1ms);
    };
    auto call = [&begun]() -> task<int> {
      auto body = [&begun] {
        begun = true;
        std::this_thread::sleep_for(5ms);
        return 6;
      };
      auto joined = co_await spawn_blocking(std::move(body));
      co_return std::move(joined).value();
    };
    auto hit = co_await select(call(), wait_for_begin());
    // The join is withdrawn, and the call runs on by itself.
    CHECK(hit.index() == 1);
    CHECK(hit.count() == 1);
  });
}

// ---- frames of branches ----

namespace {

task<> send_three(sync::mpsc::sender<int> tx) {
  for (int i = 0; i != 3; ++i) {
    auto sent = co_await tx.send(i);
    CHECK(sent.has_value());
  }
}
task<> receive_to_the_end(sync::mpsc::receiver<int> rx, int& got) {
  for (;;) {
    auto message = co_await rx.recv();
    if (!message) break;
    ++got;
  }
}

}  // namespace

TEST_CASE("regress: the frame of a branch that had ended was kept until the whole ended") {
  on_every_scheduler([]() -> task<> {
    int got = 0;
    {
      auto [tx, rx] = sync::mpsc::channel<int>(1);
      auto all =
          co_await when_all(send_three(std::move(tx)), receive_to_the_end(std::move(rx), got));
      static_cast<void>(all);
      CHECK(got == 3);
    }
    {
      auto [tx, rx] = sync::mpsc::channel<int>(1);
      auto all = co_await when_all(as_result(send_three(std::move(tx))),
                                   receive_to_the_end(std::move(rx), got));
      static_cast<void>(all);
      CHECK(got == 6);
    }
    {
      auto [tx, rx] = sync::mpsc::channel<int>(1);
      auto all = co_await when_all(timeout(1h, send_three(std::move(tx))),
                                   receive_to_the_end(std::move(rx), got));
      static_cast<void>(all);
      CHECK(got == 9);
    }
    {
      auto [tx, rx] = sync::mpsc::channel<int>(1);
      std::vector<task<>> branches;
      branches.push_back(receive_to_the_end(std::move(rx), got));
      branches.push_back(send_three(std::move(tx)));
      co_await when_all(std::move(branches));
      CHECK(got == 12);
    }
    {
      // A branch that throws releases what it had, too.
      auto [tx, rx] = sync::mpsc::channel<int>(1);
      auto throws = [](sync::mpsc::sender<int>) -> task<> {
        co_await yield_now();
        throw std::runtime_error("x");
      };
      bool caught = false;
      try {
        auto all = co_await when_all(throws(std::move(tx)), receive_to_the_end(std::move(rx), got));
        static_cast<void>(all);
      } catch (const std::runtime_error&) {
        caught = true;
      }
      CHECK(caught);
    }
  });
}

TEST_CASE("regress: the frame of a scope's body was kept until the children ended") {
  on_every_scheduler([]() -> task<> {
    int got = 0;
    auto [tx, rx] = sync::mpsc::channel<int>(1);
    auto body = [](task_scope& s, sync::mpsc::receiver<int> from, int& count,
                   sync::mpsc::sender<int> to) -> task<> {
      s.spawn(receive_to_the_end(std::move(from), count));
      auto sent = co_await to.send(1);
      CHECK(sent.has_value());
    };
    co_await scope([&](task_scope& s) { return body(s, std::move(rx), got, std::move(tx)); });
    CHECK(got == 1);
  });
}

TEST_CASE("regress: a branch that never started kept what it was given") {
  on_every_scheduler([]() -> task<> {
    int got = 0;
    auto [tx, rx] = sync::mpsc::channel<int>(1);
    auto fails = []() -> task<result<void>> {
      co_await yield_now();
      co_return std::make_error_code(std::errc::io_error);
    };
    auto drain = [](sync::mpsc::receiver<int> from, int& count) -> task<result<void>> {
      co_await shield(receive_to_the_end(std::move(from), count));
      co_return {};
    };
    auto never = [](sync::mpsc::sender<int>) -> task<result<void>> { co_return {}; };
    // The branch in the middle fails before the last one has had its turn.
    auto at_once = []() -> task<result<void>> {
      co_return std::make_error_code(std::errc::io_error);
    };
    auto all = co_await try_all(drain(std::move(rx), got), at_once(), never(std::move(tx)));
    CHECK_FALSE(all.has_value());
    auto [tx_2, rx_2] = sync::mpsc::channel<int>(1);
    auto hit = co_await select(biased, when(false, never(std::move(tx_2))),
                               drain(std::move(rx_2), got), sleep(1h));
    CHECK(hit.index() == 1);
    auto slow = co_await fails();
    CHECK_FALSE(slow.has_value());
  });
}

TEST_CASE("regress: the order in which a branch's result and its frame end") {
  on_every_scheduler([]() -> task<> {
    int destroyed = 0;
    auto branch = [&destroyed](std::string text) -> task<std::string> {
      const probe local(destroyed);
      co_await yield_now();
      co_return text + text;
    };
    auto branches = co_await when_all(branch(std::string(100, 'a')), branch(std::string(100, 'b')));
    CHECK(destroyed == 2);
    CHECK(std::get<0>(branches) == std::string(200, 'a'));
    CHECK(std::get<1>(branches) == std::string(200, 'b'));
    auto value = co_await timeout(1h, branch(std::string(100, 'c')));
    CHECK(destroyed == 3);
    CHECK(value == std::string(200, 'c'));
  });
}

// ---- shields around branches ----

namespace {

task<> flush(bool stop_first, std::optional<abort_handle>& self, int& flushed) {
  if (stop_first) self->abort();
  co_await sleep(2ms);
  ++flushed;
}

}  // namespace

TEST_CASE("regress: a stop broke a shield around branches that were still to start") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    runtime rt = make_runtime(f);
    for (int shape = 0; shape != 4; ++shape) {
      INFO("shape " << shape);
      int flushed = 0;
      bool went_on = false;
      rt.block_on([&]() -> task<> {
        std::optional<abort_handle> self;
        sync::notify go;
        auto job = spawn([&]() -> task<> {
          co_await go.notified();
          if (shape == 0) {
            auto both =
                co_await shield(when_all(flush(true, self, flushed), flush(false, self, flushed)));
            static_cast<void>(both);
          } else if (shape == 1) {
            // One combinator within another.
            auto both = co_await shield(when_all(when_all(flush(true, self, flushed)),
                                                 when_all(flush(false, self, flushed))));
            static_cast<void>(both);
          } else if (shape == 2) {
            // The stop comes when the budget of the run is used up between two starts.
            std::vector<task<>> many;
            many.push_back(flush(true, self, flushed));
            for (int i = 0; i != 300; ++i)
              many.push_back([]() -> task<> { co_await yield_now(); }());
            many.push_back(flush(false, self, flushed));
            co_await shield(when_all(std::move(many)));
          } else {
            auto both = co_await when_all(
                shield(when_all(flush(true, self, flushed), flush(false, self, flushed))));
            static_cast<void>(both);
          }
          went_on = true;
          co_await sleep(1h);
        });
        self.emplace(job.abort_handle());
        go.notify_one();
        auto ended = co_await job;
        CHECK(ended.is_cancelled());
      });
      CHECK(flushed == 2);
      if (shape != 3) CHECK(went_on);
    }
  }
}
