// SPDX-License-Identifier: MIT
// An exception out of await_resume, while temporaries of the same expression are alive, out of the
// copy of a parameter, and out of get_return_object: all is destroyed exactly once.
// The idiom: get_return_object cannot throw, and parameters are taken by value and moved without
// throwing.

#include <stdexcept>
#include <string>

#include "probe.hpp"

namespace {

using probe::counted;
using probe::task;

class throws_on_resume {
 public:
  throws_on_resume() {}
  throws_on_resume(const throws_on_resume&) = delete;
  throws_on_resume& operator=(const throws_on_resume&) = delete;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h) { probe::ready_queue().push_back(h); }
  int await_resume() { throw std::runtime_error("resumed"); }

 private:
  counted guard_;
};

int use(const counted& a, int b, const std::string& text) {
  a.verify();
  return b + static_cast<int>(text.size());
}

task<int> out_of_await_resume() {
  counted local;
  const int v = use(counted(), co_await throws_on_resume(), std::string(64, 'x'));
  local.verify();
  co_return v;
}
task<int> through_a_child() {
  counted local;
  const int v = co_await out_of_await_resume();
  local.verify();
  co_return v;
}
task<int> caught() {
  int v = 0;
  bool failed = false;
  try {
    v = co_await out_of_await_resume();
  } catch (const std::runtime_error&) {
    failed = true;
  }
  if (failed) v = co_await probe::yield_then(5);
  co_return v;
}

class throws_when_copied {
 public:
  throws_when_copied() {}
  throws_when_copied(const throws_when_copied&) { throw std::runtime_error("copied"); }
  throws_when_copied(throws_when_copied&&) noexcept = default;
  counted guard;
};
task<int> parameter(counted first, throws_when_copied second, counted third) {
  const int v = co_await probe::yield_then(1);
  first.verify();
  second.guard.verify();
  third.verify();
  co_return v;
}
class throws_when_moved {
 public:
  throws_when_moved() {}
  throws_when_moved(throws_when_moved&&) { throw std::runtime_error("moved"); }
  counted guard;
};
task<int> throwing_move(counted first, throws_when_moved second, counted third) {
  const int v = co_await probe::yield_then(1);
  first.verify();
  second.guard.verify();
  third.verify();
  co_return v;
}

struct no_object {
  struct promise_type {
    counted guard;
    static void* operator new(std::size_t size) {
      ++probe::live_frames;
      return ::operator new(size);
    }
    static void operator delete(void* frame, std::size_t) {
      --probe::live_frames;
      ::operator delete(frame);
    }
    static void* operator new(std::size_t size, std::align_val_t alignment) {
      ++probe::live_frames;
      return ::operator new(size, alignment);
    }
    static void operator delete(void* frame, std::size_t, std::align_val_t alignment) {
      --probe::live_frames;
      ::operator delete(frame, alignment);
    }
    no_object get_return_object() { throw std::runtime_error("no object"); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() {}
  };
};
no_object without_object(counted guard) {
  guard.verify();
  co_return;
}

template <class F>
bool throws_clean(F body) {
  bool thrown = false;
  try {
    body();
  } catch (const std::runtime_error&) {
    thrown = true;
  }
  return thrown && probe::all_clean();
}

}  // namespace

int main() {
  PROBE_CHECK(throws_clean([] {
    auto t = out_of_await_resume();
    t.start();
    t.get();
  }));
  PROBE_CHECK(throws_clean([] {
    auto t = through_a_child();
    t.start();
    t.get();
  }));
  {
    auto t = caught();
    PROBE_CHECK(t.run() && t.get() == 5);
  }
  PROBE_CHECK(probe::all_clean());
  // The copy into the parameter throws in the caller, before there is a frame.
  PROBE_CHECK(throws_clean([] {
    const throws_when_copied value;
    auto t = parameter(counted(), value, counted());
    t.start();
  }));
  {
    auto t = parameter(counted(), throws_when_copied(), counted());
    PROBE_CHECK(t.run() && t.get() == 1);
  }
  PROBE_CHECK(probe::all_clean());
  using enum probe::expectation;
  probe::known_bad("exception out of the move of a parameter into the frame", broken_on_any_gcc,
                   [] {
                     return throws_clean([] {
                       auto t = throwing_move(counted(), throws_when_moved(), counted());
                       t.start();
                     });
                   });
  probe::known_bad("exception out of get_return_object", broken_on_any_gcc,
                   [] { return throws_clean([] { without_object(counted()); }); });
  return probe::result();
}
