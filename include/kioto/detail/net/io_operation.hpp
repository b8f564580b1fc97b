// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <new>
#include <system_error>
#include <type_traits>
#include <utility>

#include <kioto/detail/net/io_error.hpp>
#include <kioto/detail/net/io_source.hpp>
#include <kioto/detail/net/reactor.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>

namespace kioto::detail {

/// POSIX has two names for this condition, which may have different values.
[[nodiscard]] inline bool is_would_block(const std::error_code& error) noexcept {
  return error == std::errc::operation_would_block ||
         error == std::errc::resource_unavailable_try_again;
}

/// The outcome of one system call of an operation.
enum class io_step : std::uint8_t {
  done,         ///< the operation is complete, its result is stored
  would_block,  ///< nothing happened
  again_short,  ///< partially done; without a new event, the next call would block
  done_short,   ///< complete; without a new event, the next call would block
};

/// The common loop of all operations on descriptors: try the system call, wait for readiness if it
/// would block, try again. `Derived` has
/// - `net::interest wanted()`: what it waits for;
/// - `io_step perform(int fd, net::ready found) noexcept`, which makes one system call.
///
/// An operation that was asked to stop may still complete if it need not wait. One that stopped has
/// transferred nothing, unless its documentation says otherwise.
template <class Derived>
class [[nodiscard]] io_operation : public leaf_awaiter<Derived> {
 public:
  [[gnu::always_inline]] attempt try_or_wait() noexcept override {
    if (is_forked_child() && source_->registration().driver().is_inherited()) [[unlikely]]
      return fail(io_error(error::inherited_by_fork));
    for (;;) {
      registration& r = source_->registration();
      const ready_event event = r.readiness(self().wanted().mask());
      if (event.is_empty()) {
        const attempt waited = wait_for_readiness(r);
        if (waited != attempt::ready || error_) return waited;
        continue;  // readiness came meanwhile
      }
      if (event.is_over()) [[unlikely]]
        return fail(event.is_closing() ? io_error::cancelled() : io_error(error::runtime_shutdown));
      switch (self().perform(source_->fd(), event.set())) {
        case io_step::done_short:
          r.clear_after_short_io(event, direction_of_short());
          return attempt::ready;
        case io_step::done:
          return attempt::ready;
        case io_step::would_block:
          r.clear_readiness(event, self().wanted());
          continue;
        case io_step::again_short:
          r.clear_after_short_io(event, direction_of_short());
          break;
      }
      // Every system call costs one unit of the budget, so that a long transfer yields to other
      // tasks.
      if (this->strand_->must_stop()) return attempt::stopped;
      if (!this->strand_->loop().try_charge()) return this->give_way();
    }
  }

  bool cancel() noexcept override {
    // Once fired for closing, the registration must not be touched; but then this operation is not
    // armed, and `cancel()` is not called.
    return source_->registration().cancel_wait(waiter_);
  }
  // Readiness is a hint, and every waiter for it is woken, so nothing has to be passed on.
  bool withdraw() noexcept override { return true; }

 protected:
  explicit io_operation(const io_source& source) noexcept : source_(&source) {
    this->retries_ = true;
  }
  io_operation(io_operation&& other) noexcept
      : leaf_awaiter<Derived>(static_cast<leaf_awaiter<Derived>&&>(other)),
        source_(other.source_) {}
  // Does not destroy the waiter: its destructor is trivial in effect, and most often it was never
  // constructed.
  ~io_operation() {}

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

  io_error error_;

 private:
  struct waiter : io_waiter {
    explicit waiter(io_operation& of) noexcept : io_waiter(&io_operation::fired), operation(of) {}
    io_operation& operation;
  };

  [[nodiscard]] Derived& self() noexcept { return static_cast<Derived&>(*this); }

  // Out of line, to keep the path of an attempt that finds the descriptor ready short.
  KIOTO_NOINLINE attempt wait_for_readiness(registration& r) noexcept {
    // A pending stop is detected when the operation is armed.
    return this->hand_over([&]() noexcept {
      ::new (static_cast<void*>(&waiter_)) waiter(*this);
      return r.wait(waiter_, self().wanted().mask()).is_empty();
    });
  }
  [[nodiscard]] direction direction_of_short() noexcept {
    return self().wanted().is_readable() ? direction::read : direction::write;
  }
  static void fired(io_waiter& fired, wake_cause cause) noexcept {
    io_operation& self = static_cast<waiter&>(fired).operation;
    if (cause == wake_cause::closing) [[unlikely]] {
      self.error_ = io_error::cancelled();
      self.retries_ = false;  // the registration must not be touched again
    }
    complete(self);
  }

  const io_source* source_;
  // Constructed whenever it waits: most attempts find the descriptor ready, and need no waiter.
  union {
    waiter waiter_;
  };
};

/// Waits for readiness without consuming it. `T` is `net::ready`, to report which, or void.
template <class T>
class readiness_operation final : public io_operation<readiness_operation<T>> {
  using base = io_operation<readiness_operation>;

 public:
  readiness_operation(const io_source& source, net::interest wanted) noexcept
      : base(source), wanted_(wanted) {}
  readiness_operation(readiness_operation&&) noexcept = default;

  [[nodiscard]] net::interest wanted() const noexcept { return wanted_; }
  io_step perform(int, net::ready found) noexcept {
    found_ = found;
    return io_step::done;
  }
  result<T> await_resume() const noexcept {
    if (this->error_) return this->error_.code();
    if constexpr (std::is_void_v<T>)
      return {};
    else
      return found_;
  }

 private:
  net::interest wanted_;
  net::ready found_;
};

/// Makes a system call if its descriptor is ready, without waiting; fails with
/// `errc::operation_would_block` if the descriptor is known not to be ready, or turns out not to
/// be.
template <class Call>
auto try_io_now(const io_source& source, net::interest wanted, Call&& call) -> decltype(call()) {
  registration& r = source.registration();
  if (is_forked_child() && r.driver().is_inherited()) [[unlikely]]
    return make_error_code(error::inherited_by_fork);
  const ready_event event = r.readiness(wanted.mask());
  if (event.is_over()) [[unlikely]]
    return event.is_closing() ? std::make_error_code(std::errc::operation_canceled)
                              : make_error_code(error::runtime_shutdown);
  if (event.is_empty()) return std::make_error_code(std::errc::operation_would_block);
  auto out = std::forward<Call>(call)();
  if (!out && is_would_block(out.error())) {
    r.clear_readiness(event, wanted);
    return std::make_error_code(std::errc::operation_would_block);
  }
  return out;
}

}  // namespace kioto::detail
