# SPDX-License-Identifier: MIT
"""Tests of the report: python3 -m unittest report.selftest, in benches/peers."""
import contextlib
import io
import os
import tempfile
import unittest
import xml.etree.ElementTree
from unittest import mock

from . import bars, gate, micro, plan, plots, render
from .plan import Case, Wrong
from .results import Results, Summary


def results_of(values):
    """{row: {subject: {metric: [values]}}}"""
    results = Results()
    results.about = {"command": "./dev peers", "rounds": 3, "seconds": 60, "machine": "a machine",
                     "compiler": "g++", "peers": "Tokio", "skipped": ["Go: there is no go"]}
    results.values = values
    return results


class Ratios(unittest.TestCase):
    def test_are_of_rounds_with_the_quotient_of_medians(self):
        results = results_of({"row": {"kioto": {"ns_per_op": [10, 30, 20]}, "Tokio": {"ns_per_op": [20, 40, 50]}}})
        ratio = results.ratio("row", "kioto", "Tokio", "ns_per_op")
        self.assertEqual((ratio.median, ratio.least, ratio.most), (0.5, 0.4, 0.75))

    def test_are_below_one_for_more_requests_per_second(self):
        results = results_of({"row": {"kioto": {"per_s": [200]}, "Tokio": {"per_s": [100]}}})
        self.assertEqual(results.ratio("row", "kioto", "Tokio", "per_s").median, 0.5)

    def test_need_both_sides(self):
        results = results_of({"row": {"kioto": {"per_s": [200]}}})
        self.assertIsNone(results.ratio("row", "kioto", "Tokio", "per_s"))

    def test_survive_a_file(self):
        results = results_of({"row": {"kioto": {"per_s": [200.5]}}})
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "results.json")
            results.save(path)
            self.assertEqual(Results.load(path).values, results.values)


class Gate(unittest.TestCase):
    def test_lets_noise_pass(self):
        self.assertFalse(gate.worse("a, ns_per_op", [1.0, 0.9, 1.3], Summary([0.9, 1.2, 1.25, 1.3, 1.4])))
        self.assertFalse(gate.worse("a, ns_per_op", [1.0, 0.99, 1.01], Summary([1.05, 1.06, 1.07])))

    def test_catches_what_is_slower_by_more_than_a_tenth(self):
        self.assertTrue(gate.worse("a, ns_per_op", [1.0, 0.95, 1.05], Summary([1.12, 1.15, 1.2])))

    def test_is_stricter_with_instructions(self):
        self.assertTrue(gate.worse("a, instructions", [100, 100, 100], Summary([106])))
        self.assertFalse(gate.worse("a, instructions", [100, 100, 100], Summary([104])))

    def test_compares_with_what_was_written(self):
        good = {"micro/ct/yield": {"kioto": {"ns_per_op": [10, 10, 10]}, "Tokio": {"ns_per_op": [20, 20, 20]}}}
        bad = {"micro/ct/yield": {"kioto": {"ns_per_op": [13, 13, 13]}, "Tokio": {"ns_per_op": [20, 20, 20]}}}
        with tempfile.TemporaryDirectory() as directory, \
             mock.patch.object(gate, "PATH", os.path.join(directory, "gate.json")):
            self.assertEqual(gate.write(results_of(good)), 1)
            self.assertEqual(gate.compare(results_of(good)), (1, []))
            compared, regressions = gate.compare(results_of(bad))
            self.assertEqual((compared, len(regressions)), (1, 1))
            self.assertIn("+30 %", regressions[0])

    def test_keeps_what_a_run_has_not_measured(self):
        def one(row):
            return results_of({row: {"kioto": {"instructions": [100]}}})

        with tempfile.TemporaryDirectory() as directory, \
             mock.patch.object(gate, "PATH", os.path.join(directory, "gate.json")):
            gate.write(one("instructions/ct/yield"))
            gate.write(one("instructions/ct/oneshot"))
            self.assertEqual(gate.compare(one("instructions/ct/yield")), (1, []))


class Plan(unittest.TestCase):
    def execute(self, cases, rounds):
        results = results_of({})
        with mock.patch.object(plan.machine, "calibrate", return_value={"getppid_ns": 100}), \
             contextlib.redirect_stderr(io.StringIO()):
            plan.execute(cases, rounds, results, seed=1)
        return results

    def test_runs_every_case_once_in_each_round(self):
        log = []

        def run(name):
            log.append(name)
            return {"ns_per_op": 1}

        results = self.execute([Case(row, who, lambda n=row + who: run(n)) for row in "ab" for who in "xy"], 3)
        self.assertEqual(results.values["a"]["x"]["ns_per_op"], [1, 1, 1])
        for number in range(3):
            of_round = log[4 * number:4 * number + 4]
            self.assertEqual([sorted(of_round[:2]), sorted(of_round[2:])], [["ax", "ay"], ["bx", "by"]])

    def test_runs_what_is_exact_once(self):
        results = self.execute([Case("a", "x", lambda: {"instructions": 7}, once=True)], 3)
        self.assertEqual(results.values["a"]["x"]["instructions"], [7])

    def test_a_wrong_result_is_a_failure_and_ends_the_case(self):
        calls = []

        def wrong():
            calls.append(1)
            raise Wrong("wrong result")

        results = self.execute([Case("a", "x", wrong), Case("a", "y", lambda: {"ns_per_op": 1})], 3)
        self.assertEqual(len(calls), 1)
        self.assertEqual(results.failures, ["a, x: wrong result"])
        self.assertEqual(results.values["a"]["y"]["ns_per_op"], [1, 1, 1])


class Lines(unittest.TestCase):
    def test_of_a_benchmark(self):
        line = '{"bench":"ct/yield","ops":5,"reps":3,"metrics":{"cpu_ns_per_op":[2,1,3],"ns_per_op":[5,4,6]}}\n'
        self.assertEqual(micro.parse(line), {"cpu_ns_per_op": 2, "ns_per_op": 5})

    def test_of_a_wrong_one(self):
        with self.assertRaisesRegex(Wrong, "wrong result"):
            micro.parse('{"bench":"ct/yield","error":"wrong result"}\n')

    def test_of_a_crash(self):
        with self.assertRaises(Wrong):
            micro.parse("")


class Bars(unittest.TestCase):
    def test_say_what_was_reached(self):
        results = results_of({
            "micro/ct/yield": {"kioto": {"ns_per_op": [10]}, "Tokio": {"ns_per_op": [20]}},
            "idle/10000": {"kioto ct": {"bytes": [500]}, "kioto 2": {"bytes": [600]}},
        })
        table = {(row[0], row[1]): row[-1] for row in render.bar_table(results)}
        self.assertEqual(table[("micro/ct/yield, ns_per_op", "kioto: 10.0")], "**no**")
        self.assertEqual(table[("idle/10000, bytes", "kioto ct: 500")], "yes")
        self.assertEqual(table[("idle/10000, bytes", "kioto 2: 600")], "**no**")

    def test_every_micro_benchmark_of_one_kind_has_the_same(self):
        self.assertEqual(bars.limit_of("micro/mt/mpsc_bounded_5p"), 0.6)
        self.assertEqual(bars.limit_of("micro/mt1/request_reply"), 0.6)
        self.assertIsNone(bars.limit_of("micro/ct/await_task"))


class Report(unittest.TestCase):
    def test_is_whole(self):
        servers = {"per_s": [1e5, 1.1e5], "cpu_us": [5, 5.5], "p50_us": [300, 310], "p99_us": [500, 900],
                   "p999_us": [1e3, 2e3]}
        results = results_of({
            "calibration": {"machine": {"getppid_ns": [100, 110], "stolen_percent": [0, 0.1]}},
            "micro/ct/yield": {"kioto": {"ns_per_op": [10, 11]}, "Tokio": {"ns_per_op": [20, 22]}},
            "instructions/ct/yield": {"kioto": {"instructions": [218.4]}, "Tokio": {"instructions": [418.5]}},
            "growth/ct/spawn_many_1e2": {"kioto": {"ns_per_op": [50, 60]}},
            "growth/ct/spawn_many_1e3": {"kioto": {"ns_per_op": [51, 61]}},
            "echo/64x50": {"kioto 2": servers, "raw epoll": servers},
            "instructions/echo": {"kioto ct": {"instructions": [906]}},
            "tail/echo/0.50": {"kioto 2": {"rate": [5e4], "p50_us": [50], "p99_us": [80], "p999_us": [90],
                                           "max_us": [100], "overloaded": [0]}},
        })
        with tempfile.TemporaryDirectory() as directory, \
             mock.patch.object(render, "PLOTS", directory):
            text = render.render(results)
            drawn = os.listdir(directory)
            for name in drawn:
                xml.etree.ElementTree.parse(os.path.join(directory, name))
            for name in drawn:
                self.assertIn(f"benchmarks/{name}", text)
        self.assertEqual(sorted(drawn), ["echo_cpu.svg", "growth_spawn.svg", "ratio_ct.svg"])
        self.assertIn("| yield | 10.5 (10.0–11.0) | 21.0 (20.0–22.0) | 0.50", text)
        self.assertIn("### 64 bytes, 50 connections", text)
        self.assertIn("Left out: Go: there is no go.", text)

    def test_has_no_plot_without_figures(self):
        self.assertFalse(plots.bars("unused", "title", []))
        self.assertFalse(plots.lines("unused", "title", {"one": [(1, 1, 1, 1)]}, "x", "y"))


if __name__ == "__main__":
    unittest.main()
