// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <utility>

#include <kioto/detail/net/io_operation.hpp>
#include <kioto/net/socket_address.hpp>
#include <kioto/net/tcp_stream.hpp>
#include <kioto/result.hpp>
#include <kioto/task.hpp>

namespace kioto::net {

/// A connection that a listener accepted.
class accepted_connection {
 public:
  accepted_connection(tcp_stream stream_in, const socket_address& peer_in) noexcept
      : stream(std::move(stream_in)), peer(peer_in) {}

  tcp_stream stream;
  socket_address peer;
};

class [[nodiscard]] accept_operation final : public detail::io_operation<accept_operation> {
 public:
  explicit accept_operation(const detail::io_source& source) noexcept : io_operation(source) {}
  accept_operation(accept_operation&& other) noexcept : io_operation(std::move(other)) {}

  static constexpr interest wanted() noexcept { return interest::readable(); }
  detail::io_step perform(int fd, ready found) noexcept;
  result<accepted_connection> await_resume() noexcept {
    if (error_) return error_.code();
    return std::move(*accepted_);
  }

 private:
  std::optional<accepted_connection> accepted_;
};

/// A TCP socket that accepts connections.
///
///     auto listener = co_await or_return(net::tcp_listener::bind("127.0.0.1:0"));
///     auto accepted = co_await or_return(listener.accept());
///
/// Lifetime and thread safety: the listener must outlive its operations; any number of tasks may
/// accept at the same time. In a child of fork(): as for `tcp_stream`.
class tcp_listener {
 public:
  /// Binds to an address or to a host and port, with SO_REUSEADDR, and listens with a backlog of
  /// 1024; if a name has several addresses, the first that works is used. Port 0 lets the system
  /// choose.
  ///
  /// Errors: those of bind(2), e.g. `errc::address_in_use`; for text, also those of
  /// `parse_host_port` and of the resolver. Throws std::logic_error outside of a runtime.
  /// Cancellation and in a select: at once; the socket is closed. A lookup that is running
  /// continues on its own in its thread.
  static task<result<tcp_listener>> bind(socket_address address);
  static task<result<tcp_listener>> bind(std::string host_and_port);

  /// Takes over a listening descriptor, which becomes non-blocking. On an error the caller keeps
  /// the descriptor. Throws std::logic_error outside of a runtime.
  static result<tcp_listener> from_native(int fd);
  /// Releases the descriptor, which stays non-blocking. The listener is left as after a move.
  [[nodiscard]] int into_native() && noexcept { return source_.release().release(); }
  [[nodiscard]] int native_handle() const noexcept { return source_.fd(); }

  tcp_listener(tcp_listener&&) noexcept = default;
  tcp_listener& operator=(tcp_listener&&) noexcept = default;
  ~tcp_listener() = default;

  /// Waits for a connection.
  ///
  /// - Result: `.stream` and `.peer`.
  /// - Errors: those of accept(2). For temporary ones, such as a lack of descriptors,
  ///   `is_transient` is true: wait a little and try again. `error::runtime_shutdown` after the
  ///   shutdown of the runtime.
  /// - Cancellation: at once; no connection is lost.
  /// - In a select: withdrawn; the connection stays in the queue of the kernel for the next call.
  [[nodiscard]] accept_operation accept() const noexcept { return accept_operation(source_); }
  /// Like `accept`, but fails with `errc::operation_would_block` instead of waiting.
  result<accepted_connection> try_accept() const noexcept;

  [[nodiscard]] result<socket_address> local_address() const noexcept;
  result<void> set_ttl(std::uint32_t hops) const noexcept {
    return detail::set_ttl(source_.fd(), hops);
  }
  [[nodiscard]] result<std::uint32_t> ttl() const noexcept { return detail::ttl(source_.fd()); }

 private:
  friend class accept_operation;
  explicit tcp_listener(detail::io_source&& source) noexcept : source_(std::move(source)) {}

  static result<accepted_connection> take(detail::reactor& driver, int fd) noexcept;

  detail::io_source source_;
};

}  // namespace kioto::net
