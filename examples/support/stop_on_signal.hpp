// SPDX-License-Identifier: MIT
#pragma once

#include <csignal>

#include <initializer_list>
#include <thread>

#include <kioto/cancellation_token.hpp>

/// Cancels a token at the first SIGINT or SIGTERM. The second one ends the process, for a program
/// that does not come to its end.
///
/// Signals are for one thread that waits for them. All others have them blocked, because they
/// inherit that from the thread which makes this: make it before any other thread.
class stop_on_signal {
 public:
  explicit stop_on_signal(const kioto::cancellation_token& token) {
    sigset_t all = signals({SIGINT, SIGTERM, end_of_wait});
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    waiter_ = std::thread([token, all] {
      int signal = 0;
      sigwait(&all, &signal);
      if (signal == end_of_wait) return;
      token.cancel();
      const sigset_t fatal = signals({SIGINT, SIGTERM});
      pthread_sigmask(SIG_UNBLOCK, &fatal, nullptr);
      const sigset_t end = signals({end_of_wait});
      sigwait(&end, &signal);
    });
  }
  stop_on_signal(const stop_on_signal&) = delete;
  stop_on_signal& operator=(const stop_on_signal&) = delete;
  ~stop_on_signal() {
    pthread_kill(waiter_.native_handle(), end_of_wait);
    waiter_.join();
  }

 private:
  static constexpr int end_of_wait = SIGUSR1;

  static sigset_t signals(std::initializer_list<int> numbers) {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : numbers) sigaddset(&set, number);
    return set;
  }

  std::thread waiter_;
};
