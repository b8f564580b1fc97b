// SPDX-License-Identifier: MIT
// Combinators kept the operation of an awaitable and not the awaitable, which it refers to:
// when_all over a vector of join handles, or one that a helper function returned, used tasks that
// were freed.
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include <kioto/abort_on_drop.hpp>
#include <kioto/as_result.hpp>
#include <kioto/cancellation_token.hpp>
#include <kioto/or_throw.hpp>
#include <kioto/select.hpp>
#include <kioto/shield.hpp>
#include <kioto/spawn.hpp>
#include <kioto/stream/stream.hpp>
#include <kioto/streams.hpp>
#include <kioto/sync/notify.hpp>
#include <kioto/sync/oneshot.hpp>
#include <kioto/task_local.hpp>
#include <kioto/timeout.hpp>
#include <kioto/try_all.hpp>
#include <kioto/when_all.hpp>
#include <kioto/when_any.hpp>
#include <kioto/yield.hpp>

#include "support/catch.hpp"
#include "support/gate.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

task<int> gives(int value, gate* g) {
  co_await g->passed();
  co_return value;
}
task<int> gives_now(int value) {
  co_await yield_now();
  co_return value;
}

std::vector<join_handle<int>> some_handles() {
  std::vector<join_handle<int>> handles;
  for (int i = 0; i != 4; ++i) handles.push_back(spawn(gives_now(i)));
  return handles;
}

// Helper functions, whose arguments are destroyed when they return.
auto all_of_them() { return when_all(some_handles()); }
auto any_of_them() { return when_any(some_handles()); }
auto one_of_them() { return select(some_handles()); }
auto two_of_them() { return when_all(spawn(gives_now(1)), spawn(gives_now(2))); }
auto first_of_two(gate* g) { return select(spawn(gives(1, g)), spawn(gives_now(2))); }
auto in_time() { return timeout(1h, spawn(gives_now(3))); }
auto nested() { return timeout(1h, when_all(as_result(spawn(gives_now(4))), in_time())); }
auto on_condition() { return select(when(true, spawn(gives_now(5))), when(false, sleep(1h))); }

sync::oneshot::receiver<std::string> will_get(std::string text) {
  auto [tx, rx] = sync::oneshot::channel<std::string>();
  const auto send = [](sync::oneshot::sender<std::string> to, std::string what) -> task<> {
    co_await yield_now();
    static_cast<void>(to.send(std::move(what)));
  };
  spawn(send(std::move(tx), std::move(text))).detach();
  return std::move(rx);
}

// An awaitable of one's own, whose operation refers to it. If it may throw it gets a frame.
template <bool MayThrow>
class [[nodiscard]] own_awaitable {
 public:
  explicit own_awaitable(sync::oneshot::receiver<std::string> rx, bool throws = false)
      : rx_(std::make_unique<sync::oneshot::receiver<std::string>>(std::move(rx))),
        throws_(throws) {}
  auto operator co_await() && noexcept(!MayThrow) {
    if constexpr (MayThrow) {
      if (throws_) throw std::runtime_error("on purpose");
    }
    return rx_->recv();
  }

 private:
  std::unique_ptr<sync::oneshot::receiver<std::string>> rx_;
  bool throws_;
};
static_assert(detail::leaf_of_owner<own_awaitable<false>>);
static_assert(!detail::leaf_branch<own_awaitable<true>>);

const std::string text = "a text that is longer than what fits into a string itself";

}  // namespace

TEST_CASE("regress: join handles that were given away, in a combinator that has a name") {
  on_every_scheduler([]() -> task<> {
    auto all = all_of_them();
    co_await sleep(1ms);
    auto values = co_await std::move(all);
    CHECK(values.size() == 4);
    for (int i = 0; i != 4; ++i) CHECK(std::move(values[static_cast<std::size_t>(i)]).value() == i);

    auto any = any_of_them();
    co_await sleep(1ms);
    auto first = co_await std::move(any);
    static_cast<void>(first);

    auto one = one_of_them();
    co_await sleep(1ms);
    auto hit = co_await std::move(one);
    CHECK(hit.index() < 4);

    auto two = two_of_them();
    co_await sleep(1ms);
    auto both = co_await std::move(two);
    CHECK(std::get<0>(std::move(both)).value() == 1);
    CHECK(std::get<1>(std::move(both)).value() == 2);

    auto timed = in_time();
    co_await sleep(1ms);
    auto three = co_await std::move(timed);
    CHECK(std::move(three).value() == 3);

    auto deep = nested();
    co_await sleep(1ms);
    auto four = co_await std::move(deep);
    CHECK(std::get<0>(std::move(four)).has_value());

    auto conditional = on_condition();
    co_await sleep(1ms);
    auto five = co_await std::move(conditional);
    CHECK(five.index() == 0);
  });
}

TEST_CASE("regress: join handles that were given away, under every adaptor") {
  on_every_scheduler([]() -> task<> {
    auto a = as_result(spawn(gives_now(1)));
    auto b = shield(spawn(gives_now(2)));
    auto c = timeout(1h, as_result(spawn(gives_now(3))));
    auto d = when_all(shield(spawn(gives_now(4))), as_result(timeout(1h, spawn(gives_now(5)))));
    const task_local<int> local;
    auto e = local.scope(1, spawn(gives_now(6)));
    auto token = cancellation_token();
    auto f = token.run_until_cancelled(spawn(gives_now(7)));
    co_await sleep(1ms);
    auto ra = co_await std::move(a);
    CHECK(std::move(*ra).value() == 1);
    auto rb = co_await std::move(b);
    CHECK(std::move(rb).value() == 2);
    auto rc = co_await std::move(c);
    CHECK(std::move(*rc).value() == 3);
    auto rd = co_await std::move(d);
    CHECK(std::get<0>(std::move(rd)).value() == 4);
    auto re = co_await std::move(e);
    CHECK(std::move(re).value() == 6);
    auto rf = co_await std::move(f);
    CHECK(std::move(*rf).value() == 7);
  });
}

TEST_CASE("regress: a join handle that was given away detaches its task, an lvalue stays") {
  on_every_scheduler([]() -> task<> {
    gate g;
    auto hit = co_await first_of_two(&g);
    CHECK(hit.index() == 1);
    g.open();  // the first task goes on by itself, and nobody takes its value

    gate other;
    auto handle = spawn(gives(8, &other));
    auto early = co_await select(handle, yield_now());
    CHECK(early.index() == 1);
    CHECK(handle.valid());
    other.open();
    auto joined = co_await handle;
    CHECK(std::move(joined).value() == 8);

    auto empty = join_handle<int>();
    bool threw = false;
    try {
      auto none = co_await when_all(std::move(empty), yield_now());
      static_cast<void>(none);
    } catch (const std::logic_error&) {
      threw = true;
    }
    CHECK(threw);
  });
}

TEST_CASE(
    "regress: an abort_on_drop that was given away aborts its task when it is not waited for") {
  on_every_scheduler([]() -> task<> {
    gate g;
    bool destroyed = false;
    class tells {
     public:
      explicit tells(bool* destroyed) noexcept : destroyed_(destroyed) {}
      tells(tells&& o) noexcept : destroyed_(std::exchange(o.destroyed_, nullptr)) {}
      tells& operator=(tells&&) = delete;
      ~tells() {
        if (destroyed_ != nullptr) *destroyed_ = true;
      }

     private:
      bool* destroyed_;
    };
    const auto waits = [](gate* at, tells t) -> task<> {
      static_cast<void>(t);
      co_await at->passed();
    };
    auto handle = spawn(waits(&g, tells(&destroyed)));
    auto watch = handle.abort_handle();
    {
      auto race = select(abort_on_drop<void>(std::move(handle)), sleep(1ms));
      auto hit = co_await std::move(race);
      CHECK(hit.index() == 1);
    }
    while (!watch.is_finished()) co_await sleep(100us);
    CHECK(destroyed);
  });
}

TEST_CASE("regress: receivers and notices that were given away") {
  on_every_scheduler([]() -> task<> {
    std::vector<sync::oneshot::receiver<std::string>> receivers;
    for (int i = 0; i != 3; ++i) receivers.push_back(will_get(text));
    auto all = when_all(std::move(receivers));
    auto race = select(will_get(text), sleep(1h));
    auto tried = try_all(will_get(text), will_get(text));
    auto timed = timeout(1h, will_get(text));
    auto thrown = or_throw(will_get(text));
    sync::notify news;
    auto notices = when_all(news.notified(), news.notified());
    co_await sleep(1ms);
    news.notify_waiters();
    auto texts = co_await std::move(all);
    CHECK(texts.size() == 3);
    for (auto& t : texts) CHECK(t.value() == text);
    auto hit = co_await std::move(race);
    CHECK(hit.index() == 0);
    auto both = co_await std::move(tried);
    CHECK(both.has_value());
    auto in_time_text = co_await std::move(timed);
    CHECK(in_time_text.value() == text);
    auto whole = co_await std::move(thrown);
    CHECK(whole == text);
    auto noticed = co_await std::move(notices);
    static_cast<void>(noticed);
  });
}

TEST_CASE("regress: awaitables of one's own that were given away") {
  on_every_scheduler([]() -> task<> {
    auto all = when_all(own_awaitable<false>(will_get(text)), own_awaitable<true>(will_get(text)));
    auto race = select(own_awaitable<true>(will_get(text)), sleep(1h));
    auto timed = timeout(1h, own_awaitable<false>(will_get(text)));
    auto shielded = shield(as_result(own_awaitable<false>(will_get(text))));
    co_await sleep(1ms);
    auto both = co_await std::move(all);
    CHECK(std::get<0>(both).value() == text);
    CHECK(std::get<1>(both).value() == text);
    auto hit = co_await std::move(race);
    CHECK(hit.index() == 0);
    auto in_time_text = co_await std::move(timed);
    CHECK(in_time_text.value() == text);
    auto kept = co_await std::move(shielded);
    CHECK(kept.value() == text);
    bool threw = false;
    try {
      auto none = co_await when_all(own_awaitable<true>(will_get(text), true), yield_now());
      static_cast<void>(none);
    } catch (const std::runtime_error&) {
      threw = true;
    }
    CHECK(threw);
  });
}

namespace {

// A stream whose next() is an awaitable of one's own.
class texts {
 public:
  class [[nodiscard]] next_text {
   public:
    explicit next_text(sync::oneshot::receiver<std::optional<std::string>> rx)
        : rx_(std::make_unique<sync::oneshot::receiver<std::optional<std::string>>>(
              std::move(rx))) {}
    class [[nodiscard]] operation final : public detail::leaf_operation {
     public:
      using below_type = detail::oneshot_recv<std::optional<std::string>>;
      explicit operation(below_type&& below) noexcept : below_(std::move(below)) {}
      operation(operation&&) noexcept = default;
      detail::attempt try_or_wait() noexcept override {
        below_.strand_ = strand_;
        return below_.try_or_wait();
      }
      bool cancel() noexcept override { return below_.cancel(); }
      [[nodiscard]] static bool await_ready() noexcept { return false; }
      template <class Promise>
      bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        return below_.await_suspend(frame);
      }
      std::optional<std::string> await_resume() { return std::move(below_.await_resume()).value(); }

     private:
      below_type below_;
    };
    operation operator co_await() && noexcept { return operation(rx_->recv()); }

   private:
    std::unique_ptr<sync::oneshot::receiver<std::optional<std::string>>> rx_;
  };

  next_text next() {
    auto [tx, rx] = sync::oneshot::channel<std::optional<std::string>>();
    const auto send = [](auto to, int n) -> task<> {
      co_await yield_now();
      static_cast<void>(to.send(n == 0 ? std::nullopt : std::optional<std::string>(text)));
    };
    spawn(send(std::move(tx), left_)).detach();
    if (left_ != 0) --left_;
    return next_text(std::move(rx));
  }

 private:
  int left_ = 3;
};

}  // namespace

TEST_CASE("regress: a stream adaptor over next() that refers to itself") {
  on_every_scheduler([]() -> task<> {
    auto lengths = texts() | streams::map(&std::string::size);
    std::size_t sum = 0;
    for (;;) {
      auto operation = lengths.next();
      co_await yield_now();
      auto length = co_await std::move(operation);
      if (!length) break;
      sum += *length;
    }
    CHECK(sum == 3 * text.size());
    auto others = texts() | streams::map(&std::string::size);
    auto race = select(others.next(), sleep(1h));
    co_await yield_now();
    auto hit = co_await std::move(race);
    CHECK(hit.index() == 0);
  });
}
