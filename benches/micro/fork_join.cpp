// SPDX-License-Identifier: MIT
// Divide and conquer by spawn and await.
#include "bench.hpp"

using namespace kioto;

namespace {

task<std::uint64_t> fib(std::uint64_t n) {
  if (n < 2) co_return n;
  auto h = spawn(fib(n - 1));
  const std::uint64_t b = co_await fib(n - 2);
  auto a = co_await std::move(h);
  co_return std::move(a).value() + b;
}
template <std::uint64_t N, std::uint64_t Expected>
task<bool> fib_of() {
  auto r = co_await spawn(fib(N));
  co_return std::move(r).value() == Expected;
}

task<std::uint64_t> skynet(std::uint64_t number, std::uint64_t size) {
  if (size == 1) co_return number;
  std::vector<join_handle<std::uint64_t>> tasks;
  tasks.reserve(10);
  for (std::uint64_t i = 0; i != 10; ++i)
    tasks.push_back(spawn(skynet(number + i * (size / 10), size / 10)));
  std::uint64_t total = 0;
  for (auto& t : tasks) {
    auto r = co_await std::move(t);
    total += std::move(r).value();
  }
  co_return total;
}
template <std::uint64_t Size>
task<bool> skynet_of() {
  auto r = co_await spawn(skynet(0, Size));
  co_return std::move(r).value() == Size*(Size - 1) / 2;
}

// The operations are calls: of fib(n), 2 fib(n + 1) - 1.
const bench::group fork_join{
    {"fib20_spawn", 21891, bench::blocked_on(fib_of<20, 6765>), bench::ct},
    {"fib25_spawn", 242785, bench::blocked_on(fib_of<25, 75025>)},
    {"fib30_spawn", 2692537, bench::blocked_on(fib_of<30, 832040>),
     bench::ct | bench::mt | bench::mt1, bench::effort::heavy},
    {"skynet_1e5", 111111, bench::blocked_on(skynet_of<100000>)},
    {"skynet_1e6", 1111111, bench::blocked_on(skynet_of<1000000>),
     bench::ct | bench::mt | bench::mt1, bench::effort::heavy},
};

}  // namespace
