// SPDX-License-Identifier: MIT
#pragma once

// The operations on an mpsc channel. See kioto/sync/mpsc.hpp.

#include <cstddef>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include <kioto/detail/sync/mpsc_core.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>
#include <kioto/result.hpp>
#include <kioto/sync/send_result.hpp>

namespace kioto {

namespace sync::mpsc {
template <class T>
class permit;
template <class T>
class owned_permit;
template <class T>
class sender;
}  // namespace sync::mpsc

namespace detail {

template <class T, bool Bounded>
using mpsc_core = basic_mpsc_core<std_sync, message<T>, leaf_operation, Bounded>;

/// Passkey: only the library can construct the handles of a channel.
struct mpsc_access {};

[[nodiscard]] std::error_code mpsc_error(mpsc_outcome what) noexcept;
[[noreturn]] void throw_used_up_permit();
[[noreturn]] void throw_no_memory();

/// The result of sending a message, which the sender still holds if it was not sent.
template <class T>
sync::send_result<T> mpsc_sent(mpsc_outcome what, message<T>& m) {
  if (what == mpsc_outcome::done) [[likely]]
    return {};
  return {mpsc_error(what), take_value<T>(std::move(m))};
}

template <class T, bool Bounded>
class [[nodiscard]] mpsc_recv final : public leaf_awaiter<mpsc_recv<T, Bounded>> {
 public:
  static constexpr standing stands = standing::always;

  explicit mpsc_recv(mpsc_core<T, Bounded>& core) noexcept : core_(&core) {}
  mpsc_recv(mpsc_recv&&) noexcept = default;

  attempt try_or_wait() noexcept override {
    if (core_->front() != nullptr) [[likely]]
      return attempt::ready;
    return wait_for_message();
  }
  bool cancel() noexcept override { return core_->cancel_receiver(*this); }
  bool withdraw() noexcept override { return true; }  // the message is still in the channel
  // Taken here and not earlier, so that a value stays in the channel if the receiving task is not
  // resumed.
  std::optional<T> await_resume() {
    if (core_->front() == nullptr) return std::nullopt;
    return take_value<T>(core_->pop());
  }

 private:
  KIOTO_NOINLINE attempt wait_for_message() noexcept {
    return this->wait([this]() noexcept { return core_->wait_receiver(*this); });
  }

  mpsc_core<T, Bounded>* core_;
};

template <class T, bool Bounded>
class [[nodiscard]] mpsc_recv_many final : public leaf_awaiter<mpsc_recv_many<T, Bounded>> {
 public:
  mpsc_recv_many(mpsc_core<T, Bounded>& core, std::vector<T>& to, std::size_t limit) noexcept
      : core_(&core), to_(&to), limit_(limit) {}
  mpsc_recv_many(mpsc_recv_many&&) noexcept = default;

  attempt try_or_wait() noexcept override {
    if (limit_ == 0 || core_->front() != nullptr) return attempt::ready;
    return this->wait([this]() noexcept { return core_->wait_receiver(*this); });
  }
  bool cancel() noexcept override { return core_->cancel_receiver(*this); }
  bool withdraw() noexcept override { return true; }  // the message is still in the channel
  std::size_t await_resume() {
    std::size_t n = 0;
    for (; n != limit_ && core_->front() != nullptr; ++n) {
      // Reserve first, so that a value that cannot be stored stays in the channel.
      if (to_->size() == to_->capacity()) to_->reserve(2 * to_->size() + 4);
      to_->push_back(take_value<T>(core_->pop()));
    }
    return n;
  }

 private:
  mpsc_core<T, Bounded>* core_;
  std::vector<T>* to_;
  std::size_t limit_;
};

template <class T, bool Bounded>
class [[nodiscard]] mpsc_closed final : public leaf_awaiter<mpsc_closed<T, Bounded>> {
 public:
  explicit mpsc_closed(mpsc_core<T, Bounded>& core) noexcept : core_(&core), waiter_(*this) {}
  mpsc_closed(mpsc_closed&& other) noexcept
      : leaf_awaiter<mpsc_closed>(static_cast<leaf_awaiter<mpsc_closed>&&>(other)),
        core_(other.core_),
        waiter_(*this) {}

  attempt try_or_wait() noexcept override {
    if (core_->is_closed()) return attempt::ready;
    return this->wait([this]() noexcept { return core_->wait_for_close(waiter_); });
  }
  bool cancel() noexcept override { return core_->cancel_wait_for_close(waiter_); }
  bool withdraw() noexcept override { return true; }
  static void await_resume() noexcept {}

 private:
  mpsc_core<T, Bounded>* core_;
  typename mpsc_core<T, Bounded>::waiter waiter_;
};

/// The common part of the operations that wait for room.
template <class T, class Derived>
class mpsc_room : public leaf_awaiter<Derived> {
 public:
  bool cancel() noexcept final { return core_->cancel_wait_for_room(waiter_); }

 protected:
  mpsc_room(mpsc_core<T, true>& core, std::size_t wanted) noexcept : core_(&core), waiter_(*this) {
    waiter_.wanted = wanted;
  }
  mpsc_room(mpsc_room&& other) noexcept
      : leaf_awaiter<Derived>(static_cast<leaf_awaiter<Derived>&&>(other)),
        core_(other.core_),
        waiter_(*this) {
    waiter_.wanted = other.waiter_.wanted;
  }
  ~mpsc_room() = default;

  /// Tries `Derived::now()`; if there is no room, waits for it.
  attempt acquire() noexcept {
    waiter_.result = static_cast<Derived*>(this)->now();
    if (waiter_.result != mpsc_outcome::full) [[likely]]
      return attempt::ready;
    return acquire_later();
  }

  mpsc_core<T, true>* core_;
  typename mpsc_core<T, true>::waiter waiter_;

 private:
  KIOTO_NOINLINE attempt acquire_later() noexcept {
    static_cast<Derived*>(this)->before_waiting();
    for (;;) {
      const attempt waited =
          this->wait([this]() noexcept { return core_->wait_for_room(waiter_); });
      if (waited != attempt::ready || waiter_.result != mpsc_outcome::full) return waited;
      waiter_.result = static_cast<Derived*>(this)->now();
      if (waiter_.result != mpsc_outcome::full) return attempt::ready;
    }
  }
};

template <class T>
class [[nodiscard]] mpsc_send final : public mpsc_room<T, mpsc_send<T>> {
 public:
  mpsc_send(mpsc_core<T, true>& core, T&& value)
      : mpsc_room<T, mpsc_send>(core, 1), message_(std::move(value)) {}
  mpsc_send(mpsc_send&&) noexcept = default;

  ~mpsc_send() { give_back(); }

  attempt try_or_wait() noexcept override { return this->acquire(); }
  mpsc_outcome now() noexcept {
    waits_for_room_ = false;  // if this succeeds, the message is sent
    return this->core_->push(message_, false);
  }
  // The thread that grants the room also sends the message, which saves the sender a lock
  // round-trip. But a sent message cannot be withdrawn, and a branch may have to be: it is only
  // granted the room, and sends when it runs.
  void before_waiting() noexcept {
    const bool may_be_withdrawn = this->strand_->kind_ == strand_kind::branch;
    this->waiter_.message = may_be_withdrawn ? nullptr : &message_;
    waits_for_room_ = may_be_withdrawn;
  }
  bool withdraw() noexcept override {
    if (!waits_for_room_) return false;
    give_back();
    return true;
  }
  sync::send_result<T> await_resume() {
    mpsc_outcome& what = this->waiter_.result;
    if (has_room()) {
      what = this->core_->push(message_, true);
      if (what != mpsc_outcome::done) this->core_->give_back(1);
      waits_for_room_ = false;
    }
    return mpsc_sent<T>(what, message_);
  }

 private:
  [[nodiscard]] bool has_room() const noexcept {
    return waits_for_room_ && this->waiter_.result == mpsc_outcome::done;
  }
  void give_back() noexcept {
    if (has_room()) this->core_->give_back(1);
    this->waiter_.result = mpsc_outcome::full;
  }

  message<T> message_;
  bool waits_for_room_ = false;  ///< it waits for the room alone, and sends when it runs
};

/// Acquires room for several messages, and gives it back unless it is taken.
template <class T, class Derived>
class mpsc_acquire : public mpsc_room<T, Derived> {
 public:
  attempt try_or_wait() noexcept override {
    if (this->waiter_.wanted > this->core_->max_capacity()) return attempt::ready;
    return this->acquire();
  }
  mpsc_outcome now() noexcept { return this->core_->try_acquire(this->waiter_.wanted); }
  static void before_waiting() noexcept {}
  bool withdraw() noexcept override {
    give_back();
    return true;
  }

 protected:
  using mpsc_room<T, Derived>::mpsc_room;
  mpsc_acquire(mpsc_acquire&&) noexcept = default;
  ~mpsc_acquire() { give_back(); }

  void give_back() noexcept {
    if (std::exchange(this->waiter_.result, mpsc_outcome::full) == mpsc_outcome::done)
      this->core_->give_back(this->waiter_.wanted);
  }
  /// Passes what was acquired to the caller, unless it returns an error.
  [[nodiscard]] std::error_code take() noexcept {
    if (this->waiter_.wanted > this->core_->max_capacity())
      return std::make_error_code(std::errc::invalid_argument);
    const mpsc_outcome what = std::exchange(this->waiter_.result, mpsc_outcome::full);
    return what == mpsc_outcome::done ? std::error_code() : mpsc_error(what);
  }
};

template <class T>
class [[nodiscard]] mpsc_reserve final : public mpsc_acquire<T, mpsc_reserve<T>> {
 public:
  mpsc_reserve(mpsc_core<T, true>& core, std::size_t wanted) noexcept
      : mpsc_acquire<T, mpsc_reserve>(core, wanted) {}
  mpsc_reserve(mpsc_reserve&&) noexcept = default;

  result<sync::mpsc::permit<T>> await_resume() noexcept {
    if (const auto failed = this->take()) return failed;
    return sync::mpsc::permit<T>(mpsc_access(), *this->core_, this->waiter_.wanted);
  }
};

template <class T>
class [[nodiscard]] mpsc_reserve_owned final : public mpsc_acquire<T, mpsc_reserve_owned<T>> {
 public:
  mpsc_reserve_owned(mpsc_core<T, true>& core, sync::mpsc::sender<T> from) noexcept
      : mpsc_acquire<T, mpsc_reserve_owned>(core, 1), from_(std::move(from)) {}
  mpsc_reserve_owned(mpsc_reserve_owned&&) noexcept = default;
  ~mpsc_reserve_owned() { this->give_back(); }  // while `from_` keeps the channel alive

  result<sync::mpsc::owned_permit<T>> await_resume() noexcept {
    if (const auto failed = this->take()) return failed;
    return sync::mpsc::owned_permit<T>(mpsc_access(), std::move(from_));
  }

 private:
  sync::mpsc::sender<T> from_;
};

}  // namespace detail
}  // namespace kioto
