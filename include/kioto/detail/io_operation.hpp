// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <system_error>
#include <type_traits>
#include <utility>

#include <kioto/detail/io_driver.hpp>
#include <kioto/detail/io_error.hpp>
#include <kioto/detail/io_source.hpp>
#include <kioto/detail/leaf_awaiter.hpp>

namespace kioto::detail {

/// The two names that POSIX has for it may be two errors.
[[nodiscard]] inline bool is_would_block(const std::error_code& error) noexcept {
  return error == std::errc::operation_would_block ||
         error == std::errc::resource_unavailable_try_again;
}

/// What one system call of an operation came to.
enum class io_step : std::uint8_t {
  done,         ///< the operation is complete, its result is stored
  would_block,  ///< nothing happened
  again_short,  ///< part of it is done; unless there is news, the next call would block
  done_short,   ///< complete; unless there is news, the next call would block
};

/// The loop that all operations on descriptors have in common: try the system call, wait for
/// readiness where it would block, try again. `Derived` has `io_step perform(int fd) noexcept`,
/// which makes one system call.
///
/// An operation that was asked to stop may still complete, if it needs not wait. One that stopped
/// has moved no byte, unless it says otherwise in its documentation.
template <class Derived>
class [[nodiscard]] io_operation : public leaf_awaiter<Derived>, private io_waiter {
 public:
  attempt try_or_wait() noexcept override {
    for (;;) {
      if (aborted_) [[unlikely]]
        return fail(io_error::cancelled());
      registration& r = source_->registration();
      const ready_event event = r.readiness(mask_);
      if (event.is_empty()) {
        const attempt waited = wait_for_readiness(r);
        if (waited != attempt::ready) return waited;
        continue;  // it came meanwhile
      }
      if (event.is_over()) [[unlikely]]
        return fail(event.is_closing() ? io_error::cancelled() : io_error(error::runtime_shutdown));
      set_ = event.set();
      switch (static_cast<Derived*>(this)->perform(source_->fd())) {
        case io_step::done_short:
          r.clear_after_short_io(event, direction_of_short());
          return attempt::ready;
        case io_step::done:
          return attempt::ready;
        case io_step::would_block:
          r.clear_readiness(event, wanted_);
          continue;
        case io_step::again_short:
          r.clear_after_short_io(event, direction_of_short());
          break;
      }
      // Every system call costs one unit of the budget, so that a long transfer lets others run.
      if (this->context_->must_stop()) return attempt::stopped;
      if (!this->context_->loop().try_charge()) return this->give_way();
    }
  }

  bool cancel() noexcept override {
    // Once fired for closing, the registration is not to be touched; but then it is not armed
    // either.
    return source_->registration().cancel_wait(*this);
  }

 protected:
  io_operation(const io_source& source, net::interest wanted) noexcept
      : io_waiter(&io_operation::fired), source_(&source), wanted_(wanted), mask_(wanted.mask()) {
    this->retries_ = true;
  }
  io_operation(io_operation&& other) noexcept
      : leaf_awaiter<Derived>(static_cast<leaf_awaiter<Derived>&&>(other)),
        io_waiter(&io_operation::fired),
        source_(other.source_),
        wanted_(other.wanted_),
        mask_(other.mask_) {}
  ~io_operation() = default;

  attempt fail(io_error error) noexcept {
    error_ = error;
    return attempt::ready;
  }
  io_step failed(io_error error) noexcept {
    if (error.is_would_block()) return io_step::would_block;
    error_ = error;
    return io_step::done;
  }
  [[nodiscard]] const io_source& source() const noexcept { return *source_; }
  [[nodiscard]] net::ready set() const noexcept { return set_; }

  io_error error_;

 private:
  // Out of line, to keep the way of an attempt that finds the descriptor ready short.
  KIOTO_NOINLINE attempt wait_for_readiness(registration& r) noexcept {
    return this->wait([&]() noexcept { return r.wait(*this, mask_).is_empty(); });
  }
  [[nodiscard]] direction direction_of_short() const noexcept {
    return wanted_.is_readable() ? direction::read : direction::write;
  }
  static void fired(io_waiter& waiter, wake_cause cause) noexcept {
    auto& self = static_cast<io_operation&>(waiter);
    if (cause == wake_cause::closing) self.aborted_ = true;
    complete(self);
  }

  const io_source* source_;
  net::interest wanted_;
  net::ready mask_;  ///< of `wanted_`
  net::ready set_;
  bool aborted_ = false;
};

/// Waits for readiness and takes nothing. `T` is `net::ready`, to learn which, or void.
template <class T>
class readiness_operation final : public io_operation<readiness_operation<T>> {
  using base = io_operation<readiness_operation>;

 public:
  readiness_operation(const io_source& source, net::interest wanted) noexcept
      : base(source, wanted) {}
  readiness_operation(readiness_operation&&) noexcept = default;

  static io_step perform(int) noexcept { return io_step::done; }
  result<T> await_resume() const noexcept {
    if (this->error_) return this->error_.code();
    if constexpr (std::is_void_v<T>)
      return {};
    else
      return this->set();
  }
};

/// A system call under the readiness of its descriptor, without waiting:
/// `errc::operation_would_block` if the descriptor is known not to be ready, or turns out not to
/// be.
template <class Call>
auto try_io_now(const io_source& source, net::interest wanted, Call&& call) -> decltype(call()) {
  registration& r = source.registration();
  const ready_event event = r.readiness(wanted.mask());
  if (event.is_shut_down()) return make_error_code(error::runtime_shutdown);
  if (event.is_empty()) return std::make_error_code(std::errc::operation_would_block);
  auto out = std::forward<Call>(call)();
  if (!out && is_would_block(out.error())) {
    r.clear_readiness(event, wanted);
    return std::make_error_code(std::errc::operation_would_block);
  }
  return out;
}

}  // namespace kioto::detail
