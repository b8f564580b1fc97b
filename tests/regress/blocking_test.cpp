// SPDX-License-Identifier: MIT
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/flag.hpp"
#include "support/handles.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

runtime one_of_each() {
  return std::move(runtime::builder().worker_threads(1).max_blocking_threads(1).build()).value();
}

}  // namespace

// The threads that a worker may need were given to blocking calls as well.
TEST_CASE("more blocking calls ran at a time than the limit allows") {
  runtime rt = one_of_each();
  auto running = std::make_shared<std::atomic<int>>(0);
  auto most = std::make_shared<std::atomic<int>>(0);
  std::vector<join_handle<>> calls;
  for (int i = 0; i != 20; ++i)
    calls.push_back(rt.spawn_blocking([running, most] {
      const int now = ++*running;
      int seen = most->load();
      while (seen < now && !most->compare_exchange_weak(seen, now)) {
      }
      std::this_thread::sleep_for(1ms);
      --*running;
    }));
  rt.block_on(wait_for_all(std::move(calls)));
  CHECK(most->load() == 1);
}

// The hand-over of a worker was queued behind blocking calls that waited for a task of that worker.
TEST_CASE("block_in_place stopped its worker while the blocking pool was busy") {
  runtime rt = one_of_each();
  const flag release = make_flag();
  std::vector<join_handle<>> calls;
  for (int i = 0; i != 3; ++i)
    calls.push_back(rt.spawn_blocking([release] { comes_true(*release); }));
  const bool other_ran = rt.block_on([](flag end) -> task<bool> {
    const auto raise = [](flag f) -> task<> {
      co_await sleep(1ms);
      f->store(true);
    };
    spawn(raise, end);
    const bool came = block_in_place([end] { return comes_true(*end, 5s); });
    end->store(true);
    co_return came;
  }(release));
  CHECK(other_ran);
  rt.block_on(wait_for_all(std::move(calls)));
}
