// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include <kioto/buffer.hpp>
#include <kioto/detail/base/saturating.hpp>
#include <kioto/detail/net/stream_operation.hpp>
#include <kioto/net/interest.hpp>
#include <kioto/net/socket_address.hpp>
#include <kioto/result.hpp>
#include <kioto/task.hpp>

namespace kioto::net {

/// A connected TCP socket.
///
/// Common to all operations:
/// - Errors keep their `std::error_code`. After the shutdown of its runtime every operation fails
///   with `error::runtime_shutdown`. Writing to a connection that the peer has closed gives
///   `errc::broken_pipe`, never SIGPIPE. In a child of fork() a stream that was made before fails
///   with `error::inherited_by_fork`, but may be destroyed, or given to a runtime of the child
///   through `into_native` and `from_native`.
/// - Cancellation: at once. A cancelled operation has moved no byte, but for `write_all` and
///   `read_exact`, which may have moved a part: after those the stream is of use only to be closed.
/// - Zero-length buffers complete at once with 0 bytes, whatever the state of the connection.
/// - Lifetime: the stream, and the bytes of the buffers, must outlive the operation.
/// - Thread safety: one task may read while another writes. Several readers, or writers, share the
///   stream without a defined order. Moving and destroying the stream is exclusive.
///
///     auto stream = co_await or_return(net::tcp_stream::connect("localhost:8080"));
///     co_await or_return(stream.write_all("ping"));
class tcp_stream {
 public:
  /// Connects to an address, or to a host and port such as "localhost:8080": names are resolved on
  /// the blocking pool, and each address is tried in turn.
  ///
  /// Errors: those of connect(2), e.g. `errc::connection_refused`; for text, what `parse_host_port`
  /// and the resolver say; of several addresses, the error of the last. Throws std::logic_error
  /// outside of a runtime. Cancellation: at once; a lookup that runs goes on alone in its thread.
  static task<result<tcp_stream>> connect(socket_address peer);
  static task<result<tcp_stream>> connect(std::string host_and_port);

  /// Takes over a connected descriptor, which becomes non-blocking. On an error the descriptor
  /// stays the caller's. Throws std::logic_error outside of a runtime.
  static result<tcp_stream> from_native(int fd);
  /// Gives the descriptor away, non-blocking. The stream is as after a move.
  [[nodiscard]] int into_native() && noexcept { return source_.release().release(); }
  [[nodiscard]] int native_handle() const noexcept { return source_.fd(); }

  tcp_stream(tcp_stream&&) noexcept = default;
  tcp_stream& operator=(tcp_stream&&) noexcept = default;
  ~tcp_stream() = default;

  /// Reads what is there, at least one byte. 0 is the end of the stream.
  [[nodiscard]] auto read(mutable_buffer into) const noexcept {
    return detail::read_operation(source_, into);
  }
  /// Reads into several buffers in turn; at most 64 that are not empty are used. The array of the
  /// buffers must outlive the operation, too.
  [[nodiscard]] auto read_vectored(std::span<const mutable_buffer> into) const noexcept {
    return detail::read_vectored_operation(source_, into);
  }
  /// Fills the buffer; `error::unexpected_eof` when the stream ends before.
  [[nodiscard]] auto read_exact(mutable_buffer into) const noexcept {
    return detail::read_exact_operation(source_, into);
  }
  /// Reads without taking.
  [[nodiscard]] auto peek(mutable_buffer into) const noexcept {
    return detail::peek_operation(source_, into);
  }
  /// Writes at least one byte, as many as the kernel takes; returns their number.
  [[nodiscard]] auto write(const_buffer from) const noexcept {
    return detail::write_operation(source_, from);
  }
  [[nodiscard]] auto write_vectored(std::span<const const_buffer> from) const noexcept {
    return detail::write_vectored_operation(source_, from);
  }
  /// Writes all of it.
  [[nodiscard]] auto write_all(const_buffer from) const noexcept {
    return detail::write_all_operation(source_, from);
  }

  /// Wait for a hint that a read, or a write, would not block. The hint stays until a `try_`
  /// operation found it wrong.
  [[nodiscard]] auto readable() const noexcept {
    return detail::readiness_operation<void>(source_, interest::readable());
  }
  [[nodiscard]] auto writable() const noexcept {
    return detail::readiness_operation<void>(source_, interest::writable());
  }
  /// Waits for any of several; the result says which.
  [[nodiscard]] auto ready(interest wanted) const noexcept {
    return detail::readiness_operation<net::ready>(source_, wanted);
  }

  /// Like `read` and `write`, but fail with `errc::operation_would_block` instead of waiting.
  result<std::size_t> try_read(mutable_buffer into) const noexcept;
  result<std::size_t> try_write(const_buffer from) const noexcept;
  /// Calls `call`, which makes a system call on the native handle and returns a `result`, if the
  /// stream is ready for it. A result of `errc::operation_would_block` clears the readiness.
  template <class Call>
  auto try_io(interest wanted, Call&& call) const {
    static_assert(
        requires { call().error(); }, "try_io needs a callable that returns a kioto::result");
    return detail::try_io_now(source_, wanted, std::forward<Call>(call));
  }

  /// Ends one direction, or both. A connection that is gone already is no error, nor is a second
  /// call.
  result<void> shutdown(shutdown_how how) const noexcept;

  [[nodiscard]] result<socket_address> local_address() const noexcept;
  [[nodiscard]] result<socket_address> peer_address() const noexcept;
  /// Small writes go out at once instead of being collected (TCP_NODELAY).
  result<void> set_nodelay(bool on) const noexcept { return detail::set_nodelay(source_.fd(), on); }
  [[nodiscard]] result<bool> nodelay() const noexcept { return detail::nodelay(source_.fd()); }
  /// See detail::set_linger: zero resets the connection at close.
  result<void> set_linger(std::optional<std::chrono::seconds> time) const noexcept {
    return detail::set_linger(source_.fd(), time);
  }
  template <detail::coarser_than_seconds Duration>
  result<void> set_linger(Duration time) const noexcept {
    return set_linger(detail::saturating_seconds(time));
  }
  [[nodiscard]] result<std::optional<std::chrono::seconds>> linger() const noexcept {
    return detail::linger(source_.fd());
  }
  result<void> set_ttl(std::uint32_t hops) const noexcept {
    return detail::set_ttl(source_.fd(), hops);
  }
  [[nodiscard]] result<std::uint32_t> ttl() const noexcept { return detail::ttl(source_.fd()); }
  /// The pending error of the socket (SO_ERROR), which is thereby taken; zero for none.
  [[nodiscard]] std::error_code take_error() const noexcept {
    return detail::take_socket_error(source_.fd());
  }

 private:
  friend class tcp_listener;
  friend class accept_operation;
  explicit tcp_stream(detail::io_source&& source) noexcept : source_(std::move(source)) {}

  static result<tcp_stream> adopt(detail::reactor& driver, detail::unique_fd fd) noexcept;

  detail::io_source source_;
};

}  // namespace kioto::net
