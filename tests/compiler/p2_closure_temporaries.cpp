// SPDX-License-Identifier: MIT
// GCC 99576 and its kin: a closure with captures by value, or an aggregate with non-trivial
// members, that is created inside a co_await expression is destroyed twice or copied bit by bit.
// The idiom: name the lambda first and move it in; types that users pass have a declared
// constructor.

#include <memory>
#include <string>

#include "probe.hpp"

namespace {

using probe::counted;
using probe::task;
using probe::yield_then;

template <class F>
task<int> call(F f) {
  const int before = co_await yield_then(1);
  co_return f() + before;
}

struct aggregate {
  counted guard;
  std::string text;
};
class with_constructor {
 public:
  with_constructor(counted g, std::string t) : guard(std::move(g)), text(std::move(t)) {}
  counted guard;
  std::string text;
};
template <class Value>
task<std::string> text_of(Value value) {
  const int before = co_await yield_then(1);
  co_return value.text.substr(static_cast<std::size_t>(before));
}

task<int> naive_closure(std::shared_ptr<int> p) {
  const int value = co_await call([p, guard = counted()] { return *p; });
  co_return value;
}
task<int> named_closure(std::shared_ptr<int> p) {
  auto f = [p, guard = counted()] { return *p; };
  const int value = co_await call(std::move(f));
  co_return value;
}
task<std::string> naive_aggregate() {
  std::string text = co_await text_of(aggregate{counted(), "xshort"});
  co_return text;
}
task<std::string> constructed() {
  std::string text = co_await text_of(with_constructor(counted(), "xshort"));
  co_return text;
}
task<std::string> named_aggregate() {
  auto value = aggregate{counted(), "xshort"};
  std::string text = co_await text_of(std::move(value));
  co_return text;
}

template <class F>
bool closure_works(F make) {
  auto shared = std::make_shared<int>(41);
  int got = 0;
  {
    auto t = make(shared);
    if (!t.run()) return false;
    got = t.get();
  }
  return got == 42 && shared.use_count() == 1 && probe::all_clean();
}
template <class F>
bool text_works(F make) {
  std::string got;
  {
    auto t = make();
    if (!t.run()) return false;
    got = t.get();
  }
  return got == "short" && probe::all_clean();
}

}  // namespace

int main() {
  PROBE_CHECK(closure_works(named_closure));
  PROBE_CHECK(text_works(constructed));
  PROBE_CHECK(text_works(named_aggregate));
  using enum probe::expectation;
  probe::known_bad("closure with captures inside co_await", broken_before_gcc_13,
                   [] { return closure_works(naive_closure); });
  probe::known_bad("aggregate temporary inside co_await", broken_before_gcc_13,
                   [] { return text_works(naive_aggregate); });
  return probe::result();
}
