// SPDX-License-Identifier: MIT
// A thread outside of the runtime wakes a task: how soon it runs, and what the runtime burns.
#include <time.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include <kioto/sync/notify.hpp>

#include "bench.hpp"

using namespace kioto;
using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

namespace {

struct exchange {
  sync::notify news;
  std::atomic<clock_type::rep> sent_at{0};  // 0: the notice has been seen
  std::vector<double> latencies_us;
};

task<bool> receive(exchange& with, std::size_t count) {
  with.latencies_us.reserve(count);
  while (with.latencies_us.size() != count) {
    co_await with.news.notified();
    const clock_type::duration now = clock_type::now().time_since_epoch();
    const clock_type::duration sent(with.sent_at.exchange(0));
    if (sent.count() == 0) co_return false;
    with.latencies_us.push_back(std::chrono::duration<double, std::micro>(now - sent).count());
  }
  co_return true;
}

std::chrono::nanoseconds cpu_time_of_this_thread() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

// Sends a notice, waits until it was seen, and then for `gap`: spinning, so that the other core
// stays awake, or asleep, as one that waits for a device does.
void send(exchange& with, std::size_t count, std::chrono::microseconds gap, bool spins) {
  for (std::size_t i = 0; i != count; ++i) {
    const auto now = clock_type::now();
    with.sent_at.store(now.time_since_epoch().count());
    with.news.notify_one();
    if (!spins) std::this_thread::sleep_for(gap);
    while (with.sent_at.load() != 0) {
      if (!spins)
        std::this_thread::sleep_for(gap);
      else if (clock_type::now() - now > 100us)
        std::this_thread::yield();
    }
    while (spins && clock_type::now() - now < gap) {
    }
  }
}

template <std::size_t Count, int GapInUs, bool Spins>
bool wake_latency(runtime& rt, bench::sample& found) {
  exchange between;
  std::chrono::nanoseconds outside{0};
  const auto before = bench::cpu_time();
  std::thread sender([&] {
    send(between, Count, std::chrono::microseconds(GapInUs), Spins);
    outside = cpu_time_of_this_thread();
  });
  const bool right = rt.block_on(receive(between, Count));
  sender.join();
  double sum = 0;
  for (const double latency : between.latencies_us) sum += latency;
  std::sort(between.latencies_us.begin(), between.latencies_us.end());
  found.set("p50_us", bench::percentile(between.latencies_us, 0.5));
  found.set("p99_us", bench::percentile(between.latencies_us, 0.99));
  found.set("ns", sum * 1000);
  found.set("cpu_ns", static_cast<double>((bench::cpu_time() - before - outside).count()));
  return right;
}

const bench::group wake{
    {"wake_latency_20us", 5000, wake_latency<5000, 20, true>, bench::ct | bench::mt,
     bench::effort::heavy},
    {"wake_latency_500us", 1000, wake_latency<1000, 500, false>, bench::ct | bench::mt,
     bench::effort::heavy},
};

}  // namespace
