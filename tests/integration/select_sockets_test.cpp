// SPDX-License-Identifier: MIT
// Sockets against each other, and against everything else, in a select.
#include "support/select_kinds.hpp"

using namespace kioto_test;
using namespace kioto_test::kinds;

TEST_CASE("select takes one: sockets") { play_on_every_scheduler(all_pairs<sockets, sockets>()); }
TEST_CASE("select takes one: channels against sockets") {
  play_on_every_scheduler(all_pairs<channels, sockets>());
}
TEST_CASE("select takes one: locks against sockets") {
  play_on_every_scheduler(all_pairs<locks, sockets>());
}
TEST_CASE("select takes one: tasks, timers and streams against sockets") {
  play_on_every_scheduler(all_pairs<tasks_and_timers, sockets>());
}
