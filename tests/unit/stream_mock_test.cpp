// SPDX-License-Identifier: MIT
#include <kioto/testing/stream_mock.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>

#include <kioto/kioto.hpp>
#include <kioto/testing/driven.hpp>
#include <kioto/testing/paused.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/tcp.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;
using testing::driven;
using testing::script_error;
using testing::stream_mock;
using testing::stream_script;

namespace {

// Works on sockets and on mocks alike.
template <class Stream>
task<result<std::string>> ask(const Stream& stream, std::string question) {
  co_await or_return(stream.write_all(question));
  std::array<char, 16> answer{};
  const auto n = co_await or_return(stream.read(answer));
  co_return std::string(answer.data(), n);
}

template <class Stream>
task<> answers(const Stream& stream) {
  std::array<char, 4> question{};
  const auto got = co_await stream.read_exact(question);
  CHECK(got.has_value());
  const auto sent = co_await stream.write("pong");
  CHECK(sent.has_value());
}

}  // namespace

TEST_CASE("templates over streams take a mock in place of a socket", "[stream_mock]") {
  testing::run_paused([]() -> task<> {
    const stream_mock peer(stream_script().write("ping").read("pong"));
    auto answer = co_await ask(peer, "ping");
    CHECK(answer.value() == "pong");
    CHECK(peer.is_done());
    peer.verify();

    auto ends = co_await connected_pair();
    auto other = spawn(answers<net::tcp_stream>(ends.b));
    answer = co_await ask(ends.a, "ping");
    CHECK(answer.value() == "pong");
    auto r = co_await std::move(other);
    CHECK(r.has_value());
  });
}

TEST_CASE("reads take what the script has, in pieces of any size", "[stream_mock]") {
  testing::run_paused([]() -> task<> {
    const stream_mock s(stream_script().read("abcdef").read("gh").read("ijkl"));
    std::array<char, 4> some{};
    auto n = co_await s.read(some);
    CHECK(n.value() == 4);
    CHECK(std::string(some.data(), 4) == "abcd");
    n = co_await s.read(some);  // not across steps
    CHECK(n.value() == 2);
    CHECK(std::string(some.data(), 2) == "ef");
    n = co_await s.read(mutable_buffer(some).first(0));
    CHECK(n.value() == 0);
    const auto all = co_await s.read_exact(some);  // across them
    CHECK(all.has_value());
    CHECK(std::string(some.data(), 4) == "ghij");
    const auto rest = co_await s.read_exact(some);
    CHECK(rest.error() == error::unexpected_eof);
    n = co_await s.read(some);
    CHECK(n.value() == 0);
    s.verify();
  });
}

TEST_CASE("writes may come in pieces of any size", "[stream_mock]") {
  testing::run_paused([]() -> task<> {
    const stream_mock s(stream_script().write("abcdef").write("gh"));
    auto n = co_await s.write("abc");
    CHECK(n.value() == 3);
    n = co_await s.write("defgh");  // a write takes no more than its step
    CHECK(n.value() == 3);
    n = co_await s.write(std::string());
    CHECK(n.value() == 0);
    const auto all = co_await s.write_all("gh");
    CHECK(all.has_value());
    s.verify();
  });
}

TEST_CASE("a write that the script does not expect is an error that says so", "[stream_mock]") {
  testing::run_paused([]() -> task<> {
    const stream_mock s(stream_script("peer").read("x").write("pong\n"));
    std::array<char, 1> some{};
    const auto n = co_await s.read(some);
    CHECK(n.value() == 1);
    std::string message;
    try {
      const auto r = co_await s.write_all("ping\n");
      CHECK_FALSE(r.has_value());
    } catch (const script_error& e) {
      message = e.what();
    }
    CHECK(message ==
          R"(a write of "ping\n" on stream_mock "peer" does not match step 2 of 2, which expects )"
          R"(a write of "pong\n")");
    // What comes later fails in the same way.
    bool again = false;
    try {
      const auto r = co_await s.read(some);
      CHECK_FALSE(r.has_value());
    } catch (const script_error&) {
      again = true;
    }
    CHECK(again);
    CHECK_FALSE(s.is_done());
    CHECK_THROWS_AS(s.verify(), script_error);
  });
  testing::run_paused([]() -> task<> {
    const stream_mock s(stream_script().write("a"));
    std::string message;
    try {
      const auto r = co_await s.write_all(std::string("a\0b", 3));
      CHECK_FALSE(r.has_value());
    } catch (const script_error& e) {
      message = e.what();
    }
    CHECK(
        message ==
        R"(an unexpected write of "\x00b" on stream_mock "stream": its script, of 1 steps, is at )"
        R"(its end)");
  });
}

TEST_CASE("errors come where the script has them", "[stream_mock]") {
  testing::run_paused([]() -> task<> {
    const stream_mock s(stream_script()
                            .read_error(std::make_error_code(std::errc::connection_reset))
                            .read("a")
                            .write_error(std::make_error_code(std::errc::broken_pipe))
                            .write("b"));
    std::array<char, 1> some{};
    auto n = co_await s.read(some);
    CHECK(n.error() == std::errc::connection_reset);
    n = co_await s.read(some);
    CHECK(n.value() == 1);
    n = co_await s.write("b");
    CHECK(n.error() == std::errc::broken_pipe);
    n = co_await s.write("b");
    CHECK(n.value() == 1);
    s.verify();
  });
}

TEST_CASE("waiting takes its time, by the clock of the runtime", "[stream_mock]") {
  testing::run_paused([]() -> task<> {
    const stream_mock s(stream_script().wait(10s).read("a").wait(20s).write("b").wait(0s));
    const auto start = now();
    std::array<char, 1> some{};
    auto n = co_await s.read(some);
    CHECK(n.value() == 1);
    CHECK(now() - start == 10s);
    n = co_await timeout(5s, s.write("b"));
    CHECK(n.error() == std::errc::timed_out);
    n = co_await s.write("b");  // the wait goes on meanwhile
    CHECK(n.value() == 1);
    CHECK(now() - start == 30s);
    n = co_await s.read(some);
    CHECK(n.value() == 0);
    s.verify();
  });
}

TEST_CASE("an operation waits until its turn has come", "[stream_mock]") {
  testing::run_paused([]() -> task<> {
    const stream_mock s(stream_script().read("ab").write("c").read("d"));
    driven writes(s.write("c"));
    CHECK_FALSE(writes.poll());
    std::array<char, 1> some{};
    auto n = co_await s.read(some);
    CHECK(n.value() == 1);
    CHECK_FALSE(writes.poll());  // half of it is left
    n = co_await s.read(some);
    CHECK(n.value() == 1);
    driven reads(s.read(some));
    CHECK_FALSE(reads.poll());
    CHECK(writes.is_woken());
    CHECK(writes.poll());
    CHECK(writes.take().value() == 1);
    CHECK(reads.is_woken());
    CHECK(reads.poll());
    CHECK(reads.take().value() == 1);
    s.verify();
  });
}

TEST_CASE("two tasks share a mock, one for each direction", "[stream_mock]") {
  on_every_scheduler([]() -> task<> {
    stream_script script;
    for (int i = 0; i != 200; ++i) script.read("r").write("w");
    const stream_mock s(script);
    // Only this task checks: the assertions of Catch must not be used by several threads at a time.
    auto reader = spawn(
        [](const stream_mock* m) -> task<int> {
          std::array<char, 1> some{};
          int got = 0;
          for (int i = 0; i != 200; ++i) {
            const auto n = co_await m->read(some);
            got += n.value() == 1 ? 1 : 0;
          }
          co_return got;
        },
        &s);
    int sent = 0;
    for (int i = 0; i != 200; ++i) {
      const auto n = co_await s.write("w");
      sent += n.value() == 1 ? 1 : 0;
    }
    CHECK(sent == 200);
    auto r = co_await std::move(reader);
    CHECK(std::move(r).value() == 200);
    s.verify();
  });
}

TEST_CASE("a mock that was shut down ends in that direction", "[stream_mock]") {
  testing::run_paused([]() -> task<> {
    const stream_mock s(stream_script().read("a").write("b"));
    const auto watch = s.watch();
    driven writes(s.write("b"));
    CHECK_FALSE(writes.poll());
    CHECK(s.shutdown(net::shutdown_how::write).has_value());
    CHECK(writes.poll());
    CHECK(writes.take().error() == std::errc::broken_pipe);
    std::array<char, 1> some{};
    auto n = co_await s.read(some);
    CHECK(n.value() == 1);
    CHECK(s.shutdown(net::shutdown_how::both).has_value());
    n = co_await s.read(some);
    CHECK(n.value() == 0);
    CHECK_FALSE(watch.is_done());
  });
}

TEST_CASE("a watch tells what a stream has left behind", "[stream_mock]") {
  testing::run_paused([]() -> task<> {
    auto done = std::make_unique<stream_mock>(stream_script().write("a"));
    const auto good = done->watch();
    const auto n = co_await done->write("a");
    CHECK(n.value() == 1);
    done.reset();
    CHECK(good.is_done());
    good.verify();

    auto left = std::make_unique<stream_mock>(stream_script("peer").write("ab").read("c"));
    const auto bad = left->watch();
    const auto half = co_await left->write("a");
    CHECK(half.value() == 1);
    left.reset();
    CHECK_FALSE(bad.is_done());
    CHECK_THROWS_WITH(bad.verify(), R"(the script of stream_mock "peer" was left at step 1 of 2: )"
                                    R"(it expects a write of "b")");
  });
}

TEST_CASE("a script that is left unnoticed ends the program with a message", "[stream_mock]") {
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::signal(SIGABRT, SIG_DFL);
    ::dup2(ends[1], STDERR_FILENO);
    {
      const stream_mock s(stream_script("peer").write("ping"));
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string message;
  std::array<char, 256> some{};
  for (;;) {
    const auto n = ::read(ends[0], some.data(), some.size());
    if (n <= 0) break;
    message.append(some.data(), static_cast<std::size_t>(n));
  }
  ::close(ends[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGABRT);
  CHECK_THAT(message, contains("expects a write of \"ping\""));
}

TEST_CASE("a script may be left after a cancellation or an exception", "[stream_mock]") {
  testing::run_paused([]() -> task<> {
    {
      const stream_mock s(stream_script().wait(1h).read("a"));
      driven reads(s.read(mutable_buffer()));
      std::array<char, 1> some{};
      const auto n = co_await timeout(1s, s.read(some));
      CHECK(n.error() == std::errc::timed_out);
    }
    bool thrown = false;
    try {
      const stream_mock s(stream_script().read("a"));
      throw std::runtime_error("on its way");
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    CHECK(thrown);
  });
}
