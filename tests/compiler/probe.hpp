// SPDX-License-Identifier: MIT
#pragma once

// What the compiler probes share: a minimal task, an executor of one queue, counted objects. It
// does not use kioto: a probe tells what the compiler does, whatever the library does.
//
// A probe has two kinds of checks. PROBE_CHECK holds on every supported compiler: it is the idiom
// that kioto and its users rely on. `known_bad` runs the naive form in a child process, because it
// may crash or hang there; it must work on every compiler, except on g++ before 13, where the
// outcome is only reported.

#include <sys/wait.h>
#include <unistd.h>

#include <coroutine>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <new>
#include <optional>
#include <utility>

#include <kioto/config.hpp>

namespace probe {

inline int failures = 0;

inline void check(bool ok, const char* text, const char* file, int line) {
  if (ok) return;
  ++failures;
  std::printf("%s:%d: failed: %s\n", file, line, text);
}

#define PROBE_CHECK(condition) ::probe::check((condition), #condition, __FILE__, __LINE__)

/// The exit code of the program.
inline int result() {
  std::printf("%s\n", failures == 0 ? "passed" : "FAILED");
  return failures == 0 ? 0 : 1;
}

enum class expectation { broken_before_gcc_13, broken_on_any_gcc, may_fail_anywhere };

inline bool tolerated(expectation expected) {
  if (expected == expectation::may_fail_anywhere) return true;
#if defined(__GNUC__) && !defined(__clang__)
  if (expected == expectation::broken_on_any_gcc) return true;
#endif
  return KIOTO_BROKEN_AWAIT_TEMPORARIES != 0;
}

/// Runs `naive` in a child process; it returns whether all went well.
template <class F>
void known_bad(const char* name, expectation expected, F naive) {
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child == 0) {
    // A sanitizer's or allocator's report of the damage is expected here and would only alarm.
    if (std::freopen("/dev/null", "w", stderr) == nullptr) ::_exit(2);
    ::alarm(20);
    ::_exit(naive() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  const bool works = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  std::printf("%s: %s\n", name, works ? "works" : "broken on this compiler");
  if (!works && !tolerated(expected)) {
    ++failures;
    std::printf("  but is expected to work here\n");
  }
}

// The executor: one queue of handles, which run() runs.

inline std::deque<std::coroutine_handle<>>& ready_queue() {
  static std::deque<std::coroutine_handle<>> queue;
  return queue;
}

inline void run_ready() {
  while (!ready_queue().empty()) {
    auto next = ready_queue().front();
    ready_queue().pop_front();
    next.resume();
  }
}

/// Suspends once, then delivers `value`.
template <class T>
class yield_then {
 public:
  explicit yield_then(T value) : value_(std::move(value)) {}
  yield_then(const yield_then&) = delete;
  yield_then& operator=(const yield_then&) = delete;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h) { ready_queue().push_back(h); }
  T await_resume() { return std::move(value_); }

 private:
  T value_;
};

// The task: lazy, move-only, resumes its continuation by symmetric transfer.

inline int live_frames = 0;
inline bool promise_moved = false;

struct promise_base {
  std::coroutine_handle<> continuation;
  std::exception_ptr error;
  const void* address_at_start = nullptr;

  static void* operator new(std::size_t size) {
    ++live_frames;
    return ::operator new(size);
  }
  static void operator delete(void* frame, std::size_t) {
    --live_frames;
    ::operator delete(frame);
  }
  // For clang, which is told to ask for the alignment.
  static void* operator new(std::size_t size, std::align_val_t alignment) {
    ++live_frames;
    return ::operator new(size, alignment);
  }
  static void operator delete(void* frame, std::size_t, std::align_val_t alignment) {
    --live_frames;
    ::operator delete(frame, alignment);
  }

  struct final_awaiter {
    final_awaiter() {}
    bool await_ready() const noexcept { return false; }
    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> h) noexcept {
      promise_base& promise = h.promise();
      if (promise.address_at_start != &promise) promise_moved = true;
      return promise.continuation ? promise.continuation : std::noop_coroutine();
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() noexcept { return {}; }
  final_awaiter final_suspend() noexcept { return final_awaiter(); }
  void unhandled_exception() noexcept { error = std::current_exception(); }
};

template <class T>
class task;

template <class T>
struct promise : promise_base {
  std::optional<T> value;
  task<T> get_return_object();
  template <class U>
  void return_value(U&& v) {
    value.emplace(std::forward<U>(v));
  }
  T take() {
    if (error) std::rethrow_exception(error);
    return std::move(*value);
  }
};

template <>
struct promise<void> : promise_base {
  task<void> get_return_object();
  void return_void() noexcept {}
  void take() {
    if (error) std::rethrow_exception(error);
  }
};

template <class T = void>
class [[nodiscard]] task {
 public:
  using promise_type = promise<T>;
  using handle = std::coroutine_handle<promise_type>;

  explicit task(handle h) noexcept : handle_(h) {}
  task(task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  task& operator=(task&&) = delete;
  ~task() { destroy(); }

  void destroy() {
    if (auto h = std::exchange(handle_, {})) h.destroy();
  }

  /// Runs until nothing is ready; true when the task has ended.
  bool run() {
    start();
    return handle_.done();
  }
  void start() {
    handle_.resume();
    run_ready();
  }
  bool done() const { return handle_.done(); }
  T get() { return handle_.promise().take(); }

  class awaiter {
   public:
    explicit awaiter(handle h) noexcept : handle_(h) {}
    awaiter(const awaiter&) = delete;
    awaiter& operator=(const awaiter&) = delete;
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> h) noexcept {
      handle_.promise().continuation = h;
      return handle_;
    }
    T await_resume() { return handle_.promise().take(); }

   private:
    handle handle_;
  };
  awaiter operator co_await() && noexcept { return awaiter(handle_); }

 private:
  handle handle_;
};

template <class T>
task<T> promise<T>::get_return_object() {
  address_at_start = static_cast<promise_base*>(this);
  return task<T>(std::coroutine_handle<promise>::from_promise(*this));
}
inline task<void> promise<void>::get_return_object() {
  address_at_start = static_cast<promise_base*>(this);
  return task<void>(std::coroutine_handle<promise>::from_promise(*this));
}

/// Counts its constructions and destructions; never an aggregate, holds its own address so that a
/// bitwise copy shows.
class counted {
 public:
  static inline int alive = 0;
  static inline bool damaged = false;
  counted() : self_(this) { ++alive; }
  counted(const counted& other) : self_(this) {
    other.verify();
    ++alive;
  }
  counted(counted&& other) noexcept : self_(this) {
    other.verify();
    ++alive;
  }
  counted& operator=(const counted&) = delete;
  ~counted() {
    verify();
    self_ = nullptr;
    --alive;
  }
  void verify() const {
    if (self_ != this) damaged = true;
  }

 private:
  const counted* volatile self_;
};

inline bool all_clean() {
  return counted::alive == 0 && !counted::damaged && live_frames == 0 && !promise_moved;
}

}  // namespace probe
