// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include <kioto/detail/net/reactor.hpp>
#include <kioto/detail/net/socket.hpp>

namespace kioto::detail {

/// A descriptor with its registration, the basis of every socket.
class io_source {
 public:
  io_source(io_source&& other) noexcept
      : fd_(std::move(other.fd_)), registration_(std::exchange(other.registration_, nullptr)) {}
  io_source& operator=(io_source&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::move(other.fd_);
      registration_ = std::exchange(other.registration_, nullptr);
    }
    return *this;
  }
  ~io_source() { reset(); }

  /// Takes over the descriptor in any case: on an error it is closed.
  static result<io_source> create(reactor& driver, unique_fd fd, net::ready initial) noexcept {
    auto added = driver.add(fd.get(), initial);
    if (!added) return added.error();
    return io_source(std::move(fd), **added);
  }

  /// Takes over a descriptor from outside, which becomes non-blocking. On an error the caller keeps
  /// it.
  static result<io_source> from_native(reactor& driver, int fd, net::ready initial) noexcept {
    if (const auto set = set_nonblocking(fd, true); !set) return set.error();
    auto added = driver.add(fd, initial);
    if (!added) return added.error();
    return io_source(unique_fd(fd), **added);
  }

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] detail::registration& registration() const noexcept { return *registration_; }

  /// Deregisters the descriptor and returns it.
  [[nodiscard]] unique_fd release() noexcept {
    deregister();
    return std::move(fd_);
  }

 private:
  io_source(unique_fd fd, detail::registration& which) noexcept
      : fd_(std::move(fd)), registration_(&which) {}

  // Returns false if the descriptor was closed by other code.
  bool deregister() noexcept {
    return registration_ == nullptr ||
           reactor::remove(*std::exchange(registration_, nullptr), fd_.get());
  }
  void reset() noexcept {
    if (deregister()) [[likely]]
      fd_.reset();
    else
      static_cast<void>(fd_.release());
  }

  unique_fd fd_;
  detail::registration* registration_ = nullptr;
};

}  // namespace kioto::detail
