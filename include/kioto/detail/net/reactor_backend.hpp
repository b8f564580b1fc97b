// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <system_error>

#include <kioto/result.hpp>

namespace kioto::detail {

class registration;

/// The interface of the operating system that reports which descriptors are ready. Edge-triggered:
/// readiness is reported once when it arises, in both directions, and when the descriptor is added.
///
/// `add`, `remove` and `unpark` may be called by any thread at any time, `turn` by one at a time.
class reactor_backend {
 public:
  reactor_backend() = default;
  reactor_backend(const reactor_backend&) = delete;
  reactor_backend& operator=(const reactor_backend&) = delete;
  virtual ~reactor_backend() = default;

  /// From now on events of the descriptor are dispatched to `target`, in its current life.
  virtual std::error_code add(int fd, registration& target) noexcept = 0;
  /// No turn that begins afterwards touches the target. Fails if the number no longer refers to the
  /// file that was added; then events for the target may still come.
  virtual std::error_code remove(int fd) noexcept = 0;
  /// Waits for events, without a limit if there is no timeout, and dispatches at most `limit` of
  /// them, which is at least 1. Returns how many there were. May return early.
  virtual std::size_t turn(std::optional<std::chrono::nanoseconds> timeout,
                           std::size_t limit) noexcept = 0;
  /// Ends the turn in progress, or the next one.
  virtual void unpark() noexcept = 0;
  /// Called in a child of fork(): closes what it shares with the parent, and does nothing from then
  /// on.
  virtual void abandon() noexcept {}
  [[nodiscard]] virtual const char* name() const noexcept = 0;
};

/// Throws std::bad_alloc.
result<std::unique_ptr<reactor_backend>> make_epoll_backend();

}  // namespace kioto::detail
