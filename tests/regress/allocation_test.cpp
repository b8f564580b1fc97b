// SPDX-License-Identifier: MIT What broke when memory was short. The k-th allocation of the thread
// fails, for every k.

// The sanitizers bring an operator new of their own.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KIOTO_TEST_OWN_NEW 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define KIOTO_TEST_OWN_NEW 0
#endif
#endif
#if !defined(KIOTO_TEST_OWN_NEW)
#define KIOTO_TEST_OWN_NEW 1
#endif

#if KIOTO_TEST_OWN_NEW

#include <array>
#include <cstdlib>
#include <functional>
#include <new>
#include <utility>

#include <kioto/detail/sync/mpsc_core.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"
#include "support/signal.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

namespace {

thread_local long allocations_left = -1;  // negative: no limit
thread_local std::function<void()> at_failure;

// Not inlined: a compiler that sees both ends believes that new and free do not match.
[[gnu::noinline]] void* allocate(std::size_t size) noexcept {
  if (allocations_left == 0) {
    if (at_failure) std::exchange(at_failure, nullptr)();
    return nullptr;
  }
  if (allocations_left > 0) --allocations_left;
  return std::malloc(size != 0 ? size : 1);
}
[[gnu::noinline]] void deallocate(void* p) noexcept { std::free(p); }

}  // namespace

void* operator new(std::size_t size) {
  void* p = allocate(size);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
void* operator new[](std::size_t size) { return operator new(size); }
void operator delete(void* p) noexcept { deallocate(p); }
void operator delete(void* p, std::size_t) noexcept { deallocate(p); }
void operator delete[](void* p) noexcept { deallocate(p); }
void operator delete[](void* p, std::size_t) noexcept { deallocate(p); }

namespace {

/// Calls `attempt` with memory for 0, 1, 2, … allocations until it returns that it has succeeded.
template <class Attempt>
void with_little_memory(Attempt attempt) {
  bool succeeded = false;
  for (long k = 0; !succeeded && k != 10000; ++k) {
    allocations_left = k;
    try {
      succeeded = attempt();
    } catch (const std::bad_alloc&) {
    }
    allocations_left = -1;
  }
  CHECK(succeeded);
}

struct counted_operation {
  int fired = 0;
};
void complete(counted_operation& op) { ++op.fired; }

}  // namespace

// The strand of the task was borrowed, and not given back.
TEST_CASE("a dump without memory lost the task it was looking at") {
  for (const flavour f : {flavour::current_thread, flavour::one_worker, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    runtime rt = make_runtime(f);
    signal s;
    auto h = rt.spawn([](signal* from) -> task<> { co_await from->wait(); }, &s);
    rt.block_on([]() -> task<> { co_await sleep(2ms); });
    with_little_memory([&rt] { return !rt.dump().empty(); });
    s.set();
    const bool ended = rt.block_on([](join_handle<> j) -> task<bool> {
      for (int i = 0; i != 5000 && !j.is_finished(); ++i) co_await sleep(1ms);
      co_return j.is_finished();
    }(std::move(h)));
    CHECK(ended);
  }
}

// The reactor was made by functions that must not throw.
TEST_CASE("a runtime that could not be built for lack of memory ended the program") {
  const no_descriptor_leak leak;
  for (const flavour f : {flavour::current_thread, flavour::four_workers}) {
    INFO("scheduler " << static_cast<int>(f));
    with_little_memory([f] {
      auto built = builder_for(f).build();
      allocations_left = -1;
      if (!built) {
        CHECK(built.error() == errc::not_enough_memory);
        return false;
      }
      return built->block_on([]() -> task<bool> { co_return true; });
    });
  }
}

TEST_CASE("a runtime that gets no thread is an error, and nothing is left of it") {
  const no_descriptor_leak leak;
  const auto built =
      runtime::builder().worker_threads(4).thread_stack_size(std::size_t{1} << 46).build();
  CHECK((!built && built.error() == errc::resource_unavailable_try_again));
}

// The waiter that happened to be first when memory was short was refused.
TEST_CASE("a wait for room that needs no memory failed for the lack of it") {
  using core =
      detail::basic_mpsc_core<detail::std_sync, std::shared_ptr<int>, counted_operation, true, 2>;
  auto* const channel = new core(2);
  std::array<std::shared_ptr<int>, 3> messages;
  for (std::size_t i = 0; i != 2; ++i)  // a whole block
    REQUIRE(channel->push(messages[i], false) == detail::mpsc_outcome::done);
  counted_operation sends;
  counted_operation holds;
  core::waiter sender(sends);
  core::waiter holder(holds);
  sender.message = &messages[2];
  holder.wanted = 2;
  REQUIRE(channel->wait_for_room(sender));
  REQUIRE(channel->wait_for_room(holder));

  bool withdrawn = false;
  at_failure = [&] { withdrawn = channel->cancel_wait_for_room(sender); };
  REQUIRE(channel->front() != nullptr);
  allocations_left = 0;
  (void)channel->pop();
  allocations_left = -1;
  CHECK(withdrawn);
  CHECK(sends.fired == 0);
  CHECK(holds.fired == 0);  // there is room for one, and it wants two

  REQUIRE(channel->front() != nullptr);
  (void)channel->pop();
  CHECK(holds.fired == 1);
  CHECK(holder.result == detail::mpsc_outcome::done);
  channel->give_back(2);
  channel->drop_sender();
  channel->drop_receiver();
}

#endif
