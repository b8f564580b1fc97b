// SPDX-License-Identifier: MIT
#pragma once

// Races every operation against every other one in a `select`: exactly one takes effect, and
// nothing is lost. What is sent, received and left over is counted.
//
// A *kind* (select_kinds.hpp) is one thing to wait for, used for one round:
//
//   explicit K(bool comes)     whether it shall happen, if it happens by itself
//   void happen()              makes it happen, once, from any thread
//   auto branch()              the awaitable: a prvalue, or a reference to what the kind keeps
//   static got look(V&& v)     what the value of the branch says
//   task<bool> settle(got)     when it has happened: true if the one unit of it is accounted for:
//                              it was received by the branch, or can still be had
//   static constexpr bool
//     is_strict                it can always be withdrawn: never completes beside another one
//     is_spontaneous           happens by itself, if it comes
//     is_level                 stays as it is for everybody; there is no unit
//     is_immediate             is ready as soon as it has happened
//     holds_up                 cannot be withdrawn: a select that it loses waits for it

#include <array>
#include <atomic>
#include <coroutine>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>

#include <kioto/kioto.hpp>

#include "catch.hpp"
#include "runtimes.hpp"
#include "watchdog.hpp"

namespace kioto_test {

enum class got : std::uint8_t {
  nothing,   ///< no value, or one that says that nothing was received
  unit,      ///< what has happened
  nonsense,  ///< a value that was never sent
};

class any_kind {
 public:
  any_kind() = default;
  any_kind(const any_kind&) = delete;
  any_kind& operator=(const any_kind&) = delete;
  virtual ~any_kind() = default;

  virtual void happen() = 0;
  virtual kioto::task<bool> settle(got received) = 0;

  static constexpr bool is_strict = true;
  static constexpr bool is_spontaneous = false;
  static constexpr bool is_level = false;
  static constexpr bool holds_up = false;
  static constexpr bool is_immediate = true;
};

/// How a result is read.
enum class reading : std::uint8_t { get, match, visit, last };

/// How a race of two ended.
struct race_outcome {
  int index = -1;  ///< which came first; -1: none, where that is possible
  int count = 0;
  std::array<got, 2> value{got::nothing, got::nothing};
};

/// A combinator over one or two kinds, with its type erased.
class any_race {
 public:
  any_race() = default;
  any_race(const any_race&) = delete;
  any_race& operator=(const any_race&) = delete;
  virtual ~any_race() = default;

  using promise = kioto::task<race_outcome>::promise_type;
  virtual std::coroutine_handle<> suspend(std::coroutine_handle<promise> frame) = 0;
  virtual race_outcome resume() = 0;
};

class [[nodiscard]] race_awaiter {
 public:
  explicit race_awaiter(any_race& race) noexcept : race_(&race) {}
  race_awaiter(const race_awaiter&) = delete;
  race_awaiter& operator=(const race_awaiter&) = delete;
  [[nodiscard]] static bool await_ready() noexcept { return false; }
  [[nodiscard]] std::coroutine_handle<> await_suspend(
      std::coroutine_handle<any_race::promise> frame) const {
    return race_->suspend(frame);
  }
  [[nodiscard]] race_outcome await_resume() const { return race_->resume(); }

 private:
  any_race* race_;
};
inline kioto::task<race_outcome> run_race(std::unique_ptr<any_race> race) {
  co_return co_await race_awaiter(*race);
}

/// `Operation` is a combinator, made in place by `make`; `Read` turns its result into an outcome.
template <class Make, class Read>
class race_of final : public any_race {
  using operation = std::invoke_result_t<Make&>;

 public:
  race_of(Make make, Read read) : operation_(make()), read_(std::move(read)) {}
  std::coroutine_handle<> suspend(std::coroutine_handle<promise> frame) override {
    if (operation_.await_ready()) return frame;
    if constexpr (std::is_same_v<decltype(operation_.await_suspend(frame)), bool>) {
      if (!operation_.await_suspend(frame)) return frame;
      return std::noop_coroutine();
    } else {
      return operation_.await_suspend(frame);
    }
  }
  race_outcome resume() override { return read_(operation_); }

 private:
  operation operation_;
  Read read_;
};
template <class Make, class Read>
std::unique_ptr<any_race> make_race(Make make, Read read) {
  return std::make_unique<race_of<Make, Read>>(std::move(make), std::move(read));
}

template <class A, class B>
class pair_reader {
 public:
  explicit pair_reader(reading how) : how_(how) {}

  template <class Operation>
  race_outcome operator()(Operation& operation) {
    auto hit = operation.await_resume();
    race_outcome out;
    out.index = static_cast<int>(hit.index());
    out.count = static_cast<int>(hit.count());
    const auto note = [&out](int which, got what) {
      out.value[static_cast<std::size_t>(which)] = what;
    };
    const auto first = [&](auto&& v) { note(0, A::look(std::forward<decltype(v)>(v))); };
    const auto second = [&](auto&& v) { note(1, B::look(std::forward<decltype(v)>(v))); };
    // To read the first value only is right if no other branch can complete together with it.
    if constexpr (A::is_strict && B::is_strict) {
      if (how_ == reading::match) {
        std::move(hit).match(first, second);
        return out;
      }
    }
    if (how_ == reading::visit) {
      std::move(hit).visit(first, second);
      return out;
    }
    if (auto& a = hit.template get<0>()) first(std::move(*a));
    if (auto& b = hit.template get<1>()) second(std::move(*b));
    return out;
  }

 private:
  reading how_;
};

template <class A, class B>
std::unique_ptr<any_race> select_race(A& a, B& b, bool in_order, reading how) {
  return make_race(
      [&a, &b, in_order] {
        return in_order ? kioto::select(kioto::biased, a.branch(), b.branch())
                        : kioto::select(a.branch(), b.branch());
      },
      pair_reader<A, B>(how));
}

template <class A, class B>
std::unique_ptr<any_race> when_any_race(A& a, B& b) {
  return make_race([&a, &b] { return kioto::when_any(a.branch(), b.branch()); },
                   [](auto& operation) {
                     auto value = operation.await_resume();
                     race_outcome out;
                     out.index = static_cast<int>(value.index());
                     out.count = 1;
                     if (out.index == 0)
                       out.value[0] = A::look(std::move(std::get<0>(value)));
                     else
                       out.value[1] = B::look(std::move(std::get<1>(value)));
                     return out;
                   });
}

/// What happens to a race, and when.
enum class moment : std::uint8_t {
  first_alone,  ///< the other one does not happen
  second_alone,
  first_before,  ///< before the select begins; the other one while it waits
  second_before,
  both_before,
  first_then_second,  ///< while it waits, from a task
  second_then_first,
  from_two_threads,
  thread_and_task,
  last,
};
inline const char* name_of(moment m) {
  constexpr std::array names{"first alone",       "second alone",     "first before",
                             "second before",     "both before",      "first then second",
                             "second then first", "from two threads", "from a thread and a task"};
  return names[static_cast<std::size_t>(m)];
}

/// Two threads that do something at the same moment.
class two_threads {
 public:
  two_threads() {
    for (std::size_t i = 0; i != 2; ++i) threads_[i] = std::thread([this, i] { work(i); });
  }
  two_threads(const two_threads&) = delete;
  two_threads& operator=(const two_threads&) = delete;
  ~two_threads() {
    ended_ = true;
    for (slot& s : slots_) {
      s.state = posted;
      s.state.notify_one();
    }
    for (auto& t : threads_) t.join();
  }

  /// Does `what` of thread `i` as soon as `together` threads have been told.
  void post(std::size_t i, any_kind& what, int together) {
    slot& s = slots_[i];
    s.what = &what;
    s.together = together;
    s.state = posted;
    s.state.notify_one();
  }
  void begin() noexcept { present_ = 0; }
  [[nodiscard]] bool is_done(std::size_t i) const noexcept { return slots_[i].state == idle; }

 private:
  static constexpr int idle = 0;
  static constexpr int posted = 1;
  struct slot {
    std::atomic<int> state{idle};
    any_kind* what = nullptr;
    int together = 1;
  };

  void work(std::size_t i) {
    slot& s = slots_[i];
    for (;;) {
      s.state.wait(idle);
      if (ended_) return;
      ++present_;
      // As close to each other as two processors allow; with only one this has no effect.
      for (int spins = 0; present_ < s.together && spins != 20000; ++spins) {
      }
      s.what->happen();
      s.state = idle;
    }
  }

  std::array<slot, 2> slots_;
  std::atomic<int> present_{0};
  std::atomic<bool> ended_{false};
  std::array<std::thread, 2> threads_;
};

/// Collects what went wrong, from any thread, because assertions may be made by one thread at a
/// time. Counted by `what`, each with an example.
class complaints {
 public:
  void add(const std::string& what, std::string example) {
    const std::lock_guard lock(mutex_);
    auto& entry = all_[what];
    if (entry.first++ == 0) entry.second = std::move(example);
  }
  [[nodiscard]] std::string text() const {
    const std::lock_guard lock(mutex_);
    std::string all;
    std::size_t shown = 0;
    for (const auto& [what, entry] : all_) {
      if (++shown == 40) break;
      all += fmt::format("{} times: {}: {}\n", entry.first, what, entry.second);
    }
    return all;
  }
  [[nodiscard]] bool empty() const {
    const std::lock_guard lock(mutex_);
    return all_.empty();
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::pair<std::size_t, std::string>> all_;
};

/// One pair of kinds: how its race is made, and what is promised.
struct pairing {
  std::string name;
  bool strict = true;         ///< exactly one completes
  bool drops_others = false;  ///< `when_any`: a second value is dropped by right
  std::array<bool, 2> spontaneous{};
  std::array<bool, 2> holds_up{};
  bool first_is_immediate = true;
  std::function<void()> prepare = [] {};    ///< before the first round on a scheduler
  std::function<kioto::task<>()> clean_up;  ///< after the last one
  /// Makes both kinds; the arguments say which of them happen by themselves.
  std::function<std::pair<std::unique_ptr<any_kind>, std::unique_ptr<any_kind>>(bool, bool)> kinds;
  std::function<std::unique_ptr<any_race>(any_kind&, any_kind&, bool, reading)> race;
};

template <class A, class B>
pairing promises_of(const char* combinator) {
  pairing p;
  p.name = fmt::format("{}({}, {})", combinator, A::name, B::name);
  p.strict = A::is_strict && B::is_strict;
  p.spontaneous = {A::is_spontaneous, B::is_spontaneous};
  p.holds_up = {A::holds_up, B::holds_up};
  p.first_is_immediate = A::is_immediate && !A::is_spontaneous;
  p.kinds = [](bool a, bool b) {
    return std::pair<std::unique_ptr<any_kind>, std::unique_ptr<any_kind>>(std::make_unique<A>(a),
                                                                           std::make_unique<B>(b));
  };
  return p;
}

template <class A, class B>
pairing select_pair() {
  pairing p = promises_of<A, B>("select");
  p.race = [](any_kind& a, any_kind& b, bool in_order, reading how) {
    return select_race(static_cast<A&>(a), static_cast<B&>(b), in_order, how);
  };
  return p;
}
template <class A, class B>
pairing when_any_pair() {
  pairing p = promises_of<A, B>("when_any");
  p.drops_others = true;
  p.race = [](any_kind& a, any_kind& b, bool, reading) {
    return when_any_race(static_cast<A&>(a), static_cast<B&>(b));
  };
  return p;
}

inline kioto::task<> let_happen(any_kind* first, any_kind* second, std::atomic<bool>* done) {
  // By now the select waits; with several workers, almost certainly.
  co_await kioto::yield_now();
  first->happen();
  if (second != nullptr) second->happen();
  done->store(true);
}

/// One round: one race, and then the counting.
inline kioto::task<> play_round(const pairing& p, moment when, bool in_order, reading how,
                                two_threads& threads, complaints& wrong) {
  // An operation that cannot be withdrawn would hold the select up for ever if it did not happen.
  if (when == moment::first_alone && p.holds_up[1]) when = moment::first_then_second;
  if (when == moment::second_alone && p.holds_up[0]) when = moment::second_then_first;
  const bool first_comes = when != moment::second_alone;
  const bool second_comes = when != moment::first_alone;
  auto both = p.kinds(first_comes, second_comes);
  any_kind& a = *both.first;
  any_kind& b = *both.second;

  std::array<bool, 2> happened{};
  const auto happen_now = [&](int which) {
    happened[static_cast<std::size_t>(which)] = true;
    (which == 0 ? a : b).happen();
  };
  std::atomic<bool> task_done{true};
  std::array<bool, 2> posted{};
  const auto later = [&](any_kind& x, any_kind* y) {
    task_done = false;
    kioto::spawn(let_happen(&x, y, &task_done)).detach();
  };
  threads.begin();
  switch (when) {
    case moment::first_alone:
      later(a, nullptr);
      happened[0] = true;
      break;
    case moment::second_alone:
      later(b, nullptr);
      happened[1] = true;
      break;
    case moment::first_before:
      happen_now(0);
      later(b, nullptr);
      happened[1] = true;
      break;
    case moment::second_before:
      happen_now(1);
      later(a, nullptr);
      happened[0] = true;
      break;
    case moment::both_before:
      happen_now(0);
      happen_now(1);
      break;
    case moment::first_then_second:
      later(a, &b);
      happened = {true, true};
      break;
    case moment::second_then_first:
      later(b, &a);
      happened = {true, true};
      break;
    case moment::from_two_threads:
      threads.post(0, a, 2);
      threads.post(1, b, 2);
      happened = posted = {true, true};
      break;
    case moment::thread_and_task:
      threads.post(0, a, 1);
      later(b, nullptr);
      happened = {true, true};
      posted[0] = true;
      break;
    case moment::last:
      break;
  }

  auto race = p.race(a, b, in_order, how);
  const race_outcome out = co_await run_race(std::move(race));

  while (!task_done) co_await kioto::yield_now();
  for (std::size_t i = 0; i != 2; ++i)
    while (posted[i] && !threads.is_done(i)) co_await kioto::yield_now();
  // What has not happened does so now, and must find that nothing waits for it any more.
  if (!happened[0]) a.happen();
  if (!happened[1]) b.happen();

  const auto complain = [&](const char* what) {
    wrong.add(fmt::format("{}: {}", p.name, what),
              fmt::format("{}{}, read {}, index {}, count {}, values {} and {}", name_of(when),
                          in_order ? ", biased" : "", static_cast<int>(how), out.index, out.count,
                          static_cast<int>(out.value[0]), static_cast<int>(out.value[1])));
  };
  if (out.index != 0 && out.index != 1) complain("nobody came first");
  const auto winner = static_cast<std::size_t>(out.index == 1);
  if (out.value[winner] != got::unit) complain("the first one has not received what happened");
  if (out.value[0] == got::nonsense || out.value[1] == got::nonsense)
    complain("a value that nobody sent");
  if (p.strict && out.count != 1) complain("two branches took effect");
  if (p.strict && out.value[1 - winner] != got::nothing) complain("a second value");
  if (when == moment::first_alone && !p.spontaneous[1] && winner != 0)
    complain("the wrong one came first");
  if (when == moment::second_alone && !p.spontaneous[0] && winner != 1)
    complain("the wrong one came first");
  if (when == moment::both_before && in_order && p.first_is_immediate && !p.drops_others &&
      p.strict && winner != 0)
    complain("biased, and the first one was ready");

  for (std::size_t i = 0; i != 2; ++i) {
    any_kind& k = i == 0 ? a : b;
    // `when_any` drops, by right, what could not be withdrawn.
    if (p.drops_others && !p.strict && i != winner) continue;
    const bool whole = co_await k.settle(out.value[i]);
    if (!whole)
      complain(i == 0 ? "what the first one is about was lost, or came twice"
                      : "what the second one is about was lost, or came twice");
  }
}

inline std::string describe(const pairing& p, moment m) { return p.name + ", " + name_of(m); }

inline kioto::task<> play_pairs(const std::vector<pairing>& pairs, std::size_t rounds,
                                std::uint64_t seed, two_threads& threads, complaints& wrong,
                                watchdog& dog) {
  std::mt19937_64 random(seed);
  constexpr auto moments = static_cast<std::size_t>(moment::last);
  constexpr auto readings = static_cast<std::size_t>(reading::last);
  for (const pairing& p : pairs) {
    dog.begin([&p] { return p.name + ", before or after its rounds"; });
    p.prepare();
    for (std::size_t i = 0; i != rounds; ++i) {
      const auto when = static_cast<moment>(i % moments);
      dog.begin([&p, when] { return describe(p, when); });
      co_await play_round(p, when, random() % 2 == 0, static_cast<reading>(random() % readings),
                          threads, wrong);
    }
    dog.begin([&p] { return p.name + ", before or after its rounds"; });
    if (p.clean_up) co_await p.clean_up();
  }
}

/// Plays every pair on every scheduler. KIOTO_SELECT_ROUNDS says how many rounds in all there are
/// on each, if more than a few for each pair; KIOTO_SELECT_SEED repeats a course.
inline void play_on_every_scheduler(const std::vector<pairing>& pairs) {
  const auto wanted = from_environment("KIOTO_SELECT_ROUNDS", 0);
  const auto seed = from_environment("KIOTO_SELECT_SEED", std::random_device{}());
  const std::size_t rounds = std::max<std::size_t>(static_cast<std::size_t>(wanted) / pairs.size(),
                                                   2 * static_cast<std::size_t>(moment::last));
  INFO("KIOTO_SELECT_SEED=" << seed);
  watchdog dog(std::chrono::seconds(60));
  two_threads threads;
  on_every_scheduler([&]() -> kioto::task<> {
    complaints wrong;
    co_await play_pairs(pairs, rounds, seed, threads, wrong, dog);
    INFO(wrong.text());
    CHECK(wrong.empty());
  });
}

/// Some kinds together.
template <class... K>
class block {};

template <class First, class Second>
class block_pairs;

/// All pairs of a kind of one block and a kind of another: one `select` over all of them, of which
/// two take part. The others are there, but never started.
template <class... A, class... B>
class block_pairs<block<A...>, block<B...>> {
  static constexpr std::size_t size_a = sizeof...(A);
  static constexpr std::size_t size_b = sizeof...(B);
  using firsts = std::tuple<A...>;
  using seconds = std::tuple<B...>;

 public:
  /// Within one block, each pair once.
  static void add_to(std::vector<pairing>& pairs) {
    [&]<std::size_t... N>(std::index_sequence<N...>) {
      (add<N / size_b, N % size_b>(pairs), ...);
    }(std::make_index_sequence<size_a * size_b>());
  }

 private:
  /// Kinds that do not take part, for the lifetime of a scheduler.
  struct bystanders {
    std::tuple<std::unique_ptr<A>...> a{std::make_unique<A>(false)...};
    std::tuple<std::unique_ptr<B>...> b{std::make_unique<B>(false)...};
  };
  static kioto::task<> dismiss(std::shared_ptr<bystanders> all) {
    std::vector<any_kind*> each;
    std::apply([&](auto&... k) { (each.push_back(k.get()), ...); }, all->a);
    std::apply([&](auto&... k) { (each.push_back(k.get()), ...); }, all->b);
    for (any_kind* k : each) {
      k->happen();
      const bool whole = co_await k->settle(got::nothing);
      CHECK(whole);
    }
  }

  template <std::size_t I, std::size_t J>
  static void add(std::vector<pairing>& pairs) {
    using first = std::tuple_element_t<I, firsts>;
    using second = std::tuple_element_t<J, seconds>;
    if constexpr (!std::is_same_v<firsts, seconds> || I <= J) {
      pairing p = promises_of<first, second>("select");
      auto rest = std::make_shared<std::shared_ptr<bystanders>>();
      p.prepare = [rest] { *rest = std::make_shared<bystanders>(); };
      p.clean_up = [rest] { return dismiss(std::exchange(*rest, nullptr)); };
      p.race = [rest](any_kind& a, any_kind& b, bool in_order, reading) {
        return race(**rest, I, J, a, b, in_order);
      };
      pairs.push_back(std::move(p));
    }
  }

  template <class K>
  static decltype(auto) branch_of(bool takes_part, any_kind& player, K& bystander) {
    return (takes_part ? static_cast<K&>(player) : bystander).branch();
  }
  static std::unique_ptr<any_race> race(bystanders& rest, std::size_t i, std::size_t j, any_kind& a,
                                        any_kind& b, bool in_order) {
    return [&]<std::size_t... I, std::size_t... J>(std::index_sequence<I...>,
                                                   std::index_sequence<J...>) {
      return make_race(
          [&, i, j, in_order] {
            return in_order ? kioto::select(
                                  kioto::biased,
                                  kioto::when(I == i, branch_of(I == i, a, *get<I>(rest.a)))...,
                                  kioto::when(J == j, branch_of(J == j, b, *get<J>(rest.b)))...)
                            : kioto::select(
                                  kioto::when(I == i, branch_of(I == i, a, *get<I>(rest.a)))...,
                                  kioto::when(J == j, branch_of(J == j, b, *get<J>(rest.b)))...);
          },
          [i, j](auto& operation) {
            auto hit = operation.await_resume();
            race_outcome out;
            out.count = static_cast<int>(hit.count());
            if (hit.index() == i) out.index = 0;
            if (hit.index() == size_a + j) out.index = 1;
            const auto note = [&]<std::size_t N, class K>(std::size_t expected, std::size_t which) {
              auto& value = hit.template get<N>();
              if (value)
                out.value[which] = N == expected ? K::look(std::move(*value)) : got::nonsense;
            };
            (note.template operator()<I, A>(i, 0), ...);
            (note.template operator()<size_a + J, B>(size_a + j, 1), ...);
            return out;
          });
    }(std::make_index_sequence<size_a>(), std::make_index_sequence<size_b>());
  }
  template <std::size_t N, class Tuple>
  static auto& get(Tuple& all) {
    return std::get<N>(all);
  }
};

template <class First, class Second>
std::vector<pairing> all_pairs() {
  std::vector<pairing> pairs;
  block_pairs<First, Second>::add_to(pairs);
  return pairs;
}

}  // namespace kioto_test
