// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

#include <kioto/detail/base/frame_allocator.hpp>
#include <kioto/detail/task/branch.hpp>
#include <kioto/detail/task/pausable.hpp>
#include <kioto/detail/task/promise.hpp>

namespace kioto {

template <class T>
class async_generator;

namespace detail {

[[noreturn]] void die_generator_in_use() noexcept;

/// The part of the promise of a generator that does not depend on the type of its elements.
class generator_promise_base : public promise_base {
 public:
  generator_promise_base() noexcept {
    strand_ = &branch_;
    rewind();
  }

  static void* operator new(std::size_t frame) { return allocate_frame(frame); }
  static void operator delete(void* frame, std::size_t size) noexcept {
    deallocate_frame(frame, size);
  }
#if defined(__clang__)
  // See `typed_promise`. The alignment of the block follows from its size.
  static void* operator new(std::size_t frame, std::align_val_t alignment) {
    return allocate_frame(round_up(frame, static_cast<std::size_t>(alignment)));
  }
  static void operator delete(void* frame, std::size_t size, std::align_val_t alignment) noexcept {
    deallocate_frame(frame, round_up(size, static_cast<std::size_t>(alignment)));
  }
#endif

  /// Completes the wait of the consumer, with an element or with the end.
  std::coroutine_handle<> hand_over() noexcept;

  /// The strand continues in this frame.
  void rewind() noexcept {
    branch_.entry_ = entry::resume;
    branch_.frame_ = this;
  }
  /// Destroys the frames, the innermost first.
  void destroy() noexcept;

  void unhandled_exception() noexcept {
    if (strand_ == nullptr) [[unlikely]]
      die_of_destructor();
    error_ = std::current_exception();
  }
  void return_void() noexcept {}

  pausable_branch branch_;
  std::exception_ptr error_;
  bool has_element_ = false;  ///< not taken yet
  bool is_done_ = false;
  bool is_awaited_ = false;
};

/// Suspends the generator after an element, or at its end.
class generator_suspension {
 public:
  [[nodiscard]] static bool await_ready() noexcept { return false; }
  template <class Promise>
  static std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return frame.promise().hand_over();
  }
  static void await_resume() noexcept {}
};

/// The element stays where the generator created it: in the frame, until the end of the co_yield
/// expression.
template <class T>
class generator_promise final : public generator_promise_base {
 public:
  using element = std::remove_reference_t<T>;

  async_generator<T> get_return_object(
      std::source_location where = std::source_location::current()) noexcept {
    where_ = where;
    return async_generator<T>(this);
  }
  static std::suspend_always initial_suspend() noexcept { return {}; }
  generator_suspension final_suspend() noexcept {
    is_done_ = true;
    return {};
  }

  generator_suspension yield_value(T&& value) noexcept
    requires(!std::is_lvalue_reference_v<T>)
  {
    return show(value);
  }
  generator_suspension yield_value(element& value) noexcept
    requires std::is_lvalue_reference_v<T>
  {
    return show(value);
  }
  /// An lvalue is copied, because the element is moved out of the generator; a value of another
  /// type is converted.
  template <class U>
    requires(!std::is_reference_v<T> && !std::same_as<U, T> && std::is_constructible_v<T, U &&>)
  auto yield_value(U&& value) {
    return converted(std::in_place, std::forward<U>(value));
  }

  /// The element. Precondition: `has_element_`.
  std::optional<stored<T>> take() {
    has_element_ = false;
    if constexpr (std::is_lvalue_reference_v<T>)
      return std::ref(*element_);
    else
      return std::move(*element_);
  }

 private:
  class converted : public generator_suspension {
   public:
    template <class U>
    explicit converted(std::in_place_t, U&& value) : value_(std::forward<U>(value)) {}
    converted(const converted&) = delete;
    converted& operator=(const converted&) = delete;

    std::coroutine_handle<> await_suspend(std::coroutine_handle<generator_promise> frame) noexcept {
      frame.promise().show(value_);
      return frame.promise().hand_over();
    }

   private:
    T value_;
  };

  generator_suspension show(element& value) noexcept {
    element_ = std::addressof(value);
    has_element_ = true;
    return {};
  }

  element* element_ = nullptr;
};

/// Owns the frame of a generator. The operation that takes the end destroys the frame.
class generator_owner {
 public:
  generator_owner(const generator_owner&) = delete;
  generator_owner& operator=(const generator_owner&) = delete;

 protected:
  generator_owner() noexcept = default;
  explicit generator_owner(generator_promise_base* promise) noexcept : promise_(promise) {}
  generator_owner(generator_owner&& other) noexcept
      : promise_(std::exchange(other.promise_, nullptr)) {}
  generator_owner& operator=(generator_owner&& other) noexcept {
    if (this != &other) {
      reset();
      promise_ = std::exchange(other.promise_, nullptr);
    }
    return *this;
  }
  ~generator_owner() { reset(); }

 private:
  friend class generator_operation;
  void reset() noexcept {
    if (promise_ != nullptr) std::exchange(promise_, nullptr)->destroy();
  }

  generator_promise_base* promise_ = nullptr;  ///< null if it is empty or has ended
};

/// Waits for the next element of a generator.
class generator_operation : public pausable_operation {
 public:
  [[nodiscard]] static bool await_ready() noexcept { return false; }

  // The frame of the generator is resumed directly; the loop is only needed when it waits.
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    static_assert(std::is_base_of_v<promise_base, Promise>,
                  "this operation needs a kioto runtime: await it in a kioto::task");
    return begin(frame.promise());
  }

  attempt try_or_wait() noexcept final;

 protected:
  explicit generator_operation(generator_owner& generator) noexcept
      : pausable_operation(generator.promise_ != nullptr ? &generator.promise_->branch_ : nullptr),
        promise_(generator.promise_),
        generator_(&generator) {}
  generator_operation(generator_operation&& other) noexcept
      : pausable_operation(static_cast<pausable_operation&&>(other)),
        promise_(other.promise_),
        generator_(other.generator_) {}
  ~generator_operation() {
    if (is_waiting_) [[unlikely]]
      abandon();
  }

  [[nodiscard]] generator_promise_base* promise() const noexcept { return promise_; }
  /// The generator has ended, and the end has been taken: destroys its frame.
  void let_go() noexcept {
    if (generator_->promise_ == promise_) generator_->reset();
  }

 private:
  std::coroutine_handle<> begin(promise_base& frame) noexcept;
  [[nodiscard]] bool is_ready() const noexcept {
    return promise_ == nullptr || promise_->has_element_ || promise_->is_done_;
  }
  [[nodiscard]] bool is_cut_short() const noexcept;
  void begin_to_wait() noexcept;
  attempt conclude() noexcept final;
  // Destroyed while it waits. Either it belongs to a paused generator, in which case this one is
  // paused too and may continue elsewhere; or an operation is in flight, which the destructor of
  // that leaf operation detects.
  void abandon() noexcept;

  generator_promise_base* promise_;  ///< null for an empty generator
  generator_owner* generator_;
  bool is_waiting_ = false;
};

template <class T>
class [[nodiscard]] next_element_operation final : public generator_operation {
 public:
  explicit next_element_operation(generator_owner& generator) noexcept
      : generator_operation(generator) {}
  next_element_operation(next_element_operation&&) noexcept = default;

  std::optional<stored<T>> await_resume() {
    if (promise() == nullptr) return std::nullopt;
    auto& generator = *static_cast<generator_promise<T>*>(promise());
    if (generator.has_element_) [[likely]]
      return generator.take();
    std::exception_ptr error = std::move(generator.error_);
    let_go();
    if (error != nullptr) std::rethrow_exception(std::move(error));
    return std::nullopt;
  }
};

}  // namespace detail

/// A coroutine that produces a sequence of elements: `co_yield` delivers one, and in between the
/// coroutine may await what a task may. It is a stream; see `stream/stream.hpp`.
///
/// - Lazy: it runs only while its consumer awaits `next()`, on the strand of that task. One frame,
///   no allocation per element.
/// - Elements are moved out of the generator; a yielded lvalue is copied. An `async_generator<T&>`
///   delivers references, as `std::reference_wrapper<T>`, which are valid until the next `next()`.
/// - Exceptions that leave the coroutine are thrown by `next()`; the generator has then ended.
/// - Cancellation: a cancelled `next()` pauses the generator. The operation it waited in is
///   withdrawn without effect, and started again by the following `next()`; no element is lost. The
///   exception is a generator that waits in a `scope`, whose children cannot pause: it is stopped,
///   and has ended; an element that it produces nevertheless is the result of that wait, and the
///   last one. No other generator ever observes a stop: no `as_result` in it reports one.
/// - In a select: a `next()` that loses pauses the generator in the same way.
/// - The frame, and with it the parameters, is destroyed when `next()` has returned the end.
/// - Destroying the generator destroys the frame where it is suspended, and runs the destructors in
///   it. It must not be destroyed while its `next()` is awaited.
/// - Lifetime: as for a task. Arguments are moved or copied into the frame as declared.
/// - Thread safety: one task at a time, which need not be the same for all elements.
///
/// ```
/// kioto::async_generator<std::string> lines(net::tcp_stream& socket) {
///   for (;;) { ...; co_yield std::move(line); }
/// }
/// auto g = lines(socket);
/// for (;;) {
///   auto line = co_await g.next();
///   if (!line) break;
/// }
/// ```
template <class T>
class [[nodiscard]] async_generator : private detail::generator_owner {
  static_assert(std::is_lvalue_reference_v<T> || std::is_object_v<T>,
                "an async_generator yields values, or lvalue references");

 public:
  using promise_type = detail::generator_promise<T>;
  using value_type = detail::stored<T>;

  async_generator() noexcept = default;
  async_generator(async_generator&&) noexcept = default;
  async_generator& operator=(async_generator&&) noexcept = default;
  ~async_generator() = default;

  /// Waits for the next element.
  ///
  /// - Result: an optional; empty when the coroutine has returned, and from then on.
  /// - Errors: rethrows what the coroutine throws, once.
  /// - Cancellation: the generator is paused; see above.
  /// - In a select: withdrawn; the generator is paused, and the element comes with the next call.
  /// - Lifetime: the generator outlives the wait, and is not moved meanwhile.
  [[nodiscard]] detail::next_element_operation<T> next() noexcept {
    return detail::next_element_operation<T>(*this);
  }

 private:
  friend promise_type;
  explicit async_generator(promise_type* promise) noexcept : generator_owner(promise) {}
};

}  // namespace kioto
