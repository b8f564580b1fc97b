// SPDX-License-Identifier: MIT
#include <kioto/detail/net/reactor.hpp>
#include <kioto/detail/net/registration.hpp>

#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <kioto/detail/net/sys.hpp>

#include "support/catch.hpp"

using namespace kioto;
using namespace kioto::detail;
using net::interest;
using net::ready;

namespace {

using word_registration = basic_registration<std_sync>;

class counting_waiter : public io_waiter {
 public:
  counting_waiter() : io_waiter(&counting_waiter::on_fire) {}
  int fired = 0;
  wake_cause cause = wake_cause::readiness;
  std::vector<counting_waiter*>* order = nullptr;

 private:
  static void on_fire(io_waiter& w, wake_cause cause) noexcept {
    auto& self = static_cast<counting_waiter&>(w);
    ++self.fired;
    self.cause = cause;
    if (self.order != nullptr) self.order->push_back(&self);
  }
};

/// A waiter that does something when it is fired.
class acting_waiter : public io_waiter {
 public:
  explicit acting_waiter(std::function<void()> act)
      : io_waiter(&acting_waiter::on_fire), act_(std::move(act)) {}
  int fired = 0;

 private:
  static void on_fire(io_waiter& w, wake_cause) noexcept {
    auto& self = static_cast<acting_waiter&>(w);
    ++self.fired;
    self.act_();
  }
  std::function<void()> act_;
};

/// A waiter that another thread fires.
class shared_waiter : public io_waiter {
 public:
  shared_waiter() : io_waiter(&shared_waiter::on_fire) {}
  wake_cause wait_until_fired() const {
    while (fired_ == 0) std::this_thread::yield();
    return cause_;
  }

 private:
  static void on_fire(io_waiter& w, wake_cause cause) noexcept {
    auto& self = static_cast<shared_waiter&>(w);
    self.cause_ = cause;
    self.fired_ = 1;
  }
  wake_cause cause_ = wake_cause::readiness;
  std::atomic<int> fired_{0};
};

/// A backend whose turn is scripted by the test.
class scripted_backend final : public reactor_backend {
 public:
  explicit scripted_backend(std::function<std::size_t()>& turn, int* unparks = nullptr)
      : turn_(turn), unparks_(unparks) {}
  std::error_code add(int, registration&) noexcept override { return {}; }
  std::error_code remove(int) noexcept override { return {}; }
  std::size_t turn(std::optional<std::chrono::nanoseconds>, std::size_t) noexcept override {
    return turn_();
  }
  void unpark() noexcept override {
    if (unparks_ != nullptr) ++*unparks_;
  }
  [[nodiscard]] const char* name() const noexcept override { return "scripted"; }

 private:
  std::function<std::size_t()>& turn_;
  int* unparks_;
};

constexpr ready reads = interest::readable().mask();
constexpr ready writes = interest::writable().mask();

}  // namespace

TEST_CASE("acceptance 25: a clear with an old event leaves newer readiness, 256 events later too") {
  word_registration r;
  r.dispatch(ready::readable());
  const ready_event old = r.readiness(reads);
  for (int i = 0; i != 256; ++i) r.dispatch(ready::readable());
  r.clear_readiness(old, interest::readable());
  CHECK(r.readiness(reads).set() == ready::readable());
  r.clear_readiness(r.readiness(reads), interest::readable());
  CHECK(r.readiness(reads).is_empty());
}

TEST_CASE("the ticks wrap after 2^20 edges: only then an old event is taken for a new one") {
  word_registration r;
  r.dispatch(ready::readable());
  const ready_event old = r.readiness(reads);
  constexpr int wrap = 1 << readiness_word::tick_bits;
  for (int i = 1; i != wrap; ++i) r.dispatch(ready::readable());
  r.clear_readiness(old, interest::readable());
  CHECK(r.readiness(reads).set() == ready::readable());
  r.dispatch(ready::readable());
  r.clear_readiness(old, interest::readable());
  CHECK(r.readiness(reads).is_empty());
}

TEST_CASE("events of the other direction do not defeat a clear, and it leaves their bits") {
  word_registration r(ready::readable());
  const ready_event event = r.readiness(reads);
  for (int i = 0; i != 10; ++i) r.dispatch(ready::writable());
  r.clear_readiness(event, interest::readable());
  CHECK(r.readiness(reads).is_empty());
  CHECK(r.readiness(writes).set() == ready::writable());
  r.clear_readiness(r.readiness(reads | writes), interest::readable() | interest::writable());
  CHECK(r.readiness(reads | writes).is_empty());
}

TEST_CASE("a short read leaves the closed bit, a read that would block clears it") {
  word_registration r;
  r.dispatch(ready::readable() | ready::read_closed());
  const ready_event event = r.readiness(reads);
  r.clear_after_short_io(event, direction::read);
  CHECK(r.readiness(reads).set() == ready::read_closed());
  r.clear_readiness(r.readiness(reads), interest::readable());
  CHECK(r.readiness(reads).is_empty());
}

TEST_CASE("a short write leaves the closed bit, and readiness that came since") {
  word_registration r(ready::writable());
  const ready_event old = r.readiness(writes);
  r.dispatch(ready::writable());
  r.clear_after_short_io(old, direction::write);
  CHECK(r.readiness(writes).set() == ready::writable());
  r.dispatch(ready::writable() | ready::write_closed());
  r.clear_after_short_io(r.readiness(writes), direction::write);
  CHECK(r.readiness(writes).set() == ready::write_closed());
}

TEST_CASE("a clear with an old event changes nothing else: neither ticks, nor marks") {
  word_registration r(ready::readable());
  const ready_event old = r.readiness(reads);
  r.dispatch(ready::readable() | ready::writable());
  const ready_event now = r.readiness(reads);
  counting_waiter w;
  CHECK(r.wait(w, ready::priority()).is_empty());
  r.clear_readiness(old, interest::readable());
  CHECK(r.readiness(reads | writes).set() == (ready::readable() | ready::writable()));
  r.clear_readiness(now, interest::readable());  // still the present tick
  CHECK(r.readiness(reads).is_empty());
  r.dispatch(ready::readable() | ready::priority());
  CHECK(w.fired == 1);  // the mark of the waiters has stood
  r.close();
  r.clear_readiness(r.readiness(reads), interest::readable());
  CHECK(r.readiness(reads).is_closing());
}

TEST_CASE("a short read clears nothing where urgent data came") {
  word_registration r;
  r.dispatch(ready::readable() | ready::priority());
  r.clear_after_short_io(r.readiness(reads), direction::read);
  CHECK(r.readiness(reads).set() == ready::readable());
  r.clear_readiness(r.readiness(reads), interest::readable());
  CHECK(r.readiness(reads).is_empty());
}

TEST_CASE("an error wakes both directions and can be cleared") {
  word_registration r;
  counting_waiter reader;
  counting_waiter writer;
  CHECK(r.wait(reader, reads).is_empty());
  CHECK(r.wait(writer, writes).is_empty());
  r.dispatch(ready::readable() | ready::writable() | ready::error());
  CHECK(reader.fired == 1);
  CHECK(writer.fired == 1);
  r.clear_readiness(r.readiness(ready::all()), interest::readable());
  r.clear_readiness(r.readiness(ready::all()), interest::writable());
  CHECK(r.readiness(ready::all()).is_empty());
  CHECK(r.wait(reader, reads).is_empty());
  r.dispatch(ready::readable() | ready::writable() | ready::error());
  CHECK(reader.fired == 2);
}

TEST_CASE("seventy waiters are woken once, in order, and the others stay") {
  word_registration r;
  std::vector<counting_waiter*> order;
  std::vector<std::unique_ptr<counting_waiter>> waiters;
  for (int i = 0; i != 140; ++i) {
    waiters.push_back(std::make_unique<counting_waiter>());
    waiters.back()->order = &order;
    CHECK(r.wait(*waiters.back(), i % 2 == 0 ? reads : writes).is_empty());
  }
  r.dispatch(ready::readable());
  REQUIRE(order.size() == 70);
  for (std::size_t i = 0; i != 70; ++i) CHECK(order[i] == waiters[2 * i].get());
  for (std::size_t i = 1; i < 140; i += 2) CHECK(r.cancel_wait(*waiters[i]));
  CHECK_FALSE(r.cancel_wait(*waiters[0]));
  CHECK(r.has_no_waiters());
}

TEST_CASE("a waiter can be withdrawn between two batches of the wake that is to fire it") {
  word_registration r;
  std::vector<std::unique_ptr<counting_waiter>> waiters;
  bool withdrawn = false;
  acting_waiter first([&] { withdrawn = r.cancel_wait(*waiters[60]); });
  CHECK(r.wait(first, reads).is_empty());
  for (int i = 0; i != 70; ++i) {
    waiters.push_back(std::make_unique<counting_waiter>());
    CHECK(r.wait(*waiters.back(), reads).is_empty());
  }
  r.dispatch(ready::readable());
  CHECK(withdrawn);
  for (std::size_t i = 0; i != 70; ++i) CHECK(waiters[i]->fired == (i == 60 ? 0 : 1));
  CHECK(r.has_no_waiters());
}

TEST_CASE("one that waits again while the others are fired is not fired again by the same wake") {
  word_registration r;
  std::vector<std::unique_ptr<acting_waiter>> waiters;
  int waiting_again = 0;
  for (std::size_t i = 0; i != 70; ++i) {
    waiters.push_back(std::make_unique<acting_waiter>([&, i] {
      r.clear_readiness(r.readiness(reads), interest::readable());
      if (r.wait(*waiters[i], reads).is_empty()) ++waiting_again;
    }));
    CHECK(r.wait(*waiters.back(), reads).is_empty());
  }
  r.dispatch(ready::readable());
  CHECK(waiting_again == 70);
  for (const auto& w : waiters) {
    CHECK(w->fired == 1);
    CHECK(r.cancel_wait(*w));
  }
}

TEST_CASE("an event wakes the polling waiter and the queued ones of its direction, no others") {
  word_registration r;
  counting_waiter polling;
  counting_waiter queued;
  counting_waiter writer;
  counting_waiter queued_writer;
  CHECK(r.poll_readiness(direction::read, polling).is_empty());
  CHECK(r.wait(queued, reads).is_empty());
  CHECK(r.poll_readiness(direction::write, writer).is_empty());
  CHECK(r.wait(queued_writer, writes).is_empty());
  r.dispatch(ready::readable());
  CHECK(polling.fired == 1);
  CHECK(queued.fired == 1);
  CHECK(writer.fired == 0);
  CHECK(queued_writer.fired == 0);
  r.dispatch(ready::writable());
  CHECK(writer.fired == 1);
  CHECK(queued_writer.fired == 1);
  CHECK(r.has_no_waiters());
}

TEST_CASE("the places of poll-style waiters: one for each direction, the last one counts") {
  word_registration r;
  counting_waiter first;
  counting_waiter second;
  counting_waiter writer;
  CHECK(r.poll_readiness(direction::read, first).is_empty());
  CHECK(r.poll_readiness(direction::read, second).is_empty());
  CHECK(r.poll_readiness(direction::write, writer).is_empty());
  r.dispatch(ready::readable());
  CHECK(first.fired == 0);
  CHECK(second.fired == 1);
  CHECK(writer.fired == 0);
  CHECK(r.clear_poll_waiter(direction::write) == &writer);
  CHECK(r.clear_poll_waiter(direction::read) == nullptr);
  CHECK_FALSE(r.poll_readiness(direction::read, first).is_empty());
}

TEST_CASE("shutdown is sticky: a clear after it keeps it, and nobody waits any more") {
  word_registration r(ready::readable());
  counting_waiter w;
  const ready_event event = r.readiness(reads);
  CHECK(r.wait(w, writes).is_empty());
  r.shutdown();
  r.shutdown();
  CHECK(w.fired == 1);
  CHECK(w.cause == wake_cause::shutdown);
  r.clear_readiness(event, interest::readable());
  CHECK(r.readiness(reads).is_shut_down());
  CHECK(r.wait(w, reads).is_shut_down());
  r.dispatch(ready::writable());
  CHECK(w.fired == 1);
  CHECK(r.has_no_waiters());
}

TEST_CASE("the mask of a union of interests is the union of their masks") {
  CHECK((interest::readable() | interest::writable()).mask() == (reads | writes));
  CHECK((interest::priority() | interest::error()).mask() ==
        (ready::priority() | ready::read_closed() | ready::error()));
}

TEST_CASE(
    "acceptance 30: descriptors closed behind the back of their registrations leak no memory") {
  auto driver = std::move(reactor::create()).value();
  const auto phase = [&driver] {
    for (int i = 0; i != 1000; ++i) {
      std::array<int, 2> fds{};
      REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds.data()) == 0);
      auto added = driver->add(fds[0], ready());
      REQUIRE(added.has_value());
      close(fds[0]);
      reactor::remove(**added, fds[0]);
      close(fds[1]);
      driver->turn(std::chrono::nanoseconds::zero());
    }
  };
  phase();
  const auto used = [] { return static_cast<std::size_t>(mallinfo2().uordblks); };
  const std::size_t before = used();
  phase();
  const std::size_t middle = used();
  phase();
  const std::size_t after = used();
  const bool steady = middle < before + 65536 || after < middle + 65536;
  CHECK(steady);
  CHECK(driver->metrics().registered == driver->metrics().deregistered);
}

TEST_CASE("a waiter may remove its registration, and that of the next event, within the turn") {
  std::function<std::size_t()> turn;
  auto driver = std::make_shared<reactor>(std::make_unique<scripted_backend>(turn));
  registration* const first = driver->add(100, ready()).value();
  registration* const second = driver->add(101, ready()).value();
  registration* reused = nullptr;
  counting_waiter other;
  acting_waiter removes([&] {
    reactor::remove(*first, 100);
    reactor::remove(*second, 101);
    reused = driver->add(101, ready()).value();  // the number is free again
  });
  CHECK(first->wait(removes, reads).is_empty());
  CHECK(second->wait(other, reads).is_empty());
  turn = [&]() -> std::size_t {
    first->dispatch(ready::readable());
    second->dispatch(ready::readable());  // the event had been taken from the kernel already
    return 2;
  };
  driver->turn(std::chrono::nanoseconds::zero());
  CHECK(removes.fired == 1);
  CHECK(other.fired == 1);
  CHECK(other.cause == wake_cause::closing);
  CHECK(reused->readiness(ready::all()).is_empty());
  turn = []() -> std::size_t { return 0; };
  driver->turn(std::chrono::nanoseconds::zero());  // frees both
  reactor::remove(*reused, 101);
}

TEST_CASE("a registration that is added beside a shutdown is refused, or woken by it") {
  for (int round = 0; round != 200; ++round) {
    std::function<std::size_t()> turn = []() -> std::size_t { return 0; };
    auto driver = std::make_shared<reactor>(std::make_unique<scripted_backend>(turn));
    std::thread other([&driver] { driver->shutdown(); });
    for (;;) {
      const auto added = driver->add(100, ready());
      if (!added) {
        CHECK(added.error() == error::runtime_shutdown);
        break;
      }
      shared_waiter w;
      const ready_event now = (*added)->wait(w, reads);
      if (!now.is_empty())
        CHECK(now.is_shut_down());
      else if (!(*added)->cancel_wait(w))
        CHECK(w.wait_until_fired() == wake_cause::shutdown);
      reactor::remove(**added, 100);
      driver->turn(std::chrono::nanoseconds::zero());
    }
    other.join();
    CHECK(driver->metrics().registered == driver->metrics().deregistered);
  }
}

TEST_CASE("the sixteenth removed registration, and no earlier one, calls for a turn") {
  std::function<std::size_t()> turn = []() -> std::size_t { return 0; };
  int unparks = 0;
  auto driver = std::make_shared<reactor>(std::make_unique<scripted_backend>(turn, &unparks));
  for (const int calls : {1, 2}) {
    for (int i = 0; i != 16; ++i) {
      CHECK(unparks == calls - 1);
      reactor::remove(*driver->add(100, ready()).value(), 100);
    }
    CHECK(unparks == calls);
    driver->turn(std::chrono::nanoseconds::zero());
  }
}

TEST_CASE("what is removed after the shutdown is freed with the driver") {
  std::function<std::size_t()> turn;
  auto driver = std::make_shared<reactor>(std::make_unique<scripted_backend>(turn));
  registration* const left = driver->add(100, ready()).value();
  counting_waiter w;
  CHECK(left->wait(w, reads).is_empty());
  driver->shutdown();
  CHECK(w.cause == wake_cause::shutdown);
  const std::weak_ptr<reactor> seen = driver;
  driver.reset();
  CHECK_FALSE(seen.expired());  // the registration keeps it
  reactor::remove(*left, 100);
  CHECK(seen.expired());
}

TEST_CASE(
    "the sixteenth removed registration ends a turn in progress; a failed add leaves nothing") {
  auto driver = std::move(reactor::create()).value();
  std::vector<registration*> added;
  std::vector<int> fds;
  for (int i = 0; i != 16; ++i) {
    fds.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    added.push_back(driver->add(fds.back(), ready()).value());
  }
  for (std::size_t i = 0; i != 16; ++i) {
    reactor::remove(*added[i], fds[i]);
    close(fds[i]);
  }
  driver->turn(std::nullopt);  // would hang without the wake-up
  const auto bad = driver->add(-1, ready());
  CHECK((!bad && bad.error() == errc::bad_file_descriptor));
  CHECK(driver->metrics().registered == driver->metrics().deregistered);
  driver->shutdown();
  const auto late = driver->add(0, ready());
  CHECK((!late && late.error() == error::runtime_shutdown));
}

TEST_CASE("an unpark before a turn ends that turn, again and again") {
  auto driver = std::move(reactor::create()).value();
  for (int i = 0; i != 100; ++i) {
    driver->unpark();
    driver->turn(std::nullopt);
  }
  SUCCEED();
}
