// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include <kioto/async_generator.hpp>
#include <kioto/select.hpp>
#include <kioto/stream/stream.hpp>
#include <kioto/time/sleep.hpp>
#include <kioto/yield.hpp>

namespace kioto_test {

/// What `numbers(n)` gives.
inline std::vector<int> up_to(int n) {
  std::vector<int> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}
inline std::vector<int> sorted(std::vector<int> all) {
  std::sort(all.begin(), all.end());
  return all;
}

/// 0, 1, … n-1, at once.
inline kioto::async_generator<int> numbers(int n) {
  for (int i = 0; i != n; ++i) co_yield int(i);
}
/// The same, each after having waited in several ways.
inline kioto::async_generator<int> slow_numbers(int n) {
  for (int i = 0; i != n; ++i) {
    co_await kioto::yield_now();
    co_await kioto::sleep(std::chrono::milliseconds(1));
    co_await kioto::yield_now();
    co_yield int(i);
  }
}

/// A stream whose `next()` is a task, as users write them.
class task_numbers {
 public:
  explicit task_numbers(int n) : left_(n) {}
  kioto::task<std::optional<int>> next() {
    co_await kioto::yield_now();
    if (left_ == 0) co_return std::nullopt;
    co_return --left_;
  }

 private:
  int left_;
};

template <class S>
kioto::task<std::vector<kioto::stream_element<S>>> drain(S& stream) {
  std::vector<kioto::stream_element<S>> all;
  for (;;) {
    auto element = co_await stream.next();
    if (!element) co_return all;
    all.push_back(std::move(*element));
  }
}

inline kioto::task<> impatience(int round) {
  if (round % 5 == 4) co_await kioto::sleep(std::chrono::milliseconds(1));
  for (int i = 0; i != round % 4; ++i) co_await kioto::yield_now();
}

/// Takes all elements, and cancels `next()` again and again. `cancelled` counts how often.
template <class S>
kioto::task<std::vector<kioto::stream_element<S>>> drain_impatiently(S& stream, int& cancelled) {
  std::vector<kioto::stream_element<S>> all;
  for (int round = 0;; ++round) {
    auto r = co_await kioto::select(kioto::biased, stream.next(), impatience(round));
    if (auto& element = r.template get<0>()) {
      if (!*element) co_return all;
      all.push_back(std::move(**element));
    } else {
      ++cancelled;
    }
  }
}

}  // namespace kioto_test
