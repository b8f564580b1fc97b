// SPDX-License-Identifier: MIT
#include <sstream>
#include <unordered_set>

#include <fmt/format.h>

#include <kioto/task_id.hpp>

#include "support/catch.hpp"

using kioto::task_id;

TEST_CASE("a task id prints as its number, with fmt and on streams") {
  CHECK(fmt::format("{}|{:>4}|{:#x}", task_id(42), task_id(7), task_id(255)) == "42|   7|0xff");
  std::ostringstream out;
  out << task_id(42);
  CHECK(out.str() == "42");
}

TEST_CASE("task ids compare and hash as numbers") {
  CHECK(task_id() == task_id(0));
  CHECK(task_id(1) < task_id(2));
  const std::unordered_set<task_id> ids{task_id(1), task_id(2), task_id(1)};
  CHECK(ids.size() == 2);
}

TEST_CASE("there is no task id outside of a task") { CHECK(kioto::current_task_id() == task_id()); }
