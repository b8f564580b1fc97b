// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include <kioto/as_result.hpp>
#include <kioto/detail/base/count.hpp>
#include <kioto/detail/sync/broadcast_core.hpp>
#include <kioto/detail/sync/message.hpp>
#include <kioto/detail/sync/shared_value.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>
#include <kioto/detail/task/thread_wait.hpp>
#include <kioto/result.hpp>
#include <kioto/sync/send_result.hpp>

namespace kioto {

namespace sync::broadcast {

template <class T>
class receiver;
template <class T>
class weak_sender;

/// The result of sending a value: the number of receivers, or the rejected value.
template <class T>
class [[nodiscard]] send_result : public sync::send_result<T> {
 public:
  explicit send_result(std::size_t receivers) noexcept : receivers_(receivers) {}
  using sync::send_result<T>::send_result;

  /// The number of receivers that will see the value, unless they lag or are destroyed.
  [[nodiscard]] std::size_t receivers() const noexcept { return receivers_; }

 private:
  std::size_t receivers_ = 0;
};

/// A `result<T>` that also says how many values were missed.
template <class T>
class [[nodiscard]] recv_result : public result<T> {
 public:
  using result<T>::result;
  [[nodiscard]] static recv_result lagged(std::uint64_t missed) noexcept {
    recv_result r{make_error_code(error::lagged)};
    r.missed_ = missed;
    return r;
  }

  /// With `error::lagged`: the number of values that were overwritten before this receiver took
  /// them.
  [[nodiscard]] std::uint64_t missed() const noexcept { return missed_; }

 private:
  std::uint64_t missed_ = 0;
};

}  // namespace sync::broadcast

namespace detail {

template <class T>
inline constexpr bool is_result<sync::broadcast::send_result<T>> = true;
template <class T>
inline constexpr bool is_result<sync::broadcast::recv_result<T>> = true;

/// How a value is stored in the ring.
template <class T>
using broadcast_element = std::conditional_t<is_plain<T>, T, shared_value<T>>;
template <class T>
using broadcast_core = basic_broadcast_core<std_sync, broadcast_element<T>, leaf_operation>;

/// Passkey: only the library can construct the handles of a channel.
struct broadcast_access {};

template <class T>
class [[nodiscard]] broadcast_recv final : public leaf_awaiter<broadcast_recv<T>> {
 public:
  using result_type = sync::broadcast::recv_result<T>;

  broadcast_recv(broadcast_core<T>& core, std::uint64_t& next) noexcept
      : core_(&core), waiter_(*this), next_(&next) {}
  broadcast_recv(broadcast_recv&& other) noexcept
      : leaf_awaiter<broadcast_recv>(static_cast<leaf_awaiter<broadcast_recv>&&>(other)),
        core_(other.core_),
        waiter_(*this),
        next_(other.next_) {}

  attempt try_or_wait() noexcept override {
    if (core_->is_ready(*next_)) [[likely]]
      return attempt::ready;
    return wait_for_news();
  }
  bool cancel() noexcept override { return core_->cancel(waiter_); }
  bool withdraw() noexcept override { return true; }
  result_type await_resume() { return take(*core_, *next_); }

  static result_type take(broadcast_core<T>& core, std::uint64_t& next) {
    std::optional<broadcast_element<T>> element;
    std::uint64_t missed = 0;
    switch (core.take(next, element, missed)) {
      case broadcast_outcome::taken:
        break;
      case broadcast_outcome::lagged:
        return result_type::lagged(missed);
      case broadcast_outcome::empty:
        return error::empty;
      case broadcast_outcome::closed:
        return error::closed;
    }
    if constexpr (is_plain<T>) {
      return result_type(std::in_place, *element);
    } else {
      if (element->is_unique()) return result_type(std::in_place, std::move(element->unshared()));
      return result_type(std::in_place, **element);
    }
  }

 private:
  KIOTO_NOINLINE attempt wait_for_news() noexcept {
    return this->wait([this]() noexcept { return core_->wait_receiver(waiter_, *next_); });
  }

  // Kept apart: if the pointers were adjacent, g++ would load both with one wide load, which would
  // stall on the two narrower stores before it.
  broadcast_core<T>* core_;
  typename broadcast_core<T>::waiter waiter_;
  std::uint64_t* next_;
};

template <class T>
class [[nodiscard]] broadcast_closed final : public leaf_awaiter<broadcast_closed<T>> {
 public:
  explicit broadcast_closed(broadcast_core<T>& core) noexcept : core_(&core), waiter_(*this) {}
  broadcast_closed(broadcast_closed&& other) noexcept
      : leaf_awaiter<broadcast_closed>(static_cast<leaf_awaiter<broadcast_closed>&&>(other)),
        core_(other.core_),
        waiter_(*this) {}

  attempt try_or_wait() noexcept override {
    if (core_->receivers() == 0) return attempt::ready;
    return this->wait([this]() noexcept { return core_->wait_for_end(waiter_); });
  }
  bool cancel() noexcept override { return core_->cancel(waiter_); }
  bool withdraw() noexcept override { return true; }
  static void await_resume() noexcept {}

 private:
  broadcast_core<T>* core_;
  typename broadcast_core<T>::waiter waiter_;
};

}  // namespace detail

namespace sync::broadcast {

/// Sends to all receivers. A copy sends into the same channel; the last one closes it.
///
/// Thread safety: every member may be called from any thread. A sender that was moved from can only
/// be destroyed or assigned to.
template <class T>
class [[nodiscard]] sender {
 public:
  sender(detail::broadcast_access, detail::broadcast_core<T>& core) noexcept : core_(&core) {}
  sender(const sender& other) noexcept : core_(other.core_) {
    if (core_ != nullptr) core_->add_sender();
  }
  sender(sender&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
  sender& operator=(sender other) noexcept {
    std::swap(core_, other.core_);
    return *this;
  }
  ~sender() {
    if (core_ != nullptr) core_->drop_sender();
  }

  /// Sends to every present receiver. Never waits: if the ring is full the oldest value is
  /// overwritten, and receivers that have not received it lag.
  ///
  /// - Result: the number of receivers.
  /// - Errors: `error::closed` and the value if there is no receiver. Throws `std::bad_alloc`,
  ///   unless `T` is trivially copyable and small: others are allocated, once for all receivers.
  /// - Thread safety: any thread.
  send_result<T> send(T value) const {
    if (core_->receivers() == 0) return {make_error_code(error::closed), std::move(value)};
    if constexpr (detail::is_plain<T>) {
      const std::size_t seen = core_->send(value);
      if (seen != 0) return send_result<T>(seen);
      return {make_error_code(error::closed), std::move(value)};
    } else {
      detail::shared_value<T> shared(std::in_place, std::move(value));
      const std::size_t seen = core_->send(shared);
      if (seen != 0) return send_result<T>(seen);
      return {make_error_code(error::closed), std::move(shared.unshared())};
    }
  }

  /// A new receiver, which sees every value that is sent from now on.
  [[nodiscard]] receiver<T> subscribe() const {
    return receiver<T>(detail::broadcast_access(), *core_, core_->add_receiver());
  }

  /// Waits until there is no receiver.
  ///
  /// - Result: none. New receivers may subscribe afterwards.
  /// - Errors: none.
  /// - Cancellation: at once.
  /// - In a select: withdrawn; nothing is lost.
  /// - Lifetime: this sender outlives the wait.
  /// - Thread safety: any thread; any number may wait.
  [[nodiscard]] detail::broadcast_closed<T> closed() const noexcept {
    return detail::broadcast_closed<T>(*core_);
  }

  [[nodiscard]] std::size_t receiver_count() const noexcept { return core_->receivers(); }
  /// The number of values that some receiver has not received yet.
  [[nodiscard]] std::size_t len() const noexcept { return core_->length(); }
  [[nodiscard]] bool is_empty() const noexcept { return len() == 0; }
  [[nodiscard]] bool same_channel(const sender& other) const noexcept {
    return core_ == other.core_;
  }
  [[nodiscard]] std::size_t strong_count() const noexcept { return core_->senders(); }
  /// A handle that does not keep the channel open.
  [[nodiscard]] weak_sender<T> downgrade() const noexcept {
    return weak_sender<T>(detail::broadcast_access(), *core_);
  }

 private:
  detail::broadcast_core<T>* core_;
};

/// Refers to a channel without keeping it open.
template <class T>
class weak_sender {
 public:
  weak_sender(detail::broadcast_access, detail::broadcast_core<T>& core) noexcept : core_(&core) {
    core_->add_owner();
  }
  weak_sender(const weak_sender& other) noexcept : core_(other.core_) {
    if (core_ != nullptr) core_->add_owner();
  }
  weak_sender(weak_sender&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
  weak_sender& operator=(weak_sender other) noexcept {
    std::swap(core_, other.core_);
    return *this;
  }
  ~weak_sender() {
    if (core_ != nullptr) core_->drop_owner();
  }

  /// A sender, or nothing if the last sender is gone. Any thread.
  [[nodiscard]] std::optional<sender<T>> upgrade() const noexcept {
    if (core_ == nullptr || !core_->try_add_sender()) return std::nullopt;
    return sender<T>(detail::broadcast_access(), *core_);
  }

 private:
  detail::broadcast_core<T>* core_;
};

/// Receives a copy of every value that is sent while it exists. The last receiver to take a value
/// gets the value itself.
///
/// Thread safety: one thread at a time; the receivers of a channel are independent.
template <class T>
class [[nodiscard]] receiver {
 public:
  receiver(detail::broadcast_access, detail::broadcast_core<T>& core, std::uint64_t next) noexcept
      : core_(&core), next_(next) {}
  receiver(receiver&& other) noexcept
      : core_(std::exchange(other.core_, nullptr)), next_(other.next_) {}
  receiver& operator=(receiver&& other) noexcept {
    if (this != &other) {
      leave();
      core_ = std::exchange(other.core_, nullptr);
      next_ = other.next_;
    }
    return *this;
  }
  receiver(const receiver&) = delete;
  receiver& operator=(const receiver&) = delete;
  ~receiver() { leave(); }

  /// Waits for the next value.
  ///
  /// - Result: the next value; values come in the order in which they were sent.
  /// - Errors: `error::lagged` if values were overwritten before this receiver took them:
  ///   `missed()` says how many, and the next call continues with the oldest that is left.
  ///   `error::closed` if all senders are gone and every value was received. Throws what copying a
  ///   `T` throws; that value is lost to this receiver.
  /// - Cancellation: at once; nothing has been received.
  /// - In a select: withdrawn; the value stays in the channel for the next call.
  /// - Lifetime: the receiver outlives the wait, and is not moved meanwhile.
  /// - Thread safety: one thread at a time.
  ///
  ///     auto news = co_await rx.recv();
  ///     if (news) show(*news);
  [[nodiscard]] detail::broadcast_recv<T> recv() noexcept {
    return detail::broadcast_recv<T>(*core_, next_);
  }
  /// The next value if there is one; otherwise `error::empty`, or the errors of `recv()`.
  [[nodiscard]] recv_result<T> try_recv() { return detail::broadcast_recv<T>::take(*core_, next_); }
  /// `recv()` for plain threads: blocks. Throws `std::logic_error` inside a task.
  [[nodiscard]] recv_result<T> blocking_recv() {
    return detail::run_on_thread(recv(), "broadcast::receiver::blocking_recv");
  }

  /// Another receiver, which sees what is sent from now on, but not the values that this one has
  /// not received yet.
  [[nodiscard]] receiver resubscribe() const {
    return receiver(detail::broadcast_access(), *core_, core_->add_receiver());
  }
  /// The number of values that were sent and not received, including those that were overwritten.
  [[nodiscard]] std::size_t len() const noexcept { return core_->length(next_); }
  [[nodiscard]] bool is_empty() const noexcept { return len() == 0; }
  /// Returns true if all senders are gone. There may still be values to receive.
  [[nodiscard]] bool is_closed() const noexcept { return core_->is_closed(); }
  [[nodiscard]] bool same_channel(const receiver& other) const noexcept {
    return core_ == other.core_;
  }

 private:
  void leave() noexcept {
    if (core_ != nullptr) std::exchange(core_, nullptr)->drop_receiver(next_);
  }

  detail::broadcast_core<T>* core_;
  std::uint64_t next_;
};

/// A channel in which every receiver sees every value, as long as it is at most `capacity` behind.
/// The capacity is rounded up to a power of two. Throws `std::invalid_argument` if it is 0 or more
/// than half of `size_t` can count.
///
/// Memory: the slots are allocated here. A value is destroyed as soon as all receivers have
/// received it.
///
///     auto [tx, rx] = sync::broadcast::channel<news>(16);
///     auto another = tx.subscribe();
template <detail::sendable T>
  requires std::is_copy_constructible_v<T>
[[nodiscard]] std::pair<sender<T>, receiver<T>> channel(std::size_t capacity) {
  using core_type = detail::broadcast_core<T>;
  auto* core = new core_type(detail::checked_count(
      "the capacity given to kioto::sync::broadcast::channel", capacity, core_type::max_capacity));
  const detail::broadcast_access key;
  return {sender<T>(key, *core), receiver<T>(key, *core, 0)};
}

}  // namespace sync::broadcast
}  // namespace kioto
