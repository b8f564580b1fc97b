// SPDX-License-Identifier: MIT
#include <kioto/detail/sync/message.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>

#include "support/catch.hpp"
#include "support/channel_values.hpp"

using namespace kioto::detail;
using namespace kioto_test;

TEST_CASE("message: only a type whose move may throw is boxed") {
  CHECK(std::is_same_v<message<int>, int>);
  CHECK(std::is_same_v<message<std::string>, std::string>);
  CHECK(std::is_same_v<message<std::unique_ptr<int>>, std::unique_ptr<int>>);
  CHECK(std::is_same_v<message<throws_on_move>, boxed<throws_on_move>>);
  CHECK(std::is_nothrow_move_constructible_v<boxed<throws_on_move>>);
}

TEST_CASE("message: plain ones are short and trivial") {
  CHECK(is_plain<int>);
  CHECK(is_plain<std::array<char, 64>>);
  CHECK_FALSE(is_plain<std::array<char, 65>>);
  CHECK_FALSE(is_plain<std::unique_ptr<int>>);
  CHECK_FALSE(is_plain<std::string>);
}

TEST_CASE("message: a box moves its value once in and once out") {
  std::atomic<int> alive{0};
  {
    message<throws_on_move> box(throws_on_move(alive, 3));
    message<throws_on_move> moved(std::move(box));
    CHECK(alive == 1);
    const throws_on_move out = take_value<throws_on_move>(std::move(moved));
    CHECK(out.moves() == 1);
    message<throws_on_move> last(throws_on_move(alive, 2));
    CHECK_THROWS_AS(take_value<throws_on_move>(std::move(last)), std::runtime_error);
  }
  CHECK(alive == 0);
}

TEST_CASE("message: what can be sent") {
  CHECK(sendable<int>);
  CHECK(sendable<move_only>);
  CHECK_FALSE(sendable<int&>);
  CHECK_FALSE(sendable<const int>);
  CHECK_FALSE(sendable<int[2]>);
  CHECK_FALSE(sendable<void>);
  CHECK_FALSE(sendable<std::atomic<int>>);
}
