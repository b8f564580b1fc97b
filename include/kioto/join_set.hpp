// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>
#include <vector>

#include <kioto/blocking.hpp>
#include <kioto/detail/task/join_set_core.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>
#include <kioto/join_handle.hpp>
#include <kioto/runtime.hpp>
#include <kioto/spawn.hpp>

namespace kioto {
namespace detail {

template <class T>
class [[nodiscard]] join_next_operation final : public join_set_operation<join_next_operation<T>> {
 public:
  explicit join_next_operation(join_set_core* core) noexcept
      : join_set_operation<join_next_operation>(core) {}
  join_next_operation(join_next_operation&&) noexcept = default;

  [[nodiscard]] bool is_satisfied() noexcept {
    return this->core_->size() == 0 || this->core_->has_ended();
  }
  std::optional<join_result<T>> await_resume() {
    if (this->core_ == nullptr || this->core_->size() == 0) return std::nullopt;
    const join_set_core::ended_task task = this->core_->pop_ended();
    return join_access::take<T>(*task);
  }
};

template <class T>
class [[nodiscard]] join_all_operation final : public join_set_operation<join_all_operation<T>> {
 public:
  using value_type = std::conditional_t<std::is_void_v<T>, void,
                                        std::vector<typename join_result<T>::stored_type>>;

  explicit join_all_operation(join_set_core* core) noexcept
      : join_set_operation<join_all_operation>(core) {}
  join_all_operation(join_all_operation&&) noexcept = default;

  // The first failure asks the others to stop, and their end is awaited.
  [[nodiscard]] bool is_satisfied() noexcept {
    this->core_->take_ended();
    if (this->core_->has_failed()) this->core_->abort_all_once();
    return this->core_->all_ended();
  }
  value_type await_resume() {
    if constexpr (std::is_void_v<T>) {
      if (this->core_ != nullptr) each([](join_result<T>&& result) { std::move(result).value(); });
    } else {
      value_type values;
      if (this->core_ != nullptr) {
        values.reserve(this->core_->size());
        each([&values](join_result<T>&& result) {
          if constexpr (std::is_reference_v<T>)
            values.push_back(std::addressof(std::move(result).value()));
          else
            values.push_back(std::move(result).value());
        });
      }
      return values;
    }
  }

 private:
  /// Empties the set, even if `use` throws; the first failure in order of completion is thrown.
  template <class Use>
  void each(Use use) {
    const join_set_core::clears_at_end whatever_comes(*this->core_);
    while (this->core_->size() != 0) {
      const join_set_core::ended_task task = this->core_->pop_ended();
      use(join_access::take<T>(*task));
    }
  }
};

class [[nodiscard]] join_set_shutdown final : public join_set_operation<join_set_shutdown> {
 public:
  explicit join_set_shutdown(join_set_core* core) noexcept : join_set_operation(core) {}
  join_set_shutdown(join_set_shutdown&&) noexcept = default;

  [[nodiscard]] bool is_satisfied() noexcept {
    core_->take_ended();
    core_->abort_all_once();
    return core_->all_ended();
  }
  void await_resume() noexcept {
    if (core_ != nullptr) const join_set_core::clears_at_end whatever_is_left(*core_);
  }
};

}  // namespace detail

/// A collection of spawned tasks with one type of result, which returns the results in the order in
/// which the tasks end.
///
/// - Destroying the set aborts its tasks and does not wait for them; `shutdown()` does both.
/// - A task costs only its own frame: the entries of the set are reused.
/// - Thread safety: the set is used by one task at a time; only one operation on it is awaited at a
///   time. The tasks themselves run in parallel.
///
/// ```
/// kioto::join_set<int> set;
/// for (auto& part : parts) set.spawn(count_words, part);
/// for (;;) {
///   auto result = co_await set.join_next();
///   if (!result) break;
///   total += std::move(*result).value();
/// }
/// ```
template <class T = void>
class join_set {
 public:
  using value_type = T;

  join_set() noexcept = default;
  join_set(join_set&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
  join_set& operator=(join_set&& other) noexcept {
    if (this != &other) {
      dispose(true);
      core_ = std::exchange(other.core_, nullptr);
    }
    return *this;
  }
  join_set(const join_set&) = delete;
  join_set& operator=(const join_set&) = delete;
  ~join_set() { dispose(true); }

  /// Spawns as `kioto::spawn` does; the result goes to this set. The returned handle can only
  /// abort.
  abort_handle spawn(task<T> work, std::source_location where = std::source_location::current()) {
    reserve();
    return add(kioto::spawn(std::move(work), where));
  }
  template <class F, class... Args>
    requires detail::task_factory<F, Args...>
  abort_handle spawn(F&& callable, Args&&... arguments) {
    reserve();
    return add(kioto::spawn(std::forward<F>(callable), std::forward<Args>(arguments)...));
  }
  /// The same on another runtime.
  abort_handle spawn_on(const handle& runtime, task<T> work,
                        std::source_location where = std::source_location::current()) {
    reserve();
    return add(runtime.spawn(std::move(work), where));
  }
  template <class F, class... Args>
    requires detail::task_factory<F, Args...>
  abort_handle spawn_on(const handle& runtime, F&& callable, Args&&... arguments) {
    reserve();
    return add(runtime.spawn(std::forward<F>(callable), std::forward<Args>(arguments)...));
  }
  /// As `kioto::spawn_blocking`; the result goes to this set.
  template <class F, class... Args>
    requires std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>
  abort_handle spawn_blocking(F&& callable, Args&&... arguments) {
    reserve();
    return add(kioto::spawn_blocking(std::forward<F>(callable), std::forward<Args>(arguments)...));
  }
  template <class F, class... Args>
    requires std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>
  abort_handle spawn_blocking_on(const handle& runtime, F&& callable, Args&&... arguments) {
    reserve();
    return add(runtime.spawn_blocking(std::forward<F>(callable), std::forward<Args>(arguments)...));
  }

  /// Waits until a task of the set has ended, and takes its result.
  ///
  /// - Result: a `join_result<T>`, with the id of the task; empty if there are no tasks.
  /// - Errors: none; an exception of the task is in the result.
  /// - Cancellation: a cancelled wait takes nothing.
  /// - In a select: withdrawn; the ended task stays in the set, with its result.
  /// - Lifetime: the set outlives the wait.
  [[nodiscard]] detail::join_next_operation<T> join_next() noexcept {
    return detail::join_next_operation<T>(core_);
  }
  /// The same without waiting: also empty if no task has ended.
  [[nodiscard]] std::optional<join_result<T>> try_join_next() {
    if (core_ == nullptr || !core_->has_ended()) return std::nullopt;
    return join_next().await_resume();
  }

  /// Waits for all tasks, and takes their results.
  ///
  /// - Result: a vector of the values in the order in which the tasks ended; nothing for `void`;
  ///   pointers for a reference type.
  /// - Errors: if a task ends with an exception or cancelled, the others are aborted, and once they
  ///   have ended, this throws the exception, or `task_cancelled`. The set is empty then.
  /// - Cancellation: a cancelled wait takes nothing, but tasks may already have been aborted
  ///   because of a failure.
  /// - In a select: withdrawn, with the same effect as a cancelled wait.
  /// - Lifetime: the set outlives the wait. Do not add tasks meanwhile.
  [[nodiscard]] detail::join_all_operation<T> join_all() noexcept {
    return detail::join_all_operation<T>(core_);
  }

  /// Aborts all tasks, waits until they have ended, and drops their results.
  ///
  /// - Result: none; the set is empty.
  /// - Errors: none. Exceptions of the tasks go to the runtime's hook for unhandled exceptions.
  /// - Cancellation: the tasks have been asked to stop, and stay in the set.
  /// - In a select: withdrawn, with the same effect as a cancelled wait.
  /// - Lifetime: the set outlives the wait.
  [[nodiscard]] detail::join_set_shutdown shutdown() noexcept {
    return detail::join_set_shutdown(core_);
  }

  /// Asks all tasks to stop. They stay in the set until their results are taken.
  void abort_all() noexcept {
    if (core_ != nullptr) core_->abort_all();
  }
  /// Detaches all tasks, which continue to run. The set is empty afterwards.
  void detach_all() noexcept { dispose(false); }

  /// The number of tasks whose results have not been taken.
  [[nodiscard]] std::size_t size() const noexcept { return core_ != nullptr ? core_->size() : 0; }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }

 private:
  void reserve() {
    if (core_ == nullptr) core_ = new detail::join_set_core;
    core_->reserve();
  }
  abort_handle add(join_handle<T> handle) noexcept {
    kioto::abort_handle stop = handle.abort_handle();
    core_->add(*detail::join_handle_access::release(std::move(handle)));
    return stop;
  }
  void dispose(bool abort) noexcept {
    if (core_ != nullptr) std::exchange(core_, nullptr)->dispose(abort);
  }

  detail::join_set_core* core_ = nullptr;
};

}  // namespace kioto
