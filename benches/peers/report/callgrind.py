# SPDX-License-Identifier: MIT
"""Instructions, counted by callgrind: exact and independent of what else the machine does.

What one operation costs is the difference of two runs which differ only in how many operations they
do, divided by that number: start and end of the program cancel out. Only user space is counted.
Valgrind runs one thread at a time, so that figures with several threads depend on how they took
turns; those with one thread are repeatable to the last digit.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from .build import LOAD

VALGRIND = ["valgrind", "--tool=callgrind", "--fair-sched=yes"]


def available():
    return shutil.which("valgrind") is not None


def read_total(path):
    """The instructions of a run; of all parts and threads."""
    total = 0
    with open(path) as f:
        for line in f:
            found = re.match(r"(?:totals|summary): (\d+)", line)
            if found:
                total = max(total, int(found.group(1)))
    return total


def count(command, timeout=300):
    """Runs a command to its end; its instructions, and what it printed."""
    with tempfile.TemporaryDirectory() as out:
        path = os.path.join(out, "callgrind")
        done = subprocess.run(VALGRIND + [f"--callgrind-out-file={path}"] + command,
                              capture_output=True, text=True, timeout=timeout)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} under valgrind: {(done.stdout + done.stderr)[-400:]}")
        return read_total(path), done.stdout


# Millions of tasks, and what waits for real time: of no use here, or too slow.
TOO_LONG = {"ct/fib30_spawn", "ct/skynet_1e6"}


def micro(binary, name):
    """Instructions per operation of one micro-benchmark, after one warm-up."""
    operations = 0

    def run(repetitions):
        nonlocal operations
        total, output = count([binary, "--exact", "--warmup", "1", "--reps", str(repetitions), name])
        operations = json.loads(output)["ops"]
        return total

    less = run(1)
    return (run(3) - less) / (2 * operations)


def serve(command, load, timeout=120):
    """Runs a server under callgrind while `load` runs; the server's instructions."""
    with tempfile.TemporaryDirectory() as out:
        path = os.path.join(out, "callgrind")
        server = subprocess.Popen(VALGRIND + [f"--callgrind-out-file={path}"] + command,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            done = subprocess.run(load, capture_output=True, text=True, timeout=timeout)
            if done.returncode != 0:
                raise RuntimeError(f"{' '.join(command)} under valgrind: {done.stderr.strip()}")
            # Callgrind writes its figures when the program ends, also by a signal.
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=30)
        finally:
            if server.poll() is None:
                server.kill()
                server.wait()
        return read_total(path)


def per_request(server, few=5000, many=25000):
    """User-space instructions per 64-byte request of an echo server with 50 connections."""
    port = 20000 + (os.getpid() * 7 + int(time.time())) % 10000

    def run(at, requests):
        load = [LOAD, "echo", "--port", str(at), "--connections", "50", "--bytes", "64",
                "--requests", str(requests)]
        return serve(server.command(at), load)

    return (run(port + 1, many) - run(port, few)) / (many - few)
