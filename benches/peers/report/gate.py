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


def _reached():
    if not os.path.exists(PATH):
        return {}
    with open(PATH) as f:
        return json.load(f)


def write(results):
    """Keeps the figures of this run; those that it has not measured stay as they are. Returns how
    many it has."""
    new = {name: [round(x, 4) for x in (s.median, s.low, s.high)] for name, s in _figures(results).items()}
    lines = [f"  {json.dumps(name)}: {json.dumps(figures)}" for name, figures in sorted({**_reached(), **new}.items())]
    with open(PATH, "w") as f:
        f.write("{\n" + ",\n".join(lines) + "\n}\n")
    return len(new)


def worse(name, old, new: Summary):
    median, _, high = old
    tolerance = TOLERANCE_OF_COUNTS if name.endswith("instructions") else TOLERANCE
    return new.median > median * (1 + tolerance) and new.low > high


def compare(results):
    """(how many were compared, sentences about those that have got worse)."""
    reached = _reached()
    if not reached:
        raise SystemExit("benches/gate.json is not there; ./dev peers --write-gate makes it")
    compared, regressions = 0, []
    for name, new in _figures(results).items():
        if name not in reached:
            continue
        compared += 1
        if worse(name, reached[name], new):
            regressions.append(f"{name}: {new.median:.3g}, was {reached[name][0]:.3g} "
                               f"({100 * (new.median / reached[name][0] - 1):+.0f} %)")
    return compared, regressions
