// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include <kioto/buffer.hpp>
#include <kioto/detail/net/io_operation.hpp>
#include <kioto/detail/net/socket.hpp>
#include <kioto/result.hpp>

namespace kioto::detail {

// The operations that transfer bytes of a stream differ in their system call, and in what a short
// count means. An operation without a byte to transfer completes at once.

inline bool is_nothing(const_buffer buffer) noexcept { return buffer.empty(); }
template <class Buffer>
bool is_nothing(std::span<const Buffer> parts) noexcept {
  return std::all_of(parts.begin(), parts.end(), [](const Buffer& part) { return part.empty(); });
}

constexpr net::interest interest_in(direction d) noexcept {
  return d == direction::read ? net::interest::readable() : net::interest::writable();
}

/// Whether the next call is known to block after a short count.
enum class after_short : std::uint8_t { unknown, blocks };

/// One successful call of `Move`. The result is the number of bytes; a read of 0 is the end of the
/// stream.
template <class Buffers, sys::io_result (*Move)(int, Buffers) noexcept, direction Way,
          after_short Short>
class transfer_operation final
    : public io_operation<transfer_operation<Buffers, Move, Way, Short>> {
  using base = io_operation<transfer_operation>;

 public:
  transfer_operation(const io_source& source, Buffers buffers) noexcept
      : base(source), buffers_(buffers) {}
  transfer_operation(transfer_operation&&) noexcept = default;

  [[gnu::always_inline]] attempt try_or_wait() noexcept override {
    return is_nothing(buffers_) ? attempt::ready : base::try_or_wait();
  }
  static constexpr net::interest wanted() noexcept { return interest_in(Way); }
  io_step perform(int fd, net::ready) noexcept {
    const sys::io_result moved = Move(fd, buffers_);
    if (!moved.ok()) return this->failed(io_error(moved.error));
    count_ = moved.count();
    if constexpr (Short == after_short::blocks)
      if (count_ != 0 && count_ < buffers_.size()) return io_step::done_short;
    return io_step::done;
  }
  result<std::size_t> await_resume() const noexcept {
    if (this->error_) return this->error_.code();
    return count_;
  }

 private:
  Buffers buffers_;
  std::size_t count_ = 0;
};

/// As many calls of `Move` as it takes to transfer the whole buffer. `AtZero` is the error if a
/// call transfers nothing.
template <class Buffer, sys::io_result (*Move)(int, Buffer) noexcept, direction Way, error AtZero>
class transfer_all_operation final
    : public io_operation<transfer_all_operation<Buffer, Move, Way, AtZero>> {
  using base = io_operation<transfer_all_operation>;

 public:
  transfer_all_operation(const io_source& source, Buffer buffer) noexcept
      : base(source), rest_(buffer) {}
  transfer_all_operation(transfer_all_operation&&) noexcept = default;

  [[gnu::always_inline]] attempt try_or_wait() noexcept override {
    return is_nothing(rest_) ? attempt::ready : base::try_or_wait();
  }
  static constexpr net::interest wanted() noexcept { return interest_in(Way); }
  io_step perform(int fd, net::ready) noexcept {
    const sys::io_result moved = Move(fd, rest_);
    if (!moved.ok()) return this->failed(io_error(moved.error));
    if (moved.count() == rest_.size()) [[likely]]  // which is not 0, see try_or_wait()
      return io_step::done;
    if (moved.count() == 0) return this->failed(io_error(AtZero));
    rest_ = rest_.skip(moved.count());
    return io_step::again_short;
  }
  result<void> await_resume() const noexcept {
    if (this->error_) return this->error_.code();
    return {};
  }

 private:
  Buffer rest_;
};

using mutable_parts = std::span<const mutable_buffer>;
using const_parts = std::span<const const_buffer>;

using read_operation =
    transfer_operation<mutable_buffer, &recv, direction::read, after_short::blocks>;
using peek_operation =
    transfer_operation<mutable_buffer, &peek, direction::read, after_short::unknown>;
using read_vectored_operation =
    transfer_operation<mutable_parts, &readv, direction::read, after_short::unknown>;
using read_exact_operation =
    transfer_all_operation<mutable_buffer, &recv, direction::read, error::unexpected_eof>;
using write_operation =
    transfer_operation<const_buffer, &send, direction::write, after_short::blocks>;
using write_vectored_operation =
    transfer_operation<const_parts, &writev, direction::write, after_short::unknown>;
using write_all_operation =
    transfer_all_operation<const_buffer, &send, direction::write, error::write_zero>;

}  // namespace kioto::detail
