// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace kioto_test {

/// Ends the program with a message if it makes no progress, so that a hang says where it is.
class watchdog {
 public:
  explicit watchdog(std::chrono::seconds limit) : limit_(limit), thread_([this] { watch(); }) {}
  watchdog(const watchdog&) = delete;
  watchdog& operator=(const watchdog&) = delete;
  ~watchdog() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  /// Something begins. If it takes too long, `describe()` is called on another thread, and what it
  /// returns printed.
  void begin(std::function<std::string()> describe) {
    const std::lock_guard lock(mutex_);
    describe_ = std::move(describe);
    since_ = std::chrono::steady_clock::now();
  }

 private:
  void watch() {
    std::unique_lock lock(mutex_);
    while (!ended_) {
      changed_.wait_for(lock, std::chrono::milliseconds(200));
      if (!describe_ || std::chrono::steady_clock::now() - since_ < limit_) continue;
      std::fprintf(stderr, "no progress for %ld s: %s\n", static_cast<long>(limit_.count()),
                   describe_().c_str());
      std::fflush(stderr);
      std::abort();
    }
  }

  std::chrono::seconds limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<std::string()> describe_;
  std::chrono::steady_clock::time_point since_;
  bool ended_ = false;
  std::thread thread_;  // the last one: it uses the others
};

/// A number from the environment, to repeat a failure or to do more.
inline unsigned long long from_environment(const char* name, unsigned long long otherwise) {
  const char* const given = std::getenv(name);
  if (given == nullptr || *given == '\0') return otherwise;
  return std::strtoull(given, nullptr, 0);
}

}  // namespace kioto_test
