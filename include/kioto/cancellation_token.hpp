// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <utility>

#include <kioto/detail/base/event_waiters.hpp>
#include <kioto/detail/task/branch.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>

namespace kioto {

class cancellation_guard;

namespace detail {

struct cancellation_tree;
class stop_request_link;
class stop_source_link;

/// Woken by a token when it is cancelled.
class cancellation_waiter : public basic_event_waiter<std_sync> {
 public:
  using callback = void (*)(cancellation_waiter&) noexcept;
  explicit cancellation_waiter(callback on_cancelled) noexcept : fire(on_cancelled) {}

  callback fire;

 protected:
  ~cancellation_waiter() = default;
};

/// A node of a tree of tokens, shared by the copies of a token.
///
/// Invariants:
/// - C1 A node holds a reference to its parent. So a reference to a node keeps the root alive,
///   which has the lock of the tree.
/// - C2 Under that lock, a node that is not cancelled is in the list of its parent, and its parent
///   is not cancelled. A cancelled node is in no list and has no children.
/// - C3 `cancelled_` is set under both locks, that of the tree and that of the waiters, and never
///   cleared. The store releases what the caller of `cancel()` did before.
class cancellation_node : public list_node<> {
 public:
  /// `parent` is null for a root.
  static cancellation_node* create(cancellation_node* parent);

  void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  /// Returns false if the node is being destroyed.
  [[nodiscard]] bool try_add_reference() noexcept;
  static void drop_reference(cancellation_node* node) noexcept;

  [[nodiscard]] bool is_cancelled() const noexcept {
    return cancelled_.load(std::memory_order_acquire);
  }
  void cancel() noexcept;
  [[nodiscard]] bool add(cancellation_waiter& waiter) noexcept {
    return waiters_.add(waiter, [this] { return !is_cancelled(); });
  }
  [[nodiscard]] bool remove(cancellation_waiter& waiter) noexcept {
    return waiters_.remove(waiter);
  }

  [[nodiscard]] std::stop_token get_stop_token();
  void follow(std::stop_token token);

 private:
  cancellation_node() = default;
  ~cancellation_node();

  std::atomic<std::uint32_t> references_{1};
  std::atomic<bool> cancelled_{false};
  basic_event_waiters<std_sync, cancellation_waiter> waiters_;
  cancellation_tree* tree_ = nullptr;
  cancellation_node* parent_ = nullptr;
  intrusive_list<cancellation_node> children_;
  stop_source_link* source_ = nullptr;  ///< forwards the cancellation to a std::stop_source
  stop_request_link* link_ = nullptr;   ///< cancels this node on behalf of a std::stop_token
};

class [[nodiscard]] cancelled_operation final : public leaf_awaiter<cancelled_operation>,
                                                private cancellation_waiter {
 public:
  explicit cancelled_operation(cancellation_node* node) noexcept
      : cancellation_waiter(&cancelled_operation::on_cancelled), node_(node) {}
  cancelled_operation(cancelled_operation&& other) noexcept
      : leaf_awaiter(static_cast<leaf_awaiter&&>(other)),
        cancellation_waiter(other.fire),
        node_(other.node_) {}

  attempt try_or_wait() noexcept override {
    if (node_->is_cancelled()) return attempt::ready;
    return wait([this]() noexcept { return node_->add(*this); });
  }
  bool cancel() noexcept override { return node_->remove(*this); }
  bool withdraw() noexcept override { return true; }
  static void await_resume() noexcept {}

 private:
  static void on_cancelled(cancellation_waiter& waiter) noexcept {
    complete(static_cast<cancelled_operation&>(waiter));
  }

  cancellation_node* node_;
};

/// Runs an operation and a wait for the token as two branches of the awaiting task. The operation
/// starts first; if it completes at once the token is not awaited.
template <class A>
class [[nodiscard]] until_cancelled_operation final : public combinator {
 public:
  until_cancelled_operation(cancellation_node* node, A&& awaitable)
      : node_(node),
        operation_(std::forward<A>(awaitable)),
        cancelled_(cancelled_operation(node)) {}
  until_cancelled_operation(until_cancelled_operation&&) noexcept = default;

  attempt try_or_wait() noexcept override {
    if (node_->is_cancelled()) return attempt::ready;
    chain branches;
    branches.add(operation_.prepare(0));
    branches.add(cancelled_.prepare(1));
    return start(branches);
  }
  std::optional<stored<branch_result<A>>> await_resume() {
    if (!operation_.has_result()) return std::nullopt;
    return take_stored(operation_);
  }

 private:
  bool settle(branch_strand&) noexcept override { return true; }
  attempt conclude() noexcept override {
    return operation_.has_result() || cancelled_.has_result() ? attempt::ready : attempt::stopped;
  }

  cancellation_node* node_;
  branch_of<A> operation_;
  branch_of<cancelled_operation> cancelled_;
};

}  // namespace detail

/// A signal to end gracefully, seen by all code that has the token: an ordinary value, unlike the
/// abort of a task. Copies refer to the same token.
///
/// Tokens form trees: cancelling a token cancels its children and theirs, never its parent. When
/// `cancel()` returns, all of them are cancelled. A cancellation cannot be undone.
///
/// - A token that was moved from may only be assigned to or destroyed.
/// - Thread safety: everything but assignment and moves may be called from any thread.
///
/// ```
/// kioto::cancellation_token stop;
/// auto worker = kioto::spawn(serve, stop.child_token());
/// stop.cancel();
/// ```
class cancellation_token {
 public:
  /// A token without a parent.
  cancellation_token() : node_(detail::cancellation_node::create(nullptr)) {}
  /// A token without a parent that is cancelled when a stop is requested through `source`.
  explicit cancellation_token(std::stop_token source) : cancellation_token() {
    node_->follow(std::move(source));
  }
  cancellation_token(const cancellation_token& other) noexcept : node_(other.node_) {
    if (node_ != nullptr) node_->add_reference();
  }
  cancellation_token(cancellation_token&& other) noexcept
      : node_(std::exchange(other.node_, nullptr)) {}
  cancellation_token& operator=(cancellation_token other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~cancellation_token() {
    if (node_ != nullptr) detail::cancellation_node::drop_reference(node_);
  }

  /// A token that is cancelled together with this one, and can also be cancelled alone.
  [[nodiscard]] cancellation_token child_token() const {
    return cancellation_token(detail::cancellation_node::create(node_));
  }

  /// Cancels this token and its descendants, and wakes all their waiters. What the caller did
  /// before happens before the return of those waits. Functions registered with a
  /// std::stop_callback on a token from `get_stop_token()` run inside this call.
  void cancel() const noexcept { node_->cancel(); }
  [[nodiscard]] bool is_cancelled() const noexcept { return node_->is_cancelled(); }

  /// Waits until the token is cancelled.
  ///
  /// - Result: none. Completes at once on a cancelled token.
  /// - Errors: none.
  /// - Cancellation: a cancelled wait has no effect.
  /// - In a select: withdrawn; the token stays as it is.
  /// - Lifetime: the token outlives the wait.
  /// - Thread safety: any number of tasks may wait.
  [[nodiscard]] detail::cancelled_operation cancelled() const noexcept {
    return detail::cancelled_operation(node_);
  }

  /// Runs an operation, and asks it to stop when the token is cancelled.
  ///
  /// - Waits for: the operation, any awaitable of the library, including a task. Resumes when the
  ///   operation has ended; an operation that cannot stop at once is waited for.
  /// - Result: an optional with the result of the operation (`std::monostate` for none, a
  ///   reference_wrapper for a reference), empty if it was stopped. A value takes precedence over
  ///   the cancellation. The operation does not start if the token is already cancelled.
  /// - Errors: rethrows what the operation throws.
  /// - Cancellation: passed on to the operation.
  /// - In a select: withdrawn with the operation; if that cannot be withdrawn, its value is in the
  ///   result.
  /// - Lifetime: the token outlives the operation, which is moved into the awaiter.
  /// - Thread safety: the operation runs on the strand of the awaiting task.
  ///
  /// ```
  /// auto accepted = co_await stop.run_until_cancelled(listener.accept());
  /// if (!accepted) co_return;
  /// ```
  template <class A>
  [[nodiscard]] auto run_until_cancelled(A&& awaitable) const {
    return detail::until_cancelled_operation<A>(node_, std::forward<A>(awaitable));
  }

  /// Cancels the token when the guard is destroyed.
  [[nodiscard]] cancellation_guard drop_guard() const noexcept;

  /// A std::stop_token on which a stop is requested when this token is cancelled. Once all copies
  /// of this token are destroyed without a cancellation, its `stop_possible()` is false.
  [[nodiscard]] std::stop_token get_stop_token() const { return node_->get_stop_token(); }

  /// Returns true if both are copies of one token.
  friend bool operator==(const cancellation_token& a, const cancellation_token& b) noexcept {
    return a.node_ == b.node_;
  }

 private:
  explicit cancellation_token(detail::cancellation_node* node) noexcept : node_(node) {}

  detail::cancellation_node* node_;
};

/// Cancels a token at the end of a scope. See `cancellation_token::drop_guard`.
class [[nodiscard]] cancellation_guard {
 public:
  explicit cancellation_guard(cancellation_token token) noexcept : token_(std::move(token)) {}
  cancellation_guard(cancellation_guard&& other) noexcept
      : token_(std::exchange(other.token_, std::nullopt)) {}
  cancellation_guard& operator=(cancellation_guard&&) = delete;
  ~cancellation_guard() {
    if (token_) token_->cancel();
  }

  /// Returns the token; the guard will not cancel it.
  cancellation_token disarm() noexcept { return *std::exchange(token_, std::nullopt); }

 private:
  std::optional<cancellation_token> token_;
};

inline cancellation_guard cancellation_token::drop_guard() const noexcept {
  return cancellation_guard(*this);
}

}  // namespace kioto
