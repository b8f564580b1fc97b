# SPDX-License-Identifier: MIT
"""What was measured: of each row (a workload), subject (a program) and metric, one value per round."""
import json
import statistics

# Figures of which more is better; of all others less is.
MORE_IS_BETTER = {"per_s", "mb_per_s"}


class Summary:
    def __init__(self, values):
        self.median, self.least, self.most = statistics.median(values), min(values), max(values)
        ordered = sorted(values)
        self.low = ordered[len(ordered) // 4]
        self.high = ordered[-1 - len(ordered) // 4]


class Results:
    def __init__(self):
        self.values = {}    # row: {subject: {metric: [value of each round]}}
        self.failures = []  # sentences
        self.about = {}     # of the machine and of the run

    def add(self, row, subject, metrics):
        for metric, value in metrics.items():
            self.values.setdefault(row, {}).setdefault(subject, {}).setdefault(metric, []).append(value)

    def fail(self, row, subject, why):
        self.failures.append(f"{row}, {subject}: {why}")

    def rows(self, prefix=""):
        return [row for row in self.values if row.startswith(prefix)]

    def subjects(self, row):
        return list(self.values.get(row, {}))

    def metrics(self, row, subject):
        return list(self.values.get(row, {}).get(subject, {}))

    def get(self, row, subject, metric):
        """The summary of a figure, or None."""
        values = self.values.get(row, {}).get(subject, {}).get(metric)
        return Summary(values) if values else None

    def ratio(self, row, subject, other, metric):
        """The summary of subject to other, round by round; below 1 is always the better. The median
        is that of the medians' quotient. None if one is missing."""
        ours = self.values.get(row, {}).get(subject, {}).get(metric)
        theirs = self.values.get(row, {}).get(other, {}).get(metric)
        if not ours or not theirs or min(ours + theirs) <= 0:
            return None
        if metric in MORE_IS_BETTER:
            ours, theirs = theirs, ours
        summary = Summary([a / b for a, b in zip(ours, theirs)])
        summary.median = statistics.median(ours) / statistics.median(theirs)
        summary.least, summary.most = min(summary.least, summary.median), max(summary.most, summary.median)
        return summary

    def save(self, path):
        with open(path, "w") as f:
            json.dump({"about": self.about, "failures": self.failures, "values": self.values}, f, indent=1)

    @classmethod
    def load(cls, path):
        results = cls()
        with open(path) as f:
            data = json.load(f)
        results.about, results.failures, results.values = data["about"], data["failures"], data["values"]
        return results
