// SPDX-License-Identifier: MIT
// What outlived a runtime and touched it.
#include <fcntl.h>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>

#include <kioto/detail/sys.hpp>

#include "support/catch.hpp"
#include "support/flag.hpp"
#include "support/runtimes.hpp"
#include "support/signal.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

std::atomic<bool> in_unpark{false};
std::atomic<bool> runtime_gone{false};
std::atomic<bool> descriptor_alive{false};
thread_local bool slow_unpark = false;

}  // namespace

// schedule_remote() hands the task over and then wakes the runtime. The task had ended, and the
// runtime had been dropped, before the wake-up was through.
TEST_CASE("a wake-up from outside touched the runtime after the task had ended") {
  in_unpark = false;
  runtime_gone = false;
  descriptor_alive = false;
  auto calls = detail::sys::table();
  calls.write = [](int fd, const void* data, std::size_t size) -> std::ptrdiff_t {
    if (slow_unpark) {
      in_unpark = true;
      comes_true(runtime_gone, 200ms);
      descriptor_alive = ::fcntl(fd, F_GETFD) != -1;
    }
    return detail::sys::native().write(fd, data, size);
  };
  const detail::sys::override_calls slow(calls);

  signal s;
  std::thread other;
  {
    runtime rt = make_runtime(flavour::current_thread);
    auto ended = rt.spawn([](signal* from) -> task<> { co_await from->wait(); }, &s);
    other = std::thread([&s] {
      std::this_thread::sleep_for(5ms);
      slow_unpark = true;
      s.set();
    });
    rt.block_on([](join_handle<> h) -> task<> {
      while (!in_unpark) co_await sleep(1ms);
      auto r = co_await std::move(h);
      CHECK(r.has_value());
    }(std::move(ended)));
  }
  runtime_gone = true;
  other.join();
  CHECK(descriptor_alive);
}
