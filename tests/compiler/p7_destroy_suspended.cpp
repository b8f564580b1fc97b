// SPDX-License-Identifier: MIT
// Cancellation destroys suspended frames. Every temporary, parameter and local of every frame of
// the chain must be destroyed exactly once, also in the middle of a full expression.

#include <string>

#include "probe.hpp"

namespace {

using probe::counted;
using probe::task;

class never {
 public:
  never() {}
  never(const never&) = delete;
  never& operator=(const never&) = delete;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  int await_resume() const noexcept { return 0; }

 private:
  counted guard_;
};

std::string long_text() { return std::string(64, 'x'); }

task<int> leaf(std::string text, counted guard) {
  counted local;
  const int v = co_await never();
  guard.verify();
  local.verify();
  co_return v + static_cast<int>(text.size());
}

task<int> middle(std::string text, counted guard) {
  const int v = co_await leaf(text + long_text(), counted());
  guard.verify();
  co_return v;
}

task<> root(counted guard) {
  counted before;
  const int v = co_await middle(std::string("short"), counted());
  guard.verify();
  before.verify();
  if (v != 0) co_return;
}

task<> in_try_block() {
  try {
    counted inside;
    const int v = co_await leaf(long_text(), counted());
    inside.verify();
    if (v != 0) co_return;
  } catch (...) {
    probe::counted::damaged = true;
  }
}

task<> second_await() {
  const int first = co_await probe::yield_then(1);
  counted between;
  const int v = co_await leaf(std::string(static_cast<std::size_t>(first), 'y'), counted());
  between.verify();
  if (v != 0) co_return;
}

task<> not_started(counted guard) {
  guard.verify();
  co_await never();
}

template <class F>
bool destroyed_clean(F make) {
  {
    auto t = make();
    t.start();
    if (t.done()) return false;
  }
  return probe::all_clean();
}

}  // namespace

int main() {
  PROBE_CHECK(destroyed_clean([] { return root(counted()); }));
  PROBE_CHECK(destroyed_clean([] { return middle(long_text(), counted()); }));
  PROBE_CHECK(destroyed_clean(in_try_block));
  PROBE_CHECK(destroyed_clean(second_await));
  {
    auto t = not_started(counted());
  }
  PROBE_CHECK(probe::all_clean());
  return probe::result();
}
