// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace kioto::net {

/// The readiness of a descriptor as last reported by the operating system. Always a hint: another
/// task may have consumed the readiness, so the next system call may still have to block.
class ready {
 public:
  constexpr ready() noexcept = default;

  static constexpr ready readable() noexcept { return ready(1); }
  static constexpr ready writable() noexcept { return ready(2); }
  /// The peer will send nothing more, or the connection is closed.
  static constexpr ready read_closed() noexcept { return ready(4); }
  /// Nothing more can be sent.
  static constexpr ready write_closed() noexcept { return ready(8); }
  /// Out-of-band data.
  static constexpr ready priority() noexcept { return ready(16); }
  static constexpr ready error() noexcept { return ready(32); }
  static constexpr ready none() noexcept { return ready(); }
  static constexpr ready all() noexcept { return ready(63); }

  [[nodiscard]] constexpr bool is_empty() const noexcept { return bits_ == 0; }
  /// A read would not block: there are bytes, or the end of the stream.
  [[nodiscard]] constexpr bool is_readable() const noexcept { return (bits_ & (1 | 4)) != 0; }
  [[nodiscard]] constexpr bool is_writable() const noexcept { return (bits_ & (2 | 8)) != 0; }
  [[nodiscard]] constexpr bool is_read_closed() const noexcept { return (bits_ & 4) != 0; }
  [[nodiscard]] constexpr bool is_write_closed() const noexcept { return (bits_ & 8) != 0; }
  [[nodiscard]] constexpr bool is_priority() const noexcept { return (bits_ & 16) != 0; }
  [[nodiscard]] constexpr bool is_error() const noexcept { return (bits_ & 32) != 0; }

  /// The bits, for storage in a larger word. Only the lowest six are used.
  [[nodiscard]] constexpr std::uint32_t bits() const noexcept { return bits_; }
  static constexpr ready from_bits(std::uint32_t bits) noexcept {
    return ready(static_cast<std::uint8_t>(bits & 63));
  }

  friend constexpr ready operator|(ready a, ready b) noexcept {
    return ready(static_cast<std::uint8_t>(a.bits_ | b.bits_));
  }
  friend constexpr ready operator&(ready a, ready b) noexcept {
    return ready(static_cast<std::uint8_t>(a.bits_ & b.bits_));
  }
  constexpr ready& operator|=(ready other) noexcept { return *this = *this | other; }
  friend constexpr bool operator==(ready, ready) noexcept = default;

 private:
  constexpr explicit ready(std::uint8_t bits) noexcept : bits_(bits) {}

  std::uint8_t bits_ = 0;
};

/// The kinds of readiness to wait for. Interests combine with `|`; there is at least one.
class interest {
 public:
  static constexpr interest readable() noexcept { return interest(1); }
  static constexpr interest writable() noexcept { return interest(2); }
  static constexpr interest priority() noexcept { return interest(4); }
  static constexpr interest error() noexcept { return interest(8); }

  [[nodiscard]] constexpr bool is_readable() const noexcept { return (bits_ & 1) != 0; }
  [[nodiscard]] constexpr bool is_writable() const noexcept { return (bits_ & 2) != 0; }
  [[nodiscard]] constexpr bool is_priority() const noexcept { return (bits_ & 4) != 0; }
  [[nodiscard]] constexpr bool is_error() const noexcept { return (bits_ & 8) != 0; }

  /// The readiness that satisfies this interest: a closed direction satisfies interest in that
  /// direction. The mask of a union is the union of the masks.
  [[nodiscard]] constexpr ready mask() const noexcept {
    ready out;
    if (is_readable()) out |= ready::readable() | ready::read_closed();
    if (is_writable()) out |= ready::writable() | ready::write_closed();
    if (is_priority()) out |= ready::priority() | ready::read_closed();
    if (is_error()) out |= ready::error();
    return out;
  }

  friend constexpr interest operator|(interest a, interest b) noexcept {
    return interest(static_cast<std::uint8_t>(a.bits_ | b.bits_));
  }
  friend constexpr bool operator==(interest, interest) noexcept = default;

 private:
  constexpr explicit interest(std::uint8_t bits) noexcept : bits_(bits) {}

  std::uint8_t bits_;
};

}  // namespace kioto::net
