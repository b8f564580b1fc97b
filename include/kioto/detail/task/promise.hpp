// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <source_location>
#include <type_traits>
#include <utility>

#include <kioto/config.hpp>
#include <kioto/detail/base/frame_allocator.hpp>
#include <kioto/detail/base/is_result.hpp>
#include <kioto/detail/task/strand.hpp>
#include <kioto/detail/task/task_header.hpp>

namespace kioto::detail {

class await_hook;
class task_awaiter_base;

/// Ends the program with a message, because a destructor has thrown where the exception cannot be
/// caught: while a frame or a result was destroyed. The message names `task`, or the running task
/// if it is null.
[[noreturn]] void die_of_destructor(task_header* task = nullptr) noexcept;

/// What awaits a frame. The frame at the root of a strand is not awaited by another frame; if it
/// belongs to a child of a scope, this holds the scope instead.
class frame_parent {
 public:
  void set_awaiter(task_awaiter_base& awaiter) noexcept {
    bits_ = reinterpret_cast<std::uintptr_t>(&awaiter);
  }
  void set_scope(scope_core& scope) noexcept {
    bits_ = reinterpret_cast<std::uintptr_t>(&scope) | at_root;
  }

  [[nodiscard]] bool is_at_root() const noexcept { return (bits_ & at_root) != 0; }
  /// Null at the root.
  [[nodiscard]] task_awaiter_base* awaiter() const noexcept {
    return is_at_root() ? nullptr : reinterpret_cast<task_awaiter_base*>(bits_);
  }
  /// Only at the root. Null if this is not a child of a scope.
  [[nodiscard]] scope_core* scope() const noexcept {
    return reinterpret_cast<scope_core*>(bits_ & ~at_root);
  }

 private:
  static constexpr std::uintptr_t at_root = 1;
  std::uintptr_t bits_ = at_root;
};

/// Part of the promise that does not depend on the type of the result.
///
/// One allocation holds `[result | task_header | frame]`; see `block_layout` for the gaps. The
/// frame can therefore be destroyed, and with it the parameters of the coroutine, while the result
/// and the join state stay. A small result is stored in the header, see `block_layout`.
class promise_base {
 public:
  promise_base(const promise_base&) = delete;
  promise_base& operator=(const promise_base&) = delete;

  [[nodiscard]] std::coroutine_handle<> handle() noexcept {
    return std::coroutine_handle<promise_base>::from_promise(*this);
  }
  [[nodiscard]] task_header* block() noexcept {
    return static_cast<task_header*>(
        static_cast<void*>(static_cast<std::byte*>(handle().address()) - sizeof(task_header)));
  }

  /// How the coroutine ended; `none` before that. Only valid in a task.
  [[nodiscard]] outcome& ending() noexcept { return block()->outcome_; }

  /// Set when the frame is started; null again while it is destroyed, see `destroy_frame`.
  strand* strand_ = nullptr;
  frame_parent parent_;
  await_hook* hook_ = nullptr;  ///< adaptors around the operation that this frame awaits
  std::source_location where_;

 protected:
  promise_base() noexcept = default;
  ~promise_base() = default;
};

/// Destroys a frame that is suspended. Every destruction of a frame goes through this.
///
/// A destructor that throws ends the program. If it is the destructor of a local variable,
/// compilers call `unhandled_exception()` as if the coroutine were running, and the frame would
/// then suspend at its end instead of being destroyed; so `unhandled_exception()` treats a frame
/// without a strand as one that is being destroyed. What the destructor of a parameter throws is
/// thrown by `destroy()`.
[[gnu::always_inline]] inline void destroy_frame(promise_base& frame) noexcept {
  frame.strand_ = nullptr;
  KIOTO_TRY { frame.handle().destroy(); }
  KIOTO_CATCH_ALL { die_of_destructor(); }
}

/// How the operation that a frame awaits has ended, as it passes through the hooks around it.
enum class passage : std::uint8_t {
  completed,  ///< the frame is resumed
  stopped,    ///< the stop propagates
  returning,  ///< the frame ends early; its outermost hook stores the result
  held,       ///< a hook holds the frame, which continues from there when its strand runs again
};

/// An adaptor that intervenes when the operation it wraps ends (`as_result`, `or_return`). It lives
/// in the frame that awaits it and is stacked on the frame's `hook_`.
///
/// Invariant: every hook on a frame is popped and called once, innermost first, however the
/// operation ends. A hook that was pushed and then fails to start its operation pops itself.
class await_hook {
 public:
  await_hook(const await_hook&) = delete;
  await_hook& operator=(const await_hook&) = delete;

  void push(promise_base& frame) noexcept {
    previous_ = frame.hook_;
    frame.hook_ = this;
  }
  void pop(promise_base& frame) noexcept { frame.hook_ = previous_; }
  /// Pushes it below all hooks that are on the frame, so that it is called after them.
  void push_outermost(promise_base& frame) noexcept {
    await_hook** place = &frame.hook_;
    while (*place != nullptr) place = &(*place)->previous_;
    previous_ = nullptr;
    *place = this;
  }

  /// Called when the wrapped operation has ended as `how`, after the hook has been popped. Returns
  /// how the adaptor's operation has ended.
  virtual passage on_end(promise_base& frame, passage how) noexcept = 0;

 protected:
  await_hook() noexcept = default;
  ~await_hook() = default;

 private:
  await_hook* previous_ = nullptr;
};

/// A hook that ends its frame early: it returns `returning`, having pushed itself onto the frame as
/// the outermost hook.
class returning_hook : public await_hook {
 public:
  /// Called by the loop after all hooks were called: stores the result. It first destroys what the
  /// frame awaited, so that a chain of frames that end early is destroyed one by one, innermost
  /// first, and not from the outside by recursion.
  virtual void leave(promise_base& frame) noexcept = 0;

 protected:
  returning_hook() noexcept = default;
  ~returning_hook() = default;
};

/// Calls the hooks of a frame. If it returns `completed`, the caller resumes the frame; if
/// `stopped`, the stop propagates; otherwise the loop has been asked to do the rest, or the frame
/// is held.
passage run_hooks(promise_base& frame, passage how) noexcept;

/// Called when the operation of a frame has completed. Returns true if the frame is to be resumed.
inline bool completed_through_hooks(promise_base& frame) noexcept {
  if (frame.hook_ == nullptr) [[likely]]
    return true;
  return run_hooks(frame, passage::completed) == passage::completed;
}

/// The awaiting side of a child task. Lives in the frame of the parent and owns the child's frame.
class task_awaiter_base {
 public:
  explicit task_awaiter_base(promise_base* child) noexcept : child_(child) {}
  task_awaiter_base(const task_awaiter_base&) = delete;
  task_awaiter_base& operator=(const task_awaiter_base&) = delete;

  [[nodiscard]] promise_base& parent() const noexcept { return *parent_; }
  void destroy_child() noexcept {
    if (child_ != nullptr) destroy_frame(*std::exchange(child_, nullptr));
  }

 protected:
  ~task_awaiter_base() { destroy_child(); }

  promise_base* parent_ = nullptr;
  promise_base* child_;
};

/// Destroys the frames from `innermost` up to, but not including, `boundary`: one by one, without
/// recursion.
inline void destroy_frames(promise_base& innermost, promise_base& boundary) noexcept {
  promise_base* frame = &innermost;
  while (frame != &boundary) {
    task_awaiter_base* const awaiter = frame->parent_.awaiter();
    frame = &awaiter->parent();
    awaiter->destroy_child();
  }
}

/// Continues with `next`: by symmetric transfer, or through the loop if too many transfers have
/// accumulated on the stack.
inline std::coroutine_handle<> transfer_to(promise_base& next) noexcept {
  trampoline& loop = next.strand_->loop();
  if (--loop.depth != 0) [[likely]]
    return next.handle();
  loop.ask(request::proceed, next);
  return std::noop_coroutine();
}

/// Called when a task that is a branch has ended. Returns what to resume.
std::coroutine_handle<> end_of_branch(promise_base& root) noexcept;

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
/// Of size 0. g++ stores the final awaiter at the end of the frame, where a single byte makes many
/// frames eight bytes larger.
struct nothing {
  char none[0];
};
#pragma GCC diagnostic pop
#else
struct nothing {};
#endif

struct final_awaiter : nothing {
  [[nodiscard]] static bool await_ready() noexcept { return false; }
  template <class Promise>
  static std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    Promise& self = frame.promise();
    if (self.parent_.is_at_root()) {
      if (self.strand_->kind_ != strand_kind::task) return end_of_branch(self);
      self.before_end();
      self.strand_->loop().ask(request::finished, self);
      return std::noop_coroutine();
    }
    promise_base& parent = self.parent_.awaiter()->parent();
    if (!completed_through_hooks(parent)) return std::noop_coroutine();
    return transfer_to(parent);
  }
  static void await_resume() noexcept {}
};

/// Storage for the result of a task, in front of its header, see `promise_base`.
template <class T>
union result_storage {
  result_storage() noexcept {}
  ~result_storage() {}
  T value;
  std::exception_ptr error;
};
template <class T>
union result_storage<T&> {
  result_storage() noexcept {}
  ~result_storage() {}
  T* value;
  std::exception_ptr error;
};
template <>
union result_storage<void> {
  result_storage() noexcept {}
  ~result_storage() {}
  std::exception_ptr error;
};

/// The layout of the block.
template <class T>
struct block_layout {
  static constexpr std::size_t storage_alignment = alignof(result_storage<T>);

  // A result of up to two pointers is stored in place of the two pointers that the strand uses for
  // waiting, because a coroutine that has its result no longer waits. (In the block of an awaited
  // coroutine, which is not a strand, that place is unused.) However, if the destructor of a local
  // throws on the way out, and the exception is caught, the coroutine continues and may wait again:
  // so the result must be of a type that can be overwritten.
  static constexpr std::size_t place_in_header = sizeof(block_info) + offsetof(strand, current_);
  static constexpr bool is_in_header =
      (std::is_void_v<T> || std::is_reference_v<T> || std::is_trivially_destructible_v<T>) &&
      sizeof(result_storage<T>) <= sizeof(strand) - offsetof(strand, current_) &&
      place_in_header % storage_alignment == 0;
  static_assert(sizeof(block_info) % alignof(strand) == 0);  // so the strand follows directly

  /// The space below the header for the result, and for the slack to align an over-aligned one.
  static constexpr std::size_t room_of_result =
      is_in_header
          ? 0
          : (sizeof(result_storage<T>) + (storage_alignment > 16 ? storage_alignment : 0) + 15) /
                16 * 16;
  /// Whether `block_info` may need a word below the header, including the gap that aligns the
  /// frame.
  static constexpr bool has_far_start =
      room_of_result + max_inferred_alignment > block_info::near_prefix;
  static constexpr std::size_t room = room_of_result + (has_far_start ? 16 : 0);
  static_assert(sizeof(task_header) % 16 == 0);
  static_assert(sizeof(void*) != 8 || sizeof(task_header) == 112);  // every task pays for it

  static result_storage<T>* storage(task_header* header) noexcept {
    const auto end = reinterpret_cast<std::uintptr_t>(header);
    if constexpr (is_in_header) return reinterpret_cast<result_storage<T>*>(end + place_in_header);
    constexpr std::size_t offset = sizeof(result_storage<T>) + (has_far_start ? 16 : 0);
    const std::uintptr_t at = (end - offset) & ~(storage_alignment - 1);
    return reinterpret_cast<result_storage<T>*>(at);
  }
  static constexpr bool has_destructor =
      !std::is_void_v<T> && !std::is_reference_v<T> && !std::is_trivially_destructible_v<T>;
  /// `task`: see `die_of_destructor`.
  static void destroy_result(task_header* header, outcome what,
                             task_header* task = nullptr) noexcept {
    if (what == outcome::value) {
      if constexpr (has_destructor) {
        if constexpr (std::is_nothrow_destructible_v<T>) {
          std::destroy_at(std::addressof(storage(header)->value));
        } else {
          KIOTO_TRY { std::destroy_at(std::addressof(storage(header)->value)); }
          KIOTO_CATCH_ALL { die_of_destructor(task); }
        }
      }
    } else if (what == outcome::exception) {
      std::destroy_at(std::addressof(storage(header)->error));
    }
  }
  /// The `task_header::manager` of a task with this result.
  static void manage_result(task_header& header, task_header::manage what, void* out) noexcept {
    switch (what) {
      case task_header::manage::destroy_result:
        return destroy_result(&header, header.outcome_, &header);
      case task_header::manage::read_error:
        *static_cast<std::exception_ptr*>(out) = storage(&header)->error;
        return;
      case task_header::manage::read_failure:
        if constexpr (is_result<T>) store_failure(storage(&header)->value, out);
        return;
    }
  }
};

/// Result part of the promise.
template <class T>
class typed_promise : public promise_base {
 public:
  static void* operator new(std::size_t frame) {
    return allocate_block(frame, inferred_alignment(frame));
  }
  static void operator delete(void* frame, std::size_t) noexcept {
    auto* block =
        reinterpret_cast<block_info*>(static_cast<std::byte*>(frame) - sizeof(task_header));
    if (!block->retained()) block->free_block();
  }
#if defined(__clang__)
  // With -fcoro-aligned-allocation clang passes the alignment of the frame.
  static void* operator new(std::size_t frame, std::align_val_t alignment) {
    return allocate_block(frame, static_cast<std::size_t>(alignment));
  }
  static void operator delete(void* frame, std::size_t bytes, std::align_val_t) noexcept {
    operator delete(frame, bytes);
  }
#endif

  ~typed_promise() {
    // Destroys a result that was not taken. For a spawned task the header has taken over the result
    // before this.
    const outcome what = ending();
    if (what != outcome::none) block_layout<T>::destroy_result(block(), what);
  }

  void unhandled_exception() noexcept {
    if (strand_ == nullptr) [[unlikely]]
      die_of_destructor();
    drop_value();
    ::new (static_cast<void*>(std::addressof(storage().error)))
        std::exception_ptr(std::current_exception());
    ending() = outcome::exception;
  }
  [[nodiscard]] result_storage<T>& storage() noexcept { return *block_layout<T>::storage(block()); }

  /// Destroys the value, if there is one, because something after the `co_return` replaces it: an
  /// exception from the destructor of a local, or another `co_return` if that exception was caught.
  void drop_value() noexcept {
    if constexpr (block_layout<T>::has_destructor) {
      if (ending() == outcome::value) [[unlikely]]
        block_layout<T>::destroy_result(block(), std::exchange(ending(), outcome::none));
    }
  }

  /// Called at the root of a task when the coroutine has its result. This is the last code that
  /// knows the type of the result, so it stores in the header how to manage it.
  void before_end() noexcept { block()->manage_result_ = &block_layout<T>::manage_result; }

 private:
  // The size of what is in front of the frame, and for an over-aligned frame that of the whole
  // block, is a multiple of the alignment. Then so is the address of the block, see
  // `allocate_frame`, and therefore that of the frame.
  static void* allocate_block(std::size_t frame, std::size_t alignment) {
    const bool is_over_aligned = alignment > 16;
    constexpr std::size_t in_front = block_layout<T>::room + sizeof(task_header);
    const std::size_t offset = is_over_aligned ? round_up(in_front, alignment) : in_front;
    const std::size_t size = is_over_aligned ? round_up(offset + frame, alignment) : offset + frame;
    std::byte* const at = static_cast<std::byte*>(allocate_frame(size)) + offset;
    ::new (static_cast<void*>(at - sizeof(task_header)))
        block_info(size, offset - sizeof(task_header));
    return at;
  }
};

/// Takes the result of a coroutine that has ended with `how`, a value or an exception.
template <class T>
T take_result(result_storage<T>& storage, outcome how) {
  if (how == outcome::exception) [[unlikely]] {
    std::exception_ptr error = std::move(storage.error);
    std::rethrow_exception(std::move(error));
  }
  if constexpr (std::is_reference_v<T>)
    return static_cast<T>(*storage.value);
  else if constexpr (!std::is_void_v<T>)
    return std::move(storage.value);
}

template <class T>
class promise_with_return : public typed_promise<T> {
 public:
  template <class U = T>
    requires std::is_constructible_v<T, U&&>
  void return_value(U&& value) noexcept(std::is_nothrow_constructible_v<T, U&&>) {
    this->drop_value();
    if constexpr (std::is_reference_v<T>)
      this->storage().value = std::addressof(value);
    else
      ::new (static_cast<void*>(std::addressof(this->storage().value))) T(std::forward<U>(value));
    this->ending() = outcome::value;
  }
};
template <>
class promise_with_return<void> : public typed_promise<void> {
 public:
  void return_void() noexcept { ending() = outcome::value; }
};

}  // namespace kioto::detail
