# SPDX-License-Identifier: MIT
"""The micro-benchmarks: each in a process of its own, so that none sees the memory of another."""
import json
import re
import subprocess

from .plan import Case, Wrong

GROWTH = re.compile(r"(ct|mt)/(spawn|sleep)_many_1e\d$")


def names(binary):
    return subprocess.run([binary, "--list"], capture_output=True, text=True, check=True).stdout.split()


def parse(output):
    """The metrics of the line that a benchmark prints, the medians of its repetitions."""
    try:
        line = json.loads(output.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise Wrong("it printed no result") from None
    if "error" in line:
        raise Wrong(line["error"])
    return {metric: values[0] for metric, values in line["metrics"].items()}


def measure(binary, name, repetitions):
    try:
        done = subprocess.run([binary, "--exact", "--warmup", "1", "--reps", str(repetitions), name],
                              capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        raise Wrong("it did not end within 120 s") from None
    if done.returncode != 0 and not done.stdout.strip():
        raise Wrong(f"status {done.returncode}: {done.stderr.strip()[-200:]}")
    return parse(done.stdout)


def cases(peers, quick):
    repetitions = 2 if quick else 3
    theirs = set(names(peers.tokio_micro)) if peers.tokio_micro else set()
    out = []
    for name in names(peers.kioto_micro):
        row = ("growth/" if GROWTH.match(name) else "micro/") + name
        if quick and (name.startswith("mt1/") or name.endswith("_1e6") and "sleep_1e6" not in name):
            continue
        for subject, binary in (("kioto", peers.kioto_micro), ("Tokio", peers.tokio_micro)):
            if subject == "kioto" or name in theirs:
                out.append(Case(row, subject, lambda b=binary, n=name: measure(b, n, repetitions)))
    return out
