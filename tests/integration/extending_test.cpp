// SPDX-License-Identifier: MIT
// The examples of docs/design/extending.md: a leaf operation and a backend from scratch.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>

#include <kioto/detail/net/stream_operation.hpp>
#include <kioto/detail/task/thread_wait.hpp>
#include <kioto/kioto.hpp>
#include <kioto/testing/driven.hpp>

#include "support/cancel_harness.hpp"
#include "support/catch.hpp"
#include "support/manual_reset_event.hpp"
#include "support/runtimes.hpp"
#include "support/scripted_backend.hpp"
#include "support/select_kinds.hpp"

using kioto::task;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

// ---- the leaf ----------------------------------------------------------------------------------

task<> wait_for(manual_reset_event& event, int& passed) {
  co_await event.wait();
  ++passed;
}

struct event_wait : any_kind {
  static constexpr const char* name = "event wait";
  [[maybe_unused]] static constexpr bool is_level = true;
  explicit event_wait(bool) {}
  auto branch() { return event.wait(); }
  static got look(std::monostate) { return got::unit; }
  void happen() override { event.set(); }
  task<bool> settle(got) override { co_return event.is_set(); }

  manual_reset_event event;
};

using shared_event = std::shared_ptr<manual_reset_event>;
task<bool> pass(shared_event event) {
  co_await event->wait();
  co_return event->is_set();
}
task<> set(shared_event event) {
  event->set();
  co_return;
}

// ---- the backend -------------------------------------------------------------------------------

/// A pair of connected sockets, one of them in a reactor whose backend is a script. A thread of its
/// own turns it, as one of a runtime does.
class scripted_socket {
 public:
  scripted_socket()
      : backend_(new scripted_backend),
        reactor_(
            std::make_shared<detail::reactor>(std::unique_ptr<detail::reactor_backend>(backend_))) {
    std::array<int, 2> fds{};
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) == 0);
    peer = detail::unique_fd(fds[1]);
    auto made = detail::io_source::create(*reactor_, detail::unique_fd(fds[0]), net::ready());
    REQUIRE(made.has_value());
    source.emplace(std::move(*made));
    turning_ = std::thread([this] {
      while (!ended_) reactor_->turn(std::nullopt);
    });
  }
  scripted_socket(const scripted_socket&) = delete;
  scripted_socket& operator=(const scripted_socket&) = delete;
  ~scripted_socket() {
    ended_ = true;
    reactor_->unpark();
    turning_.join();
  }

  void report(net::ready what) { backend_->report(source->fd(), what); }
  void write(std::string_view text) const {
    CHECK(::write(peer.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  [[nodiscard]] detail::reactor& driver() const { return *reactor_; }

  detail::unique_fd peer;
  std::optional<detail::io_source> source;

 private:
  scripted_backend* backend_;
  detail::reactor_pointer reactor_;
  std::thread turning_;
  std::atomic<bool> ended_{false};
};

task<kioto::result<std::size_t>> read(const detail::io_source& source, std::span<char> into) {
  co_return co_await detail::read_operation(source, into);
}

}  // namespace

TEST_CASE("a leaf from scratch: completes at once, or suspends and is woken once") {
  manual_reset_event event;
  int passed = 0;
  kioto::testing::driven waiting(wait_for(event, passed));
  CHECK_FALSE(waiting.poll());
  CHECK_FALSE(waiting.is_woken());
  event.set();
  event.set();
  CHECK(waiting.wake_count() == 1);
  CHECK(waiting.poll());
  CHECK(passed == 1);
  kioto::testing::driven ready(wait_for(event, passed));
  CHECK(ready.poll());
  event.reset();
  kioto::testing::driven again(wait_for(event, passed));
  CHECK_FALSE(again.poll());
  again.abort();
  CHECK(again.poll());
  CHECK(again.is_cancelled());
  CHECK(passed == 2);
}

TEST_CASE("a leaf from scratch: an event that is set wakes all that wait, also many") {
  manual_reset_event event;
  constexpr int many = 100;
  on_every_scheduler([&]() -> task<> {
    event.reset();
    std::vector<kioto::join_handle<>> all;
    std::atomic<int> begun{0};
    for (int i = 0; i != many; ++i) {
      auto one = [](manual_reset_event& e, std::atomic<int>& n) -> task<> {
        ++n;
        co_await e.wait();
      };
      all.push_back(kioto::spawn(one, std::ref(event), std::ref(begun)));
    }
    while (begun != many) co_await kioto::yield_now();
    event.set();
    for (auto& one : all) {
      auto ended = co_await one;
      CHECK(ended.has_value());
    }
  });
}

TEST_CASE("a leaf from scratch: cancelled at every point of its life") {
  on_every_scheduler([]() -> task<> {
    co_await at_every_point([]() -> task<std::function<subject()>> {
      auto event = std::make_shared<manual_reset_event>();
      co_return [event] {
        return subject{[event] { return pass(event); }, [event] { return set(event); }};
      };
    });
  });
}

TEST_CASE("a leaf from scratch: in a select against others, exactly one takes effect") {
  play_on_every_scheduler(
      all_pairs<block<event_wait>, block<event_wait, kinds::mpsc_recv, kinds::sleeping>>());
}

TEST_CASE("a leaf from scratch: goes into combinators and adaptors") {
  kioto::run([]() -> task<> {
    manual_reset_event first;
    manual_reset_event second;
    const auto late = co_await kioto::timeout(1ms, kioto::as_result(first.wait()));
    CHECK(late.error() == kioto::errc::operation_canceled);  // the stop at the deadline, as a value
    bool in_time = true;
    try {
      co_await kioto::timeout(1ms, first.wait());
    } catch (const kioto::timeout_error&) {
      in_time = false;
    }
    CHECK_FALSE(in_time);
    auto setter = kioto::spawn(
        [](manual_reset_event& a, manual_reset_event& b) -> task<> {
          a.set();
          b.set();
          co_return;
        },
        std::ref(first), std::ref(second));
    co_await kioto::when_all(first.wait(), kioto::shield(second.wait()));
    auto ended = co_await setter;
    CHECK(ended.has_value());
  }());
}

TEST_CASE("a leaf from scratch: a thread outside of the runtime waits for it") {
  manual_reset_event event;
  std::thread setter([&event] { event.set(); });
  detail::run_on_thread(event.wait(), "manual_reset_event::wait");
  setter.join();
  CHECK(event.is_set());
}

TEST_CASE("a backend from scratch: a read waits for what is reported, and ignores false hints") {
  on_every_scheduler([]() -> task<> {
    scripted_socket socket;
    std::array<char, 8> into{};
    auto reading = kioto::spawn(read(*socket.source, into));
    socket.report(net::ready::readable());  // nothing is there: it tries, and waits again
    socket.write("ping");
    socket.report(net::ready::writable());  // of no concern to it
    socket.report(net::ready::readable());
    auto ended = co_await reading;
    const auto got = ended.value();
    CHECK(got.value() == 4);
    CHECK(std::string_view(into.data(), 4) == "ping");
    CHECK(socket.driver().metrics().registered == 1);
  });
}

TEST_CASE("a backend from scratch: a read that is cancelled has read nothing") {
  on_every_scheduler([]() -> task<> {
    scripted_socket socket;
    std::array<char, 8> into{};
    auto reading = kioto::spawn(read(*socket.source, into));
    for (int i = 0; i != 10; ++i) co_await kioto::yield_now();
    reading.abort();
    auto ended = co_await reading;
    CHECK(ended.is_cancelled());
    CHECK(socket.source->registration().has_no_waiters());
    socket.write("pong");
    socket.report(net::ready::readable());
    const auto got = co_await detail::read_operation(*socket.source, into);
    CHECK(got.value() == 4);
  });
}

TEST_CASE(
    "a backend from scratch: the shutdown of the reactor ends what waits, and later attempts") {
  on_every_scheduler([]() -> task<> {
    scripted_socket socket;
    std::array<char, 8> into{};
    auto reading = kioto::spawn(read(*socket.source, into));
    for (int i = 0; i != 10; ++i) co_await kioto::yield_now();
    socket.driver().shutdown();
    auto ended = co_await reading;
    const auto got = ended.value();
    CHECK(got.error() == kioto::error::runtime_shutdown);
    const auto later = co_await detail::read_operation(*socket.source, into);
    CHECK(later.error() == kioto::error::runtime_shutdown);
  });
}

TEST_CASE("a backend from scratch: events for a registration that was removed go nowhere") {
  on_every_scheduler([]() -> task<> {
    scripted_socket socket;
    socket.write("lost");
    socket.report(net::ready::readable());
    socket.source.reset();
    auto fresh = detail::unique_fd(::dup(socket.peer.get()));
    auto made = detail::io_source::create(socket.driver(), std::move(fresh), net::ready());
    CHECK(made.has_value());
    CHECK(made->registration().readiness(net::ready::all()).is_empty());
    co_return;
  });
}
