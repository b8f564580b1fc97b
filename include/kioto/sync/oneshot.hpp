// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <new>
#include <system_error>
#include <utility>

#include <kioto/detail/sync/message.hpp>
#include <kioto/detail/sync/oneshot_state.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>
#include <kioto/detail/task/thread_wait.hpp>
#include <kioto/result.hpp>
#include <kioto/sync/send_result.hpp>

namespace kioto {

namespace sync::oneshot {
template <class T>
class sender;
template <class T>
class receiver;
}  // namespace sync::oneshot

namespace detail {

/// The one allocation of a one-shot channel. Both halves own it; the second to leave frees it.
template <class T>
class oneshot_cell {
 public:
  oneshot_cell() noexcept {}
  oneshot_cell(const oneshot_cell&) = delete;
  oneshot_cell& operator=(const oneshot_cell&) = delete;
  ~oneshot_cell() {}

  basic_oneshot_state<std_sync, leaf_operation> state_;
  bool taken_ = false;  ///< used by the receiver: the value was taken
  union {
    message<T> value_;
  };
};

template <class T>
class [[nodiscard]] oneshot_recv final : public leaf_awaiter<oneshot_recv<T>> {
 public:
  explicit oneshot_recv(oneshot_cell<T>* cell) noexcept : cell_(cell) {}
  oneshot_recv(oneshot_recv&&) noexcept = default;

  attempt try_or_wait() noexcept override {
    if (cell_ == nullptr || cell_->taken_ || cell_->state_.is_decided()) [[likely]]
      return attempt::ready;
    return wait_for_sender();
  }
  bool cancel() noexcept override { return cell_->state_.unlink_receiver(); }
  bool withdraw() noexcept override { return true; }  // the value is still in the channel

  result<T> await_resume() { return take(cell_, error::closed); }

  /// The value, or `otherwise` if it may still come.
  static result<T> take(oneshot_cell<T>* cell, error otherwise) {
    if (cell == nullptr || cell->taken_) return error::closed;
    if (!cell->state_.is_decided()) return otherwise;
    if (!cell->state_.has_value()) return error::closed;
    cell->taken_ = true;
    struct value_guard {
      explicit value_guard(message<T>& v) noexcept : value(v) {}
      value_guard(const value_guard&) = delete;
      value_guard& operator=(const value_guard&) = delete;
      ~value_guard() { std::destroy_at(std::addressof(value)); }
      message<T>& value;
    };
    const value_guard guard(cell->value_);
    return result<T>(std::in_place, take_value<T>(std::move(cell->value_)));
  }

 private:
  KIOTO_NOINLINE attempt wait_for_sender() noexcept {
    return this->wait([this]() noexcept { return cell_->state_.link_receiver(*this); });
  }

  oneshot_cell<T>* cell_;
};

template <class T>
class [[nodiscard]] oneshot_closed final : public leaf_awaiter<oneshot_closed<T>> {
 public:
  explicit oneshot_closed(oneshot_cell<T>* cell) noexcept : cell_(cell) {}
  oneshot_closed(oneshot_closed&&) noexcept = default;

  attempt try_or_wait() noexcept override {
    if (cell_ == nullptr || cell_->state_.is_closed()) return attempt::ready;
    return this->wait([this]() noexcept { return cell_->state_.link_sender(*this); });
  }
  bool cancel() noexcept override { return cell_->state_.unlink_sender(); }
  bool withdraw() noexcept override { return true; }
  static void await_resume() noexcept {}

 private:
  oneshot_cell<T>* cell_;
};

struct oneshot_access;

}  // namespace detail

namespace sync::oneshot {

/// The half that sends, once.
///
/// Destroying it without sending closes the channel. Thread safety: one thread at a time; the two
/// halves are independent.
template <class T>
class [[nodiscard]] sender {
 public:
  sender(sender&& other) noexcept : cell_(std::exchange(other.cell_, nullptr)) {}
  sender& operator=(sender&& other) noexcept {
    if (this != &other) {
      leave();
      cell_ = std::exchange(other.cell_, nullptr);
    }
    return *this;
  }
  sender(const sender&) = delete;
  sender& operator=(const sender&) = delete;
  ~sender() { leave(); }

  /// Sends the value to the receiver. Never waits.
  ///
  /// - Result: success, or `error::closed` and the value, if the receiver is closed or destroyed,
  ///   or if this sender has sent before. A value that was accepted is received, or destroyed with
  ///   the receiver.
  /// - Errors: a type whose move may throw costs an allocation, and throws here; nothing has been
  ///   sent then.
  /// - Thread safety: as for the sender, which cannot send again.
  ///
  ///     auto sent = tx.send(answer);
  send_result<T> send(T value) {
    if (cell_ == nullptr || cell_->state_.is_closed()) {
      leave();
      return {make_error_code(error::closed), std::move(value)};
    }
    ::new (static_cast<void*>(std::addressof(cell_->value_))) detail::message<T>(std::move(value));
    if (cell_->state_.publish()) {
      cell_ = nullptr;
      return {};
    }
    detail::message<T> back(std::move(cell_->value_));
    std::destroy_at(std::addressof(cell_->value_));
    leave();
    return {make_error_code(error::closed), detail::take_value<T>(std::move(back))};
  }

  /// Waits until the receiver is closed or destroyed: the value is no longer wanted.
  ///
  /// - Result: none. Completes at once if this sender has sent.
  /// - Errors: none.
  /// - Cancellation: at once.
  /// - In a select: withdrawn; nothing is lost.
  /// - Lifetime: the sender outlives the wait, and sends nothing meanwhile.
  /// - Thread safety: as for the sender.
  [[nodiscard]] detail::oneshot_closed<T> closed() noexcept {
    return detail::oneshot_closed<T>(cell_);
  }
  /// Returns true if the receiver is closed or destroyed, or this sender has sent.
  [[nodiscard]] bool is_closed() const noexcept {
    return cell_ == nullptr || cell_->state_.is_closed();
  }

 private:
  friend kioto::detail::oneshot_access;
  explicit sender(detail::oneshot_cell<T>* cell) noexcept : cell_(cell) {}

  void leave() noexcept {
    if (cell_ == nullptr) return;
    detail::oneshot_cell<T>* cell = std::exchange(cell_, nullptr);
    if (cell->state_.leave_sender()) detail::destroy_pooled(cell);
  }

  detail::oneshot_cell<T>* cell_;
};

/// The half that receives, once. Awaiting it is the same as awaiting `recv()`.
///
/// Destroying it closes the channel, and destroys a value that was not taken. Thread safety: one
/// thread at a time; the two halves are independent.
template <class T>
class [[nodiscard]] receiver {
 public:
  receiver(receiver&& other) noexcept : cell_(std::exchange(other.cell_, nullptr)) {}
  receiver& operator=(receiver&& other) noexcept {
    if (this != &other) {
      leave();
      cell_ = std::exchange(other.cell_, nullptr);
    }
    return *this;
  }
  receiver(const receiver&) = delete;
  receiver& operator=(const receiver&) = delete;
  ~receiver() { leave(); }

  /// Waits for the value.
  ///
  /// - Result: the value, once, also if it was sent before `close()`.
  /// - Errors: `error::closed` if the sender was destroyed without having sent, the receiver was
  ///   closed first, or the value has been taken.
  /// - Cancellation: at once; the value stays in the channel.
  /// - In a select: withdrawn; the value stays in the channel, and can be received by the next
  ///   call.
  /// - Lifetime: the receiver outlives the wait.
  /// - Thread safety: as for the receiver.
  ///
  ///     auto answer = co_await rx.recv();
  ///     if (!answer) co_return answer.error();
  [[nodiscard]] detail::oneshot_recv<T> recv() noexcept { return detail::oneshot_recv<T>(cell_); }
  [[nodiscard]] detail::oneshot_recv<T> operator co_await() & noexcept { return recv(); }
  [[nodiscard]] detail::oneshot_recv<T> operator co_await() && noexcept { return recv(); }

  /// The value if it is there; otherwise `error::empty` while it may still come, and
  /// `error::closed` if it will not.
  [[nodiscard]] result<T> try_recv() { return detail::oneshot_recv<T>::take(cell_, error::empty); }
  /// `recv()` for plain threads: blocks. Throws `std::logic_error` inside a task.
  [[nodiscard]] result<T> blocking_recv() {
    return detail::run_on_thread(recv(), "oneshot::receiver::blocking_recv");
  }

  /// Rejects a value that has not been sent yet; one that has been sent can still be received.
  void close() noexcept {
    if (cell_ != nullptr) cell_->state_.close();
  }
  /// Returns true unless there is a value to be taken.
  [[nodiscard]] bool is_empty() const noexcept {
    return cell_ == nullptr || cell_->taken_ || !cell_->state_.has_value();
  }
  /// Returns true if there is no value and none will come.
  [[nodiscard]] bool is_terminated() const noexcept {
    return cell_ == nullptr || cell_->taken_ ||
           (cell_->state_.is_decided() && !cell_->state_.has_value());
  }

 private:
  friend kioto::detail::oneshot_access;
  explicit receiver(detail::oneshot_cell<T>* cell) noexcept : cell_(cell) {}

  void leave() noexcept {
    if (cell_ == nullptr) return;
    detail::oneshot_cell<T>* cell = std::exchange(cell_, nullptr);
    if (!cell->state_.leave_receiver()) return;
    if (!cell->taken_ && cell->state_.has_value()) std::destroy_at(std::addressof(cell->value_));
    detail::destroy_pooled(cell);
  }

  detail::oneshot_cell<T>* cell_;
};

}  // namespace sync::oneshot

namespace detail {
struct oneshot_access {
  template <class T>
  static std::pair<sync::oneshot::sender<T>, sync::oneshot::receiver<T>> make() {
    auto* cell = make_pooled<oneshot_cell<T>>();
    return {sync::oneshot::sender<T>(cell), sync::oneshot::receiver<T>(cell)};
  }
};
}  // namespace detail

namespace sync::oneshot {

/// A channel for one value.
///
/// Allocates once, from the pool of coroutine frames: the two halves share it, and the second to be
/// destroyed frees it. For a bare signal send a `std::monostate`.
///
///     auto [tx, rx] = sync::oneshot::channel<int>();
///     spawn(compute(std::move(tx)));
///     auto answer = co_await rx;
template <detail::sendable T>
[[nodiscard]] std::pair<sender<T>, receiver<T>> channel() {
  return detail::oneshot_access::make<T>();
}

}  // namespace sync::oneshot
}  // namespace kioto
