// SPDX-License-Identifier: MIT
#include <kioto/detail/sync/shared_value.hpp>

#include <atomic>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/channel_values.hpp"

using namespace kioto::detail;
using namespace kioto_test;

TEST_CASE("shared_value: the last reference destroys the value") {
  std::atomic<int> alive{0};
  {
    shared_value<move_only> first(std::in_place, move_only(alive, 4));
    CHECK(first.is_unique());
    {
      const auto second = first;
      CHECK_FALSE(first.is_unique());
      CHECK((*second).value() == 4);
      first = shared_value<move_only>(std::in_place, move_only(alive, 5));
      CHECK(alive == 2);
      CHECK(second.is_unique());
    }
    CHECK(alive == 1);
    auto third = std::move(first);
    CHECK(third.unshared().value() == 5);
  }
  CHECK(alive == 0);
}

TEST_CASE("shared_value: references are copied and dropped on several threads") {
  std::atomic<int> alive{0};
  {
    const shared_value<move_only> value(std::in_place, move_only(alive, 4));
    std::vector<std::thread> threads;
    for (int i = 0; i != 3; ++i)
      threads.emplace_back([mine = value] {
        for (int n = 0; n != 10'000; ++n) {
          const auto copy = mine;
          if ((*copy).value() != 4) return;
        }
      });
    for (auto& t : threads) t.join();
    CHECK(value.is_unique());
  }
  CHECK(alive == 0);
}
