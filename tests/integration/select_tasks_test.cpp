// SPDX-License-Identifier: MIT
// Tasks, timers and streams against each other, and against channels and locks, in a select.
#include "support/select_kinds.hpp"

using namespace kioto_test;
using namespace kioto_test::kinds;

TEST_CASE("select takes one: tasks, timers and streams") {
  play_on_every_scheduler(all_pairs<tasks_and_timers, tasks_and_timers>());
}
TEST_CASE("select takes one: channels against tasks, timers and streams") {
  play_on_every_scheduler(all_pairs<channels, tasks_and_timers>());
}
TEST_CASE("select takes one: locks against tasks, timers and streams") {
  play_on_every_scheduler(all_pairs<locks, tasks_and_timers>());
}
