// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include <kioto/detail/sync/semaphore_ref.hpp>

namespace kioto {
namespace detail {

/// The number of permits that a write lock takes: one for each possible reader.
inline constexpr std::size_t all_permits = (std::size_t{1} << 29) - 1;

/// The address of the value that a lock guards, or nothing for `void`.
template <class T>
class guarded_pointer {
 public:
  guarded_pointer() noexcept = default;
  explicit guarded_pointer(T* pointer) noexcept : pointer_(pointer) {}
  [[nodiscard]] T* get() const noexcept { return pointer_; }

 private:
  T* pointer_ = nullptr;
};
template <class T>
  requires std::is_void_v<T>
class guarded_pointer<T> {
 public:
  guarded_pointer() noexcept = default;
  explicit guarded_pointer(T*) noexcept {}
  [[nodiscard]] static T* get() noexcept { return nullptr; }
};

/// The value that a lock guards, or nothing for `void`.
template <class T>
class guarded_value {
 public:
  template <class... Args>
  constexpr explicit guarded_value(std::in_place_t, Args&&... args)
      : value_(std::forward<Args>(args)...) {}
  [[nodiscard]] T* address() noexcept { return std::addressof(value_); }
  [[nodiscard]] T take() { return std::move(value_); }

 private:
  T value_;
};
template <class T>
  requires std::is_void_v<T>
class guarded_value<T> {
 public:
  constexpr explicit guarded_value(std::in_place_t) noexcept {}
  [[nodiscard]] static T* address() noexcept { return nullptr; }
};

template <class Guard>
class lock_operation;

}  // namespace detail

namespace sync {

template <class T>
class mutex;
template <class T>
class rw_lock;

/// Holds a lock and gives access to the value it guards; unlocks when it is destroyed.
///
/// It may be held across a `co_await`, even if the task resumes on another thread.
///
/// Lifetime: must not outlive its lock; the owned forms keep the lock alive. Thread safety: as a
/// plain value; it may be destroyed on any thread.
template <class T, std::size_t Permits, class Owner>
class [[nodiscard]] basic_lock_guard {
 public:
  using value_type = T;
  static constexpr std::size_t permits = Permits;

  /// Holds nothing.
  basic_lock_guard() noexcept = default;
  basic_lock_guard(basic_lock_guard&& other) noexcept
      : owner_(std::exchange(other.owner_, nullptr)), value_(other.value_) {}
  basic_lock_guard& operator=(basic_lock_guard&& other) noexcept {
    if (this != &other) {
      unlock();
      owner_ = std::exchange(other.owner_, nullptr);
      value_ = other.value_;
    }
    return *this;
  }
  ~basic_lock_guard() { unlock(); }

  /// Returns false after unlocking or a move, and for the result of a `try_` form that failed.
  [[nodiscard]] explicit operator bool() const noexcept { return owner_ != nullptr; }

  /// Unlocks now.
  void unlock() noexcept {
    if (owner_ != nullptr) {
      owner_->release(Permits);
      owner_ = nullptr;
    }
  }

  template <class U = T>
    requires(!std::is_void_v<U>)
  [[nodiscard]] U& operator*() const noexcept {
    return *value_.get();
  }
  template <class U = T>
    requires(!std::is_void_v<U>)
  [[nodiscard]] U* operator->() const noexcept {
    return value_.get();
  }

  /// Narrows the guard to a part of the value: `f(value)` returns a reference to that part.
  ///
  ///     auto name = std::move(guard).map([](person& p) -> std::string& { return p.name; });
  template <class F, class U = T>
    requires std::is_lvalue_reference_v<std::invoke_result_t<F, U&>>
  [[nodiscard]] auto map(F&& f) && {
    using part = std::remove_reference_t<std::invoke_result_t<F, U&>>;
    part& to = std::invoke(std::forward<F>(f), *value_.get());
    return basic_lock_guard<part, Permits, Owner>(std::exchange(owner_, nullptr),
                                                  std::addressof(to));
  }
  /// The same, if `f(value)` returns a pointer that is not null. Otherwise this guard is unchanged,
  /// and the returned one holds nothing.
  template <class F, class U = T>
    requires std::is_pointer_v<std::invoke_result_t<F, U&>>
  [[nodiscard]] auto try_map(F&& f) && {
    using part = std::remove_pointer_t<std::invoke_result_t<F, U&>>;
    part* to = std::invoke(std::forward<F>(f), *value_.get());
    if (to == nullptr) return basic_lock_guard<part, Permits, Owner>();
    return basic_lock_guard<part, Permits, Owner>(std::exchange(owner_, nullptr), to);
  }

  /// Turns a write lock into a read lock, without letting another writer in between.
  [[nodiscard]] auto downgrade() && noexcept
    requires(Permits == detail::all_permits)
  {
    owner_->release(Permits - 1);
    return basic_lock_guard<const T, 1, Owner>(std::exchange(owner_, nullptr), value_.get());
  }

 private:
  template <class, std::size_t, class>
  friend class basic_lock_guard;
  template <class>
  friend class detail::lock_operation;
  template <class>
  friend class mutex;
  template <class>
  friend class rw_lock;

  basic_lock_guard(Owner owner, T* value) noexcept : owner_(std::move(owner)), value_(value) {}

  Owner owner_ = nullptr;
  [[no_unique_address]] detail::guarded_pointer<T> value_;
};

}  // namespace sync

namespace detail {

/// Waits until a lock is held.
template <class T, std::size_t Permits, class Owner>
class [[nodiscard]] lock_operation<sync::basic_lock_guard<T, Permits, Owner>> final
    : private semaphore_ref<Owner>,
      public acquire_operation {
  using guard = sync::basic_lock_guard<T, Permits, Owner>;

 public:
  lock_operation(semaphore_core& core, Owner owner, T* value) noexcept
      : semaphore_ref<Owner>(std::move(owner)), acquire_operation(core, Permits), value_(value) {}
  lock_operation(lock_operation&&) noexcept = default;
  lock_operation& operator=(lock_operation&&) = delete;
  ~lock_operation() = default;

  guard await_resume() noexcept {
    static_cast<void>(take());  // locks are never closed
    return guard(this->release(core()), value_);
  }

 private:
  T* value_;
};

}  // namespace detail
}  // namespace kioto
