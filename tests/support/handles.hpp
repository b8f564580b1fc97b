// SPDX-License-Identifier: MIT
#pragma once

#include <utility>
#include <vector>

#include <kioto/join_handle.hpp>
#include <kioto/task.hpp>

#include "catch.hpp"

namespace kioto_test {

inline kioto::task<> wait_for_all(std::vector<kioto::join_handle<>> all) {
  for (auto& h : all) {
    auto r = co_await std::move(h);
    CHECK(r.has_value());
  }
}

}  // namespace kioto_test
