// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <type_traits>
#include <utility>

#include <kioto/detail/task/promise.hpp>

namespace kioto::detail {

/// Makes a leaf operation awaitable. `Derived` implements `try_or_wait()`, `cancel()` and
/// `await_resume()`; a `Base` that several operations share may implement parts of it.
///
/// The attempt is made in `await_suspend`, where the strand is known; an operation that completes
/// at once does not suspend. Each attempt costs one unit of the budget of the run; when that is
/// used up the task yields first, so that an operation which is always ready cannot starve others.
template <class Derived, class Base = leaf_operation>
class [[nodiscard]] leaf_awaiter : public Base {
 public:
  [[nodiscard]] static bool await_ready() noexcept { return false; }

  template <class Promise>
  [[gnu::always_inline]] bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    static_assert(std::is_base_of_v<promise_base, Promise>,
                  "this operation needs a kioto runtime: await it in a kioto::task");
    promise_base& self = frame.promise();
    strand& c = *self.strand_;
    this->strand_ = &c;
    c.frame_ = &self;
    trampoline& loop = c.loop();
    if (!loop.try_charge()) [[unlikely]] {
      this->give_way();
      return true;
    }
    switch (static_cast<Derived*>(this)->Derived::try_or_wait()) {
      case attempt::ready:
        return false;
      case attempt::suspended:
        return true;
      case attempt::stopped:
        loop.ask(request::unwind, self);
        return true;
    }
    return true;
  }

 protected:
  leaf_awaiter() noexcept = default;
  template <class... Args>
  explicit leaf_awaiter(std::in_place_t, Args&&... for_base) noexcept
      : Base(std::forward<Args>(for_base)...) {}
  leaf_awaiter(leaf_awaiter&&) noexcept = default;
  ~leaf_awaiter() = default;
};

template <class A>
concept leaf = std::is_base_of_v<leaf_operation, std::remove_cvref_t<A>>;

/// The awaiter of an awaitable, as a prvalue, so that it is not moved afterwards.
template <class A>
decltype(auto) get_awaiter(A&& awaitable) {
  if constexpr (requires { std::forward<A>(awaitable).operator co_await(); })
    return std::forward<A>(awaitable).operator co_await();
  else if constexpr (requires { operator co_await(std::forward<A>(awaitable)); })
    return operator co_await(std::forward<A>(awaitable));
  else
    return std::remove_cvref_t<A>(std::forward<A>(awaitable));
}
template <class A>
using awaiter_of = decltype(get_awaiter(std::declval<A>()));
template <class A>
using await_result = decltype(std::declval<awaiter_of<A>&>().await_resume());

/// Returns true if creating the awaiter of an awaitable cannot throw.
template <class A>
constexpr bool makes_awaiter_safely() noexcept {
  if constexpr (requires { std::declval<A>().operator co_await(); })
    return noexcept(std::declval<A>().operator co_await());
  else if constexpr (requires { operator co_await(std::declval<A>()); })
    return noexcept(operator co_await(std::declval<A>()));
  else
    return std::is_nothrow_constructible_v<std::remove_cvref_t<A>, A>;
}

/// The awaiter is a leaf operation that does not refer to an awaitable which the adaptor or
/// combinator would have to keep: the awaitable is an lvalue of the caller, or is itself the
/// awaiter.
template <class A>
concept leaf_by_itself =
    leaf<awaiter_of<A>> &&
    (std::is_lvalue_reference_v<A> || std::is_same_v<awaiter_of<A>, std::remove_cvref_t<A>>);
/// The awaiter is a leaf operation that may refer to the awaitable, which therefore has to be kept,
/// in place, as long as the operation.
template <class A>
concept leaf_of_owner = leaf<awaiter_of<A>> && !leaf_by_itself<A> && makes_awaiter_safely<A>();
/// A leaf operation that runs without a frame, as a branch.
template <class A>
concept leaf_branch = leaf_by_itself<A> || leaf_of_owner<A>;

/// What an adaptor function returns: movable until it is awaited, so that adaptors nest. `A` is a
/// reference for an awaitable that the caller keeps.
template <template <class> class Awaiter, class A>
class [[nodiscard]] adaptor {
 public:
  explicit adaptor(A&& awaitable) : awaitable_(std::forward<A>(awaitable)) {}
  adaptor(adaptor&&) = default;
  adaptor& operator=(adaptor&&) = delete;
  ~adaptor() = default;

  [[nodiscard]] Awaiter<A> operator co_await() && {
    return Awaiter<A>(std::forward<A>(awaitable_));
  }

 private:
  A awaitable_;
};

}  // namespace kioto::detail
