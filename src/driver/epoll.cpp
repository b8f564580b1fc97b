// SPDX-License-Identifier: MIT
// The epoll backend: edge-triggered, each descriptor registered once for both directions.
#include <kioto/detail/net/reactor_backend.hpp>

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdint>

#include <kioto/detail/net/reactor.hpp>
#include <kioto/detail/net/socket.hpp>
#include <kioto/detail/net/sys.hpp>

namespace kioto::detail {
namespace {

constexpr std::uint32_t interests = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;

// An error makes both directions ready. It is not final, as a hang-up is: on some sockets it is
// gone once it was read, so it must be possible to clear it.
constexpr net::ready decode_low(std::uint32_t events) noexcept {
  using net::ready;
  ready out;
  if ((events & EPOLLIN) != 0) out |= ready::readable();
  if ((events & EPOLLPRI) != 0) out |= ready::readable() | ready::priority();
  if ((events & EPOLLOUT) != 0) out |= ready::writable();
  if ((events & EPOLLHUP) != 0) out |= ready::read_closed() | ready::write_closed();
  if ((events & EPOLLERR) != 0) out |= ready::readable() | ready::writable() | ready::error();
  return out;
}

// All but one are among the lowest five bits.
constexpr std::uint32_t low_events = 31;
static_assert(((EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLERR | EPOLLHUP) & ~low_events) == 0);
constexpr auto decoded = [] {
  std::array<net::ready, low_events + 1> out;
  for (std::uint32_t i = 0; i != out.size(); ++i) out[i] = decode_low(i);
  return out;
}();

net::ready decode(std::uint32_t events) noexcept {
  const net::ready out = decoded[events & low_events];
  if ((events & EPOLLRDHUP) == 0) [[likely]]
    return out;
  return out | net::ready::read_closed();
}

// Rounded up: a turn that ends too early would only be followed by another one.
int milliseconds(std::optional<std::chrono::nanoseconds> timeout) noexcept {
  if (!timeout) return -1;
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(*timeout).count();
  return static_cast<int>(std::clamp<std::int64_t>(ms, 0, INT_MAX));
}

class epoll_backend final : public reactor_backend {
 public:
  epoll_backend(unique_fd epoll, unique_fd wakeup) noexcept
      : epoll_(std::move(epoll)), wakeup_(std::move(wakeup)) {}

  std::error_code add(int fd, registration& target) noexcept override {
    epoll_event event{};
    event.events = interests;
    event.data.u64 = target.token();
    return sys::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event).code();
  }

  // Closing the descriptor is not enough if there are duplicates of it, here or in other processes:
  // the set keeps a file, under the number with which it was added, until its last descriptor is
  // closed.
  std::error_code remove(int fd) noexcept override {
    epoll_event event{};
    return sys::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, &event).code();
  }

  std::size_t turn(std::optional<std::chrono::nanoseconds> timeout,
                   std::size_t limit) noexcept override {
    const auto room = static_cast<int>(std::min(limit, events_.size()));
    const sys::io_result got =
        sys::epoll_wait(epoll_.get(), events_.data(), room, milliseconds(timeout));
    if (!got.ok()) return 0;  // EINTR: as good as a wake-up
    std::size_t events = 0;
    for (std::size_t i = 0; i != got.count(); ++i) {
      const std::uint64_t token = events_[i].data.u64;
      if (token == 0) continue;  // unpark(), whose work is done
      registration* const target = registration::of_token(token);
      if (target == nullptr) [[unlikely]]
        continue;  // of an earlier life
      target->dispatch(decode(events_[i].events));
      ++events;
    }
    return events;
  }

  // The counter is not read: each write is an edge. When it is full, after 2^64 - 2 writes, it is
  // reset.
  void unpark() noexcept override {
    const std::uint64_t one = 1;
    while (sys::write(wakeup_.get(), &one, sizeof one).would_block()) {
      std::uint64_t count = 0;
      (void)sys::read(wakeup_.get(), &count, sizeof count);
    }
  }

  // Closing them ends nothing in the parent, which has the same set through descriptors of its own.
  void abandon() noexcept override {
    epoll_.reset();
    wakeup_.reset();
  }

  [[nodiscard]] const char* name() const noexcept override { return "epoll"; }

 private:
  unique_fd epoll_;
  unique_fd wakeup_;
  std::array<epoll_event, reactor::max_events> events_;
};

}  // namespace

result<std::unique_ptr<reactor_backend>> make_epoll_backend() {
  const sys::io_result epoll = sys::epoll_create1(EPOLL_CLOEXEC);
  if (!epoll.ok()) return epoll.code();
  unique_fd epoll_fd(epoll.fd());
  const sys::io_result wakeup = sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (!wakeup.ok()) return wakeup.code();
  unique_fd wakeup_fd(wakeup.fd());
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = 0;
  if (const auto added = sys::epoll_ctl(epoll_fd.get(), EPOLL_CTL_ADD, wakeup_fd.get(), &event);
      !added.ok())
    return added.code();
  return std::make_unique<epoll_backend>(std::move(epoll_fd), std::move(wakeup_fd));
}

}  // namespace kioto::detail
