# SPDX-License-Identifier: MIT
"""The command line of benches/peers/run, which is ./dev peers."""
import argparse
import os
import random
import signal
import subprocess
import sys

from . import build, callgrind, gate, machine, micro, net, plan, render
from .results import Results

DESCRIPTION = """\
Measures kioto beside its peers and prints every figure. Rows are named like micro/ct/yield,
growth/mt/spawn_many_1e4, instructions/ct/yield, instructions/echo, echo/64x50, connections/10000,
stream/65536, churn/16, idle/10000, tail/blocker/0.50.
"""


def parse():
    parser = argparse.ArgumentParser(prog="./dev peers", description=DESCRIPTION,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", action="store_true", help="also writes docs/benchmarks.md and its plots")
    parser.add_argument("--gate", action="store_true",
                        help="compares with benches/gate.json; the status is 1 if something has got worse")
    parser.add_argument("--write-gate", action="store_true", help="keeps what this run has reached in benches/gate.json; what it has not measured stays")
    parser.add_argument("--quick", action="store_true", help="3 short rounds of the most important rows")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT",
                        help="only rows that have this text in their name; may be given again")
    parser.add_argument("--instructions", action="store_true", help="the same as --only instructions/")
    parser.add_argument("--rounds", type=int, default=0, metavar="N", help="5 unless given, or 3 with --quick")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of the order of runs")
    parser.add_argument("--list", action="store_true", help="only prints what there is to measure")
    args = parser.parse_args()
    args.only += ["instructions/"] if args.instructions else []
    args.rounds = args.rounds or (3 if args.quick else 5)
    if args.rounds < 1:
        parser.error("--rounds is at least 1")
    if args.report and args.only:
        parser.error("a report is made of everything: without --only")
    return args


def compiler():
    line = subprocess.run(["g++", "--version"], capture_output=True, text=True).stdout.splitlines()
    return "g++ " + line[0].split()[-1] if line else "g++"


def all_cases(args, peers):
    cases = micro.cases(peers, args.quick)
    if callgrind.available():
        cases += callgrind.cases(peers, args.quick)
    else:
        peers.skip("instructions", "there is no valgrind (Debian: valgrind)")
    cases += net.cases(peers, args.quick, machine.raise_descriptor_limit())
    return [c for c in cases if not args.only or any(text in c.row for text in args.only)]


def main():
    args = parse()
    # Ended from outside, it still ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    peers = build.build_all()
    cases = all_cases(args, peers)
    for reason in peers.skipped:
        print(f"left out: {reason}")
    if args.list:
        for case in cases:
            print(f"{case.row}: {case.subject}")
        return 0
    if not cases:
        print("nothing has such a name", file=sys.stderr)
        return 2
    load = machine.load_average()
    if load > 0.7 and not args.instructions:
        print(f"the machine is busy (load {load:.1f}): times will be off, instructions will not")
    results = Results()
    arguments = " ".join(a for a in sys.argv[1:])
    results.about = {"command": f"./dev peers {arguments}".strip(), "rounds": args.rounds, "seed": args.seed,
                     "machine": machine.describe(), "compiler": compiler(), "peers": ", ".join(peers.versions),
                     "skipped": peers.skipped}
    plan.execute(cases, args.rounds, results, args.seed)
    results.save(os.path.join(build.OUT, "results.json"))
    print(render.summary(results))
    spent = sorted(results.about["seconds_of"].items(), key=lambda x: -x[1])
    print(f"{results.about['seconds']} s: " + ", ".join(f"{section} {s:.0f}" for section, s in spent))
    status = 0
    if args.report:
        render.write(results)
        print("written: docs/benchmarks.md")
    if args.gate:
        compared, regressions = gate.compare(results)
        for text in regressions:
            print(f"worse: {text}")
        print(f"gate: {compared} figures compared, {len(regressions)} worse")
        status = 1 if regressions else 0
    if results.failures:
        print(f"{len(results.failures)} results were wrong:")
        for text in results.failures:
            print(f"  {text}")
        return 1
    if args.write_gate:
        print(f"written: benches/gate.json, {gate.write(results)} figures")
    return status
