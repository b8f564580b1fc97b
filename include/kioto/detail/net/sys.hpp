// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <system_error>

struct addrinfo;
struct epoll_event;
struct iovec;
struct msghdr;
struct sockaddr;

namespace kioto::detail::sys {

/// The return value of a system call together with its errno, which is captured inside the wrapper,
/// because a coroutine may resume on another thread before the caller reads it.
class [[nodiscard]] io_result {
 public:
  constexpr io_result() noexcept = default;
  constexpr io_result(std::ptrdiff_t value_in, int error_in) noexcept
      : value(value_in), error(error_in) {}

  [[nodiscard]] constexpr bool ok() const noexcept { return error == 0; }
  [[nodiscard]] bool would_block() const noexcept;
  [[nodiscard]] constexpr std::size_t count() const noexcept {
    return static_cast<std::size_t>(value);
  }
  [[nodiscard]] constexpr int fd() const noexcept { return static_cast<int>(value); }
  [[nodiscard]] std::error_code code() const noexcept {
    return std::error_code(error, std::system_category());
  }

  std::ptrdiff_t value = 0;  // -1 on error
  int error = 0;             // 0 on success
};

/// All system functions on descriptors and names that kioto calls. They report failure as the
/// system does: -1 and errno. socklen_t is 32 bits wide on all supported systems, checked in
/// sys.cpp.
struct calls {
  std::ptrdiff_t (*read)(int, void*, std::size_t);
  std::ptrdiff_t (*write)(int, const void*, std::size_t);
  std::ptrdiff_t (*readv)(int, const ::iovec*, int);
  std::ptrdiff_t (*recv)(int, void*, std::size_t, int);
  std::ptrdiff_t (*send)(int, const void*, std::size_t, int);
  std::ptrdiff_t (*sendmsg)(int, const ::msghdr*, int);
  int (*accept4)(int, ::sockaddr*, std::uint32_t*, int);
  int (*connect)(int, const ::sockaddr*, std::uint32_t);
  int (*socket)(int, int, int);
  int (*bind)(int, const ::sockaddr*, std::uint32_t);
  int (*listen)(int, int);
  int (*close)(int);
  int (*shutdown)(int, int);
  int (*getsockopt)(int, int, int, void*, std::uint32_t*);
  int (*setsockopt)(int, int, int, const void*, std::uint32_t);
  int (*getsockname)(int, ::sockaddr*, std::uint32_t*);
  int (*getpeername)(int, ::sockaddr*, std::uint32_t*);
  int (*epoll_create1)(int);
  int (*epoll_ctl)(int, int, int, ::epoll_event*);
  int (*epoll_wait)(int, ::epoll_event*, int, int);
  int (*eventfd)(unsigned, int);
  int (*fcntl)(int, int, int);
  // Not system calls, but they need fault injection as well; getaddrinfo returns an EAI_ code.
  int (*getaddrinfo)(const char*, const char*, const ::addrinfo*, ::addrinfo**);
  void (*freeaddrinfo)(::addrinfo*);
};

/// The system's own functions.
[[nodiscard]] const calls& native() noexcept;

// The table in use. Constant-initialised, so that it is available before any static constructor.
extern std::atomic<const calls*> current;

/// The table in use; safe from any thread. Acquire pairs with the release that installs a table, so
/// that its content is visible; on x86 and most others it costs a plain load.
[[nodiscard]] inline const calls& table() noexcept {
  return *current.load(std::memory_order_acquire);
}

/// Installs another table for its lifetime, for fault injection in tests; they nest. Other threads
/// may be inside a call of the previous table while it is replaced, so functions put into a table
/// must outlive every such call, which plain functions and captureless lambdas do.
///
///     auto calls = sys::table();
///     calls.accept4 = [](int, ::sockaddr*, std::uint32_t*, int) { errno = EMFILE; return -1; };
///     sys::override_calls faults(calls);
class override_calls {
 public:
  explicit override_calls(const calls& replacement);
  ~override_calls();
  override_calls(const override_calls&) = delete;
  override_calls& operator=(const override_calls&) = delete;

 private:
  const calls* previous_;
};

// Wrappers. EINTR is retried where the call can simply be repeated: all but close (the descriptor
// is already released), connect (it continues in the background, and EINTR is reported as
// EINPROGRESS) and epoll_wait (the caller has to recompute the timeout).

io_result read(int fd, void* data, std::size_t size) noexcept;
io_result write(int fd, const void* data, std::size_t size) noexcept;
io_result readv(int fd, const ::iovec* parts, int count) noexcept;
io_result recv(int fd, void* data, std::size_t size, int flags) noexcept;
/// Never raises SIGPIPE: MSG_NOSIGNAL is added to the flags. The same for `sendmsg`.
io_result send(int fd, const void* data, std::size_t size, int flags) noexcept;
io_result sendmsg(int fd, const ::msghdr* message, int flags) noexcept;
/// The new descriptor is non-blocking and close-on-exec.
io_result accept(int fd, ::sockaddr* peer, std::uint32_t* size) noexcept;
io_result connect(int fd, const ::sockaddr* peer, std::uint32_t size) noexcept;
/// The new descriptor is non-blocking and close-on-exec.
io_result socket(int family, int type, int protocol) noexcept;
io_result bind(int fd, const ::sockaddr* address, std::uint32_t size) noexcept;
io_result listen(int fd, int backlog) noexcept;
io_result close(int fd) noexcept;
io_result shutdown(int fd, int how) noexcept;
io_result getsockopt(int fd, int level, int name, void* value, std::uint32_t* size) noexcept;
io_result setsockopt(int fd, int level, int name, const void* value, std::uint32_t size) noexcept;
io_result getsockname(int fd, ::sockaddr* address, std::uint32_t* size) noexcept;
io_result getpeername(int fd, ::sockaddr* address, std::uint32_t* size) noexcept;
io_result epoll_create1(int flags) noexcept;
io_result epoll_ctl(int epfd, int op, int fd, ::epoll_event* event) noexcept;
io_result epoll_wait(int epfd, ::epoll_event* events, int capacity, int timeout_ms) noexcept;
io_result eventfd(unsigned initial, int flags) noexcept;
io_result fcntl(int fd, int command, int argument) noexcept;

}  // namespace kioto::detail::sys
