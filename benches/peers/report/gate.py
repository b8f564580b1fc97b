# SPDX-License-Identifier: MIT
"""Keeps what was reached: benches/gate.json holds the ratios of a run, and a later one is compared.

A ratio has got worse if its median is more than 10 % above the one that was reached, and also three
quarters of the new rounds lie above three quarters of the old ones: then it is not noise. Counts of
instructions have no noise, but for the echo servers' batches: 5 % are too many.
"""
import json
import os

from . import bars
from .build import ROOT
from .results import Summary

PATH = os.path.join(ROOT, "benches", "gate.json")
TOLERANCE, TOLERANCE_OF_COUNTS = 0.10, 0.05


def _figures(results):
    out = {}
    for row, subject, other, metric in bars.watched(results):
        summary = results.ratio(row, subject, other, metric) if other else results.get(row, subject, metric)
        if summary is not None:
            name = f"{row}: {subject}" + (f" / {other}" if other else "") + f", {metric}"
            out[name] = summary
    return out


def write(results):
    data = {name: [round(s.median, 4), round(s.low, 4), round(s.high, 4)]
            for name, s in sorted(_figures(results).items())}
    with open(PATH, "w") as f:
        f.write("{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in data.items()) + "\n}\n")
    return len(data)


def worse(name, old, new: Summary):
    median, _, high = old
    tolerance = TOLERANCE_OF_COUNTS if name.endswith("instructions") else TOLERANCE
    return new.median > median * (1 + tolerance) and new.low > high


def compare(results):
    """(how many were compared, sentences about those that have got worse)."""
    if not os.path.exists(PATH):
        raise SystemExit("benches/gate.json is not there; ./dev peers --write-gate makes it")
    with open(PATH) as f:
        reached = json.load(f)
    compared, regressions = 0, []
    for name, new in _figures(results).items():
        if name not in reached:
            continue
        compared += 1
        if worse(name, reached[name], new):
            regressions.append(f"{name}: {new.median:.3g}, was {reached[name][0]:.3g} "
                               f"({100 * (new.median / reached[name][0] - 1):+.0f} %)")
    return compared, regressions
