// SPDX-License-Identifier: MIT
// Every operation of a channel, cancelled at every point of its life: what was cancelled had no
// effect, and what had an effect was not cancelled.
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <kioto/sync/broadcast.hpp>
#include <kioto/sync/mpsc.hpp>
#include <kioto/sync/oneshot.hpp>
#include <kioto/sync/watch.hpp>

#include "support/cancel_harness.hpp"
#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;
using namespace kioto::sync;

namespace {

/// A channel, and what the two sides do with it. `wait` says whether its operation had its effect,
/// and had it right; that is counted. `verify` looks at the channel when all is over.
struct scene {
  scene() = default;
  scene(const scene&) = delete;
  scene& operator=(const scene&) = delete;
  virtual ~scene() = default;
  virtual task<bool> wait() = 0;
  virtual task<> complete() = 0;
  virtual void verify() = 0;

  task<bool> counted_wait() {
    const bool right = co_await wait();
    if (right) ++effects;
    co_return right;
  }
  std::atomic<int> effects{0};
};

template <class Scene>
task<> play() {
  for (const point p : {point::before_start, point::armed, point::beside_completion,
                        point::from_a_thread, point::after_completion, point::never}) {
    for (int i = 0; i != 5; ++i) {
      auto s = std::make_shared<Scene>();
      UNSCOPED_INFO("cancelled at point " << static_cast<int>(p));
      std::function<subject()> make = [s] {
        return subject{[s] { return s->counted_wait(); }, [s] { return s->complete(); }};
      };
      co_await drive(std::move(make), p);
      s->verify();
    }
  }
}
template <class... Scenes>
void play_on_every_scheduler() {
  (on_every_scheduler([]() -> task<> { return play<Scenes>(); }), ...);
}

struct oneshot_receives : scene {
  task<bool> wait() override {
    const auto got = co_await ends.second;
    co_return got.has_value() && *got == "value";
  }
  task<> complete() override {
    sent = ends.first.send("value").has_value();
    co_return;
  }
  void verify() override {
    const auto left = ends.second.try_recv();
    CHECK(effects + (left ? 1 : 0) == (sent ? 1 : 0));
  }
  std::pair<oneshot::sender<std::string>, oneshot::receiver<std::string>> ends =
      oneshot::channel<std::string>();
  bool sent = false;
};

struct oneshot_watches : scene {
  task<bool> wait() override {
    co_await ends.first.closed();
    co_return ends.first.is_closed();
  }
  task<> complete() override {
    ends.second.close();
    co_return;
  }
  void verify() override { CHECK(ends.first.is_closed()); }
  std::pair<oneshot::sender<int>, oneshot::receiver<int>> ends = oneshot::channel<int>();
};

template <class T>
T make(int value) {
  if constexpr (std::is_same_v<T, int>)
    return value;
  else
    return std::make_unique<int>(value);
}
inline int value_of(int value) { return value; }
inline int value_of(const std::unique_ptr<int>& value) { return *value; }

template <class T>
struct mpsc_receives : scene {
  task<bool> wait() override {
    const auto got = co_await rx.recv();
    co_return got.has_value() && value_of(*got) == 1;
  }
  task<> complete() override {
    const auto r = co_await tx.send(make<T>(1));
    CHECK(r.has_value());
    ++sent;
  }
  void verify() override {
    CHECK(effects + static_cast<int>(rx.len()) == sent);
    if (rx.try_recv()) CHECK(effects == 0);
    CHECK(tx.capacity() == 1);
  }
  std::pair<mpsc::sender<T>, mpsc::receiver<T>> ends = mpsc::channel<T>(1);
  mpsc::sender<T> tx = std::move(ends.first);
  mpsc::receiver<T> rx = std::move(ends.second);
  int sent = 0;
};

struct unbounded_receives_many : scene {
  task<bool> wait() override {
    std::vector<std::string> got;
    const auto n = co_await ends.second.recv_many(got, 10);
    co_return n == 2 || n == 1;
  }
  task<> complete() override {
    CHECK(ends.first.send("value").has_value());
    sent = true;
    co_return;
  }
  void verify() override { CHECK(effects + static_cast<int>(ends.second.len()) == (sent ? 1 : 0)); }
  std::pair<mpsc::unbounded_sender<std::string>, mpsc::unbounded_receiver<std::string>> ends =
      mpsc::unbounded_channel<std::string>();
  bool sent = false;
};

template <class T>
struct mpsc_sends : scene {
  mpsc_sends() { CHECK(tx.try_send(make<T>(1)).has_value()); }
  task<bool> wait() override {
    const auto sent = co_await tx.send(make<T>(2));
    co_return sent.has_value();
  }
  task<> complete() override {
    const auto got = co_await rx.recv();
    CHECK((got && value_of(*got) == 1));
  }
  void verify() override {
    int left = 0;
    while (auto got = rx.try_recv()) {
      CHECK(value_of(*got) == 2);
      ++left;
    }
    CHECK(left == effects);
    CHECK(tx.capacity() == 1);
  }
  std::pair<mpsc::sender<T>, mpsc::receiver<T>> ends = mpsc::channel<T>(1);
  mpsc::sender<T> tx = std::move(ends.first);
  mpsc::receiver<T> rx = std::move(ends.second);
};

struct mpsc_sends_with_limit : mpsc_sends<int> {
  task<bool> wait() override {
    const auto sent = co_await tx.send_timeout(2, 100s);
    co_return sent.has_value();
  }
};

struct mpsc_reserves : scene {
  mpsc_reserves() { CHECK(tx.try_send(1).has_value()); }
  task<bool> wait() override {
    auto permit = co_await tx.reserve_many(2);
    co_return permit.has_value() && permit->count() == 2;
  }
  task<> complete() override {
    const auto got = co_await rx.recv();
    CHECK(got == 1);
  }
  void verify() override { CHECK(tx.capacity() == 2); }
  std::pair<mpsc::sender<int>, mpsc::receiver<int>> ends = mpsc::channel<int>(2);
  mpsc::sender<int> tx = std::move(ends.first);
  mpsc::receiver<int> rx = std::move(ends.second);
};
struct mpsc_reserves_owned : mpsc_reserves {
  mpsc_reserves_owned() { CHECK(tx.try_send(1).has_value()); }
  task<bool> wait() override {
    auto permit = co_await tx.reserve_owned();
    co_return permit.has_value();
  }
  void verify() override {
    CHECK(tx.capacity() == 1);
    CHECK(tx.strong_count() == 1);
  }
};

struct mpsc_watches : scene {
  task<bool> wait() override {
    co_await ends.first.closed();
    co_return ends.first.is_closed();
  }
  task<> complete() override {
    ends.second.close();
    co_return;
  }
  void verify() override { CHECK(ends.first.is_closed()); }
  std::pair<mpsc::sender<int>, mpsc::receiver<int>> ends = mpsc::channel<int>(1);
};

struct broadcast_receives : scene {
  task<bool> wait() override {
    const auto got = co_await ends.second.recv();
    co_return got.has_value() && *got == "value";
  }
  task<> complete() override {
    CHECK(ends.first.send("value").receivers() == 1);
    sent = true;
    co_return;
  }
  void verify() override { CHECK(effects + static_cast<int>(ends.second.len()) == (sent ? 1 : 0)); }
  std::pair<broadcast::sender<std::string>, broadcast::receiver<std::string>> ends =
      broadcast::channel<std::string>(2);
  bool sent = false;
};

struct broadcast_watches : scene {
  task<bool> wait() override {
    co_await tx.closed();
    co_return tx.receiver_count() == 0;
  }
  task<> complete() override {
    rx.reset();
    co_return;
  }
  void verify() override { CHECK(tx.receiver_count() == 0); }
  std::pair<broadcast::sender<int>, broadcast::receiver<int>> ends = broadcast::channel<int>(2);
  broadcast::sender<int> tx = std::move(ends.first);
  std::optional<broadcast::receiver<int>> rx = std::move(ends.second);
};

struct watch_sees_change : scene {
  task<bool> wait() override {
    const auto changed = co_await ends.second.changed();
    co_return changed.has_value();
  }
  task<> complete() override {
    CHECK(ends.first.send(1).has_value());
    sent = true;
    co_return;
  }
  void verify() override {
    // A change that was not reported is still to be seen.
    CHECK(ends.second.has_changed().value() == (sent && effects == 0));
  }
  std::pair<watch::sender<int>, watch::receiver<int>> ends = watch::channel<int>(0);
  bool sent = false;
};

struct watch_waits_for : scene {
  task<bool> wait() override {
    const auto is_one = [](int v) { return v == 1; };
    const auto got = co_await ends.second.wait_for(is_one);
    co_return got.has_value() && **got == 1;
  }
  task<> complete() override {
    CHECK(ends.first.send(5).has_value());
    CHECK(ends.first.send(1).has_value());
    co_return;
  }
  void verify() override { CHECK(*ends.second.borrow() == 1); }
  std::pair<watch::sender<int>, watch::receiver<int>> ends = watch::channel<int>(0);
};

struct watch_watches : scene {
  task<bool> wait() override {
    co_await tx.closed();
    co_return tx.is_closed();
  }
  task<> complete() override {
    rx.reset();
    co_return;
  }
  void verify() override { CHECK(tx.is_closed()); }
  std::pair<watch::sender<int>, watch::receiver<int>> ends = watch::channel<int>(0);
  watch::sender<int> tx = std::move(ends.first);
  std::optional<watch::receiver<int>> rx = std::move(ends.second);
};

}  // namespace

TEST_CASE("cancel at every suspension: oneshot") {
  play_on_every_scheduler<oneshot_receives, oneshot_watches>();
}

TEST_CASE("cancel at every suspension: receiving from mpsc channels") {
  play_on_every_scheduler<mpsc_receives<int>, mpsc_receives<std::unique_ptr<int>>,
                          unbounded_receives_many>();
}

TEST_CASE("cancel at every suspension: sending into mpsc channels") {
  play_on_every_scheduler<mpsc_sends<int>, mpsc_sends<std::unique_ptr<int>>,
                          mpsc_sends_with_limit>();
}

TEST_CASE("cancel at every suspension: permits, and the end of an mpsc channel") {
  play_on_every_scheduler<mpsc_reserves, mpsc_reserves_owned, mpsc_watches>();
}

TEST_CASE("cancel at every suspension: broadcast") {
  play_on_every_scheduler<broadcast_receives, broadcast_watches>();
}

TEST_CASE("cancel at every suspension: watch") {
  play_on_every_scheduler<watch_sees_change, watch_waits_for, watch_watches>();
}
