// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>
#include <utility>

#include <kioto/detail/base/pooled.hpp>

namespace kioto::detail {

/// Holds, in a separate allocation, a value whose move may throw.
template <class T>
class boxed {
 public:
  explicit boxed(T&& value) : at_(make_pooled<T>(std::move(value))) {}
  boxed(boxed&& other) noexcept : at_(std::exchange(other.at_, nullptr)) {}
  boxed& operator=(boxed&&) = delete;
  ~boxed() {
    if (at_ != nullptr) destroy_pooled(at_);
  }
  [[nodiscard]] T& operator*() const noexcept { return *at_; }

 private:
  T* at_;
};

/// How a value is stored in a channel. Moving it never throws, so that a value is either outside or
/// inside, and nothing has to be rolled back: a type whose move may throw is boxed. Such a value
/// may throw when it is sent, and then nothing is sent; or when it is taken out, and then it is
/// lost.
template <class T>
using message = std::conditional_t<std::is_nothrow_move_constructible_v<T>, T, boxed<T>>;

/// Takes the value out of a message.
template <class T>
T take_value(message<T>&& m) {
  if constexpr (std::is_nothrow_move_constructible_v<T>)
    return std::move(m);
  else
    return std::move(*m);
}

/// Whether a message may be copied while a lock is held: no user code runs, and it takes little
/// time.
template <class M>
inline constexpr bool is_plain = std::is_trivially_copyable_v<M> && sizeof(M) <= 64;

template <class T>
concept sendable = std::is_object_v<T> && !std::is_array_v<T> && !std::is_const_v<T> &&
                   std::is_move_constructible_v<T> && std::is_nothrow_destructible_v<T>;

}  // namespace kioto::detail
