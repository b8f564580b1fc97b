// SPDX-License-Identifier: MIT
#pragma once

// Cancels an operation that can suspend at every point of its life.

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include <kioto/kioto.hpp>

#include "catch.hpp"
#include "runtimes.hpp"

namespace kioto_test {

/// What the harness drives: `wait` suspends in one operation, `complete` makes it complete. Unless
/// `wait` is never called at all, it is called before `complete` is. Assertions may be made by one
/// thread at a time: `wait` must make none, because it may run in parallel with those of the
/// harness.
struct subject {
  std::function<kioto::task<bool>()> wait;  // true: the value is right
  std::function<kioto::task<>()> complete;
};

struct tally {
  std::atomic<int> values{0};
  std::atomic<int> wrong{0};
  std::atomic<int> destroyed{0};
  std::atomic<int> started{0};
};

class guard {
 public:
  explicit guard(tally& t) : tally_(t) {}
  guard(const guard&) = delete;
  guard& operator=(const guard&) = delete;
  ~guard() { ++tally_.destroyed; }

 private:
  tally& tally_;
};

inline kioto::task<> run_subject(const subject* s, tally* t) {
  const guard g(*t);
  auto waiting = s->wait();
  ++t->started;
  const bool right = co_await std::move(waiting);
  ++t->values;
  if (!right) ++t->wrong;
}

enum class point { before_start, armed, beside_completion, from_a_thread, after_completion, never };

// One completion at most, none if it was cancelled in time, and every destructor once.
inline kioto::task<> drive(std::function<subject()> make, point when) {
  const subject s = make();
  tally t;
  auto h = kioto::spawn(run_subject(&s, &t));
  bool must_complete = false;
  switch (when) {
    case point::before_start:
      h.abort();
      break;
    case point::armed:
      while (t.started == 0) co_await kioto::yield_now();
      co_await kioto::yield_now();
      h.abort();
      break;
    case point::beside_completion: {
      while (t.started == 0) co_await kioto::yield_now();
      auto c = kioto::spawn(s.complete());
      co_await kioto::yield_now();
      h.abort();
      auto r = co_await std::move(c);
      CHECK(r.has_value());
      break;
    }
    case point::from_a_thread: {
      while (t.started == 0) co_await kioto::yield_now();
      std::thread other([stop = h.abort_handle()]() mutable { stop.abort(); });
      co_await s.complete();
      other.join();
      break;
    }
    case point::after_completion:
      while (t.started == 0) co_await kioto::yield_now();
      co_await s.complete();
      for (int i = 0; i != 5000 && !h.is_finished(); ++i)
        co_await kioto::sleep(std::chrono::milliseconds(1));
      must_complete = true;
      h.abort();
      break;
    case point::never:
      while (t.started == 0) co_await kioto::yield_now();
      co_await s.complete();
      must_complete = true;
      break;
  }
  auto ended = co_await std::move(h);
  // Whatever the subject left behind, such as a child of its own, ends as well.
  if (when == point::before_start || when == point::armed) co_await s.complete();
  CHECK(ended.is_cancelled() == (t.values == 0));
  CHECK(t.wrong == 0);
  CHECK(t.destroyed == t.started);
  CHECK(t.values <= 1);
  if (must_complete) CHECK(t.values == 1);
}

using on_flag = kioto::task<bool> (*)(std::shared_ptr<std::atomic<bool>>);

/// Drives what `prepare` makes through every point, several times. A value is required only where
/// the operation must have completed.
inline kioto::task<> at_every_point(
    std::function<kioto::task<std::function<subject()>>()> prepare) {
  for (const point p : {point::before_start, point::armed, point::beside_completion,
                        point::from_a_thread, point::after_completion, point::never}) {
    for (int i = 0; i != 3; ++i) {
      auto make = co_await prepare();
      UNSCOPED_INFO("cancelled at point " << static_cast<int>(p));
      co_await drive(std::move(make), p);
    }
  }
}

inline kioto::task<> raise(std::shared_ptr<std::atomic<bool>> f) {
  f->store(true);
  co_return;
}

inline kioto::task<std::function<subject()>> with_flag(on_flag wait) {
  auto f = std::make_shared<std::atomic<bool>>(false);
  // However the subject ends, its helpers have to end.
  co_return [f, wait] { return subject{[f, wait] { return wait(f); }, [f] { return raise(f); }}; };
}

}  // namespace kioto_test
