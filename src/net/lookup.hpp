// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <kioto/blocking.hpp>
#include <kioto/net/resolve.hpp>

namespace kioto::detail {

using address_list = std::vector<net::socket_address>;

inline result<address_list> look_up(const std::string& host_and_port) {
  return resolve_blocking(host_and_port);
}

/// The addresses of a host and port: literals at once, names on the blocking pool. Cancelled at
/// once; the thread then goes on alone, with its own copy of the name.
inline task<result<address_list>> addresses_of(std::string host_and_port) {
  const auto parsed = parse_host_port(host_and_port);
  if (!parsed) co_return parsed.error();
  if (parsed->literal) co_return address_list{*parsed->literal};
  auto lookup = spawn_blocking(&look_up, std::move(host_and_port));
  auto joined = co_await std::move(lookup);
  co_return std::move(joined).value();
}

}  // namespace kioto::detail
