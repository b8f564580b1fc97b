// SPDX-License-Identifier: MIT
// Channels.
#include <atomic>
#include <stdexcept>

#include <kioto/sync/broadcast.hpp>
#include <kioto/sync/mpsc.hpp>
#include <kioto/sync/oneshot.hpp>
#include <kioto/sync/watch.hpp>

#include "bench.hpp"

using namespace kioto;
namespace mpsc = sync::mpsc;
namespace oneshot = sync::oneshot;
namespace broadcast = sync::broadcast;
namespace watch = sync::watch;

namespace {

task<bool> one_shot() {
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i != 100000; ++i) {
    auto [tx, rx] = oneshot::channel<std::uint64_t>();
    const bool sent = tx.send(i).has_value();
    auto got = co_await rx.recv();
    if (!sent || !got) co_return false;
    sum += *got;
  }
  co_return sum == 100000ull * 99999 / 2;
}

task<> answer_one(oneshot::receiver<int> question, oneshot::sender<int> answer) {
  auto got = co_await question.recv();
  if (got) (void)answer.send(*got + 1);
}
// Ends with an exception if the answer is wrong, as `unwrap()` panics in the counterpart.
task<> ask_one() {
  auto [question, asked] = oneshot::channel<int>();
  auto [reply, answer] = oneshot::channel<int>();
  spawn(answer_one(std::move(asked), std::move(reply)));
  (void)question.send(1);
  auto got = co_await answer.recv();
  if (!got || *got != 2) throw std::logic_error("a wrong answer");
}
task<bool> ping_pong() {
  std::vector<join_handle<>> tasks;
  tasks.reserve(1000);
  for (int i = 0; i != 1000; ++i) tasks.push_back(spawn(ask_one()));
  const bool right = co_await bench::join_all(std::move(tasks), 1000);
  co_return right;
}

task<> echo(mpsc::receiver<std::uint64_t> from, mpsc::sender<std::uint64_t> to) {
  for (;;) {
    auto x = co_await from.recv();
    if (!x) co_return;
    const auto sent = co_await to.send(*x);
    if (!sent) co_return;
  }
}
task<bool> call(mpsc::sender<std::uint64_t> to, mpsc::receiver<std::uint64_t> from) {
  for (std::uint64_t i = 0; i != 100000; ++i) {
    const auto sent = co_await to.send(i);
    const auto back = co_await from.recv();
    if (!sent || back != i) co_return false;
  }
  co_return true;
}
task<bool> mpsc_pingpong() {
  auto [there, arrived] = mpsc::channel<std::uint64_t>(1);
  auto [back, returned] = mpsc::channel<std::uint64_t>(1);
  auto echoes = spawn(echo(std::move(arrived), std::move(back)));
  auto calls = spawn(call(std::move(there), std::move(returned)));
  auto right = co_await std::move(calls);
  const auto ended = co_await std::move(echoes);
  co_return std::move(right).value() && ended.has_value();
}

template <class Receiver>
task<bool> sum_up(Receiver rx) {
  std::size_t sum = 0;
  for (;;) {
    const auto x = co_await rx.recv();
    if (!x) break;
    sum += *x;
  }
  co_return sum == std::size_t{5} * 10000 * 9999 / 2;
}
task<> produce(mpsc::sender<std::size_t> tx) {
  for (std::size_t i = 0; i != 10000; ++i) (void)co_await tx.send(i);
}
task<> produce_unbounded(mpsc::unbounded_sender<std::size_t> tx) {
  for (std::size_t i = 0; i != 10000; ++i) (void)tx.send(i);
  co_return;
}
task<bool> mpsc_bounded_5p() {
  auto [tx, rx] = mpsc::channel<std::size_t>(100);
  for (int i = 0; i != 5; ++i) spawn(produce(tx));
  {
    const auto dropped = std::move(tx);
  }
  auto right = co_await spawn(sum_up(std::move(rx)));
  co_return std::move(right).value();
}
task<bool> mpsc_unbounded_5p() {
  auto [tx, rx] = mpsc::unbounded_channel<std::size_t>();
  for (int i = 0; i != 5; ++i) spawn(produce_unbounded(tx));
  {
    const auto dropped = std::move(tx);
  }
  auto right = co_await spawn(sum_up(std::move(rx)));
  co_return std::move(right).value();
}
task<bool> mpsc_uncontended() {
  auto [tx, rx] = mpsc::channel<std::size_t>(1000000);
  std::size_t sum = 0;
  for (std::size_t i = 0; i != 5000; ++i) (void)co_await tx.send(i);
  for (std::size_t i = 0; i != 5000; ++i) {
    const auto x = co_await rx.recv();
    sum += x.value_or(0);
  }
  co_return sum == std::size_t{5000} * 4999 / 2;
}

class request {
 public:
  request(std::uint64_t value_in, oneshot::sender<std::uint64_t> reply_in) noexcept
      : value(value_in), reply(std::move(reply_in)) {}
  std::uint64_t value;
  oneshot::sender<std::uint64_t> reply;
};
task<> serve(mpsc::receiver<request> requests) {
  for (;;) {
    auto next = co_await requests.recv();
    if (!next) co_return;
    (void)next->reply.send(next->value + 1);
  }
}
task<bool> ask(mpsc::sender<request> server) {
  for (std::uint64_t i = 0; i != 1000; ++i) {
    auto [reply, answer] = oneshot::channel<std::uint64_t>();
    const auto sent = co_await server.send(request(i, std::move(reply)));
    auto got = co_await answer.recv();
    if (!sent || !got || *got != i + 1) co_return false;
  }
  co_return true;
}
task<bool> request_reply() {
  auto [tx, rx] = mpsc::channel<request>(10);
  auto server = spawn(serve(std::move(rx)));
  auto client = spawn(ask(std::move(tx)));
  auto right = co_await std::move(client);
  const auto ended = co_await std::move(server);
  co_return std::move(right).value() && ended.has_value();
}

task<> hear_all(broadcast::receiver<std::uint64_t> rx, std::atomic<int>& right) {
  std::uint64_t sum = 0;
  for (;;) {
    const auto x = co_await rx.recv();
    if (!x) break;
    sum += *x;
  }
  if (sum == 10000ull * 9999 / 2) right.fetch_add(1, std::memory_order_relaxed);
}
task<> tell_all(broadcast::sender<std::uint64_t> tx) {
  for (std::uint64_t i = 0; i != 10000; ++i) (void)tx.send(i);
  co_return;
}
task<bool> broadcast_1x4() {
  std::atomic<int> right{0};
  std::vector<join_handle<>> tasks;
  {
    auto tx = broadcast::channel<std::uint64_t>(16384).first;
    for (int i = 0; i != 4; ++i) tasks.push_back(spawn(hear_all(tx.subscribe(), right)));
    const auto told = co_await spawn(tell_all(std::move(tx)));
    if (!told) co_return false;
  }
  const bool joined = co_await bench::join_all(std::move(tasks), 4);
  co_return joined&& right.load() == 4;
}

task<> follow(watch::receiver<std::uint64_t> rx, std::atomic<int>& right) {
  std::uint64_t last = 0;
  bool rising = true;
  for (;;) {
    const auto changed = co_await rx.changed();
    if (!changed) break;
    const std::uint64_t seen = *rx.borrow_and_update();
    rising = rising && seen >= last;
    last = seen;
  }
  if (rising && last == 9999) right.fetch_add(1, std::memory_order_relaxed);
}
task<> lead(watch::sender<std::uint64_t> tx) {
  for (std::uint64_t i = 0; i != 10000; ++i) {
    (void)tx.send(i);
    if (i % 16 == 0) co_await yield_now();
  }
}
task<bool> watch_1x4() {
  std::atomic<int> right{0};
  std::vector<join_handle<>> tasks;
  auto [tx, rx] = watch::channel<std::uint64_t>(0);
  for (int i = 0; i != 4; ++i) tasks.push_back(spawn(follow(rx, right)));
  {
    const auto dropped = std::move(rx);
  }
  const auto led = co_await spawn(lead(std::move(tx)));
  const bool joined = co_await bench::join_all(std::move(tasks), 4);
  co_return led.has_value() && joined&& right.load() == 4;
}

const bench::group channels{
    {"ping_pong", 1000, bench::spawned(ping_pong)},
    {"oneshot", 100000, bench::spawned(one_shot)},
    {"mpsc_pingpong", 100000, bench::blocked_on(mpsc_pingpong)},
    {"mpsc_bounded_5p", 50000, bench::blocked_on(mpsc_bounded_5p)},
    {"mpsc_unbounded_5p", 50000, bench::blocked_on(mpsc_unbounded_5p)},
    {"mpsc_uncontended", 5000, bench::blocked_on(mpsc_uncontended)},
    {"request_reply", 1000, bench::blocked_on(request_reply), bench::ct | bench::mt | bench::mt1},
    {"broadcast_1x4", 10000, bench::blocked_on(broadcast_1x4)},
    {"watch_1x4", 10000, bench::blocked_on(watch_1x4)},
};

}  // namespace
