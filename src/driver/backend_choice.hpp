// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <system_error>

#include <kioto/backend.hpp>
#include <kioto/result.hpp>

namespace kioto::detail {

class backend_choice {
 public:
  backend which = backend::epoll;  ///< never `automatic`
  std::string reason;              ///< for the metrics
};

/// The backend that was asked for. For `automatic` it is the one that `KIOTO_BACKEND` names, and if
/// that is unset, empty or "automatic", the one that suits the platform. It may not be in this
/// build: `reactor::create` knows.
///
/// Error: equals std::errc::invalid_argument, if `KIOTO_BACKEND` is none of these names; the
/// message says which ones this build has.
result<backend_choice> choose_backend(backend wanted);

/// Equals std::errc::not_supported; the message says which backends this build has.
std::error_code backend_not_in_build() noexcept;

}  // namespace kioto::detail
