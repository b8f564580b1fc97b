// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <kioto/buffer.hpp>
#include <kioto/detail/net/sys.hpp>
#include <kioto/net/socket_address.hpp>
#include <kioto/result.hpp>
#include <optional>
#include <span>
#include <utility>

namespace kioto::net {

/// Which directions of a connection to shut down.
enum class shutdown_how : std::uint8_t { read, write, both };

}  // namespace kioto::net

namespace kioto::detail {

/// Owns a descriptor.
class unique_fd {
 public:
  constexpr unique_fd() noexcept = default;
  constexpr explicit unique_fd(int fd) noexcept : fd_(fd) {}
  constexpr unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  unique_fd& operator=(unique_fd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~unique_fd() {
    if (fd_ >= 0) close(fd_);
  }

  [[nodiscard]] constexpr int get() const noexcept { return fd_; }
  [[nodiscard]] constexpr explicit operator bool() const noexcept { return fd_ >= 0; }
  [[nodiscard]] constexpr int release() noexcept { return std::exchange(fd_, -1); }
  void reset(int fd = -1) noexcept {
    const int old = std::exchange(fd_, fd);
    if (old >= 0) close(old);
  }

 private:
  static void close(int fd) noexcept;

  int fd_ = -1;
};

// Descriptor-level operations on IP sockets. On a non-blocking socket all of them return at once;
// none needs a runtime. Those on the data path return sys::io_result, the others result.

inline constexpr int default_backlog = 1024;

enum class connect_state : std::uint8_t { connected, in_progress };

/// A TCP socket, non-blocking and close-on-exec.
result<unique_fd> open_tcp(net::ip_family family) noexcept;
result<void> bind(int fd, const net::socket_address& address) noexcept;
result<void> listen(int fd, int backlog = default_backlog) noexcept;
/// open_tcp, SO_REUSEADDR, bind and listen.
result<unique_fd> open_tcp_listener(const net::socket_address& address,
                                    int backlog = default_backlog) noexcept;

/// Accepts one connection: its descriptor (non-blocking, close-on-exec) is `fd()` of the result,
/// and belongs to the caller. If the peer's address is not available, `peer` becomes 0.0.0.0:0.
sys::io_result accept(int listener, net::socket_address& peer) noexcept;

/// Starts to connect. After `in_progress`, the socket becomes writable when the attempt has ended,
/// see `finish_connect`.
result<connect_state> start_connect(int fd, const net::socket_address& peer) noexcept;
/// To be called when the connecting socket has become writable. Returns `connected`, the error that
/// ended the attempt, or `in_progress` if the wake-up was spurious.
result<connect_state> finish_connect(int fd) noexcept;

/// Returns and clears the pending error of the socket (SO_ERROR); zero if there is none. A failure
/// to read it is returned the same way.
std::error_code take_socket_error(int fd) noexcept;

result<net::socket_address> local_address(int fd) noexcept;
result<net::socket_address> peer_address(int fd) noexcept;

// The data path. A zero-length buffer gives 0 bytes and no error; a caller that interprets 0 as the
// end of the stream has to handle that case first.
inline sys::io_result recv(int fd, mutable_buffer into) noexcept {
  return sys::recv(fd, into.data(), into.size(), 0);
}
inline sys::io_result send(int fd, const_buffer from) noexcept {
  return sys::send(fd, from.data(), from.size(), 0);
}
/// Reads without removing the bytes: the next read returns them again.
sys::io_result peek(int fd, mutable_buffer into) noexcept;
/// At most `max_io_parts` non-empty parts are used; the rest is left for the next call, as after
/// any short read or write.
inline constexpr std::size_t max_io_parts = 64;
sys::io_result readv(int fd, std::span<const mutable_buffer> parts) noexcept;
sys::io_result writev(int fd, std::span<const const_buffer> parts) noexcept;

result<void> shutdown(int fd, net::shutdown_how how) noexcept;

result<void> set_nonblocking(int fd, bool on) noexcept;

result<void> set_reuse_address(int fd, bool on) noexcept;
result<void> set_nodelay(int fd, bool on) noexcept;
result<bool> nodelay(int fd) noexcept;
/// What close does with unsent data: nullopt sends it in the background, zero drops it and resets
/// the connection. A positive time makes close block, which must be avoided in a runtime.
result<void> set_linger(int fd, std::optional<std::chrono::seconds> time) noexcept;
result<std::optional<std::chrono::seconds>> linger(int fd) noexcept;
/// The time to live, or for IPv6 the hop limit, of outgoing packets: 1 to 255.
result<void> set_ttl(int fd, std::uint32_t hops) noexcept;
result<std::uint32_t> ttl(int fd) noexcept;

/// Success for an IPv4 or IPv6 stream socket, as a native descriptor passed to a TCP type must be;
/// otherwise errc::not_a_socket, errc::wrong_protocol_type or errc::address_family_not_supported.
result<void> check_tcp_socket(int fd) noexcept;
/// Whether the socket is listening.
result<bool> is_listening(int fd) noexcept;

}  // namespace kioto::detail
