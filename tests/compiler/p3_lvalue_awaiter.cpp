// SPDX-License-Identifier: MIT
// GCC 105406: awaiting an lvalue awaiter, or the reference that operator co_await returns, may copy
// the awaiter: its address then changes between await_suspend and await_resume.
// The idiom: awaiters are prvalues and cannot be copied.

#include "probe.hpp"

namespace {

using probe::task;

struct trace {
  const void* ready = nullptr;
  const void* suspend = nullptr;
  const void* resume = nullptr;
  int copies = 0;
  bool one_object() const {
    return ready != nullptr && ready == suspend && ready == resume && copies == 0;
  }
};
trace seen;

class copyable {
 public:
  copyable() {}
  copyable(const copyable&) { ++seen.copies; }
  copyable& operator=(const copyable&) = delete;
  bool await_ready() {
    seen.ready = this;
    return false;
  }
  void await_suspend(std::coroutine_handle<> h) {
    seen.suspend = this;
    probe::ready_queue().push_back(h);
  }
  int await_resume() {
    seen.resume = this;
    return 7;
  }
};

class prvalue_only {
 public:
  explicit prvalue_only(trace& t) : trace_(&t) {}
  prvalue_only(const prvalue_only&) = delete;
  prvalue_only& operator=(const prvalue_only&) = delete;
  bool await_ready() {
    trace_->ready = this;
    return false;
  }
  void await_suspend(std::coroutine_handle<> h) {
    trace_->suspend = this;
    probe::ready_queue().push_back(h);
  }
  int await_resume() {
    trace_->resume = this;
    return 7;
  }

 private:
  trace* trace_;
};

class by_value {
 public:
  by_value() {}
  prvalue_only operator co_await() & { return prvalue_only(seen); }
};
class by_reference {
 public:
  by_reference() {}
  copyable& operator co_await() & { return inner_; }

 private:
  copyable inner_;
};

task<int> idiom() {
  const int v = co_await prvalue_only(seen);
  co_return v;
}
task<int> idiom_operator() {
  by_value operation;
  const int v = co_await operation;
  co_return v;
}
task<int> naive_lvalue() {
  copyable awaiter;
  const int v = co_await awaiter;
  co_return v;
}
task<int> naive_reference() {
  by_reference operation;
  const int v = co_await operation;
  co_return v;
}

template <class F>
bool one_object(F make) {
  seen = trace();
  auto t = make();
  return t.run() && t.get() == 7 && seen.one_object();
}

}  // namespace

int main() {
  PROBE_CHECK(one_object(idiom));
  PROBE_CHECK(one_object(idiom_operator));
  using enum probe::expectation;
  probe::known_bad("co_await of an lvalue awaiter", broken_before_gcc_13,
                   [] { return one_object(naive_lvalue); });
  probe::known_bad("operator co_await that returns a reference", broken_before_gcc_13,
                   [] { return one_object(naive_reference); });
  return probe::result();
}
