// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>

#include <kioto/config.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>
#include <kioto/result.hpp>

namespace kioto {
namespace detail {

// Out of line: inlined, g++ 12 warns about what would happen if this handle were that of the frame.
KIOTO_NOINLINE inline std::coroutine_handle<> nothing_to_resume() noexcept {
  return std::noop_coroutine();
}

/// Starts `inner` for a wrapper. Returns the frame itself if the operation completed at once,
/// otherwise what to resume now.
template <class Inner, class Promise>
std::coroutine_handle<> start_inner(Inner& inner, std::coroutine_handle<Promise> frame) {
  if (inner.await_ready()) return frame;
  using suspended = decltype(inner.await_suspend(frame));
  if constexpr (std::is_void_v<suspended>) {
    inner.await_suspend(frame);
    return nothing_to_resume();
  } else if constexpr (std::is_same_v<suspended, bool>) {
    if (inner.await_suspend(frame)) return nothing_to_resume();
    return frame;
  } else {
    return inner.await_suspend(frame);
  }
}

template <class Undo>
class undo_on_exception {
 public:
  explicit undo_on_exception(Undo undo) noexcept : undo_(undo) {}
  undo_on_exception(const undo_on_exception&) = delete;
  undo_on_exception& operator=(const undo_on_exception&) = delete;
  ~undo_on_exception() {
    if (is_due_) undo_();
  }
  void dismiss() noexcept { is_due_ = false; }

 private:
  Undo undo_;
  bool is_due_ = true;
};

/// The same for a wrapper that has pushed a hook onto the frame. If this throws, the operation has
/// not begun, and `undo()` removes the hook.
template <class Inner, class Promise, class Undo>
std::coroutine_handle<> start_inner(Inner& inner, std::coroutine_handle<Promise> frame, Undo undo) {
  undo_on_exception<Undo> guard(undo);
  const std::coroutine_handle<> next = start_inner(inner, frame);
  guard.dismiss();
  return next;
}

/// Whether a frame that awaits this is resumed by the loop of its strand or by the final suspension
/// of a task, and therefore through its hooks. The awaiters of the library declare it; an awaiter
/// of another library may resume the frame by its handle.
template <class Awaiter>
concept resumed_through_hooks =
    std::is_base_of_v<leaf_operation, Awaiter> || std::is_base_of_v<task_awaiter_base, Awaiter> ||
    requires { requires Awaiter::is_resumed_through_hooks; };

/// For a hook around an awaiter that may resume the frame by its handle: the hooks still on the
/// frame are then notified when the frame continues.
template <class Awaiter>
class direct_resumption {
 public:
  void begin(promise_base& frame) noexcept { frame_ = &frame; }
  void end() noexcept { frame_ = nullptr; }
  void resumed() noexcept {
    while (frame_ != nullptr) {  // ends when this hook has called end()
      await_hook* const innermost = frame_->hook_;
      innermost->pop(*frame_);
      static_cast<void>(innermost->on_end(*frame_, passage::completed));
    }
  }

 private:
  promise_base* frame_ = nullptr;
};
template <resumed_through_hooks Awaiter>
class direct_resumption<Awaiter> {
 public:
  static void begin(promise_base&) noexcept {}
  static void end() noexcept {}
  static void resumed() noexcept {}
};

template <class A>
class [[nodiscard]] as_result_awaiter final : private await_hook {
  using inner_result = await_result<A>;

 public:
  static constexpr bool is_resumed_through_hooks = resumed_through_hooks<awaiter_of<A>>;
  using value_type =
      std::conditional_t<is_result<inner_result>, inner_result, result<inner_result>>;

  explicit as_result_awaiter(A&& awaitable) : inner_(get_awaiter(std::forward<A>(awaitable))) {}

  [[nodiscard]] static bool await_ready() noexcept { return false; }

  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
    promise_base& self = frame.promise();
    push(self);
    directly_.begin(self);
    const std::coroutine_handle<> next =
        start_inner(inner_, frame, [this, &self]() noexcept { pop(self); });
    // Only a wrapped operation that completed at once hands the frame itself back; otherwise it may
    // be running elsewhere by now.
    if (next == frame) {
      pop(self);
      directly_.end();
    }
    return next;
  }

  value_type await_resume() {
    directly_.resumed();
    if (stopped_) return std::make_error_code(std::errc::operation_canceled);
    if constexpr (std::is_void_v<inner_result>) {
      inner_.await_resume();
      return {};
    } else {
      return inner_.await_resume();
    }
  }

 private:
  passage on_end(promise_base&, passage how) noexcept override {
    directly_.end();
    if (how != passage::stopped) return how;
    stopped_ = true;
    return passage::completed;
  }

  awaiter_of<A> inner_;
  [[no_unique_address]] direct_resumption<awaiter_of<A>> directly_;
  bool stopped_ = false;
};

}  // namespace detail

/// Turns cancellation of one operation into an ordinary error.
///
/// - Waits for: the operation it wraps, any awaitable of the library.
/// - Result: a `result<T>`; a result of the operation is passed on as it is.
/// - Errors: those of the operation, and `std::errc::operation_canceled` if it was cancelled. The
///   stop request stays pending: the next operation that has to wait stops, unless it is wrapped
///   too.
/// - In a select: the wrapped operation is withdrawn like any other, but the branch then completes,
///   and its value in the result is the error `std::errc::operation_canceled`.
/// - Lifetime and thread safety: as for the operation.
///
/// `auto message = co_await as_result(inbox.recv());`
template <class A>
[[nodiscard]] auto as_result(A&& awaitable) {
  return detail::adaptor<detail::as_result_awaiter, A>(std::forward<A>(awaitable));
}

}  // namespace kioto
