// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <vector>

#include <kioto/backend.hpp>
#include <kioto/config.hpp>
#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/net/reactor_backend.hpp>
#include <kioto/detail/net/registration.hpp>
#include <kioto/detail/task/fork.hpp>
#include <kioto/result.hpp>

namespace kioto::detail {

class reactor;
using reactor_pointer = std::shared_ptr<reactor>;

struct driver_set_tag {};

/// A registration in its reactor. Keeps the reactor alive until it is removed from it.
class alignas(cache_line) registration : public basic_registration<std_sync>,
                                         public list_node<driver_set_tag> {
 public:
  registration(reactor_pointer driver, net::ready initial) noexcept
      : basic_registration(initial), driver_(std::move(driver)) {}

  // Allocated from the frame pool: a registration is as short-lived as the task that reads from it,
  // and the general allocator needs some 80 bytes more for an aligned object.
  static void* operator new(std::size_t bytes, std::align_val_t alignment,
                            const std::nothrow_t&) noexcept;
  KIOTO_NOINLINE static void operator delete(void* memory, std::size_t bytes,
                                             std::align_val_t alignment) noexcept;

  /// Valid until the registration is removed.
  [[nodiscard]] reactor& driver() const noexcept { return *driver_; }

  /// The value that the backend stores for the current life of this registration.
  [[nodiscard]] std::uint64_t token() const noexcept {
    return reinterpret_cast<std::uintptr_t>(this) | life();
  }
  /// The registration of a token; null if the token is of an earlier life.
  [[nodiscard]] static registration* of_token(std::uint64_t token) noexcept {
    auto* const which = reinterpret_cast<registration*>(token & ~std::uint64_t{last_life});
    return which->life() == (token & last_life) ? which : nullptr;
  }

 private:
  friend class reactor;
  // The life is encoded in the bits of the address that the alignment leaves free.
  static constexpr std::uint8_t last_life = cache_line - 1;

  reactor_pointer driver_;
  std::atomic<bool> displaced_{false};  ///< another descriptor now has its number
  bool is_haunted_ = false;  ///< guarded by its mutex: events of an earlier life may come
};

struct io_metrics {
  std::uint64_t registered = 0;
  std::uint64_t deregistered = 0;
  std::uint64_t ready_events = 0;
};

/// The reactor of a runtime: owns the registrations and the backend that feeds them.
///
/// The token that the backend stores is the address of the registration, combined with its life.
/// Lifetime: a registration that was removed is freed at the beginning of a turn, or with the
/// reactor, and turns never overlap; so no turn accesses a freed one (D1). At most 16 of them
/// accumulate before a sleeping turn is ended.
///
/// A descriptor that was closed without deregistering it may live on in a duplicate, and the
/// backend may still report events for it. If the backend cannot remove it, because its number is
/// closed or belongs to another file, the registration is not freed (D2): it is reused for the next
/// descriptor that is registered, and begins another life, which the token encodes. After 64 lives
/// it is kept unused. If the number was registered for another file meanwhile, removing it would
/// remove that file: so the reactor records which registration has a number, and does not remove it
/// then (D3).
///
/// A child of fork() shares the backend's set with its parent, and may find the mutex locked for
/// ever: for an inherited reactor nothing is done, and what was registered stays (D4).
///
/// Thread safety: `turn()` is called by one thread at a time, everything else by any.
class reactor : public std::enable_shared_from_this<reactor> {
 public:
  /// Creates a reactor with the given backend, or with the one that suits the platform. Throws
  /// std::bad_alloc.
  ///
  /// Errors: one that equals std::errc::not_supported for a backend that is not in this build, and
  /// those of the system.
  static result<reactor_pointer> create(kioto::backend which = kioto::backend::automatic);
  explicit reactor(std::unique_ptr<reactor_backend> backend) noexcept;
  ~reactor();

  /// Registers a descriptor, which starts with the readiness `initial`. Errors: those of the
  /// system, `errc::not_enough_memory`, and `error::runtime_shutdown` after shutdown.
  result<registration*> add(int fd, net::ready initial) noexcept;
  /// Ends a registration, before its descriptor is closed. Operations in flight end with
  /// `errc::operation_canceled`. Returns false if the descriptor was already closed by other code,
  /// and the number may belong to another file; then it must not be closed.
  static bool remove(registration& which, int fd) noexcept;

  /// The maximum number of events of one turn. More would wait in the queue of one thread, which
  /// may be preempted; in the kernel they are available to any thread.
  static constexpr std::size_t max_events = 64;

  /// Waits for events and dispatches at most `limit` of them, which is at least 1; the others stay
  /// for the next turn.
  void turn(std::optional<std::chrono::nanoseconds> timeout,
            std::size_t limit = std::numeric_limits<std::size_t>::max()) noexcept;
  void unpark() noexcept { backend_->unpark(); }

  /// Every operation in flight, and every later one, ends with `error::runtime_shutdown`.
  /// Idempotent.
  void shutdown() noexcept;

  /// Returns true if this is a child of fork(), and the reactor belongs to the parent.
  [[nodiscard]] bool is_inherited() const noexcept { return process_.is_inherited(); }
  /// Called in a child that inherited it: closes its descriptors.
  void abandon() noexcept { backend_->abandon(); }

  [[nodiscard]] const char* backend_name() const noexcept { return backend_->name(); }
  [[nodiscard]] io_metrics metrics() const noexcept;

 private:
  static constexpr std::size_t max_pending = 16;
  using registration_list = intrusive_list<registration, driver_set_tag>;

  void free_pending() noexcept;
  [[nodiscard]] registration* make(net::ready initial) noexcept;
  [[nodiscard]] bool note_number(int fd, registration& which) noexcept;
  void take_number(int fd, registration& which) noexcept;
  static void free_all(registration_list& list) noexcept;

  const process_mark process_;
  std::unique_ptr<reactor_backend> backend_;
  mutable std::mutex mutex_;
  // Guarded by the mutex.
  registration_list live_;
  registration_list ended_;             ///< shut down, not removed yet
  registration_list pending_;           ///< removed, not freed yet
  registration_list haunted_;           ///< like pending, but events may still come (D2)
  registration_list worn_out_;          ///< the same, after the last life
  std::vector<registration*> holders_;  ///< the registration that has each number, or null
  bool shut_down_ = false;
  unsigned walks_ = 0;  ///< in progress without the mutex: nothing is freed
  std::uint64_t registered_ = 0;
  std::uint64_t deregistered_ = 0;
  std::atomic<std::size_t> pending_count_{0};  ///< written under the mutex, also read without it
  std::atomic<bool> has_haunted_{false};       ///< the same
  std::atomic<std::uint64_t> ready_events_{0};
};

/// The reactor of the runtime that the calling thread is in. Throws std::logic_error, naming
/// `what`, outside of a runtime.
reactor& current_reactor(const char* what);

}  // namespace kioto::detail
