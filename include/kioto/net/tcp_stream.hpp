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
///   `errc::broken_pipe`, never SIGPIPE. In a child of fork() a stream that was created before
///   fails with `error::inherited_by_fork`, but may be destroyed, or moved to a runtime of the
///   child through `into_native` and `from_native`.
/// - Cancellation: at once. A cancelled operation has transferred nothing, except for `write_all`
///   and `read_exact`, which may have transferred a part: after that the stream can only be closed.
/// - In a select: withdrawn; bytes to be read stay in the socket, and nothing has been written.
///   `write_all` and `read_exact` are withdrawn, too, but what they had transferred before is
///   transferred.
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
  /// the blocking pool, and the addresses are tried in turn.
  ///
  /// - Result: the connected stream.
  /// - Errors: those of connect(2), e.g. `errc::connection_refused`; for text, also those of
  ///   `parse_host_port` and of the resolver; with several addresses, the error of the last one.
  ///   Throws std::logic_error outside of a runtime.
  /// - Cancellation: at once; the socket is closed. A lookup that is running continues on its own
  ///   in its thread.
  /// - In a select: withdrawn; the socket is closed.
  static task<result<tcp_stream>> connect(socket_address peer);
  static task<result<tcp_stream>> connect(std::string host_and_port);

  /// Takes over a connected descriptor, which becomes non-blocking. On an error the caller keeps
  /// the descriptor. Throws std::logic_error outside of a runtime.
  static result<tcp_stream> from_native(int fd);
  /// Releases the descriptor, which stays non-blocking. The stream is left as after a move.
  [[nodiscard]] int into_native() && noexcept { return source_.release().release(); }
  [[nodiscard]] int native_handle() const noexcept { return source_.fd(); }

  tcp_stream(tcp_stream&&) noexcept = default;
  tcp_stream& operator=(tcp_stream&&) noexcept = default;
  ~tcp_stream() = default;

  /// Reads what is available, at least one byte. Returns the number of bytes; 0 is the end of the
  /// stream.
  [[nodiscard]] auto read(mutable_buffer into) const noexcept {
    return detail::read_operation(source_, into);
  }
  /// Reads into several buffers in turn; at most 64 non-empty ones are used. The array of buffers
  /// must outlive the operation, too.
  [[nodiscard]] auto read_vectored(std::span<const mutable_buffer> into) const noexcept {
    return detail::read_vectored_operation(source_, into);
  }
  /// Fills the buffer; fails with `error::unexpected_eof` if the stream ends before. If it is
  /// cancelled, or withdrawn in a select, a part may have been read already.
  [[nodiscard]] auto read_exact(mutable_buffer into) const noexcept {
    return detail::read_exact_operation(source_, into);
  }
  /// Reads without removing the bytes from the socket.
  [[nodiscard]] auto peek(mutable_buffer into) const noexcept {
    return detail::peek_operation(source_, into);
  }
  /// Writes at least one byte, as many as the kernel accepts; returns their number.
  [[nodiscard]] auto write(const_buffer from) const noexcept {
    return detail::write_operation(source_, from);
  }
  [[nodiscard]] auto write_vectored(std::span<const const_buffer> from) const noexcept {
    return detail::write_vectored_operation(source_, from);
  }
  /// Writes the whole buffer. If it is cancelled, or withdrawn in a select, a part may have been
  /// written.
  [[nodiscard]] auto write_all(const_buffer from) const noexcept {
    return detail::write_all_operation(source_, from);
  }

  /// Wait for a hint that a read, or a write, would not block. The hint persists until a `try_`
  /// operation finds it wrong. In a select: withdrawn; the readiness is not consumed.
  [[nodiscard]] auto readable() const noexcept {
    return detail::readiness_operation<void>(source_, interest::readable());
  }
  [[nodiscard]] auto writable() const noexcept {
    return detail::readiness_operation<void>(source_, interest::writable());
  }
  /// Waits for any of several kinds of readiness; the result says which there are.
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

  /// Ends one direction, or both. A connection that is already closed is not an error, nor is a
  /// second call.
  result<void> shutdown(shutdown_how how) const noexcept;

  [[nodiscard]] result<socket_address> local_address() const noexcept;
  [[nodiscard]] result<socket_address> peer_address() const noexcept;
  /// Sends small writes at once instead of collecting them (TCP_NODELAY).
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
  /// Returns and clears the pending error of the socket (SO_ERROR); zero if there is none.
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
