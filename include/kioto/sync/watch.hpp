// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

#include <kioto/config.hpp>
#include <kioto/detail/sync/message.hpp>
#include <kioto/detail/sync/shared_value.hpp>
#include <kioto/detail/sync/watch_core.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>
#include <kioto/result.hpp>
#include <kioto/sync/send_result.hpp>

namespace kioto {

namespace detail {

template <class T>
using watch_core = basic_watch_core<std_sync, shared_value<T>, leaf_operation>;

/// Passkey: only the library can construct the handles of a channel.
struct watch_access {};

}  // namespace detail

namespace sync::watch {

template <class T>
class receiver;

/// A value of a watch channel, as it was when it was borrowed. It keeps the value alive and blocks
/// neither senders nor receivers. Copyable, and independent of the channel. Thread safety: as a
/// `std::shared_ptr<const T>`.
template <class T>
class [[nodiscard]] snapshot {
 public:
  snapshot(detail::watch_access, detail::shared_value<T> value, bool changed) noexcept
      : value_(std::move(value)), changed_(changed) {}

  [[nodiscard]] const T& operator*() const noexcept { return *value_; }
  [[nodiscard]] const T* operator->() const noexcept { return std::addressof(*value_); }
  /// Returns true if the receiver that it was borrowed from had not seen this value before.
  [[nodiscard]] bool has_changed() const noexcept { return changed_; }

 private:
  detail::shared_value<T> value_;
  bool changed_;
};

}  // namespace sync::watch

namespace detail {

template <class T>
class [[nodiscard]] watch_changed final : public leaf_awaiter<watch_changed<T>> {
 public:
  watch_changed(watch_core<T>& core, std::uint64_t& seen) noexcept
      : core_(&core), waiter_(*this), seen_(&seen) {}
  watch_changed(watch_changed&& other) noexcept
      : leaf_awaiter<watch_changed>(static_cast<leaf_awaiter<watch_changed>&&>(other)),
        core_(other.core_),
        waiter_(*this),
        seen_(other.seen_) {}

  attempt try_or_wait() noexcept override {
    if (core_->newest_version() != *seen_) [[likely]]
      return attempt::ready;
    return wait_for_change();
  }
  bool cancel() noexcept override { return core_->cancel(waiter_); }
  bool withdraw() noexcept override { return true; }
  result<void> await_resume() noexcept {
    const std::uint64_t newest = core_->newest_version();
    if (newest == *seen_) return error::closed;
    *seen_ = newest;
    return {};
  }

 private:
  KIOTO_NOINLINE attempt wait_for_change() noexcept {
    return this->wait([this]() noexcept { return core_->wait_for_change(waiter_, *seen_); });
  }

  // Kept apart: if the pointers were adjacent, g++ would load both with one wide load, which would
  // stall on the two narrower stores before it.
  watch_core<T>* core_;
  typename watch_core<T>::waiter waiter_;
  std::uint64_t* seen_;
};

template <class T, class Predicate>
class [[nodiscard]] watch_wait_for final : public leaf_awaiter<watch_wait_for<T, Predicate>> {
 public:
  watch_wait_for(watch_core<T>& core, std::uint64_t& seen, Predicate&& wanted)
      : core_(&core), seen_(&seen), wanted_(std::forward<Predicate>(wanted)), waiter_(*this) {
    this->retries_ = true;
  }
  watch_wait_for(watch_wait_for&& other) noexcept
      : leaf_awaiter<watch_wait_for>(static_cast<leaf_awaiter<watch_wait_for>&&>(other)),
        core_(other.core_),
        seen_(other.seen_),
        wanted_(std::forward<Predicate>(other.wanted_)),
        waiter_(*this) {}

  attempt try_or_wait() noexcept override {
    for (;;) {
      if (look()) return attempt::ready;
      const attempt waited =
          this->wait([this]() noexcept { return core_->wait_for_change(waiter_, *seen_); });
      // Ready: a value came meanwhile; look again, and wait if it does not satisfy the predicate.
      if (waited != attempt::ready) return waited;
    }
  }
  bool cancel() noexcept override { return core_->cancel(waiter_); }
  bool withdraw() noexcept override { return true; }
  result<sync::watch::snapshot<T>> await_resume() {
    if (error_ != nullptr) std::rethrow_exception(std::move(error_));
    if (!found_) return error::closed;
    return std::move(*found_);
  }

 private:
  /// Looks at the newest value. Returns true if the wait is over.
  bool look() noexcept {
    // In this order, so that a value sent before the channel was closed is still looked at.
    const bool closed = core_->is_closed();
    std::uint64_t version = 0;
    shared_value<T> value = core_->newest(version);
    const bool changed = std::exchange(*seen_, version) != version;
    if (is_wanted(*value)) found_.emplace(watch_access(), std::move(value), changed);
    return closed || found_ || error_ != nullptr;
  }
  bool is_wanted(const T& value) noexcept {
    KIOTO_TRY { return static_cast<bool>(std::invoke(wanted_, value)); }
    KIOTO_CATCH_ALL { error_ = std::current_exception(); }
    return false;
  }

  watch_core<T>* core_;
  std::uint64_t* seen_;
  Predicate wanted_;
  std::optional<sync::watch::snapshot<T>> found_;
  std::exception_ptr error_;
  typename watch_core<T>::waiter waiter_;
};

template <class T>
class [[nodiscard]] watch_closed final : public leaf_awaiter<watch_closed<T>> {
 public:
  explicit watch_closed(watch_core<T>& core) noexcept : core_(&core), waiter_(*this) {}
  watch_closed(watch_closed&& other) noexcept
      : leaf_awaiter<watch_closed>(static_cast<leaf_awaiter<watch_closed>&&>(other)),
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
  watch_core<T>* core_;
  typename watch_core<T>::waiter waiter_;
};

}  // namespace detail

namespace sync::watch {

/// Replaces the value. A copy is another sender of the same channel; the last one closes it.
///
/// Senders exclude each other while they change the value; receivers are never blocked. Thread
/// safety: every member may be called from any thread. A sender that was moved from can only be
/// destroyed or assigned to.
template <class T>
class [[nodiscard]] sender {
 public:
  sender(detail::watch_access, detail::watch_core<T>& core) noexcept : core_(&core) {}
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

  /// Makes `value` the newest one.
  ///
  /// - Result: success, or `error::closed` and the value if there is no receiver; it is not stored
  ///   then.
  /// - Errors: throws `std::bad_alloc`, and what moving a `T` throws; nothing has changed then.
  send_result<T> send(T value) const {
    if (core_->receivers() == 0) return {make_error_code(error::closed), std::move(value)};
    static_cast<void>(send_replace(std::move(value)));
    return {};
  }
  /// Makes `value` the newest one, even if there is no receiver; returns the replaced one.
  snapshot<T> send_replace(T value) const {
    detail::shared_value<T> next(std::in_place, std::move(value));
    {
      const std::lock_guard hold(core_->writers());
      core_->store(next);
    }
    return snapshot<T>(detail::watch_access(), std::move(next), false);
  }
  /// Changes a copy of the newest value with `change(T&)`, and makes it the newest one, even if
  /// there is no receiver. If `change` throws, nothing has changed. `change` must not send into
  /// this channel.
  template <class F>
    requires std::is_copy_constructible_v<T>
  void send_modify(F&& change) const {
    send_if_modified([&change](T& value) {
      std::invoke(std::forward<F>(change), value);
      return true;
    });
  }
  /// The same if `change(T&)` returns true; otherwise nothing has changed. Returns what `change`
  /// returned.
  template <class F>
    requires std::is_copy_constructible_v<T>
  bool send_if_modified(F&& change) const {
    std::optional<detail::shared_value<T>> next;  // destroyed, with the old value, after unlocking
    const std::lock_guard hold(core_->writers());
    std::uint64_t version = 0;
    next.emplace(std::in_place, *core_->newest(version));
    const bool changed = static_cast<bool>(std::invoke(std::forward<F>(change), next->unshared()));
    if (changed) core_->store(*next);
    return changed;
  }

  /// The newest value.
  [[nodiscard]] snapshot<T> borrow() const noexcept {
    std::uint64_t version = 0;
    return snapshot<T>(detail::watch_access(), core_->newest(version), false);
  }
  /// A receiver that has seen the newest value.
  [[nodiscard]] receiver<T> subscribe() const noexcept {
    core_->add_receiver();
    return receiver<T>(detail::watch_access(), *core_, core_->newest_version());
  }

  /// Waits until there is no receiver.
  ///
  /// - Result: none. New receivers may subscribe afterwards.
  /// - Errors: none.
  /// - Cancellation: at once.
  /// - In a select: withdrawn; nothing is lost.
  /// - Lifetime: this sender outlives the wait.
  /// - Thread safety: any thread; any number may wait.
  [[nodiscard]] detail::watch_closed<T> closed() const noexcept {
    return detail::watch_closed<T>(*core_);
  }
  /// Returns true if there is no receiver.
  [[nodiscard]] bool is_closed() const noexcept { return core_->receivers() == 0; }
  [[nodiscard]] std::size_t receiver_count() const noexcept { return core_->receivers(); }
  [[nodiscard]] std::size_t sender_count() const noexcept { return core_->senders(); }
  [[nodiscard]] bool same_channel(const sender& other) const noexcept {
    return core_ == other.core_;
  }

 private:
  detail::watch_core<T>* core_;
};

/// Sees the newest value, and can wait for a newer one than it has seen. A copy has seen the same.
///
/// Thread safety: one thread at a time; the receivers of a channel are independent.
template <class T>
class [[nodiscard]] receiver {
 public:
  receiver(detail::watch_access, detail::watch_core<T>& core, std::uint64_t seen) noexcept
      : core_(&core), seen_(seen) {}
  receiver(const receiver& other) noexcept : core_(other.core_), seen_(other.seen_) {
    if (core_ != nullptr) core_->add_receiver();
  }
  receiver(receiver&& other) noexcept
      : core_(std::exchange(other.core_, nullptr)), seen_(other.seen_) {}
  receiver& operator=(receiver other) noexcept {
    std::swap(core_, other.core_);
    seen_ = other.seen_;
    return *this;
  }
  ~receiver() {
    if (core_ != nullptr) core_->drop_receiver();
  }

  /// The newest value; only `borrow_and_update` marks it as seen.
  [[nodiscard]] snapshot<T> borrow() const noexcept {
    std::uint64_t version = 0;
    auto value = core_->newest(version);
    return snapshot<T>(detail::watch_access(), std::move(value), version != seen_);
  }
  [[nodiscard]] snapshot<T> borrow_and_update() noexcept {
    std::uint64_t version = 0;
    auto value = core_->newest(version);
    const bool changed = std::exchange(seen_, version) != version;
    return snapshot<T>(detail::watch_access(), std::move(value), changed);
  }

  /// Waits until there is a value that this receiver has not seen, and marks it as seen.
  ///
  /// - Result: success. Values that were replaced meanwhile are not seen at all.
  /// - Errors: `error::closed` if all senders are gone and the last value has been seen.
  /// - Cancellation: at once; nothing has been marked.
  /// - In a select: withdrawn; nothing has been marked, so the next call completes for the same
  ///   value.
  /// - Lifetime: the receiver outlives the wait, and is not moved meanwhile.
  /// - Thread safety: one thread at a time.
  ///
  ///     auto news = co_await rx.changed();
  ///     if (news) apply(*rx.borrow());
  [[nodiscard]] detail::watch_changed<T> changed() noexcept {
    return detail::watch_changed<T>(*core_, seen_);
  }

  /// Waits until the newest value satisfies `wanted(const T&)`; the current one is checked first.
  ///
  /// - Result: a snapshot of that value. It is marked as seen, like all values that were checked.
  /// - Errors: `error::closed` if all senders are gone and the last value does not satisfy it.
  ///   Throws what `wanted` throws.
  /// - Cancellation: at once; the values that were checked are marked as seen.
  /// - In a select: withdrawn; the values that were checked are marked as seen.
  /// - Lifetime: the receiver outlives the wait, and is not moved meanwhile. An lvalue predicate is
  ///   referred to, an rvalue is moved into the operation.
  /// - Thread safety: one thread at a time. `wanted` runs on the strand of the task, without a
  ///   lock, once for every value that is checked.
  ///
  ///     auto ready = co_await rx.wait_for([](const state& s) { return s == state::ready; });
  template <class Predicate>
    requires std::is_invocable_v<std::remove_reference_t<Predicate>&, const T&>
  [[nodiscard]] auto wait_for(Predicate&& wanted) {
    static_assert(!KIOTO_BROKEN_AWAIT_TEMPORARIES || std::is_lvalue_reference_v<Predicate> ||
                      std::is_trivially_destructible_v<Predicate>,
                  "g++ before 13 destroys such a temporary predicate twice: give it a name, and "
                  "write co_await rx.wait_for(name)");
    return detail::watch_wait_for<T, Predicate>(*core_, seen_, std::forward<Predicate>(wanted));
  }

  /// Whether there is an unseen value; `error::closed` if all senders are gone, even if there is
  /// one.
  [[nodiscard]] result<bool> has_changed() const noexcept {
    if (core_->is_closed()) return error::closed;
    return core_->newest_version() != seen_;
  }
  /// Marks the newest value as not seen, or as seen.
  void mark_changed() noexcept { seen_ = core_->newest_version() - 1; }
  void mark_unchanged() noexcept { seen_ = core_->newest_version(); }

  [[nodiscard]] bool same_channel(const receiver& other) const noexcept {
    return core_ == other.core_;
  }

 private:
  detail::watch_core<T>* core_;
  std::uint64_t seen_;
};

/// A channel that keeps only its newest value, from any number of senders to any number of
/// receivers. The first value counts as seen.
///
/// Every value is allocated, once. A receiver that lags behind sees the newest value only.
///
///     auto [tx, rx] = sync::watch::channel(settings());
template <class T>
  requires detail::sendable<T>
[[nodiscard]] std::pair<sender<T>, receiver<T>> channel(T first) {
  detail::shared_value<T> value(std::in_place, std::move(first));
  auto* core = new detail::watch_core<T>(std::move(value));
  const detail::watch_access key;
  return {sender<T>(key, *core), receiver<T>(key, *core, 0)};
}

}  // namespace sync::watch
}  // namespace kioto
