// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <functional>
#include <memory>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

#include <kioto/join_handle.hpp>
#include <kioto/task.hpp>

namespace kioto::detail {

class runtime_core;

/// The scheduler of the runtime that the calling thread is in, to spawn a task on it. Throws
/// std::logic_error, naming `what`, outside of a runtime, on a thread on which a local runtime does
/// not allow it, and in a child of fork() that inherited the runtime.
scheduler& current_scheduler(const char* what);
/// Throws std::logic_error in a child of fork() that inherited the runtime.
scheduler& scheduler_of(runtime_core& core);

/// Binds a task to its runtime and makes it runnable, or refuses it if the runtime is shutting
/// down.
void launch(task_header& task) noexcept;

/// Turns a coroutine into a spawned task that `home` will run. It is not yet known to any other
/// thread.
template <class T>
join_handle<T> bind_task(scheduler& home, task<T>&& work, std::source_location where) {
  typed_promise<T>& root = task_access::release(std::move(work));
  task_header* memory = root.block();
  const block_info block = *memory;
  auto* header = ::new (static_cast<void*>(memory)) task_header(block, home, where);
  root.strand_ = header;
  header->frame_ = &root;
  return join_handle_access::make<T>(header);
}

template <class T>
join_handle<T> spawn_on(scheduler& home, task<T>&& work, std::source_location where) {
  auto handle = bind_task(home, std::move(work), where);
  launch(*join_handle_access::header(handle));
  return handle;
}

/// Whether a parameter of a coroutine does not refer to the argument it was made from. A value of
/// another type may: a std::string_view made from a std::string does.
template <class Param, class Arg>
inline constexpr bool keeps_nothing_of = std::is_same_v<std::remove_cv_t<Param>, Arg> ||
                                         (std::is_arithmetic_v<Param> && std::is_arithmetic_v<Arg>);
template <class Param, class Arg>
inline constexpr bool keeps_nothing_of<Param&, std::reference_wrapper<Arg>> =
    std::is_convertible_v<Arg*, Param*>;

/// True for calls that do not use the callable or its arguments later, because the coroutine frame
/// holds copies. `Args` are decayed.
template <class F, class... Args>
inline constexpr bool call_is_self_contained = false;
template <class R, class... Params, class... Args>
  requires(sizeof...(Params) == sizeof...(Args))
inline constexpr bool call_is_self_contained<R (*)(Params...), Args...> =
    (keeps_nothing_of<Params, Args> && ...);
template <class R, class... Params, class... Args>
inline constexpr bool call_is_self_contained<R (*)(Params...) noexcept, Args...> =
    call_is_self_contained<R (*)(Params...), Args...>;

/// A closure without captures: it is equivalent to the function it converts to.
template <class F>
concept plain_closure = std::is_class_v<F> && std::is_empty_v<F> && requires(F f) {
  { +f };
  requires std::is_function_v<std::remove_pointer_t<decltype(+f)>>;
};

template <class F, class... Args>
using task_of_call = std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>;

template <class F, class... Args>
concept task_factory = std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...> &&
                       is_task<task_of_call<F, Args...>>;

/// Sets the location of the running task to that of the coroutine that it wraps.
class adopt_location {
 public:
  explicit adopt_location(std::source_location where) noexcept : where_(where) {}
  [[nodiscard]] static bool await_ready() noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) const noexcept {
    strand& c = *frame.promise().strand_;
    // Relaxed: the location points to constant data.
    if (c.kind_ == strand_kind::task && c.task().where_.load(std::memory_order_relaxed).line() == 0)
      c.task().where_.store(where_, std::memory_order_relaxed);
    return false;
  }
  static void await_resume() noexcept {}

 private:
  std::source_location where_;
};

/// Owns a callable and its arguments until the task that the call returns has ended.
template <class T, class F, class... Args>
task<T> call_and_hold(F callable, Args... arguments) {
  task<T> inner = std::invoke(std::move(callable), std::move(arguments)...);
  co_await adopt_location(task_access::location(inner));
  co_return co_await std::move(inner);
}

/// `callable(arguments…)` as a task that owns both, as std::thread does.
template <class F, class... Args>
auto make_owning_task(F&& callable, Args&&... arguments) {
  using result = typename task_of_call<F, Args...>::value_type;
  if constexpr (plain_closure<std::decay_t<F>>)
    return make_owning_task(+callable, std::forward<Args>(arguments)...);
  else if constexpr (call_is_self_contained<std::decay_t<F>, std::decay_t<Args>...>)
    return std::invoke(std::forward<F>(callable), std::forward<Args>(arguments)...);
  else
    return call_and_hold<result, std::decay_t<F>, std::decay_t<Args>...>(
        std::forward<F>(callable), std::forward<Args>(arguments)...);
}

}  // namespace kioto::detail
