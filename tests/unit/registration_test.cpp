// SPDX-License-Identifier: MIT
#include <kioto/detail/io_driver.hpp>
#include <kioto/detail/registration.hpp>

#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <vector>

#include <kioto/detail/sys.hpp>

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
  auto driver = std::move(io_driver::create()).value();
  const auto phase = [&driver] {
    for (int i = 0; i != 1000; ++i) {
      std::array<int, 2> fds{};
      REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds.data()) == 0);
      auto added = driver->add(fds[0], ready());
      REQUIRE(added.has_value());
      close(fds[0]);
      io_driver::remove(**added, fds[0]);
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

TEST_CASE(
    "the sixteenth removed registration ends a turn in progress; a failed add leaves nothing") {
  auto driver = std::move(io_driver::create()).value();
  std::vector<registration*> added;
  std::vector<int> fds;
  for (int i = 0; i != 16; ++i) {
    fds.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    added.push_back(driver->add(fds.back(), ready()).value());
  }
  for (std::size_t i = 0; i != 16; ++i) {
    io_driver::remove(*added[i], fds[i]);
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
  auto driver = std::move(io_driver::create()).value();
  for (int i = 0; i != 100; ++i) {
    driver->unpark();
    driver->turn(std::nullopt);
  }
  SUCCEED();
}
