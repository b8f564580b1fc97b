// SPDX-License-Identifier: MIT
#pragma once

#include <dirent.h>
#include <atomic>

#include <chrono>
#include <cstddef>
#include <thread>
#include <utility>

#include <kioto/kioto.hpp>

#include "catch.hpp"

namespace kioto_test {

/// The schedulers on which a test has to pass.
enum class flavour : unsigned char { current_thread, one_worker, four_workers };

inline kioto::runtime_builder builder_for(flavour f) {
  auto builder = kioto::runtime::builder();
  if (f == flavour::current_thread)
    builder.current_thread();
  else
    builder.worker_threads(f == flavour::one_worker ? 1 : 4);
  return builder;
}
inline kioto::runtime make_runtime(flavour f) { return std::move(builder_for(f).build()).value(); }

inline std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* const directory = opendir("/proc/self/fd");
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

/// Fails the test if there are more descriptors than before.
class no_descriptor_leak {
 public:
  no_descriptor_leak() : before_(open_descriptors()) {}
  no_descriptor_leak(const no_descriptor_leak&) = delete;
  no_descriptor_leak& operator=(const no_descriptor_leak&) = delete;
  ~no_descriptor_leak() {
    // Threads that a runtime has detached may hold it for a moment longer.
    std::size_t after = open_descriptors();
    for (int i = 0; after > before_ && i != 1000; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      after = open_descriptors();
    }
    CHECK(after <= before_);
  }

 private:
  std::size_t before_;
};

/// Runs `body`, a callable that returns a task<>, on every scheduler, and checks that no task and
/// no descriptor is left.
template <class Body>
void on_every_scheduler(Body body) {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    const no_descriptor_leak leak;
    kioto::runtime rt = make_runtime(f);
    rt.block_on(body());
    for (int i = 0; rt.metrics().tasks_alive != 0 && i != 1000; ++i) {
      if (f == flavour::current_thread)
        rt.block_on([]() -> kioto::task<> { co_await kioto::yield_now(); });
      else
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    CHECK(rt.metrics().tasks_alive == 0);
    const auto io = rt.metrics();
    CHECK(io.descriptors_registered == io.descriptors_deregistered);
  }
}

/// Counts destructions, but not those of what it was moved from.
template <class Count>
class basic_probe {
 public:
  explicit basic_probe(Count& destroyed) noexcept : destroyed_(&destroyed) {}
  basic_probe(basic_probe&& other) noexcept
      : destroyed_(std::exchange(other.destroyed_, nullptr)) {}
  basic_probe& operator=(basic_probe&&) = delete;
  ~basic_probe() {
    if (destroyed_ != nullptr) ++*destroyed_;
  }

 private:
  Count* destroyed_;
};
using probe = basic_probe<int>;
/// For destructions on several threads.
using shared_probe = basic_probe<std::atomic<int>>;

}  // namespace kioto_test
