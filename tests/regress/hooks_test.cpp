// SPDX-License-Identifier: MIT
// A failed or_return inside of a shield left the shield on for good, so that the task could not be
// stopped any more; and an exception while an operation was started left the hooks of as_result,
// shield and or_return on the frame: a dangling hook, and a loop without end at the next
// completion.
#include <coroutine>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <kioto/as_result.hpp>
#include <kioto/async_generator.hpp>
#include <kioto/or_return.hpp>
#include <kioto/or_throw.hpp>
#include <kioto/shield.hpp>
#include <kioto/task_tracker.hpp>
#include <kioto/timeout.hpp>
#include <kioto/when_all.hpp>
#include <kioto/yield.hpp>

#include "support/catch.hpp"
#include "support/gate.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

// ---- what is on the frame and on the strand that await this ------------------------------------

struct on_strand {
  unsigned shields;
  bool has_hook;
};
class [[nodiscard]] look final {
 public:
  look() noexcept = default;
  look(const look&) = delete;
  look& operator=(const look&) = delete;
  [[nodiscard]] static bool await_ready() noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    seen_.shields = frame.promise().strand_->shields_;
    seen_.has_hook = frame.promise().hook_ != nullptr;
    return false;
  }
  [[nodiscard]] on_strand await_resume() const noexcept { return seen_; }

 private:
  on_strand seen_{99, true};
};

// ---- operations ---------------------------------------------------------------------------------

const std::error_code failure = std::make_error_code(std::errc::io_error);

task<result<int>> at_once(result<int> r) { co_return r; }
task<result<int>> later(result<int> r) {
  co_await yield_now();
  co_return r;
}
task<result<int>> throws(bool waits) {
  if (waits) co_await yield_now();
  throw std::runtime_error("on purpose");
}
task<result<int>> after(gate* g, result<int> r) {
  co_await g->passed();
  co_return r;
}
// Ends early itself.
task<result<int>> by_return(result<int> r) {
  const int value = co_await or_return(later(r));
  co_return value;
}

// An awaiter of another library that throws at one of its points. `Suspended` is what its
// await_suspend returns.
enum class point : unsigned char { co_await_operator, ready, suspend, resume };
template <class Suspended>
class [[nodiscard]] throws_at {
 public:
  explicit throws_at(point where) noexcept : where_(where) {}
  throws_at operator co_await() && {
    throw_at(point::co_await_operator);
    return throws_at(where_);
  }
  [[nodiscard]] bool await_ready() const {
    throw_at(point::ready);
    return std::is_void_v<Suspended>;
  }
  Suspended await_suspend(std::coroutine_handle<> frame) {
    throw_at(point::suspend);
    if constexpr (std::is_same_v<Suspended, bool>) return false;
    if constexpr (std::is_same_v<Suspended, std::coroutine_handle<>>) return frame;
  }
  result<int> await_resume() {
    throw_at(point::resume);
    return 7;
  }

 private:
  void throw_at(point here) const {
    if (here == where_) throw std::runtime_error("on purpose");
  }
  point where_;
};
class [[nodiscard]] throws_in_void_suspend {
 public:
  throws_in_void_suspend() noexcept = default;
  [[nodiscard]] static bool await_ready() noexcept { return false; }
  static void await_suspend(std::coroutine_handle<>) { throw std::runtime_error("on purpose"); }
  static result<int> await_resume() { return 0; }
};

// A coroutine of another library: it switches to its frame, which switches back by the handle of
// its awaiter.
class [[nodiscard]] foreign {
 public:
  class promise_type {
   public:
    foreign get_return_object() noexcept {
      return foreign(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    static std::suspend_always initial_suspend() noexcept { return {}; }
    auto final_suspend() noexcept {
      class back {
       public:
        explicit back(std::coroutine_handle<> to) noexcept : to_(to) {}
        [[nodiscard]] static bool await_ready() noexcept { return false; }
        [[nodiscard]] std::coroutine_handle<> await_suspend(
            std::coroutine_handle<>) const noexcept {
          return to_;
        }
        static void await_resume() noexcept {}

       private:
        std::coroutine_handle<> to_;
      };
      return back(continuation_);
    }
    void return_value(result<int> r) noexcept { value_ = r; }
    void unhandled_exception() noexcept { error_ = std::current_exception(); }

    std::coroutine_handle<> continuation_;
    result<int> value_ = 0;
    std::exception_ptr error_;
  };

  foreign(foreign&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  foreign& operator=(foreign&&) = delete;
  ~foreign() {
    if (frame_) frame_.destroy();
  }

  [[nodiscard]] static bool await_ready() noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> frame) noexcept {
    frame_.promise().continuation_ = frame;
    return frame_;
  }
  result<int> await_resume() {
    if (frame_.promise().error_) std::rethrow_exception(frame_.promise().error_);
    return frame_.promise().value_;
  }

 private:
  explicit foreign(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}
  std::coroutine_handle<promise_type> frame_;
};
foreign foreign_value(result<int> r) { co_return r; }
foreign foreign_throws(bool does) {
  if (does) throw std::runtime_error("on purpose");
  co_return 0;
}

// ---- nestings -----------------------------------------------------------------------------------

// Calls `f(nest)` for each: `nest(x)` wraps an operation of a result<int>, and awaited in a task of
// a result<int> comes to an int or a result<int>.
template <class F>
void few_nestings(F f) {
  f([](auto x) { return as_result(or_return(std::move(x))); });
  f([](auto x) { return shield(or_return(std::move(x))); });
  f([](auto x) { return shield(as_result(std::move(x))); });
  f([](auto x) { return or_return(as_result(shield(std::move(x)))); });
}
template <class F>
void unshielded_nestings(F f) {
  f([](auto x) { return or_return(std::move(x)); });
  f([](auto x) { return as_result(or_return(std::move(x))); });
  f([](auto x) { return or_return(as_result(or_return(std::move(x)))); });
  f([](auto x) { return or_return(timeout(1h, std::move(x))); });
}
template <class F>
void shielded_nestings(F f) {
  f([](auto x) { return shield(or_return(std::move(x))); });
  f([](auto x) { return or_return(shield(std::move(x))); });
  f([](auto x) { return as_result(shield(or_return(std::move(x)))); });
  f([](auto x) { return shield(as_result(or_return(std::move(x)))); });
  f([](auto x) { return shield(or_return(shield(std::move(x)))); });
  f([](auto x) { return shield(or_return(as_result(shield(or_return(std::move(x)))))); });
  f([](auto x) { return or_throw(as_result(shield(or_return(std::move(x))))); });
  f([](auto x) { return shield(or_return(timeout(1h, std::move(x)))); });
  f([](auto x) { return shield(timeout(1h, as_result(shield(std::move(x))))); });
  f([](auto x) {
    const task_tracker tracker;
    return shield(tracker.track(or_return(std::move(x))));
  });
}

enum class end : unsigned char { value, error, exception };

template <class Operation>
using maker = std::function<Operation()>;
using attempts = std::vector<std::pair<maker<task<result<int>>>, end>>;

// What is left on the frame once it goes on; if it goes on.
template <class Operation, class Nest>
task<result<int>> awaits(Nest nest, maker<Operation> make) {
  std::optional<result<int>> came;
  std::exception_ptr error;
  try {
    auto operation = nest(make());
    auto outcome = co_await std::move(operation);
    came.emplace(std::move(outcome));
  } catch (...) {
    error = std::current_exception();
  }
  const auto left = co_await look();
  CHECK(left.shields == 0);
  CHECK_FALSE(left.has_hook);
  const auto yielded = co_await as_result(yield_now());  // the next completion, stopped or not
  static_cast<void>(yielded);
  if (error) std::rethrow_exception(error);
  co_return *came;
}

template <class Operation>
auto add_to(attempts& all, maker<Operation> make, end expected) {
  return [&all, make, expected](auto nest) {
    all.emplace_back([nest, make] { return awaits<Operation>(nest, make); }, expected);
  };
}

task<> check_all(const attempts& all) {
  for (const auto& [make, expected] : all) {
    end came = end::exception;
    try {
      auto r = co_await make();
      came = r.has_value() ? end::value : end::error;
      if (r) CHECK(*r == 7);
      if (!r) CHECK(r.error() == failure);
    } catch (const std::runtime_error&) {
    }
    CHECK(came == expected);
    const auto left = co_await look();
    CHECK(left.shields == 0);
    CHECK_FALSE(left.has_hook);
  }
}
void check_on_every_scheduler(const attempts& all) {
  on_every_scheduler([&]() -> task<> { return check_all(all); });
}

using work = task<result<int>>;

}  // namespace

TEST_CASE("regress: a failed or_return tells every hook around it, in every nesting") {
  attempts all;
  const auto add = [&](const maker<work>& make, end expected) {
    unshielded_nestings(add_to<work>(all, make, expected));
    shielded_nestings(add_to<work>(all, make, expected));
  };
  add([] { return at_once(7); }, end::value);
  add([] { return later(7); }, end::value);
  add([] { return at_once(failure); }, end::error);
  add([] { return later(failure); }, end::error);
  add([] { return by_return(failure); }, end::error);
  add([] { return throws(false); }, end::exception);
  add([] { return throws(true); }, end::exception);
  check_on_every_scheduler(all);
}

TEST_CASE("regress: an exception while an operation starts leaves no hook and no shield") {
  attempts all;
  const auto add = [&]<class Suspended>(std::in_place_type_t<Suspended>) {
    for (const point where :
         {point::co_await_operator, point::ready, point::suspend, point::resume}) {
      if (std::is_void_v<Suspended> && where == point::suspend) continue;  // it is ready
      using operation = throws_at<Suspended>;
      few_nestings(add_to<operation>(all, [where] { return operation(where); }, end::exception));
    }
  };
  add(std::in_place_type<void>);
  add(std::in_place_type<bool>);
  add(std::in_place_type<std::coroutine_handle<>>);
  using in_void = throws_in_void_suspend;
  few_nestings(add_to<in_void>(all, [] { return in_void(); }, end::exception));
  check_on_every_scheduler(all);
}

TEST_CASE("regress: an awaiter that resumes the frame by its handle leaves no hook and no shield") {
  attempts all;
  few_nestings(add_to<foreign>(all, [] { return foreign_value(7); }, end::value));
  few_nestings(add_to<foreign>(all, [] { return foreign_value(failure); }, end::error));
  few_nestings(add_to<foreign>(all, [] { return foreign_throws(true); }, end::exception));
  check_on_every_scheduler(all);
}

namespace {

task<> is_stopped_after(maker<work> make, bool* went_on) {
  try {
    const auto got = co_await make();
    static_cast<void>(got);
  } catch (const std::system_error&) {
  }
  const auto left = co_await look();
  CHECK(left.shields == 0);
  CHECK_FALSE(left.has_hook);
  *went_on = true;
  co_await sleep(1h);
  *went_on = false;
}

}  // namespace

TEST_CASE("regress: a stop waits for a shield that ends with an early return, and is met after") {
  on_every_scheduler([]() -> task<> {
    for (const bool fails : {false, true}) {
      const result<int> r = fails ? result<int>(failure) : result<int>(7);
      gate* current = nullptr;
      attempts all;
      shielded_nestings(add_to<work>(all, [&current, r] { return after(current, r); }, end::value));
      for (const auto& [make, expected] : all) {
        gate g;
        current = &g;
        bool went_on = false;
        auto h = spawn(is_stopped_after(make, &went_on));
        while (g.waited() == 0) co_await sleep(100us);
        h.abort();
        co_await sleep(1ms);
        CHECK_FALSE(h.is_finished());
        g.open();
        auto ended = co_await h;
        CHECK(ended.is_cancelled());
        CHECK(went_on);
      }
    }
  });
}

TEST_CASE(
    "regress: a branch that returns early where its shield ends is held by a pausing generator") {
  on_every_scheduler([]() -> task<> {
    for (const bool fails : {false, true}) {
      gate g;
      bool ran_on = false;
      const auto branch = [&]() -> task<result<int>> {
        const result<int> r = fails ? result<int>(failure) : result<int>(7);
        auto inner = after(&g, r);
        const int value = co_await shield(or_return(std::move(inner)));
        ran_on = true;
        co_return value;
      };
      const auto generator = [&]() -> async_generator<result<int>> {
        auto both = co_await when_all(branch(), yield_now());
        co_yield std::get<0>(both);
      };
      auto elements = generator();
      const auto take_one = [&]() -> task<> {
        const auto none = co_await elements.next();
        CHECK_FALSE(none.has_value());
      };
      auto h = spawn(take_one);
      while (g.waited() == 0) co_await sleep(100us);
      h.abort();
      co_await sleep(1ms);
      CHECK_FALSE(h.is_finished());  // the shield holds it up
      g.open();
      auto ended = co_await h;
      CHECK(ended.is_cancelled());
      CHECK_FALSE(ran_on);
      const auto element = co_await elements.next();
      CHECK(element.has_value());
      if (element && fails) CHECK(element->error() == failure);
      if (element && !fails) CHECK(element->value() == 7);
      const auto last = co_await elements.next();
      CHECK_FALSE(last.has_value());
    }
  });
}

namespace {

// A result that can be made from an error, but not always.
class picky {
 public:
  explicit picky(int value) noexcept : value_(value) {}
  picky(std::error_code) { throw std::runtime_error("on purpose"); }
  [[nodiscard]] int value() const noexcept { return value_; }

 private:
  int value_;
};

}  // namespace

TEST_CASE("regress: a result that cannot be made from the error of an or_return is an exception") {
  on_every_scheduler([]() -> task<> {
    const auto returns = [](result<int> r) -> task<picky> {
      const int value = co_await or_return(later(r));
      co_return picky(value);
    };
    const auto good = co_await returns(7);
    CHECK(good.value() == 7);
    std::string said;
    try {
      const auto bad = co_await returns(failure);
      CHECK(bad.value() == 0);
    } catch (const std::runtime_error& e) {
      said = e.what();
    }
    CHECK(said == "on purpose");
  });
}
