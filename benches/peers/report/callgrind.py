# SPDX-License-Identifier: MIT
"""Instructions, counted by callgrind: exact, whatever else the machine does.

What one operation costs is the difference of two runs which differ only in how many operations they
do, divided by that number: start and end of the program cancel out. Only user space is counted.
Valgrind runs one thread at a time, so only what runs on one thread is counted. Of kioto it repeats to
the last digit, but for the echo servers, which take what has come meanwhile in batches, and
spawn_blocking, which has a second thread.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile

from . import micro
from .net import Running
from .plan import Case, Wrong

# Millions of tasks, and what waits for the clock.
LEFT_OUT = re.compile(r"_1e6$|fib(25|30)|sleep_fire|many_1e|mem_|wake_|skynet_1e5")
# For a quick look one of each kind is enough.
QUICK = re.compile(r"await_task|spawn_(join|many_join|remote)$|yield|chained|fib20|oneshot|mpsc_(pingpong|bounded)"
                   r"|mutex_(uncontended|handoff)|notify_pingpong|timeout|sleep_insert")
# Those with one thread. Not those on io_uring: valgrind 3.19 does not deliver a signal to them while
# they wait.
SERVERS = ("kioto ct", "kioto 1", "raw epoll", "Tokio ct", "Tokio 1", "libuv", "libevent", "Asio 1",
           "Boost.Asio 1")


def available():
    return shutil.which("valgrind") is not None


def _prefix(path):
    return ["valgrind", "--tool=callgrind", "--fair-sched=yes", f"--callgrind-out-file={path}"]


def _read_total(path):
    with open(path) as f:
        totals = [int(t) for t in re.findall(r"^(?:totals|summary): (\d+)", f.read(), re.MULTILINE)]
    if not totals:
        raise Wrong("callgrind wrote no figures")
    return max(totals)


def per_operation(binary, name):
    """Of one micro-benchmark: the second repetition, for which the first one has warmed up."""
    def run(repetitions):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "out")
            command = _prefix(path) + [binary, "--exact", "--warmup", "0", "--reps", str(repetitions), name]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=300)
            except subprocess.TimeoutExpired:
                raise Wrong("under callgrind it did not end within 300 s") from None
            micro.parse(done.stdout)
            return _read_total(path), json.loads(done.stdout.strip().splitlines()[-1])["ops"]

    less, operations = run(1)
    more, _ = run(2)
    return {"instructions": (more - less) / operations}


def per_request(server, few=5000, many=25000):
    """Of one 64-byte request of an echo server with 50 connections."""
    def run(requests):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "out")
            with Running(server, prefix=_prefix(path)) as running:
                running.wait_until_it_listens(60)
                running.load("echo", timeout=120, connections=50, bytes=64, requests=requests)
                # Callgrind writes its figures when the program ends, also by a signal.
                running.process.send_signal(signal.SIGTERM)
                try:
                    running.process.wait(timeout=30)
                except subprocess.TimeoutExpired:
                    raise Wrong("the server did not end after SIGTERM") from None
            return _read_total(path)

    return {"instructions": (run(many) - run(few)) / (many - few)}


def cases(peers, quick):
    out = []
    theirs = set(micro.names(peers.tokio_micro)) if peers.tokio_micro else set()
    for name in micro.names(peers.kioto_micro):
        if not name.startswith("ct/") or LEFT_OUT.search(name) or quick and not QUICK.search(name):
            continue
        for subject, binary in (("kioto", peers.kioto_micro), ("Tokio", peers.tokio_micro)):
            if subject == "kioto" or name in theirs:
                out.append(Case("instructions/" + name, subject,
                                lambda b=binary, n=name: per_operation(b, n), once=True))
    for server in peers.named(SERVERS[:3] + ("raw epoll", "Tokio ct", "Tokio 1") if quick else SERVERS):
        out.append(Case("instructions/echo", server.name, lambda s=server: per_request(s), once=True))
    return out
