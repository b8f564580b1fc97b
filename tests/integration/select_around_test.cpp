// SPDX-License-Identifier: MIT
// What wraps operations, against others in a select.
#include "support/select_kinds.hpp"

using namespace kioto_test;
using namespace kioto_test::kinds;

namespace {

// Others that can be withdrawn, of each sort that there is: a hint, something handed over, an end,
// a time, I/O.
using some = block<mpsc_recv, semaphore_acquire, notify_one, join, sleeping, socket_read>;
using wrapped = block<in_task<semaphore_acquire>, in_task<join>, in_task<socket_read>,
                      in_timeout<notify_one>, in_select<mpsc_recv>, in_select<mutex_lock>,
                      in_token<oneshot_recv>, in_task<in_select<mpsc_send>>>;
using stubborn =
    block<in_as_result<mpsc_recv>, in_as_result<socket_read>, in_shield<mpsc_recv>,
          in_shield<mutex_lock>, in_task<in_shield<oneshot_recv>>, in_as_result<in_task<join>>>;

}  // namespace

TEST_CASE("select takes one: what wraps operations, against each other") {
  play_on_every_scheduler(all_pairs<wrapped, some>());
}
TEST_CASE("select takes one: what cannot be withdrawn has its value in the result") {
  play_on_every_scheduler(all_pairs<stubborn, some>());
}
