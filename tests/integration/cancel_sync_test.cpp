// SPDX-License-Identifier: MIT
// Every wait of kioto::sync, cancelled at every point of its life. At the end of each nothing is
// lost: all permits are back, and no notice has vanished.
#include <memory>

#include <kioto/sync/barrier.hpp>
#include <kioto/sync/mutex.hpp>
#include <kioto/sync/notify.hpp>
#include <kioto/sync/once_cell.hpp>
#include <kioto/sync/rw_lock.hpp>
#include <kioto/sync/semaphore.hpp>
#include <kioto/sync/set_once.hpp>

#include "support/cancel_harness.hpp"
#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;

namespace {

/// One of each, made so that every wait has to wait for `release()`.
struct scene {
  scene() : mutex_guard(mutex.try_lock()), write_guard(rw.try_write()) {}

  sync::semaphore semaphore{1};
  sync::mutex<int> mutex{3};
  sync::rw_lock<int> rw{4};
  sync::notify notify;
  sync::barrier barrier{2};
  sync::once_cell<int> cell;
  sync::set_once<int> once;
  sync::mutex_guard<int> mutex_guard;
  sync::write_guard<int> write_guard;
  std::atomic<int> notices{0};
  std::atomic<int> passed{0};
  std::atomic<int> leaders{0};
  join_handle<> helper;  ///< ends with the scene at the latest
};
using stage = std::shared_ptr<scene>;
using on_stage = task<bool> (*)(stage);
using act_on_stage = task<> (*)(stage);

task<bool> wait_acquire(stage s) {
  auto permits = co_await s->semaphore.acquire_many(2);
  co_return permits.has_value() && permits->count() == 2;
}
task<bool> wait_acquire_owned(stage s) {
  // The scene owns the semaphore.
  auto owned = std::shared_ptr<sync::semaphore>(s, &s->semaphore);
  auto permits = co_await sync::semaphore::acquire_many_owned(std::move(owned), 2);
  co_return permits.has_value() && permits->count() == 2;
}
task<> add_one(stage s) {
  s->semaphore.add_permits(1);
  co_return;
}
void check_semaphore(scene& s) { CHECK(s.semaphore.available_permits() == 2); }

task<bool> wait_closed(stage s) {
  auto permits = co_await s->semaphore.acquire_many(2);
  co_return !permits.has_value() && permits.error() == error::closed;
}
task<> close_semaphore(stage s) {
  s->semaphore.close();
  co_return;
}
void check_closed(scene& s) { CHECK(s.semaphore.available_permits() == 1); }

task<bool> wait_lock(stage s) {
  auto value = co_await s->mutex.lock();
  co_return *value == 3;
}
task<bool> wait_lock_owned(stage s) {
  auto owned = std::shared_ptr<sync::mutex<int>>(s, &s->mutex);
  auto value = co_await sync::mutex<int>::lock_owned(std::move(owned));
  co_return *value == 3;
}
task<> unlock(stage s) {
  s->mutex_guard.unlock();
  co_return;
}
void check_mutex(scene& s) { CHECK(static_cast<bool>(s.mutex.try_lock())); }

task<bool> wait_read(stage s) {
  auto value = co_await s->rw.read();
  co_return *value == 4;
}
task<bool> wait_write(stage s) {
  auto value = co_await s->rw.write();
  co_return *value == 4;
}
task<> unlock_writer(stage s) {
  s->write_guard.unlock();
  co_return;
}
// The writer that is waited for begins as a reader: the next writer gathers what the others left.
task<> unlock_in_two_steps(stage s) {
  auto reader = std::move(s->write_guard).downgrade();
  co_await yield_now();
  reader.unlock();
}
void check_rw(scene& s) { CHECK(static_cast<bool>(s.rw.try_write())); }

task<bool> wait_notified(stage s) {
  co_await s->notify.notified();
  ++s->notices;
  co_return true;
}
task<bool> wait_enabled(stage s) {
  auto news = s->notify.notified();
  news.enable();
  co_await yield_now();
  co_await news;
  ++s->notices;
  co_return true;
}
task<> notify_one(stage s) {
  s->notify.notify_one();
  co_return;
}
task<> notify_last(stage s) {
  s->notify.notify_last();
  co_return;
}
task<> notify_waiters(stage s) {
  s->notify.notify_waiters();
  co_return;
}
// Used, or stored: neither lost nor doubled.
void check_notice(scene& s) {
  auto probe = s.notify.notified();
  CHECK((probe.enable() ? 1 : 0) + s.notices == 1);
  // The notice goes back when the probe goes away.
}
void check_nothing_stored(scene& s) {
  auto probe = s.notify.notified();
  CHECK(!probe.enable());
}

task<> pass_barrier(stage s) {
  const auto result = co_await s->barrier.wait();
  ++s->passed;
  if (result.is_leader()) ++s->leaders;
}
task<bool> wait_barrier(stage s) {
  co_await pass_barrier(s);
  co_return true;
}
task<> come_to_barrier(stage s) {
  s->helper = spawn(pass_barrier(s));
  co_return;
}
void check_barrier(scene& s) {
  CHECK((s.passed == 0 || s.passed == 2));
  CHECK(s.leaders == s.passed / 2);
}

task<bool> wait_initialise(stage s) {
  auto make = [s]() -> task<int> {
    auto guard = co_await s->mutex.lock();
    co_return *guard + 2;
  };
  const int& value = co_await s->cell.get_or_init(make);
  co_return value == 5;
}
// Another task initialises, and waits for the mutex.
task<bool> wait_initialised(stage s) {
  auto make = [s]() -> task<int> {
    auto guard = co_await s->mutex.lock();
    co_return *guard + 2;
  };
  auto other =
      spawn([](stage t, decltype(make) f) -> task<> { co_await t->cell.get_or_init(f); }(s, make));
  for (int i = 0; i != 3; ++i) co_await yield_now();
  const int& value = co_await s->cell.get_or_init(make);
  co_return value == 5;
}
void check_cell(scene& s) {
  check_mutex(s);
  if (s.cell.get() != nullptr) CHECK(*s.cell.get() == 5);
}

task<bool> wait_once(stage s) {
  const int& value = co_await s->once.wait();
  co_return value == 6;
}
task<> set_once(stage s) {
  s->once.set(6);
  co_return;
}
void check_once(scene&) {}

void at_every_point_of(on_stage wait, act_on_stage act, void (*check)(scene&)) {
  on_every_scheduler([=]() -> task<> {
    for (const point p : {point::before_start, point::armed, point::beside_completion,
                          point::from_a_thread, point::after_completion, point::never}) {
      for (int i = 0; i != 5; ++i) {
        auto s = std::make_shared<scene>();
        UNSCOPED_INFO("cancelled at point " << static_cast<int>(p));
        std::function<subject()> make = [s, wait, act] {
          return subject{[s, wait] { return wait(s); }, [s, act] { return act(s); }};
        };
        co_await drive(std::move(make), p);
        if (s->helper.valid()) {
          s->helper.abort();
          auto helped = co_await std::move(s->helper);
          CHECK(!helped.is_exception());
        }
        // Whatever the subject left behind, such as a child of its own, ends as well.
        while (s.use_count() != 1) co_await yield_now();
        check(*s);
      }
    }
  });
}

}  // namespace

TEST_CASE("cancel at every suspension: semaphore") {
  at_every_point_of(&wait_acquire, &add_one, &check_semaphore);
  at_every_point_of(&wait_acquire_owned, &add_one, &check_semaphore);
  at_every_point_of(&wait_closed, &close_semaphore, &check_closed);
}

TEST_CASE("cancel at every suspension: mutex") {
  at_every_point_of(&wait_lock, &unlock, &check_mutex);
  at_every_point_of(&wait_lock_owned, &unlock, &check_mutex);
}

TEST_CASE("cancel at every suspension: rw_lock") {
  at_every_point_of(&wait_read, &unlock_writer, &check_rw);
  at_every_point_of(&wait_write, &unlock_writer, &check_rw);
  at_every_point_of(&wait_write, &unlock_in_two_steps, &check_rw);
}

TEST_CASE("cancel at every suspension: notify") {
  at_every_point_of(&wait_notified, &notify_one, &check_notice);
  at_every_point_of(&wait_enabled, &notify_one, &check_notice);
  at_every_point_of(&wait_enabled, &notify_last, &check_notice);
  at_every_point_of(&wait_enabled, &notify_waiters, &check_nothing_stored);
}

TEST_CASE("cancel at every suspension: barrier") {
  at_every_point_of(&wait_barrier, &come_to_barrier, &check_barrier);
}

TEST_CASE("cancel at every suspension: once_cell and set_once") {
  at_every_point_of(&wait_initialise, &unlock, &check_cell);
  at_every_point_of(&wait_initialised, &unlock, &check_cell);
  at_every_point_of(&wait_once, &set_once, &check_once);
}
