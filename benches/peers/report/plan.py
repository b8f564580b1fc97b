# SPDX-License-Identifier: MIT
"""What there is to measure, and the rounds of it.

A row is a workload; a case is a row on one subject. In each round every case runs once; those of one
row directly after each other, in an order that is drawn anew. So whatever disturbs the machine
disturbs all of them, and ratios within a round compare like with like.
"""
import concurrent.futures
import os
import random
import sys
import time

from . import machine


class Case:
    def __init__(self, row, subject, run, once=False):
        """`run()` returns metrics, {name: value}, and raises if the result was wrong. `once`: a figure
        that rounds do not change."""
        self.row, self.subject, self.run, self.once = row, subject, run, once


class Wrong(Exception):
    """A program that did not do what it was measured for."""


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _attempt(case, results, broken):
    begin = time.time()
    try:
        results.add(case.row, case.subject, case.run())
    except Wrong as error:
        broken.add((case.row, case.subject))
        results.fail(case.row, case.subject, str(error))
        progress("")
        print(f"FAILED {case.row}, {case.subject}: {error}", file=sys.stderr, flush=True)
    spent = results.about.setdefault("seconds_of", {})
    section = case.row.split("/", 1)[0]
    spent[section] = spent.get(section, 0) + time.time() - begin


def execute(cases, rounds, results, seed):
    order = random.Random(seed)
    rows = {}
    for case in cases:
        if not case.once:
            rows.setdefault(case.row, []).append(case)
    broken = set()
    begin = time.time()
    # What rounds do not change is not disturbed by its like either.
    exact = [c for c in cases if c.once]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, _ in enumerate(pool.map(lambda c: _attempt(c, results, broken), exact)):
            progress(f"exact figures: {number + 1} of {len(exact)}, {time.time() - begin:.0f} s")
    if not rows:
        rounds = 0
    for number in range(rounds):
        busy = machine.Busy()
        results.add("calibration", "machine", machine.calibrate())
        for row, members in rows.items():
            members = [c for c in members if (c.row, c.subject) not in broken]
            order.shuffle(members)
            for case in members:
                progress(f"round {number + 1} of {rounds}, {time.time() - begin:.0f} s: {row}, {case.subject}")
                _attempt(case, results, broken)
        results.add("calibration", "machine", {"stolen_percent": busy.stolen_percent()})
    progress("")
    results.about["seconds"] = round(results.about.get("seconds", 0) + time.time() - begin)
