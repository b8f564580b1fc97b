// SPDX-License-Identifier: MIT
#ifdef NARROW
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/use_future.hpp>
#else
#include <asio.hpp>
#endif

using namespace std::chrono_literals;

asio::awaitable<int> answer() {
  asio::steady_timer timer(co_await asio::this_coro::executor, 10ms);
  co_await timer.async_wait(asio::use_awaitable);
  co_return 42;
}

int main() {
  asio::io_context context;
  auto result = asio::co_spawn(context, answer(), asio::use_future);
  context.run();
  return result.get() == 42 ? 0 : 1;
}
