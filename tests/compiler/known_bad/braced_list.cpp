// SPDX-License-Identifier: MIT
// GCC 98056: see p4_braced_argument.cpp. This file is only compiled, to record who takes it.

#include <initializer_list>
#include <vector>

#include "../probe.hpp"

namespace {

probe::task<int> size_of(std::vector<int> values) {
  const int zero = co_await probe::yield_then(0);
  co_return static_cast<int>(values.size()) + zero;
}
probe::task<int> size_of_list(std::initializer_list<int> values) {
  const int size = static_cast<int>(values.size());
  co_return size;
}

probe::task<int> braced() {
  const int size = co_await size_of({1, 2, 3});
  const int again = co_await size_of_list({1, 2, 3});
  co_return size + again;
}

}  // namespace

int main() { return braced().run() ? 0 : 1; }
