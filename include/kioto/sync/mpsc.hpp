// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <limits>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include <kioto/detail/base/count.hpp>
#include <kioto/detail/sync/mpsc_operation.hpp>
#include <kioto/detail/task/thread_wait.hpp>
#include <kioto/result.hpp>
#include <kioto/sync/send_result.hpp>
#include <kioto/task.hpp>
#include <kioto/timeout.hpp>

namespace kioto {

namespace sync::mpsc {
template <class T>
class weak_sender;
template <class T>
class unbounded_sender;
template <class T>
class weak_unbounded_sender;
}  // namespace sync::mpsc

namespace detail {

/// The common part of the senders of both kinds of channels. Copies send into the same channel.
template <class T, bool Bounded>
class mpsc_sender {
 public:
  mpsc_sender(mpsc_access, mpsc_core<T, Bounded>& core) noexcept : core_(&core) {}
  mpsc_sender(const mpsc_sender& other) noexcept : core_(other.core_) {
    if (core_ != nullptr) core_->add_sender();
  }
  mpsc_sender(mpsc_sender&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
  mpsc_sender& operator=(mpsc_sender other) noexcept {
    std::swap(core_, other.core_);
    return *this;
  }
  ~mpsc_sender() {
    if (core_ != nullptr) core_->drop_sender();
  }

  /// Waits until the receiver is closed or destroyed.
  ///
  /// - Result: none.
  /// - Errors: none.
  /// - Cancellation: at once.
  /// - In a select: withdrawn; nothing is lost.
  /// - Lifetime: this sender outlives the wait.
  /// - Thread safety: any thread; any number may wait.
  [[nodiscard]] mpsc_closed<T, Bounded> closed() const noexcept {
    return mpsc_closed<T, Bounded>(*core_);
  }
  /// Returns true if the receiver is closed or destroyed.
  [[nodiscard]] bool is_closed() const noexcept { return core_->is_closed(); }
  /// Returns true if both send into the same channel.
  [[nodiscard]] bool same_channel(const mpsc_sender& other) const noexcept {
    return core_ == other.core_;
  }
  /// The number of senders of this channel, and of weak ones, at some moment during the call.
  [[nodiscard]] std::size_t strong_count() const noexcept { return core_->senders(); }
  [[nodiscard]] std::size_t weak_count() const noexcept { return core_->weak_senders(); }

 protected:
  mpsc_core<T, Bounded>* core_;
};

/// Refers to a channel without keeping it open.
template <class Sender, class T, bool Bounded>
class mpsc_weak_sender {
 public:
  mpsc_weak_sender(mpsc_access, mpsc_core<T, Bounded>& core) noexcept : core_(&core) {
    core_->add_owner();
  }
  mpsc_weak_sender(const mpsc_weak_sender& other) noexcept : core_(other.core_) {
    if (core_ != nullptr) core_->add_owner();
  }
  mpsc_weak_sender(mpsc_weak_sender&& other) noexcept
      : core_(std::exchange(other.core_, nullptr)) {}
  mpsc_weak_sender& operator=(mpsc_weak_sender other) noexcept {
    std::swap(core_, other.core_);
    return *this;
  }
  ~mpsc_weak_sender() {
    if (core_ != nullptr) core_->drop_owner();
  }

  /// A sender, or nothing if the last sender is gone. Any thread.
  [[nodiscard]] std::optional<Sender> upgrade() const noexcept {
    if (core_ == nullptr || !core_->try_add_sender()) return std::nullopt;
    return Sender(mpsc_access(), *core_);
  }
  [[nodiscard]] std::size_t strong_count() const noexcept { return core_->senders(); }
  [[nodiscard]] std::size_t weak_count() const noexcept { return core_->weak_senders(); }

 private:
  mpsc_core<T, Bounded>* core_;
};

/// The receiver of both kinds of channels.
template <class T, bool Bounded>
class [[nodiscard]] mpsc_receiver {
 public:
  mpsc_receiver(mpsc_access, mpsc_core<T, Bounded>& core) noexcept : core_(&core) {}
  mpsc_receiver(mpsc_receiver&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
  mpsc_receiver& operator=(mpsc_receiver&& other) noexcept {
    if (this != &other) {
      if (core_ != nullptr) core_->drop_receiver();
      core_ = std::exchange(other.core_, nullptr);
    }
    return *this;
  }
  mpsc_receiver(const mpsc_receiver&) = delete;
  mpsc_receiver& operator=(const mpsc_receiver&) = delete;
  /// Closes the channel and destroys the values in it.
  ~mpsc_receiver() {
    if (core_ != nullptr) core_->drop_receiver();
  }

  /// Waits for the next value.
  ///
  /// - Result: the next value; values come in the order in which they were sent. Empty if none will
  ///   come: all senders are gone, or the receiver is closed and no permit is held, and all values
  ///   have been received.
  /// - Errors: none.
  /// - Cancellation: at once; nothing has been received.
  /// - In a select: withdrawn; the value stays in the channel for the next call.
  /// - Lifetime: the receiver outlives the wait, and no other operation receives from it meanwhile.
  /// - Thread safety: one thread at a time.
  ///
  ///     for (;;) {
  ///       auto job = co_await rx.recv();
  ///       if (!job) co_return;
  ///       run(std::move(*job));
  ///     }
  [[nodiscard]] mpsc_recv<T, Bounded> recv() noexcept { return mpsc_recv<T, Bounded>(*core_); }

  /// Waits for at least one value, and appends those that are there to `values`.
  ///
  /// - Result: the number of values appended, at most `limit`; 0 if none will come, or if `limit`
  ///   is 0.
  /// - Errors: throws what the vector throws; values not yet appended stay in the channel.
  /// - Cancellation: at once; nothing has been received.
  /// - In a select: withdrawn; the values stay in the channel.
  /// - Lifetime: the receiver and `values` outlive the wait.
  /// - Thread safety: one thread at a time.
  [[nodiscard]] mpsc_recv_many<T, Bounded> recv_many(std::vector<T>& values,
                                                     std::size_t limit) noexcept {
    return mpsc_recv_many<T, Bounded>(*core_, values, limit);
  }

  /// The next value if there is one; otherwise `error::empty` while one may still come, and
  /// `error::closed` if none will. A value whose `send` has returned is always found.
  [[nodiscard]] result<T> try_recv() {
    while (core_->front() == nullptr) {
      const mpsc_outcome now = core_->look_again();
      if (now == mpsc_outcome::full) return error::empty;
      if (now == mpsc_outcome::closed) return error::closed;
    }
    return result<T>(std::in_place, take_value<T>(core_->pop()));
  }

  /// `recv()` and `recv_many()` for plain threads: they block, and throw `std::logic_error` inside
  /// a task.
  [[nodiscard]] std::optional<T> blocking_recv() {
    return run_on_thread(recv(), "mpsc::receiver::blocking_recv");
  }
  [[nodiscard]] std::size_t blocking_recv_many(std::vector<T>& values, std::size_t limit) {
    return run_on_thread(recv_many(values, limit), "mpsc::receiver::blocking_recv_many");
  }

  /// Rejects all further sends. Values in the channel can still be received, and so can those that
  /// are sent with permits which were granted before.
  void close() noexcept { core_->close(); }
  /// Returns true if this receiver is closed or all senders are gone. There may still be values to
  /// receive.
  [[nodiscard]] bool is_closed() const noexcept { return core_->is_ended(); }
  /// The number of values in the channel.
  [[nodiscard]] std::size_t len() const noexcept { return core_->length(); }
  [[nodiscard]] bool is_empty() const noexcept { return len() == 0; }
  /// See `strong_count` and `weak_count` of the senders.
  [[nodiscard]] std::size_t sender_strong_count() const noexcept { return core_->senders(); }
  [[nodiscard]] std::size_t sender_weak_count() const noexcept { return core_->weak_senders(); }

 protected:
  mpsc_core<T, Bounded>* core_;
};

}  // namespace detail

namespace sync::mpsc {

/// Reserved room for messages in a bounded channel; given back when it is not used.
///
/// It refers to the channel of the sender that it came from, which must outlive it. Thread safety:
/// one thread at a time.
template <class T>
class [[nodiscard]] permit {
 public:
  permit(detail::mpsc_access, detail::mpsc_core<T, true>& core, std::size_t count) noexcept
      : core_(&core), count_(count) {}
  permit(permit&& other) noexcept : core_(other.core_), count_(std::exchange(other.count_, 0)) {}
  permit& operator=(permit&& other) noexcept {
    if (this != &other) {
      release();
      core_ = other.core_;
      count_ = std::exchange(other.count_, 0);
    }
    return *this;
  }
  permit(const permit&) = delete;
  permit& operator=(const permit&) = delete;
  ~permit() { release(); }

  /// The number of messages that can be sent with this permit.
  [[nodiscard]] std::size_t count() const noexcept { return count_; }

  /// Sends one message, even if the channel has been closed since. Never waits. If the receiver is
  /// gone the value is destroyed. Throws `std::bad_alloc` if there is no memory, and
  /// `std::logic_error` if `count()` is 0; nothing has happened then.
  void send(T value) {
    if (count_ == 0) [[unlikely]]
      detail::throw_used_up_permit();
    detail::message<T> m(std::move(value));
    if (core_->push(m, true) == detail::mpsc_outcome::no_memory) detail::throw_no_memory();
    --count_;
  }
  /// Gives back the unused room; so does the destructor.
  void release() noexcept {
    if (count_ != 0) core_->give_back(std::exchange(count_, 0));
  }

 private:
  detail::mpsc_core<T, true>* core_;
  std::size_t count_;
};

/// A permit for one message that owns its sender.
template <class T>
class [[nodiscard]] owned_permit {
 public:
  owned_permit(detail::mpsc_access key, sender<T> from) noexcept
      : from_(std::move(from)), permit_(key, *from_.core_, 1) {}
  owned_permit(owned_permit&&) noexcept = default;
  owned_permit& operator=(owned_permit&& other) noexcept {
    permit_ = std::move(other.permit_);  // before the channel may be destroyed
    from_ = std::move(other.from_);
    return *this;
  }
  ~owned_permit() = default;

  /// Sends as `permit::send` does, and returns the sender.
  sender<T> send(T value) && {
    permit_.send(std::move(value));
    return std::move(from_);
  }
  /// Gives the room back, and returns the sender.
  sender<T> release() && noexcept {
    permit_.release();
    return std::move(from_);
  }

 private:
  sender<T> from_;
  permit<T> permit_;
};

/// Sends into a bounded channel. A copy sends into the same channel; destroying the last one closes
/// it.
///
/// Thread safety: every member may be called from any thread. A sender that was moved from can only
/// be destroyed or assigned to.
template <class T>
class [[nodiscard]] sender : public detail::mpsc_sender<T, true> {
  using core = detail::mpsc_core<T, true>;

 public:
  using detail::mpsc_sender<T, true>::mpsc_sender;

  /// Waits for room, and sends the value.
  ///
  /// - Result: a `send_result<T>`: success, or the error and the value. Senders are served in the
  ///   order in which they began to wait.
  /// - Errors: `error::closed` and the value, if the receiver is closed or destroyed;
  ///   `errc::not_enough_memory` and the value. A type whose move may throw costs an allocation and
  ///   throws in this call, before anything is awaited.
  /// - Cancellation: at once; nothing has been sent, and the value is destroyed. To keep it,
  ///   `reserve()` first.
  /// - In a select: withdrawn; nothing has been sent, granted room goes to the next waiter, and the
  ///   value is destroyed as by a cancellation.
  /// - Lifetime: the sender outlives the wait; the value is moved into the operation. On g++ before
  ///   13 an aggregate gets a name first: `job j{…}; co_await tx.send(std::move(j));`
  /// - Thread safety: any thread.
  ///
  ///     auto sent = co_await tx.send(std::move(job));
  ///     if (!sent) co_return;
  [[nodiscard]] detail::mpsc_send<T> send(T value) const {
    return detail::mpsc_send<T>(*this->core_, std::move(value));
  }
  /// Sends if there is room now; otherwise returns the value with `error::full` or `error::closed`.
  send_result<T> try_send(T value) const {
    detail::message<T> m(std::move(value));
    return detail::mpsc_sent<T>(this->core_->push(m, false), m);
  }
  /// `send()` with a time limit: returns the value with `errc::timed_out` if there is no room in
  /// time. A task; cancellation and in a select as for `send()`.
  template <class Rep, class Period>
  task<send_result<T>> send_timeout(T value, std::chrono::duration<Rep, Period> limit) const {
    auto room = co_await timeout(limit, reserve());
    if (!room) co_return send_result<T>(room.error(), std::move(value));
    room->send(std::move(value));
    co_return send_result<T>();
  }
  /// `send()` for plain threads: blocks. Throws `std::logic_error` inside a task.
  send_result<T> blocking_send(T value) const {
    return detail::run_on_thread(send(std::move(value)), "mpsc::sender::blocking_send");
  }

  /// Waits for room for `n` messages, and reserves it.
  ///
  /// - Result: a permit, with which the messages are sent without waiting. For `n` = 0 it is empty,
  ///   and the operation does not wait.
  /// - Errors: `error::closed`; `errc::invalid_argument` if `n` is more than `max_capacity()`.
  /// - Cancellation: at once; only the place in the queue is lost.
  /// - In a select: withdrawn; reserved room goes to the next waiter, and only the place in the
  ///   queue is lost.
  /// - Lifetime: the sender outlives the wait and the permit.
  /// - Thread safety: any thread.
  [[nodiscard]] detail::mpsc_reserve<T> reserve_many(std::size_t n) const noexcept {
    return detail::mpsc_reserve<T>(*this->core_, n);
  }
  [[nodiscard]] detail::mpsc_reserve<T> reserve() const noexcept { return reserve_many(1); }
  /// `reserve()` with a permit that owns a copy of the sender.
  [[nodiscard]] detail::mpsc_reserve_owned<T> reserve_owned() const {
    return detail::mpsc_reserve_owned<T>(*this->core_, *this);
  }

  /// The same without waiting; `error::full` if there is no room.
  [[nodiscard]] result<permit<T>> try_reserve_many(std::size_t n) const noexcept {
    if (n > max_capacity()) return std::make_error_code(std::errc::invalid_argument);
    const detail::mpsc_outcome got = this->core_->try_acquire(n);
    if (got != detail::mpsc_outcome::done) return detail::mpsc_error(got);
    return permit<T>(detail::mpsc_access(), *this->core_, n);
  }
  [[nodiscard]] result<permit<T>> try_reserve() const noexcept { return try_reserve_many(1); }
  [[nodiscard]] result<owned_permit<T>> try_reserve_owned() const {
    const detail::mpsc_outcome got = this->core_->try_acquire(1);
    if (got != detail::mpsc_outcome::done) return detail::mpsc_error(got);
    return owned_permit<T>(detail::mpsc_access(), *this);
  }

  /// The number of messages that could be sent now without waiting, and the number that fit into
  /// the empty channel.
  [[nodiscard]] std::size_t capacity() const noexcept { return this->core_->capacity(); }
  [[nodiscard]] std::size_t max_capacity() const noexcept { return this->core_->max_capacity(); }

  /// A handle that does not keep the channel open.
  [[nodiscard]] weak_sender<T> downgrade() const noexcept {
    return weak_sender<T>(detail::mpsc_access(), *this->core_);
  }

 private:
  friend owned_permit<T>;
};

template <class T>
class weak_sender : public detail::mpsc_weak_sender<sender<T>, T, true> {
 public:
  using detail::mpsc_weak_sender<sender<T>, T, true>::mpsc_weak_sender;
};

/// Receives from a bounded channel. Destroying it closes the channel.
template <class T>
class [[nodiscard]] receiver : public detail::mpsc_receiver<T, true> {
 public:
  using detail::mpsc_receiver<T, true>::mpsc_receiver;

  /// As for the sender.
  [[nodiscard]] std::size_t capacity() const noexcept { return this->core_->capacity(); }
  [[nodiscard]] std::size_t max_capacity() const noexcept { return this->core_->max_capacity(); }
};

/// Sends into an unbounded channel. A copy sends into the same channel; destroying the last one
/// closes it. Thread safety: as for `sender`.
template <class T>
class [[nodiscard]] unbounded_sender : public detail::mpsc_sender<T, false> {
 public:
  using detail::mpsc_sender<T, false>::mpsc_sender;

  /// Sends. Never waits.
  ///
  /// - Result: success, or `error::closed` and the value if the receiver is closed or destroyed;
  ///   `errc::not_enough_memory` and the value.
  /// - Thread safety: any thread.
  send_result<T> send(T value) const {
    detail::message<T> m(std::move(value));
    return detail::mpsc_sent<T>(this->core_->push(m, false), m);
  }
  [[nodiscard]] weak_unbounded_sender<T> downgrade() const noexcept {
    return weak_unbounded_sender<T>(detail::mpsc_access(), *this->core_);
  }
};

template <class T>
class weak_unbounded_sender : public detail::mpsc_weak_sender<unbounded_sender<T>, T, false> {
 public:
  using detail::mpsc_weak_sender<unbounded_sender<T>, T, false>::mpsc_weak_sender;
};

/// Receives from an unbounded channel. Destroying it closes the channel.
template <class T>
class [[nodiscard]] unbounded_receiver : public detail::mpsc_receiver<T, false> {
 public:
  using detail::mpsc_receiver<T, false>::mpsc_receiver;
};

/// A channel from any number of senders to one receiver that holds at most `capacity` values;
/// senders wait for room. Throws `std::invalid_argument` for a capacity of 0, or beyond a quarter
/// of what `size_t` can count.
///
/// Memory: an idle channel takes 152 bytes, in one allocation. Values are stored in blocks of about
/// 1 KiB, of 4 to 31 values; the first block is allocated when the first value is sent. A block is
/// freed when its last value has been received, except for one, which a drained channel reuses from
/// its start.
///
///     auto [tx, rx] = sync::mpsc::channel<job>(100);
template <detail::sendable T>
[[nodiscard]] std::pair<sender<T>, receiver<T>> channel(std::size_t capacity) {
  using core_type = detail::mpsc_core<T, true>;
  auto* core =
      new core_type(detail::checked_count("the capacity given to kioto::sync::mpsc::channel",
                                          capacity, core_type::max_capacity_of_all));
  const detail::mpsc_access key;
  return {sender<T>(key, *core), receiver<T>(key, *core)};
}

/// The same without a limit: sending never waits, and only memory bounds the number of values.
template <detail::sendable T>
[[nodiscard]] std::pair<unbounded_sender<T>, unbounded_receiver<T>> unbounded_channel() {
  auto* core = new detail::mpsc_core<T, false>(std::numeric_limits<std::size_t>::max());
  const detail::mpsc_access key;
  return {unbounded_sender<T>(key, *core), unbounded_receiver<T>(key, *core)};
}

}  // namespace sync::mpsc
}  // namespace kioto
