// SPDX-License-Identifier: MIT
// The k-th allocation fails, for every k, in every public operation. Each ends by std::bad_alloc,
// by an error result, or with success; never by ending the program, by a hang, or with something
// lost.
//
// Each scenario runs in a process of its own, so that one that ends the program is a failure like
// others, and names the allocation. KIOTO_MEMORY_SCENARIO=name plays one of them alone.
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <kioto/kioto.hpp>
#include <kioto/streams.hpp>

#include "support/catch.hpp"
#include "support/memory.hpp"
#include "support/runtimes.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define KIOTO_TEST_LEAKS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KIOTO_TEST_LEAKS 1
#endif
#endif
#if defined(KIOTO_TEST_LEAKS)
#include <sanitizer/lsan_interface.h>
#endif

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

/// A lack of memory that an operation reports as an error is as good as an exception.
void expect(std::error_code error, const char* what) {
  if (!error) return;
  if (error == std::errc::not_enough_memory || error == std::errc::resource_unavailable_try_again ||
      error == std::errc::no_buffer_space)
    throw std::bad_alloc();
  throw std::runtime_error(std::string(what) + ": " + error.message());
}
template <class R>
void expect_success(const R& r, const char* what) {
  if (!r.has_value()) expect(r.error(), what);
}
void expect_true(bool ok, const char* what) {
  if (!ok) throw std::runtime_error(what);
}

// ---- scenarios ---------------------------------------------------------------------------------

task<int> value(int v) {
  co_await yield_now();
  co_return v;
}
task<int> throws_later() {
  co_await yield_now();
  throw std::runtime_error("thrown");
}
task<result<int>> result_of(int v) {
  co_await yield_now();
  co_return v;
}

task<> spawn_and_join() {
  auto h = spawn(value(1));
  auto r = co_await std::move(h);
  expect_true(std::move(r).value() == 1, "the value of a task");
}
task<> spawn_callable() {
  const std::string text(100, 'x');
  auto h = spawn([](std::string s) -> task<std::size_t> { co_return s.size(); }, text);
  auto r = co_await std::move(h);
  expect_true(std::move(r).value() == 100, "the value of a task");
}
task<> spawn_and_detach() {
  spawn(value(1)).detach();
  spawn(throws_later()).detach();
  for (int i = 0; i != 4; ++i) co_await yield_now();
}
task<> spawn_and_abort() {
  auto h = spawn([]() -> task<> { co_await sleep(1h); });
  co_await yield_now();
  h.abort();
  auto r = co_await std::move(h);
  expect_true(r.is_cancelled(), "an aborted task");
}
task<> join_a_failure() {
  auto h = spawn(throws_later());
  auto r = co_await std::move(h);
  try {
    static_cast<void>(std::move(r).value());
  } catch (const std::runtime_error&) {
    co_return;
  }
  expect_true(false, "an exception was lost");
}

task<> bounded_channel() {
  auto [tx, rx] = sync::mpsc::channel<int>(100);
  for (int i = 0; i != 80; ++i) {
    auto sent = co_await tx.send(i);
    expect_success(sent, "send");
  }
  for (int i = 0; i != 80; ++i) {
    auto v = co_await rx.recv();
    expect_true(v == i, "the values in order");
  }
}
task<> full_channel() {
  auto [tx, rx] = sync::mpsc::channel<std::string>(2);
  auto producer = spawn(
      [](sync::mpsc::sender<std::string> to) -> task<> {
        for (int i = 0; i != 80; ++i) {
          auto sent = co_await to.send("a text that is too long to lie in the object");
          expect_success(sent, "send");
        }
      },
      tx);
  const auto last = std::move(tx);
  for (int i = 0; i != 80; ++i) {
    auto v = co_await select(rx.recv(), producer);
    if (auto& ended = v.get<1>()) std::move(*ended).value();
    if (v.has<1>()) break;
  }
}
task<> unbounded_channel() {
  auto [tx, rx] = sync::mpsc::unbounded_channel<int>();
  for (int i = 0; i != 80; ++i) expect_success(tx.send(i), "send");
  std::vector<int> values;
  const auto n = co_await rx.recv_many(values, 100);
  expect_true(n == values.size() && n != 0, "recv_many");
}
task<> channel_permits() {
  auto [tx, rx] = sync::mpsc::channel<int>(4);
  for (int i = 0; i != 20; ++i) {
    auto permit = co_await tx.reserve_many(2);
    expect_success(permit, "reserve");
    permit->send(i);
    auto owned = co_await tx.reserve_owned();
    expect_success(owned, "reserve_owned");
    static_cast<void>(std::move(*owned).send(i));
    permit->release();
    for (int j = 0; j != 2; ++j) {
      auto v = co_await rx.recv();
      expect_true(v == i, "a value");
    }
    expect_true(tx.capacity() == 4, "room in the channel");
  }
}
task<> send_with_limit() {
  auto [tx, rx] = sync::mpsc::channel<int>(1);
  auto sent = co_await tx.send_timeout(1, 1h);
  expect_success(sent, "send_timeout");
  auto v = co_await rx.recv();
  expect_true(v == 1, "a value");
}
task<> oneshot_channel() {
  auto [tx, rx] = sync::oneshot::channel<std::string>();
  auto h = spawn(
      [](sync::oneshot::sender<std::string> to) -> task<> {
        auto sent = to.send("a text that is too long to lie in the object");
        expect_true(sent.has_value(), "oneshot");
        co_return;
      },
      std::move(tx));
  auto v = co_await rx.recv();
  auto r = co_await std::move(h);
  std::move(r).value();
  expect_true(v.has_value(), "oneshot");
}
task<> broadcast_channel() {
  auto [tx, rx] = sync::broadcast::channel<std::string>(4);
  auto other = tx.subscribe();
  for (int i = 0; i != 6; ++i) {
    expect_true(tx.send("a text that is too long to lie in the object").receivers() == 2, "send");
    auto v = co_await rx.recv();
    expect_true(v.has_value(), "recv");
  }
  auto lagging = co_await other.recv();
  expect_true(lagging.missed() == 2, "lagged");
}
task<> watch_channel() {
  auto [tx, rx] = sync::watch::channel<std::string>("first");
  expect_true(tx.send("second").has_value(), "send");
  tx.send_modify([](std::string& s) { s += " and a text that is too long to lie in the object"; });
  auto changed = co_await rx.changed();
  expect_true(changed.has_value() && rx.borrow_and_update()->size() > 10, "changed");
  const auto long_text = [](const std::string& s) { return s.size() > 10; };
  auto found = co_await rx.wait_for(long_text);
  expect_true(found.has_value(), "wait_for");
}

std::vector<task<int>> some_tasks(int n) {
  std::vector<task<int>> all;
  for (int i = 0; i != n; ++i) all.push_back(value(i));
  return all;
}
task<> select_tasks() {
  auto hit = co_await select(value(1), sleep(1h), as_result(value(2)), shield(value(3)));
  expect_true(hit.count() >= 1, "select");
  static_cast<void>(hit.get<2>());
  static_cast<void>(hit.get<3>());
  static_cast<void>(hit.get<0>());
}
task<> select_range() {
  auto hit = co_await select(some_tasks(5));
  for (std::size_t i = 0; i != 5; ++i) static_cast<void>(hit.get(i));
  auto any = co_await when_any(some_tasks(5));
  static_cast<void>(any);
}
task<> all_of_them() {
  auto both = co_await when_all(value(1), value(2));
  expect_true(std::get<1>(both) == 2, "when_all");
  auto all = co_await when_all(some_tasks(5));
  expect_true(all.size() == 5, "when_all");
  auto tried = co_await try_all(some_tasks(5));
  expect_true(tried.size() == 5, "try_all");
  std::vector<task<result<int>>> results;
  for (int i = 0; i != 4; ++i) results.push_back(result_of(i));
  auto ok = co_await try_all(std::move(results));
  expect_success(ok, "try_all");
}
task<> exceptions_of_branches() {
  try {
    auto both = co_await when_all(throws_later(), throws_later());
    static_cast<void>(both);
  } catch (const std::runtime_error&) {
  }
  try {
    auto hit = co_await select(throws_later(), throws_later());
    static_cast<void>(hit);
  } catch (const std::runtime_error&) {
  }
  try {
    co_await scope([](task_scope& s) -> task<> {
      s.spawn(throws_later());
      s.spawn(throws_later());
      co_await sleep(1h);
    });
  } catch (const std::runtime_error&) {
  }
}
task<> timeouts() {
  const int v = co_await timeout(1h, value(1));
  expect_true(v == 1, "timeout");
  try {
    co_await timeout(0ms, []() -> task<> { co_await sleep(1h); }());
  } catch (const timeout_error&) {
  }
  auto late = co_await timeout(0ms, []() -> task<result<int>> {
    co_await sleep(1h);
    co_return 1;
  }());
  expect_true(!late.has_value(), "timeout");
}
task<> scopes() {
  std::atomic<int> sum{0};
  co_await scope([&](task_scope& s) -> task<> {
    for (int i = 0; i != 4; ++i)
      s.spawn([&]() -> task<> {
        const int v = co_await value(1);
        sum += v;
      });
    auto h = s.spawn(value(7));
    auto r = co_await std::move(h);
    sum += std::move(r).value();
    co_await s.join();
  });
  expect_true(sum == 11, "scope");
  co_await scope(at_most(2), [&](task_scope& s) -> task<> {
    for (int i = 0; i != 6; ++i) {
      co_await s.vacancy();
      s.spawn([&]() -> task<> {
        co_await yield_now();
        ++sum;
      });
    }
  });
  expect_true(sum == 17, "scope with a limit");
}

async_generator<int> numbers(int n) {
  for (int i = 0; i != n; ++i) {
    co_await yield_now();
    co_yield int(i);
  }
}
class task_numbers {
 public:
  explicit task_numbers(int n) : left_(n) {}
  task<std::optional<int>> next() {
    co_await yield_now();
    if (left_ == 0) co_return std::nullopt;
    co_return --left_;
  }

 private:
  int left_;
};
template <class S>
task<int> count_of(S stream) {
  int n = 0;
  for (;;) {
    auto v = co_await stream.next();
    if (!v) co_return n;
    ++n;
  }
}
task<> generators() {
  const int n = co_await count_of(numbers(5));
  expect_true(n == 5, "a generator");
}
task<> adaptors() {
  auto s = numbers(10) | streams::map([](int i) { return i * 2; }) |
           streams::filter([](const int& i) { return i % 4 == 0; }) | streams::chunks(2);
  const int n = co_await count_of(std::move(s));
  expect_true(n == 3, "adaptors");
  auto all = co_await (numbers(10) | streams::skip(2) | streams::take(5) | streams::collect());
  expect_true(all.size() == 5, "collect");
}
task<> merged() {
  auto s = streams::merge(task_numbers(4), numbers(4), task_numbers(4));
  const int n = co_await count_of(std::move(s));
  expect_true(n == 12, "merge");
}
task<> mapped() {
  stream_map<std::string, task_numbers> all;
  for (int i = 0; i != 4; ++i)
    all.insert("a key that is too long to lie in the object " + std::to_string(i), task_numbers(4));
  int n = 0;
  for (;;) {
    auto v = co_await all.next();
    if (!v) break;
    if (++n == 3) all.remove(v->first);
  }
  expect_true(n > 10, "stream_map");
}
task<> buffered_streams() {
  auto s = numbers(6) | streams::map([](int i) { return value(i); }) | streams::buffered(3);
  const int n = co_await count_of(std::move(s));
  expect_true(n == 6, "buffered");
  auto t =
      numbers(6) | streams::map([](int i) { return value(i); }) | streams::buffered_unordered(3);
  const int m = co_await count_of(std::move(t));
  expect_true(m == 6, "buffered_unordered");
}
task<> for_each_beside() {
  int n = 0;
  const auto each = [&n](int) -> task<> {
    co_await yield_now();
    ++n;
  };
  co_await (numbers(6) | streams::for_each_concurrent(3, each));
  expect_true(n == 6, "for_each_concurrent");
}

task<> join_sets() {
  join_set<int> set;
  for (int i = 0; i != 6; ++i) set.spawn(value(i));
  auto first = co_await set.join_next();
  expect_true(first.has_value(), "join_next");
  static_cast<void>(std::move(*first).value());
  auto all = co_await set.join_all();
  expect_true(all.size() == 5, "join_all");
  for (int i = 0; i != 3; ++i) set.spawn(throws_later());
  co_await set.shutdown();
  expect_true(set.empty(), "shutdown");
}
task<> trackers() {
  task_tracker tracker;
  for (int i = 0; i != 3; ++i) tracker.spawn(value(i)).detach();
  tracker.close();
  co_await tracker.wait();
}
task<> timers() {
  co_await sleep(1ms);
  interval every(1ms);
  for (int i = 0; i != 2; ++i) co_await every.tick();
  delay_queue<std::string> queue;
  for (int i = 0; i != 130; ++i) queue.insert("x", 0ms);
  for (int i = 0; i != 130; ++i) {
    auto e = co_await queue.next();
    expect_true(e.has_value(), "delay_queue");
  }
}
task<> tokens() {
  cancellation_token token;
  auto child = token.child_token();
  auto stop = child.get_stop_token();
  std::stop_source source;
  cancellation_token follower(source.get_token());
  auto v = co_await child.run_until_cancelled(value(1));
  expect_true(v == 1, "run_until_cancelled");
  source.request_stop();
  token.cancel();
  co_await child.cancelled();
  co_await follower.cancelled();
  expect_true(stop.stop_requested(), "get_stop_token");
}
task<> cells() {
  sync::once_cell<std::string> cell;
  const auto make = []() -> task<std::string> {
    co_await yield_now();
    co_return std::string(100, 'x');
  };
  const auto& v = co_await cell.get_or_init(make);
  expect_true(v.size() == 100, "once_cell");
  sync::set_once<std::string> once;
  once.set(std::string(100, 'x'));
  const auto& w = co_await once.wait();
  expect_true(w.size() == 100, "set_once");
}
task<> locks() {
  auto m = std::make_shared<sync::mutex<int>>(1);
  auto s = std::make_shared<sync::semaphore>(2);
  auto l = std::make_shared<sync::rw_lock<int>>(1);
  {
    auto a = co_await sync::mutex<int>::lock_owned(m);
    auto b = co_await sync::semaphore::acquire_many_owned(s, 2);
    auto c = co_await sync::rw_lock<int>::write_owned(l);
    auto h = spawn(
        [](std::shared_ptr<sync::mutex<int>> of) -> task<> {
          auto guard = co_await of->lock();
          ++*guard;
        },
        m);
    co_await yield_now();
    a.unlock();
    auto r = co_await std::move(h);
    std::move(r).value();
  }
  expect_true(s->available_permits() == 2, "permits");
}
task<> wrappers() {
  const int v = co_await or_throw(result_of(1));
  auto w = co_await as_result(value(2));
  const int x = co_await shield(value(3));
  auto inner = []() -> task<result<int>> {
    const int y = co_await or_return(result_of(4));
    co_return y;
  };
  auto y = co_await inner();
  expect_true(v == 1 && w == 2 && x == 3 && y.has_value(), "wrappers");
}
task<> blocking() {
  auto h = spawn_blocking([](std::string s) { return s.size(); }, std::string(100, 'x'));
  auto r = co_await std::move(h);
  if (r.is_cancelled()) throw std::bad_alloc();
  try {
    expect_true(std::move(r).value() == 100, "spawn_blocking");
  } catch (const std::system_error& e) {
    expect(e.code(), "spawn_blocking");
  }
}
task<> sockets() {
  const net::socket_address anywhere(net::ip_address_v4::loopback(), 0);
  auto listener = co_await net::tcp_listener::bind(anywhere);
  expect_success(listener, "bind");
  const auto address = listener->local_address().value();
  auto a = co_await net::tcp_stream::connect(address);
  expect_success(a, "connect");
  auto accepted = co_await listener->accept();
  expect_success(accepted, "accept");
  auto written = co_await a->write_all("hello");
  expect_success(written, "write_all");
  std::array<char, 5> buffer{};
  auto got_it = co_await accepted->stream.read_exact(buffer);
  expect_success(got_it, "read_exact");
  auto never = co_await select(a->read(buffer), sleep(1ms));
  expect_true(never.index() == 1, "nothing to read");
}
task<> names() {
  const net::socket_address anywhere(net::ip_address_v4::loopback(), 0);
  auto listener = co_await net::tcp_listener::bind(anywhere);
  expect_success(listener, "bind");
  const auto port = std::to_string(listener->local_address().value().port());
  auto a = co_await net::tcp_stream::connect("localhost:" + port);
  expect_success(a, "connect by name");
}
task<> looking() {
  const abort_on_drop<> other(spawn([]() -> task<> { co_await sleep(1h); }));
  co_await yield_now();
  const auto here = handle::current();
  const auto tasks = here.dump();
  std::string text;
  for (const auto& t : tasks) text += t.to_string();
  const auto m = here.metrics();
  expect_true(!text.empty() && m.tasks_alive >= 2, "dump");
}

struct scenario {
  const char* name;
  task<> (*make)();
};
constexpr std::array scenarios{
    scenario{"spawn_and_join", &spawn_and_join},
    scenario{"spawn_callable", &spawn_callable},
    scenario{"spawn_and_detach", &spawn_and_detach},
    scenario{"spawn_and_abort", &spawn_and_abort},
    scenario{"join_a_failure", &join_a_failure},
    scenario{"bounded_channel", &bounded_channel},
    scenario{"full_channel", &full_channel},
    scenario{"unbounded_channel", &unbounded_channel},
    scenario{"channel_permits", &channel_permits},
    scenario{"send_with_limit", &send_with_limit},
    scenario{"oneshot_channel", &oneshot_channel},
    scenario{"broadcast_channel", &broadcast_channel},
    scenario{"watch_channel", &watch_channel},
    scenario{"select_tasks", &select_tasks},
    scenario{"select_range", &select_range},
    scenario{"all_of_them", &all_of_them},
    scenario{"exceptions_of_branches", &exceptions_of_branches},
    scenario{"timeouts", &timeouts},
    scenario{"scopes", &scopes},
    scenario{"generators", &generators},
    scenario{"adaptors", &adaptors},
    scenario{"merged", &merged},
    scenario{"mapped", &mapped},
    scenario{"buffered_streams", &buffered_streams},
    scenario{"for_each_beside", &for_each_beside},
    scenario{"join_sets", &join_sets},
    scenario{"trackers", &trackers},
    scenario{"timers", &timers},
    scenario{"tokens", &tokens},
    scenario{"cells", &cells},
    scenario{"locks", &locks},
    scenario{"wrappers", &wrappers},
    scenario{"blocking", &blocking},
    scenario{"sockets", &sockets},
    scenario{"names", &names},
    scenario{"looking", &looking},
};

// ---- how they are played -----------------------------------------------------------------------

/// What the parent sees of a child.
struct progress {
  std::atomic<long> k{0};
  std::atomic<int> how{0};
  std::atomic<bool> done{false};
  std::array<char, 200> said{};
};

/// One attempt with a shortage. True if nothing failed, because there are not so many allocations.
using attempt_type = std::function<bool(long, shortage)>;

bool play_on(flavour f, task<> (*make)(), long k, shortage how) {
  bool failed = false;
  {
    auto builder = builder_for(f);
    std::atomic<int> unhandled{0};
    builder.on_unhandled_exception([&unhandled](const unhandled_exception_info&) { ++unhandled; });
    runtime rt = std::move(builder.build()).value();
    bool succeeded = false;
    begin_shortage(k, how);
    try {
      rt.block_on(make());
      succeeded = true;
    } catch (const std::bad_alloc&) {
    } catch (const task_cancelled&) {
    } catch (const std::system_error& e) {
      if (e.code() != std::errc::not_enough_memory &&
          e.code() != std::errc::resource_unavailable_try_again) {
        end_shortage();
        throw;
      }
    }
    failed = end_shortage();
    if (!failed && !succeeded) throw std::runtime_error("failed without a reason");
    // The runtime is as good as before.
    const int v = rt.block_on(value(5));
    expect_true(v == 5, "the runtime works afterwards");
    for (int i = 0; i != 3000 && rt.metrics().tasks_alive != 0; ++i) {
      if (f == flavour::current_thread)
        rt.block_on([]() -> task<> { co_await sleep(1ms); });
      else
        std::this_thread::sleep_for(1ms);
    }
    expect_true(rt.metrics().tasks_alive == 0, "no task is left");
    const auto io = rt.metrics();
    expect_true(io.descriptors_registered == io.descriptors_deregistered, "no descriptor is left");
  }
  return !failed;
}
bool build_and_drop(flavour f, long k, shortage how) {
  begin_shortage(k, how);
  std::optional<runtime> rt;
  try {
    auto built = builder_for(f).thread_name("a name that is too long to lie in the object").build();
    if (built) rt.emplace(std::move(*built));
    if (!built && built.error() != std::errc::not_enough_memory) {
      end_shortage();
      throw std::runtime_error("build: " + built.error().message());
    }
    if (rt) {
      rt->spawn(value(1)).detach();
      rt->spawn([]() -> task<> { co_await sleep(1h); }).detach();
      static_cast<void>(rt->block_on(value(1)));
    }
  } catch (const std::bad_alloc&) {
  }
  rt.reset();
  return !end_shortage();
}

void play_all(const attempt_type& attempt, progress& p, long first, int mode) {
  for (; mode != 2; ++mode, first = 0) {
    p.how = mode;
    for (long k = first; k != 5000; ++k) {
      p.k = k;
      if (attempt(k, static_cast<shortage>(mode))) break;
    }
  }
#if defined(KIOTO_TEST_LEAKS)
  if (__lsan_do_recoverable_leak_check() != 0) {
    std::snprintf(p.said.data(), p.said.size(), "something has leaked");
    _exit(1);
  }
#endif
  p.done = true;
}

/// Runs the scenario in processes of their own: a new one after each that fails. Returns what went
/// wrong, line by line.
std::string failures_of(const char* name, const attempt_type& attempt) {
  auto* const p = new (::mmap(nullptr, sizeof(progress), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0)) progress;
  std::string all;
  long first = 0;
  int mode = 0;
  for (int failures = 0; failures != 4; ++failures) {
    p->said[0] = '\0';
    const pid_t child = ::fork();
    if (child == 0) {
      ::signal(SIGABRT, SIG_DFL);  // not those of the test framework
      ::signal(SIGSEGV, SIG_DFL);
      try {
        play_all(attempt, *p, first, mode);
      } catch (const std::exception& e) {
        end_shortage();
        std::snprintf(p->said.data(), p->said.size(), "%s", e.what());
        ::_exit(1);
      }
      ::_exit(0);
    }
    int status = 0;
    long seen = -1;
    auto since = std::chrono::steady_clock::now();
    bool hangs = false;
    while (::waitpid(child, &status, WNOHANG) == 0) {
      std::this_thread::sleep_for(2ms);
      const long now = p->k + 100000 * p->how;
      if (now != seen) {
        seen = now;
        since = std::chrono::steady_clock::now();
      } else if (std::chrono::steady_clock::now() - since > 10s) {
        hangs = true;
        ::kill(child, SIGKILL);
        ::waitpid(child, &status, 0);
        break;
      }
    }
    if (p->done) break;
    std::string how = p->said.data();
    if (hangs)
      how = "hangs";
    else if (WIFSIGNALED(status))
      how = "ended by signal " + std::to_string(WTERMSIG(status));
    else if (how.empty())
      how = "ended with code " + std::to_string(WEXITSTATUS(status));
    all += std::string(name) + ", allocation " + std::to_string(p->k) +
           (p->how == 0 ? " fails: " : " and all that follow fail: ") + how + "\n";
    mode = p->how;
    first = p->k + 1;
    if (how == "something has leaked") break;
  }
  ::munmap(p, sizeof(progress));
  return all;
}

std::string failures_on(flavour f) {
  const char* const only = std::getenv("KIOTO_MEMORY_SCENARIO");
  std::string all;
  for (const scenario& s : scenarios) {
    if (only != nullptr && std::string(only) != s.name) continue;
    all += failures_of(s.name, [&](long k, shortage how) { return play_on(f, s.make, k, how); });
  }
  return all;
}

}  // namespace

TEST_CASE("every operation survives that an allocation fails, on a current-thread runtime") {
  const std::string failures = failures_on(flavour::current_thread);
  INFO(failures);
  CHECK(failures.empty());
}
TEST_CASE("every operation survives that an allocation fails, on a worker") {
  const std::string failures = failures_on(flavour::one_worker);
  INFO(failures);
  CHECK(failures.empty());
}
TEST_CASE("a runtime is built, used and destroyed although an allocation fails") {
  for (const flavour f : {flavour::current_thread, flavour::four_workers}) {
    const no_descriptor_leak leak;
    const std::string failures =
        failures_of("build", [f](long k, shortage how) { return build_and_drop(f, k, how); });
    INFO(failures);
    CHECK(failures.empty());
  }
}
