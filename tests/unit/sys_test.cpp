// SPDX-License-Identifier: MIT
#include "support/catch.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <kioto/detail/net/sys.hpp>
#include <thread>

namespace sys = kioto::detail::sys;

namespace {

struct socket_pair {
  socket_pair() {
    int fds[2] = {-1, -1};
    const int rc = ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
    REQUIRE(rc == 0);
    a = fds[0];
    b = fds[1];
  }
  ~socket_pair() {
    ::close(a);
    if (b >= 0) ::close(b);
  }
  socket_pair(const socket_pair&) = delete;
  socket_pair& operator=(const socket_pair&) = delete;
  int a = -1;
  int b = -1;
};

std::atomic<int> interruptions{0};

}  // namespace

TEST_CASE("a wrapper reports the value or the errno of its call", "[sys]") {
  socket_pair pair;
  char buf[8] = {};
  auto sent = sys::send(pair.a, "abc", 3, 0);
  CHECK(sent.ok());
  CHECK(sent.count() == 3);
  CHECK(sys::recv(pair.b, buf, sizeof buf, 0).count() == 3);
  const auto again = sys::recv(pair.b, buf, sizeof buf, MSG_DONTWAIT);
  CHECK(again.value == -1);
  CHECK(again.would_block());
  const auto bad = sys::read(-1, buf, sizeof buf);
  CHECK_FALSE(bad.ok());
  CHECK(bad.error == EBADF);
  CHECK(bad.code() == std::errc::bad_file_descriptor);
}

TEST_CASE("sending to a closed peer is EPIPE, not a signal", "[sys]") {
  socket_pair pair;
  ::close(pair.b);
  pair.b = -1;
  CHECK(sys::send(pair.a, "x", 1, 0).error == EPIPE);
  char byte = 'x';
  ::iovec part{&byte, 1};
  ::msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  CHECK(sys::sendmsg(pair.a, &message, 0).error == EPIPE);
}

TEST_CASE("an override replaces calls until it ends, and nests", "[sys]") {
  const sys::calls* before = &sys::table();
  CHECK(before == &sys::native());
  {
    sys::calls outer = sys::table();
    outer.accept4 = [](int, ::sockaddr*, std::uint32_t*, int) {
      errno = EMFILE;
      return -1;
    };
    sys::override_calls first(outer);
    CHECK(sys::accept(-1, nullptr, nullptr).error == EMFILE);
    {
      sys::calls inner = sys::table();
      inner.accept4 = [](int, ::sockaddr*, std::uint32_t*, int) {
        errno = ENFILE;
        return -1;
      };
      sys::override_calls second(inner);
      CHECK(sys::accept(-1, nullptr, nullptr).error == ENFILE);
      CHECK(sys::read(-1, nullptr, 0).error == EBADF);
    }
    CHECK(sys::accept(-1, nullptr, nullptr).error == EMFILE);
  }
  CHECK(&sys::table() == before);
  CHECK(sys::accept(-1, nullptr, nullptr).error == EBADF);
}

TEST_CASE("an interrupted call is made again", "[sys]") {
  socket_pair pair;
  sys::calls calls = sys::table();
  interruptions = 3;
  calls.recv = [](int fd, void* data, std::size_t size, int flags) -> std::ptrdiff_t {
    if (interruptions.fetch_sub(1) > 0) {
      errno = EINTR;
      return -1;
    }
    return ::recv(fd, data, size, flags);
  };
  calls.close = [](int) {
    errno = EINTR;
    return -1;
  };
  calls.connect = [](int, const ::sockaddr*, std::uint32_t) {
    errno = EINTR;
    return -1;
  };
  calls.epoll_wait = [](int, ::epoll_event*, int, int) {
    errno = EINTR;
    return -1;
  };
  sys::override_calls faults(calls);
  CHECK(sys::send(pair.a, "abc", 3, 0).count() == 3);
  char buf[8];
  CHECK(sys::recv(pair.b, buf, sizeof buf, 0).count() == 3);
  CHECK(interruptions == -1);
  CHECK(sys::close(-1).error == EINTR);
  CHECK(sys::connect(-1, nullptr, 0).error == EINPROGRESS);
  CHECK(sys::epoll_wait(-1, nullptr, 0, 0).error == EINTR);
}

TEST_CASE("overriding is safe while other threads make calls", "[sys]") {
  std::atomic<bool> stop{false};
  std::atomic<int> odd{0};
  std::thread caller([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      const int e = sys::listen(-1, 1).error;
      if (e != EBADF && e != EADDRINUSE) odd.fetch_add(1, std::memory_order_relaxed);
    }
  });
  for (int i = 0; i < 200; ++i) {
    sys::calls calls = sys::table();
    calls.listen = [](int, int) {
      errno = EADDRINUSE;
      return -1;
    };
    sys::override_calls faults(calls);
  }
  stop.store(true, std::memory_order_relaxed);
  caller.join();
  CHECK(odd.load() == 0);
}

TEST_CASE("sockets are non-blocking and close-on-exec from birth", "[sys]") {
  const auto s = sys::socket(AF_INET, SOCK_STREAM, 0);
  REQUIRE(s.ok());
  CHECK((sys::fcntl(s.fd(), F_GETFL, 0).value & O_NONBLOCK) != 0);
  CHECK((sys::fcntl(s.fd(), F_GETFD, 0).value & FD_CLOEXEC) != 0);
  CHECK(sys::close(s.fd()).ok());
}
