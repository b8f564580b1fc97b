// SPDX-License-Identifier: MIT
#include <kioto/detail/net/sys.hpp>

#include <fcntl.h>
#include <netdb.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <cerrno>
#include <kioto/config.hpp>
#include <type_traits>

// In a program with threads, libc makes the calls of the data path cancellation points of
// pthread_cancel(), which costs about as much as the rest of an operation in user space. kioto has
// no use for that, and enters the kernel directly; not under sanitizers, which intercept the
// functions.
#if defined(__linux__) && defined(SYS_recvfrom) && defined(SYS_sendto) && !KIOTO_SANITIZED
#define KIOTO_DIRECT_CALLS 1
#else
#define KIOTO_DIRECT_CALLS 0
#endif

namespace kioto::detail::sys {
namespace {

static_assert(std::is_same_v<::socklen_t, std::uint32_t>);
static_assert(sizeof(::ssize_t) == sizeof(std::ptrdiff_t));

// Lambdas, because libc may declare these functions noexcept, with other parameter qualifiers, as
// variadic or as macros, or with transparent unions.
constexpr calls native_calls = {
    .read = [](int fd, void* data, std::size_t size) -> std::ptrdiff_t {
      return ::read(fd, data, size);
    },
    .write = [](int fd, const void* data, std::size_t size) -> std::ptrdiff_t {
      return ::write(fd, data, size);
    },
    .readv = [](int fd, const ::iovec* parts, int count) -> std::ptrdiff_t {
      return ::readv(fd, parts, count);
    },
    .recv = [](int fd, void* data, std::size_t size, int flags) -> std::ptrdiff_t {
      return ::recv(fd, data, size, flags);
    },
    .send = [](int fd, const void* data, std::size_t size, int flags) -> std::ptrdiff_t {
      return ::send(fd, data, size, flags);
    },
    .sendmsg = [](int fd, const ::msghdr* message, int flags) -> std::ptrdiff_t {
      return ::sendmsg(fd, message, flags);
    },
    .accept4 = [](int fd, ::sockaddr* peer, std::uint32_t* size,
                  int flags) { return ::accept4(fd, peer, size, flags); },
    .connect = [](int fd, const ::sockaddr* peer,
                  std::uint32_t size) { return ::connect(fd, peer, size); },
    .socket = [](int family, int type, int protocol) { return ::socket(family, type, protocol); },
    .bind = [](int fd, const ::sockaddr* address,
               std::uint32_t size) { return ::bind(fd, address, size); },
    .listen = [](int fd, int backlog) { return ::listen(fd, backlog); },
    .close = [](int fd) { return ::close(fd); },
    .shutdown = [](int fd, int how) { return ::shutdown(fd, how); },
    .getsockopt = [](int fd, int level, int name, void* value,
                     std::uint32_t* size) { return ::getsockopt(fd, level, name, value, size); },
    .setsockopt = [](int fd, int level, int name, const void* value,
                     std::uint32_t size) { return ::setsockopt(fd, level, name, value, size); },
    .getsockname = [](int fd, ::sockaddr* address,
                      std::uint32_t* size) { return ::getsockname(fd, address, size); },
    .getpeername = [](int fd, ::sockaddr* address,
                      std::uint32_t* size) { return ::getpeername(fd, address, size); },
    .epoll_create1 = [](int flags) { return ::epoll_create1(flags); },
    .epoll_ctl = [](int epfd, int op, int fd,
                    ::epoll_event* event) { return ::epoll_ctl(epfd, op, fd, event); },
    .epoll_wait = [](int epfd, ::epoll_event* events, int capacity,
                     int timeout) { return ::epoll_wait(epfd, events, capacity, timeout); },
    .eventfd = [](unsigned initial, int flags) { return ::eventfd(initial, flags); },
    .fcntl = [](int fd, int command, int argument) { return ::fcntl(fd, command, argument); },
    .getaddrinfo = [](const char* host, const char* service, const ::addrinfo* hints,
                      ::addrinfo** list) { return ::getaddrinfo(host, service, hints, list); },
    .freeaddrinfo = [](::addrinfo* list) { ::freeaddrinfo(list); },
};

// errno is read right after the call, before anything else can run on this thread.
template <class Call>
inline io_result once(Call&& call) noexcept {
  const std::ptrdiff_t value = call();
  return value < 0 ? io_result(-1, errno) : io_result(value, 0);
}

template <class Call>
inline io_result retrying(Call&& call) noexcept {
  for (;;) {
    const io_result r = once(call);
    if (r.error != EINTR) [[likely]] {
      return r;
    }
  }
}

// Out of line, so that the direct path needs no stack frame.
KIOTO_NOINLINE io_result recv_by_table(int fd, void* data, std::size_t size, int flags) noexcept {
  return retrying([&] { return table().recv(fd, data, size, flags); });
}
KIOTO_NOINLINE io_result send_by_table(int fd, const void* data, std::size_t size,
                                       int flags) noexcept {
  return retrying([&] { return table().send(fd, data, size, flags); });
}

#if KIOTO_DIRECT_CALLS
// recvfrom or sendto without an address.
template <long Call>
inline io_result transfer(int fd, const void* data, std::size_t size, int flags) noexcept {
#if defined(__x86_64__) && !defined(__ILP32__)
  register long flags_in asm("r10") = flags;
  register const void* address asm("r8") = nullptr;
  register long address_size asm("r9") = 0;
  for (;;) {
    long value = 0;
    // Returns a negated errno. The kernel changes no other registers than those named. The number
    // of the call is put in here, because g++ would keep it in a register that it has to save.
    asm volatile("mov %[call], %%eax\n\tsyscall"
                 : "=&a"(value)
                 : [call] "i"(Call), "D"(long{fd}), "S"(data), "d"(size), "r"(flags_in),
                   "r"(address), "r"(address_size)
                 : "rcx", "r11", "memory");
    if (value >= 0) [[likely]]
      return {value, 0};
    if (value != -EINTR) return {-1, static_cast<int>(-value)};
  }
#else
  return retrying([&] { return ::syscall(Call, fd, data, size, flags, nullptr, 0); });
#endif
}
#endif

}  // namespace

constinit std::atomic<const calls*> current{&native_calls};

const calls& native() noexcept { return native_calls; }

bool io_result::would_block() const noexcept { return error == EAGAIN || error == EWOULDBLOCK; }

// The copy stays alive after the override ends: another thread may have loaded the table pointer
// just before. That leaks a few hundred bytes per override, in tests only, so the copies stay
// reachable from this list to keep leak checkers quiet.
namespace {
struct retained {
  calls table;
  retained* next;
};
constinit std::atomic<retained*> retained_tables{nullptr};
}  // namespace

override_calls::override_calls(const calls& replacement) {
  auto* const copy = new retained{replacement, nullptr};
  copy->next = retained_tables.load(std::memory_order_relaxed);
  // Release orders the content before the link; nobody reads the list.
  while (!retained_tables.compare_exchange_weak(copy->next, copy, std::memory_order_release,
                                                std::memory_order_relaxed)) {
  }
  previous_ = current.exchange(&copy->table, std::memory_order_acq_rel);
}

override_calls::~override_calls() { current.store(previous_, std::memory_order_release); }

io_result read(int fd, void* data, std::size_t size) noexcept {
  return retrying([&] { return table().read(fd, data, size); });
}

io_result write(int fd, const void* data, std::size_t size) noexcept {
  return retrying([&] { return table().write(fd, data, size); });
}

io_result readv(int fd, const ::iovec* parts, int count) noexcept {
  return retrying([&] { return table().readv(fd, parts, count); });
}

// The two calls of the data path.
io_result recv(int fd, void* data, std::size_t size, int flags) noexcept {
#if KIOTO_DIRECT_CALLS
  if (&table() == &native_calls) [[likely]]
    return transfer<SYS_recvfrom>(fd, data, size, flags);
#endif
  return recv_by_table(fd, data, size, flags);
}

io_result send(int fd, const void* data, std::size_t size, int flags) noexcept {
  flags |= MSG_NOSIGNAL;
#if KIOTO_DIRECT_CALLS
  if (&table() == &native_calls) [[likely]]
    return transfer<SYS_sendto>(fd, data, size, flags);
#endif
  return send_by_table(fd, data, size, flags);
}

io_result sendmsg(int fd, const ::msghdr* message, int flags) noexcept {
  return retrying([&] { return table().sendmsg(fd, message, flags | MSG_NOSIGNAL); });
}

io_result accept(int fd, ::sockaddr* peer, std::uint32_t* size) noexcept {
  return retrying([&] { return table().accept4(fd, peer, size, SOCK_NONBLOCK | SOCK_CLOEXEC); });
}

io_result connect(int fd, const ::sockaddr* peer, std::uint32_t size) noexcept {
  const io_result r = once([&] { return table().connect(fd, peer, size); });
  return r.error == EINTR ? io_result(-1, EINPROGRESS) : r;
}

io_result socket(int family, int type, int protocol) noexcept {
  return retrying(
      [&] { return table().socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol); });
}

io_result bind(int fd, const ::sockaddr* address, std::uint32_t size) noexcept {
  return retrying([&] { return table().bind(fd, address, size); });
}

io_result listen(int fd, int backlog) noexcept {
  return retrying([&] { return table().listen(fd, backlog); });
}

io_result close(int fd) noexcept {
  return once([&] { return table().close(fd); });
}

io_result shutdown(int fd, int how) noexcept {
  return retrying([&] { return table().shutdown(fd, how); });
}

io_result getsockopt(int fd, int level, int name, void* value, std::uint32_t* size) noexcept {
  return retrying([&] { return table().getsockopt(fd, level, name, value, size); });
}

io_result setsockopt(int fd, int level, int name, const void* value, std::uint32_t size) noexcept {
  return retrying([&] { return table().setsockopt(fd, level, name, value, size); });
}

io_result getsockname(int fd, ::sockaddr* address, std::uint32_t* size) noexcept {
  return retrying([&] { return table().getsockname(fd, address, size); });
}

io_result getpeername(int fd, ::sockaddr* address, std::uint32_t* size) noexcept {
  return retrying([&] { return table().getpeername(fd, address, size); });
}

io_result epoll_create1(int flags) noexcept {
  return retrying([&] { return table().epoll_create1(flags); });
}

io_result epoll_ctl(int epfd, int op, int fd, ::epoll_event* event) noexcept {
  return retrying([&] { return table().epoll_ctl(epfd, op, fd, event); });
}

io_result epoll_wait(int epfd, ::epoll_event* events, int capacity, int timeout_ms) noexcept {
  return once([&] { return table().epoll_wait(epfd, events, capacity, timeout_ms); });
}

io_result eventfd(unsigned initial, int flags) noexcept {
  return retrying([&] { return table().eventfd(initial, flags); });
}

io_result fcntl(int fd, int command, int argument) noexcept {
  return retrying([&] { return table().fcntl(fd, command, argument); });
}

}  // namespace kioto::detail::sys
