// SPDX-License-Identifier: MIT
// Operations of channels and locks against each other in a select.
#include "support/select_kinds.hpp"

using namespace kioto_test;
using namespace kioto_test::kinds;

TEST_CASE("select takes one: channels") {
  play_on_every_scheduler(all_pairs<channels, channels>());
}
TEST_CASE("select takes one: locks") { play_on_every_scheduler(all_pairs<locks, locks>()); }
TEST_CASE("select takes one: channels against locks") {
  play_on_every_scheduler(all_pairs<channels, locks>());
}
