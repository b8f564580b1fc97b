// SPDX-License-Identifier: MIT
#pragma once

#include <pthread.h>

#include <functional>
#include <system_error>
#include <utility>

namespace kioto::detail {

class runtime_core;

/// A thread of a runtime: with its name, stack size and hooks. It keeps the core alive.
class os_thread {
 public:
  os_thread() noexcept = default;
  os_thread(os_thread&& other) noexcept
      : id_(other.id_), joinable_(std::exchange(other.joinable_, false)) {}
  os_thread& operator=(os_thread&&) = delete;
  ~os_thread() { join(); }

  /// Whether the user's hooks are called for the thread.
  enum class hooks : bool { silent, called };

  std::error_code start(runtime_core& core, std::function<void()> body, hooks mode = hooks::called);
  /// A thread that would join itself is detached instead.
  void join() noexcept;
  void detach() noexcept;

 private:
  pthread_t id_{};
  bool joinable_ = false;
};

}  // namespace kioto::detail
