// SPDX-License-Identifier: MIT
// Tasks that were ready and did not run.
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/flag.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

task<> raises(flag f) {
  f->store(true);
  co_return;
}

}  // namespace

// The worker looked for work before it called the hook, and slept on what the hook had spawned.
TEST_CASE("a task spawned by on_thread_park waited until something else woke its worker") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    const flag ran = make_flag();
    const flag once = make_flag();
    auto builder = builder_for(f);
    builder.on_thread_park([ran, once] {
      if (!once->exchange(true)) kioto::spawn(raises(ran));
    });
    runtime rt = std::move(builder.build()).value();
    if (f == flavour::current_thread) {
      rt.block_on([](flag r) -> task<> {
        for (int i = 0; i != 5000 && !r->load(); ++i) co_await sleep(1ms);
      }(ran));
    }
    CHECK(comes_true(*ran, 5s));
  }
}

// The only other worker slept in the driver, where it did not look after the others.
TEST_CASE("a task in the slot of a blocked worker was stranded while the other one was idle") {
  for (const unsigned workers : {2U, 3U, 4U}) {
    INFO(workers << " workers");
    auto rt = std::move(runtime::builder().worker_threads(workers).build()).value();
    for (int round = 0; round != 5; ++round) {
      std::this_thread::sleep_for(5ms);  // for the others to fall asleep
      const bool ran = rt.block_on([]() -> task<bool> {
        const flag f = make_flag();
        spawn(raises(f));
        co_return comes_true(*f, 5s);  // blocks the worker
      });
      CHECK(ran);
    }
  }
}
