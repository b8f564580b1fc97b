// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <kioto/abort_on_drop.hpp>
#include <kioto/blocking.hpp>
#include "net/resolve.hpp"

namespace kioto::detail {

using address_list = std::vector<net::socket_address>;

inline result<address_list> look_up(const std::string& host_and_port) {
  return resolve_blocking(host_and_port);
}

/// The addresses of a host and port: literals at once, names on the blocking pool. Cancellation
/// takes effect at once: a lookup that has not begun never does; one that has begun goes on in its
/// thread, with its own copy of the name, and its result is dropped.
inline task<result<address_list>> addresses_of(std::string host_and_port) {
  const auto parsed = parse_host_port(host_and_port);
  if (!parsed) co_return parsed.error();
  if (parsed->literal) co_return address_list{*parsed->literal};
  abort_on_drop lookup(spawn_blocking(&look_up, std::move(host_and_port)));
  auto joined = co_await std::move(lookup);
  co_return std::move(joined).value();
}

/// Makes a socket for the first address of a host and port for which that works. Of several
/// failures the last one is reported.
template <class Socket>
task<result<Socket>> at_first_that_works(std::string host_and_port,
                                         task<result<Socket>> (*make)(net::socket_address)) {
  const auto addresses = co_await addresses_of(std::move(host_and_port));
  if (!addresses) co_return addresses.error();
  std::error_code last;
  for (const net::socket_address& address : *addresses) {
    auto made = co_await make(address);
    if (made) co_return std::move(*made);
    last = made.error();
  }
  co_return last;
}

}  // namespace kioto::detail
