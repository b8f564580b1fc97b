// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>
#include <cstdint>
#include <kioto/net/socket_address.hpp>
#include <kioto/result.hpp>

namespace kioto::detail {

/// A socket address in the form of the system, with its size. Private to the library's sources.
class native_address {
 public:
  /// Empty, as large as possible: to be filled in by accept, getsockname and the like.
  native_address() noexcept;
  explicit native_address(const net::socket_address& address) noexcept;

  [[nodiscard]] const ::sockaddr* data() const noexcept {
    return reinterpret_cast<const ::sockaddr*>(&storage_);
  }
  [[nodiscard]] ::sockaddr* data() noexcept { return reinterpret_cast<::sockaddr*>(&storage_); }
  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint32_t* size_pointer() noexcept { return &size_; }

  /// errc::address_family_not_supported when it is neither AF_INET nor AF_INET6.
  [[nodiscard]] result<net::socket_address> to_socket_address() const noexcept;

 private:
  // Room for AF_INET and AF_INET6, and for recognising everything else by its family.
  alignas(8) unsigned char storage_[32];
  std::uint32_t size_;
};

result<net::socket_address> from_sockaddr(const ::sockaddr* address, std::uint32_t size) noexcept;

}  // namespace kioto::detail
