// SPDX-License-Identifier: MIT
// Operations of channels and locks against each other in a select.
#include "support/select_kinds.hpp"

using namespace kioto_test;
using namespace kioto_test::kinds;

namespace {

using channels = block<mpsc_recv, mpsc_recv_many, mpsc_send, mpsc_reserve, mpsc_closed, oneshot_recv,
                       broadcast_recv, watch_changed>;
using locks = block<watch_wait_for, semaphore_acquire, mutex_lock, rw_lock_read, rw_lock_write,
                    notify_one, barrier_wait, token_cancelled>;

}  // namespace

TEST_CASE("select takes one: channels") { play_on_every_scheduler(all_pairs<channels, channels>()); }
TEST_CASE("select takes one: locks") { play_on_every_scheduler(all_pairs<locks, locks>()); }
TEST_CASE("select takes one: channels against locks") {
  play_on_every_scheduler(all_pairs<channels, locks>());
}
