// SPDX-License-Identifier: MIT
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;

// A task made of a callable learns its location when it runs, while a dump may be reading it. Only
// ThreadSanitizer sees that.
TEST_CASE("a dump read the location of a task that was just being set") {
  runtime rt = make_runtime(flavour::four_workers);
  std::atomic<bool> over{false};
  std::atomic<int> located{0};
  std::thread reader([&] {
    while (!over)
      for (const task_dump& t : rt.dump())
        if (std::string(t.spawned_at.file_name()).find("dump_test") != std::string::npos) ++located;
  });
  rt.block_on([](std::atomic<int>* seen) -> task<> {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    for (int i = 0; i < 300 || (*seen == 0 && std::chrono::steady_clock::now() < end); ++i) {
      std::vector<join_handle<>> some;
      for (int n = 0; n != 10; ++n)
        some.push_back(spawn([n]() -> task<> {
          for (int k = 0; k != n; ++k) co_await yield_now();
        }));
      for (auto& h : some) {
        auto r = co_await std::move(h);
        CHECK(r.has_value());
      }
    }
  }(&located));
  over = true;
  reader.join();
  CHECK(located > 0);
}
