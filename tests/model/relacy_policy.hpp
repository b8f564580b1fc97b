// SPDX-License-Identifier: MIT
#pragma once

// Runs a template over a sync policy (kioto/detail/base/sync_policy.hpp) under Relacy, which
// explores interleavings and stale reads, and reports races, deadlocks, leaks and failed checks.
//
//   #include <kioto/detail/thing.hpp>             // before or after this header
//   #include "relacy_policy.hpp"
//   using namespace kioto_model;
//   enum bug { skips_recheck = 1 };
//
//   struct thing_model : rl::test_suite<thing_model, 2> {   // 2 threads; new for each interleaving
//     kioto::detail::basic_thing<model_sync> thing;         // modelled state: members
//     void thread(unsigned index) { index == 0 ? thing.put(7) : check(thing.get() == 7, "value"); }
//     void after() { if (!planted(skips_recheck)) check(thing.is_empty(), "nothing is left"); }
//   };
//   int main() {
//     run_model<thing_model>("thing", expect::passes);
//     run_model<thing_model>("put relaxed", expect::fails, weaken(op::store, 4, "put"));
//     run_model<thing_model>("no re-check", expect::fails, logic(skips_recheck));
//     return finish_models();                               // prints the table; 0 if as expected
//   }
//
// Rules. A model is deterministic: no real time, no addresses as keys, no state outside of the
// suite; choose with rl::rand(n). Each loop that waits for others calls Sync::pause() or yield().
// Allocate in the suite's members or free in after(): what is left over is reported as a leak.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <queue>
#include <set>
#include <source_location>
#include <sstream>
#include <stack>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <vector>

#include <relacy/relacy.hpp>

// Relacy renames these for code that is written against it. Ours is written against a policy.
#undef memory_order_relaxed
#undef memory_order_consume
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_acq_rel
#undef memory_order_seq_cst
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef errno
#undef assert
#undef VAR
#undef $
#include <cassert>
#include <cerrno>

#if defined(__GLIBC__) && !defined(NDEBUG)
// An assertion of the code under test fails the interleaving, not the program.
extern "C" void __assert_fail(const char* expression, const char* file, unsigned line,
                              const char* function) noexcept {
  if (rl::is_ctx())
    rl::ctx().fail_test(expression, rl::test_result_user_assert_failed,
                        rl::debug_info(function, file, line));
  std::fprintf(stderr, "%s:%u: %s: assertion failed: %s\n", file, line, function, expression);
  std::abort();
}
#endif

// Relacy replaces the allocation functions, but not the one that is told the size.
void operator delete(void* p, std::size_t) noexcept { ::operator delete(p); }

namespace kioto_model {

inline rl::debug_info at(const std::source_location& where) {
  return rl::debug_info(where.function_name(), where.file_name(), where.line());
}

/// Fails the interleaving unless `condition` holds.
inline void check(bool condition, const char* what,
                  std::source_location where = std::source_location::current()) {
  if (!condition) rl::ctx().fail_test(what, rl::test_result_user_assert_failed, at(where));
}

// ---- planted bugs ------------------------------------------------------------------------------

enum class op : std::uint8_t { load, store, exchange, compare_exchange, add, sub, bit_or, bit_and };

constexpr auto any_order = static_cast<std::memory_order>(-1);

/// One bug, planted into all accesses to an atomic that match: what is done, the size of the value
/// (0: any), the member function that it is written in (null: any), the order it is written with.
struct fault {
  enum class what : std::uint8_t { none, weaken, tear, only_load, corrupt, logic };
  what kind = what::none;
  op access = op::load;
  std::size_t size = 0;
  const char* function = nullptr;
  std::memory_order order = any_order;
  std::uint64_t (*change)(std::uint64_t) = nullptr;
  int id = 0;
};

/// The accesses are relaxed.
inline fault weaken(op access, std::size_t size, const char* function,
                    std::memory_order written = any_order) {
  return {fault::what::weaken, access, size, function, written, nullptr, 0};
}
/// The read-modify-writes become a load and a store, with others in between.
inline fault tear(op access, std::size_t size, const char* function,
                  std::memory_order written = any_order) {
  return {fault::what::tear, access, size, function, written, nullptr, 0};
}
/// The fetch_… become loads of the same strength, and change nothing.
inline fault only_load(op access, std::size_t size, const char* function) {
  return {fault::what::only_load, access, size, function, any_order, nullptr, 0};
}
/// The loads return `change` of the value.
inline fault corrupt_load(std::size_t size, const char* function,
                          std::uint64_t (*change)(std::uint64_t)) {
  return {fault::what::corrupt, op::load, size, function, any_order, change, 0};
}
/// Nothing of the above: planted(id) is true, and the suite does what is wrong.
inline fault logic(int id) {
  return {fault::what::logic, op::load, 0, nullptr, any_order, nullptr, id};
}

inline fault active_fault;
// Accesses to plain data are no steps for Relacy: a loop that only makes these must be ended here.
inline unsigned data_accesses = 0;

inline bool planted(int id) {
  return active_fault.kind == fault::what::logic && active_fault.id == id;
}

/// Whether `text`, a function as the compiler spells it, is a member called `name`.
inline bool is_member(std::string_view text, std::string_view name) {
  text = text.substr(0, text.find(" ["));
  for (auto i = text.find(name); i != std::string_view::npos; i = text.find(name, i + 1)) {
    const std::size_t end = i + name.size();
    if (i > 0 && text[i - 1] == ':' && end < text.size() && (text[end] == '(' || text[end] == '<'))
      return true;
  }
  return false;
}

inline bool hit(fault::what kind, op access, std::size_t size, std::memory_order order,
                const std::source_location& where) {
  const fault& f = active_fault;
  return f.kind == kind && f.access == access && (f.size == 0 || f.size == size) &&
         (f.order == any_order || f.order == order) &&
         (f.function == nullptr || is_member(where.function_name(), f.function));
}

// ---- the policy --------------------------------------------------------------------------------

inline rl::memory_order to_relacy(std::memory_order order) {
  switch (order) {
    case std::memory_order_relaxed:
      return rl::mo_relaxed;
    case std::memory_order_consume:
      return rl::mo_acquire;
    case std::memory_order_acquire:
      return rl::mo_acquire;
    case std::memory_order_release:
      return rl::mo_release;
    case std::memory_order_acq_rel:
      return rl::mo_acq_rel;
    default:
      return rl::mo_seq_cst;
  }
}
inline rl::memory_order load_part(std::memory_order order) {
  const rl::memory_order o = to_relacy(order);
  return o == rl::mo_release ? rl::mo_relaxed : o == rl::mo_acq_rel ? rl::mo_acquire : o;
}
inline rl::memory_order store_part(std::memory_order order) {
  const rl::memory_order o = to_relacy(order);
  return o == rl::mo_acquire ? rl::mo_relaxed : o == rl::mo_acq_rel ? rl::mo_release : o;
}
inline bool acquires(rl::memory_order o) { return o != rl::mo_relaxed && o != rl::mo_release; }

template <class T, bool IsEnum = std::is_enum_v<T>>
struct storage {
  using type = T;
};
template <class T>
struct storage<T, true> {
  using type = std::underlying_type_t<T>;
};
template <class T>
using storage_t = typename storage<T>::type;

struct model_sync {
  using where_t = std::source_location;

  template <class T>
  class atomic {
    using raw = storage_t<T>;

   public:
    atomic() : value_(raw{}) {}
    atomic(T value) : value_(static_cast<raw>(value)) {}
    atomic(const atomic&) = delete;
    atomic& operator=(const atomic&) = delete;

    T load(std::memory_order o, where_t w = where_t::current()) const {
      const auto read = static_cast<T>(value_.load(to_relacy(adjusted(op::load, o, w)), at(w)));
      if constexpr (std::is_integral_v<T>) {
        if (hit(fault::what::corrupt, op::load, sizeof(T), o, w))
          return static_cast<T>(active_fault.change(static_cast<std::uint64_t>(read)));
      }
      return read;
    }
    void store(T value, std::memory_order o, where_t w = where_t::current()) {
      value_.store(static_cast<raw>(value), to_relacy(adjusted(op::store, o, w)), at(w));
    }
    T exchange(T value, std::memory_order o, where_t w = where_t::current()) {
      return modify(
          op::exchange, o, w,
          [&](rl::memory_order m) { return value_.exchange(static_cast<raw>(value), m, at(w)); },
          [&](raw) { return static_cast<raw>(value); });
    }
    template <class U>
    T fetch_add(U n, std::memory_order o, where_t w = where_t::current()) {
      return modify(
          op::add, o, w,
          [&](rl::memory_order m) { return value_.fetch_add(static_cast<raw>(n), m, at(w)); },
          [&](raw v) { return static_cast<raw>(v + static_cast<raw>(n)); });
    }
    template <class U>
    T fetch_sub(U n, std::memory_order o, where_t w = where_t::current()) {
      return modify(
          op::sub, o, w,
          [&](rl::memory_order m) { return value_.fetch_sub(static_cast<raw>(n), m, at(w)); },
          [&](raw v) { return static_cast<raw>(v - static_cast<raw>(n)); });
    }
    T fetch_or(T n, std::memory_order o, where_t w = where_t::current()) {
      return modify(
          op::bit_or, o, w,
          [&](rl::memory_order m) { return value_.fetch_or(static_cast<raw>(n), m, at(w)); },
          [&](raw v) { return static_cast<raw>(v | static_cast<raw>(n)); });
    }
    T fetch_and(T n, std::memory_order o, where_t w = where_t::current()) {
      return modify(
          op::bit_and, o, w,
          [&](rl::memory_order m) { return value_.fetch_and(static_cast<raw>(n), m, at(w)); },
          [&](raw v) { return static_cast<raw>(v & static_cast<raw>(n)); });
    }

    bool compare_exchange_strong(T& expected, T desired, std::memory_order success,
                                 std::memory_order failure, where_t w = where_t::current()) {
      return compare<false>(expected, desired, success, failure, w);
    }
    bool compare_exchange_weak(T& expected, T desired, std::memory_order success,
                               std::memory_order failure, where_t w = where_t::current()) {
      return compare<true>(expected, desired, success, failure, w);
    }
    bool compare_exchange_strong(T& expected, T desired, std::memory_order o,
                                 where_t w = where_t::current()) {
      return compare<false>(expected, desired, o, failure_of(o), w);
    }
    bool compare_exchange_weak(T& expected, T desired, std::memory_order o,
                               where_t w = where_t::current()) {
      return compare<true>(expected, desired, o, failure_of(o), w);
    }

   private:
    friend struct model_sync;
    static std::memory_order adjusted(op kind, std::memory_order o, const where_t& w) {
      return hit(fault::what::weaken, kind, sizeof(T), o, w) ? std::memory_order_relaxed : o;
    }
    static std::memory_order failure_of(std::memory_order o) {
      return o == std::memory_order_acq_rel   ? std::memory_order_acquire
             : o == std::memory_order_release ? std::memory_order_relaxed
                                              : o;
    }

    template <class Whole, class Part>
    T modify(op kind, std::memory_order o, where_t w, Whole whole, Part part) {
      const std::memory_order order = adjusted(kind, o, w);
      if (hit(fault::what::only_load, kind, sizeof(T), o, w))
        return static_cast<T>(value_.load(load_part(order), at(w)));
      if (!hit(fault::what::tear, kind, sizeof(T), o, w))
        return static_cast<T>(whole(to_relacy(order)));
      const raw before = value_.load(load_part(order), at(w));
      value_.store(part(before), store_part(order), at(w));
      return static_cast<T>(before);
    }

    // Relacy knows no failure order that is stronger than the success order; such a success is
    // strengthened. Weakening an access weakens both of its orders.
    template <bool Weak>
    bool compare(T& expected, T desired, std::memory_order success, std::memory_order failure,
                 where_t w) {
      constexpr op kind = op::compare_exchange;
      const std::memory_order order = adjusted(kind, success, w);
      if (order == std::memory_order_relaxed) failure = std::memory_order_relaxed;
      const rl::memory_order no = load_part(failure);
      rl::memory_order yes = to_relacy(order);
      if (no == rl::mo_seq_cst) yes = no;
      if (acquires(no) && !acquires(yes))
        yes = yes == rl::mo_release ? rl::mo_acq_rel : rl::mo_acquire;
      raw value = static_cast<raw>(expected);
      bool done = false;
      if (hit(fault::what::tear, kind, sizeof(T), success, w)) {
        const raw before = value_.load(load_part(order), at(w));
        done = before == value;
        if (done) value_.store(static_cast<raw>(desired), store_part(order), at(w));
        value = before;
      } else {
        done = value_.compare_exchange(rl::bool_t<Weak>(), value, static_cast<raw>(desired), yes,
                                       no, at(w));
      }
      if (!done) expected = static_cast<T>(value);
      return done;
    }

    rl::atomic<raw> value_;
  };

  /// Plain data; a race on it is an error. Values that Relacy cannot print stand beside a marker.
  template <class T>
  class var {
    static constexpr bool direct = std::is_arithmetic_v<T> || std::is_pointer_v<T>;

   public:
    var() : var(T{}) {}
    explicit var(T value) : value_(value), marker_(initial(value)) {}
    var(const var&) = delete;
    var& operator=(const var&) = delete;

    T get(where_t w = where_t::current()) const {
      count(w);
      if constexpr (direct) return marker_(at(w)).load();
      (void)marker_(at(w)).load();
      return value_;
    }
    void set(T value, where_t w = where_t::current()) {
      count(w);
      marker_(at(w)).store(initial(value));
      value_ = value;
    }

   private:
    static void count(const where_t& w) {
      if (++data_accesses > 10'000)
        rl::ctx().fail_test("endless loop", rl::test_result_livelock, at(w));
    }
    using marker = std::conditional_t<direct, T, int>;
    static marker initial(const T& value) {
      if constexpr (direct)
        return value;
      else
        return 0;
    }
    T value_;
    rl::var<marker> marker_;
  };

  class condition_variable;

  class mutex {
   public:
    void lock(where_t w = where_t::current()) { mutex_.lock(at(w)); }
    bool try_lock(where_t w = where_t::current()) { return mutex_.try_lock(at(w)); }
    void unlock(where_t w = where_t::current()) { mutex_.unlock(at(w)); }

   private:
    friend class condition_variable;
    rl::mutex mutex_;
  };

  /// For the models themselves. Wakes up spuriously now and then, in random runs.
  class condition_variable {
   public:
    void wait(std::unique_lock<mutex>& lock, where_t w = where_t::current()) {
      condition_.wait(lock.mutex()->mutex_, at(w));
    }
    template <class Rep, class Period>
    std::cv_status wait_for(std::unique_lock<mutex>& lock, std::chrono::duration<Rep, Period>,
                            where_t w = where_t::current()) {
      return condition_.wait_for(lock.mutex()->mutex_, 1, at(w)) ? std::cv_status::no_timeout
                                                                 : std::cv_status::timeout;
    }
    void notify_one(where_t w = where_t::current()) { condition_.notify_one(at(w)); }
    void notify_all(where_t w = where_t::current()) { condition_.notify_all(at(w)); }

   private:
    rl::condition_variable condition_;
  };

  /// Wakes up for no reason now and then, in random runs.
  static void wait(atomic<std::uint32_t>& word, std::uint32_t expected,
                   where_t w = where_t::current()) {
    wait_while(word, expected, false, w);
  }
  static void wait_for(atomic<std::uint32_t>& word, std::uint32_t expected,
                       std::chrono::nanoseconds, where_t w = where_t::current()) {
    wait_while(word, expected, true, w);
  }
  static void wake_one(atomic<std::uint32_t>& word, where_t w = where_t::current()) {
    rl::context& c = rl::ctx();
    c.sched();
    (void)word.value_.wake(c, 1, at(w));
  }

  static void pause(where_t w = where_t::current()) { rl::yield(1, at(w)); }
  static void yield(where_t w = where_t::current()) { rl::yield(1, at(w)); }

 private:
  // As the kernel does it: comparison and sleep are one step for threads that wake. The comparison
  // is with the newest value, but relaxed, which is less than the kernel promises.
  static void wait_while(atomic<std::uint32_t>& word, std::uint32_t expected, bool timed,
                         where_t w) {
    rl::context& c = rl::ctx();
    c.sched();
    std::uint32_t now = 0;
    {
      const rl::preemption_disabler together(c);
      now = word.value_.fetch_add(0, rl::mo_relaxed, at(w));
    }
    if (now == expected) (void)word.value_.wait(c, timed, true, at(w));
  }
};

// ---- the runner --------------------------------------------------------------------------------

enum class expect : std::uint8_t { passes, fails };

/// How much to explore. The search stops without a verdict when the time is over; so do the random
/// runs.
struct effort {
  bool full = false;  ///< every interleaving; else those with at most `preemptions`
  unsigned preemptions = 2;
  double search_seconds = 2;
  rl::iteration_t random_runs = 100'000;
  double random_seconds = 4;
  unsigned depth = 2000;  ///< operations of one interleaving beyond which it is a livelock
};

namespace runner {

using clock = std::chrono::steady_clock;
inline clock::time_point deadline;
inline unsigned calls = 0;
inline int failures = 0;
inline int models = 0;
inline clock::time_point started = clock::now();

// The suite, with an end when the time is over.
// Relacy knows no limit for a search; ending one of its runs early is how it is made to stop.
template <class Suite>
struct timed : Suite {
  timed() { data_accesses = 0; }
  void after() {
    Suite::after();
    if (++calls % 64 == 0 && clock::now() > deadline)
      rl::ctx().rl_until("time is over", rl::debug_info("", "", 0));
  }
};

struct outcome {
  rl::test_result_e result = rl::test_result_success;
  rl::iteration_t runs = 0;
  bool complete = false;
  rl::string state;
  [[nodiscard]] bool good() const {
    return result == rl::test_result_success || result == rl::test_result_until_condition_hit;
  }
};

inline std::ostream& silence() {
  static std::ostream stream(nullptr);
  return stream;
}

inline rl::test_params params_of(const effort& e, bool random) {
  rl::test_params p;
  p.search_type = random ? rl::sched_random : e.full ? rl::sched_full : rl::sched_bound;
  p.context_bound = e.preemptions;
  p.iteration_count = e.random_runs;
  p.execution_depth_limit = e.depth;
  p.output_stream = &silence();
  p.progress_stream = &silence();
  return p;
}

template <class Suite>
outcome explore(const effort& e, bool random) {
  rl::test_params p = params_of(e, random);
  const double seconds = random ? e.random_seconds : e.search_seconds;
  deadline = clock::now() +
             std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(seconds));
  calls = 0;
  rl::simulate<timed<Suite>>(p);
  outcome o;
  o.result = p.test_result;
  o.runs = p.stop_iteration;
  o.complete = p.test_result == rl::test_result_success;
  o.state = p.final_state;
  return o;
}

/// Repeats the interleaving that failed, and prints its history.
template <class Suite>
void explain(const effort& e, bool random, const outcome& failed) {
  rl::test_params p = params_of(e, random);
  p.output_stream = &std::cout;
  p.collect_history = true;
  p.initial_state = failed.state;
  deadline = clock::time_point::max();
  rl::simulate<timed<Suite>>(p);
}

}  // namespace runner

/// Runs the model, prints one line, and records whether the outcome was as expected.
///
/// A model that should pass is searched, then run at random. One that should fail is run at random
/// first, which finds most faults at once. Returns whether it went as expected.
template <class Suite>
bool run_model(const char* name, expect expectation, fault bug = {}, effort e = {}) {
  using namespace runner;
  active_fault = bug;
  const auto begin = clock::now();
  const bool random_first = expectation == expect::fails;
  outcome o[2];
  int used = 0;
  for (int i = 0; i != 2 && (i == 0 || o[0].good()); ++i) {
    o[i] = explore<Suite>(e, random_first == (i == 0));
    ++used;
  }
  const outcome& last = o[used - 1];
  const bool as_expected = last.good() == (expectation == expect::passes);
  ++models;
  if (!as_expected) ++failures;

  const double seconds = std::chrono::duration<double>(clock::now() - begin).count();
  if (models == 1)
    std::printf("%-8s %-52s %10s %10s %6s  %s\n", "verdict", "model", "searched", "random", "sec",
                "result");
  char counts[2][24] = {"-", "-"};  // searched, random
  for (int i = 0; i != used; ++i) {
    const bool random = random_first == (i == 0);
    std::snprintf(counts[random ? 1 : 0], sizeof counts[0], "%llu%s",
                  static_cast<unsigned long long>(o[i].runs),
                  random || !o[i].good() ? ""
                  : o[i].complete        ? " all"
                                         : " cut");
  }
  const char* verdict = !as_expected ? "WRONG" : expectation == expect::passes ? "ok" : "caught";
  std::printf("%-8s %-52s %10s %10s %6.1f  %s\n", verdict, name, counts[0], counts[1], seconds,
              last.good() ? "no error" : rl::test_result_str(last.result));
  std::fflush(stdout);
  if (!as_expected && expectation == expect::passes)
    explain<Suite>(e, random_first == (used == 1), last);
  active_fault = {};
  return as_expected;
}

template <class Suite>
bool run_model(const char* name, expect expectation, effort e) {
  return run_model<Suite>(name, expectation, fault{}, e);
}

/// Prints the sum. The exit code of the program.
inline int finish_models() {
  const std::chrono::duration<double> time = runner::clock::now() - runner::started;
  std::printf("%d models, %d not as expected, %.1f s\n", runner::models, runner::failures,
              time.count());
  return runner::failures == 0 && runner::models > 0 ? 0 : 1;
}

}  // namespace kioto_model
