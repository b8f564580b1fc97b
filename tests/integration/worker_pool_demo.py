#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""worker_pool_demo.py DIRECTORY: the pool finds all primes, and keeps its limits."""

import re
import sys

from demo import Program, check, check_options

program = sys.argv[1] + "/worker_pool"
SUMS = r"(\d+) of (\d+) jobs made, (\d+) answered; at most (\d+) at a time; (\d+) waits for the queue"


def run(*options):
    with Program(program, *options) as pool:
        _, primes, sums = pool.end()
    return primes, [int(n) for n in re.fullmatch(SUMS, sums).groups()]


for workers, queue in (("1", "1"), ("3", "1"), ("4", "64")):
    primes, sums = run("--jobs", "200", "--size", "500", "--workers", workers, "--queue", queue)
    check(primes == "9592 primes below 100000", f"the primes: {primes}")
    check(sums[:3] == [200, 200, 200], f"every job is answered: {sums}")
    check(1 <= sums[3] <= int(workers), f"no more than {workers} at a time: {sums}")
    check(queue != "1" or sums[4] > 0, f"the maker waits for the pool: {sums}")

# Interrupted, it makes no more jobs; those that were made are done.
with Program(program, "--jobs", "1000000000", "--size", "1") as pool:
    pool.wait_for("counting")
    pool.interrupt()
    made, wanted, answered, *_ = (int(n) for n in re.fullmatch(SUMS, pool.end()[-1]).groups())
    check(made == answered < wanted, f"what was made is done: {made}, {answered}")

check_options(program)
with Program(program, "--workers", "none") as pool:
    check("from 1 to 10000, not 'none'" in pool.end(2)[0], "a number that is none is refused")
print("ok")
