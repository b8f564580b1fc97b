// SPDX-License-Identifier: MIT
#include <kioto/detail/base/pooled.hpp>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>

#include "support/catch.hpp"
#include "support/channel_values.hpp"

using namespace kioto::detail;
using namespace kioto_test;

TEST_CASE("pooled: objects are made and destroyed, also on another thread") {
  auto* text = make_pooled<std::string>(100, 'x');
  CHECK(*text == std::string(100, 'x'));
  std::thread([text] { destroy_pooled(text); }).join();
}

TEST_CASE("pooled: over-aligned objects are aligned") {
  CHECK_FALSE(is_over_aligned<std::string>);
  CHECK(is_over_aligned<over_aligned>);
  auto* object = make_pooled<over_aligned>(7);
  CHECK(object->is_aligned());
  CHECK(object->value == 7);
  destroy_pooled(object);
}

TEST_CASE("pooled: a constructor that throws leaves nothing behind") {
  std::atomic<int> alive{0};
  const auto move_once_too_often = [&alive] {
    throws_on_move object(alive, 1);
    return make_pooled<throws_on_move>(std::move(object));
  };
  CHECK_THROWS_AS(move_once_too_often(), std::runtime_error);
  CHECK(alive == 0);
}
