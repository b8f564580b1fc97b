# SPDX-License-Identifier: MIT
"""Writes docs/benchmarks.md and its plots from the results of a run."""
import os
import re

from . import bars, plots
from .build import PEERS, ROOT

DOCS = os.path.join(ROOT, "docs")
PLOTS = os.path.join(DOCS, "benchmarks")
NOTES = os.path.join(PEERS, "notes.md")

# Micro-benchmarks whose time per operation says little; they have tables of their own.
SPECIAL = re.compile(r"/(wake_latency|sleep_1e6|mem_)")

# The order of the micro-benchmarks, by how their names begin.
TOPICS = ("spawn_", "chained", "ping_pong", "yield", "await", "fib", "skynet", "oneshot", "mpsc", "request_reply",
          "broadcast", "watch", "notify", "mutex", "rwlock", "semaphore", "timeout", "sleep", "block")

HOW_TO_READ = """\
Rounds are interleaved: in each, every program runs once on every row, those of one row directly after
each other in a new order. A cell is the median of the rounds, with the minimum and the maximum behind
it. A ratio is ours to the peer's, of medians, with the minimum and the maximum of the ratios within a
round; below 1 we need less, also where more is better (requests per second). `ct` is the
current-thread runtime, `mt` has two workers, `mt1` one. With two workers, server and load share two
cores. Every benchmark checks its own result. Instructions are those in user space, counted by
callgrind; they do not depend on the machine.
"""


def figure(value):
    magnitude = abs(value)
    return f"{value:.0f}" if magnitude >= 100 else f"{value:.1f}" if magnitude >= 10 else f"{value:.2f}"


def cell(summary):
    if summary is None:
        return "–"
    if summary.least == summary.most:
        return figure(summary.median)
    return f"{figure(summary.median)} ({figure(summary.least)}–{figure(summary.most)})"


def ratio_cell(summary):
    if summary is None:
        return "–"
    if summary.least == summary.most:
        return f"{summary.median:.2f}"
    return f"{summary.median:.2f} ({summary.least:.2f}–{summary.most:.2f})"


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def bar_table(results):
    rows = []
    for row, bar, summary in bars.reached(results):
        ours = results.get(row, bar.subject, bar.metric)
        peer = results.get(row, bar.other, bar.metric) if bar.other else None
        rows.append([f"{row}, {bar.metric}", f"{bar.subject}: {figure(ours.median)}",
                     f"{bar.other}: {figure(peer.median)}" if peer else "–",
                     ratio_cell(summary) if bar.other else "–", f"≤ {bar.limit:g}",
                     "yes" if summary.median <= bar.limit else "**no**"])
    speed_up = _speed_up(results)
    if speed_up:
        rows.append(["micro/fib30_spawn, speed-up by a second worker", f"kioto: {speed_up:.2f}", "–", "–", "≥ 1.8",
                     "yes" if speed_up >= 1.8 else "**no**"])
    return rows


def _speed_up(results):
    one = results.get("micro/mt1/fib30_spawn", "kioto", "ns_per_op")
    two = results.get("micro/mt/fib30_spawn", "kioto", "ns_per_op")
    return one.median / two.median if one and two else None


def _topic(row):
    name = row.split("/", 2)[2]
    if name == "spawn_blocking":
        return len(TOPICS)
    return next((i for i, topic in enumerate(TOPICS) if name.startswith(topic)), len(TOPICS))


def _micro(results, lines):
    rows = sorted((r for r in results.rows("micro/") if not SPECIAL.search(r)), key=_topic)
    if rows:
        lines += ["## Micro-benchmarks", "", "Nanoseconds per operation, and instructions per operation.", ""]
    for flavour, title in (("ct", "Current-thread runtime"), ("mt", "Two workers"), ("mt1", "One worker")):
        body, plotted = [], []
        for row in (r for r in rows if r.startswith(f"micro/{flavour}/")):
            name = row.split("/", 2)[2]
            exact = f"instructions/{flavour}/{name}"
            ratio, limit = results.ratio(row, "kioto", "Tokio", "ns_per_op"), bars.limit_of(row)
            line = [name, cell(results.get(row, "kioto", "ns_per_op")),
                    cell(results.get(row, "Tokio", "ns_per_op")), ratio_cell(ratio),
                    f"≤ {limit:g}" if limit else "–"]
            if flavour == "ct":
                line += [cell(results.get(exact, s, "instructions")) for s in ("kioto", "Tokio")]
            body.append(line)
            if ratio:
                plotted.append((name, ratio.median, ratio.least, ratio.most, limit))
        if not body:
            continue
        lines += [f"### {title}", ""]
        if plots.bars(os.path.join(PLOTS, f"ratio_{flavour}.svg"), f"{title}: kioto to Tokio", plotted,
                      "time per operation, ratio to Tokio; less is better; dashed: the bar"):
            lines += [f"![{title}](benchmarks/ratio_{flavour}.svg)", ""]
        header = ["benchmark", "kioto ns", "Tokio ns", "ratio", "bar"]
        lines += table(header + (["kioto instructions", "Tokio instructions"] if flavour == "ct" else []), body)


def _special(results, lines):
    columns = (
        ("micro/.*/wake_latency.*", "Waking a parked task from another thread",
         (("p50 µs", "p50_us"), ("p99 µs", "p99_us"), ("CPU ns per wake-up", "cpu_ns_per_op"))),
        ("micro/.*/sleep_1e6", "10^6 tasks that sleep for 1 ms to 1 s each",
         (("wall ms", "wall_ms"), ("CPU ns per task", "cpu_ns_per_op"), ("late p50 ms", "late_p50_ms"),
          ("late p99 ms", "late_p99_ms"), ("late max ms", "late_max_ms"), ("bytes per task", "bytes"))),
        ("micro/.*/mem_sleeping_task", "Memory of a sleeping task", (("bytes", "bytes"),)),
    )
    for pattern, title, metrics in columns:
        rows = [r for r in results.rows() if re.fullmatch(pattern, r)]
        if not rows:
            continue
        lines += [f"## {title}", ""]
        lines += table(["benchmark", "program"] + [label for label, _ in metrics],
                       [[row.split("/", 1)[1], subject] + [cell(results.get(row, subject, m)) for _, m in metrics]
                        for row in rows for subject in results.subjects(row)])


def _points(results, pattern, subject, metric):
    out = []
    for row in results.rows():
        found = re.fullmatch(pattern, row)
        summary = results.get(row, subject, metric) if found else None
        if summary:
            out.append((float(found.group(1)), summary.median, summary.least, summary.most))
    return out


def _growth(results, lines):
    pictures = []
    for kind, metric, title in (("spawn", "ns_per_op", "Spawning and joining, by number of tasks"),
                                ("sleep", "cpu_ns_per_op", "Sleeping tasks, by number of timers: CPU time")):
        series = {f"{subject} {flavour}": _points(results, rf"growth/{flavour}/{kind}_many_(1e\d)", subject, metric)
                  for flavour in ("ct", "mt") for subject in ("kioto", "Tokio")}
        pictures.append((f"growth_{kind}", title, series, "tasks", "ns per task"))
    names = sorted({s for row in results.rows("connections/") for s in results.subjects(row)})
    series = {s: _points(results, r"(?:connections/|echo/64x)(\d+)", s, "cpu_us") for s in names}
    pictures.append(("growth_connections", "TCP echo, by number of connections: CPU time of the server", series,
                     "connections", "µs per request"))
    drawn = [f"![{title}](benchmarks/{file}.svg)" for file, title, *rest in pictures
             if plots.lines(os.path.join(PLOTS, file + ".svg"), title, *rest)]
    if drawn:
        lines += ["## Growth", ""] + [part for picture in drawn for part in (picture, "")]


def _servers(results, lines, prefix, title, metrics, floor, floor_metric):
    rows = results.rows(prefix)
    if not rows:
        return
    lines += [f"## {title}", ""]
    for row in rows:
        lines += [f"### {_title_of(row)}", ""]
        body = []
        for subject in sorted(results.subjects(row), key=lambda s: (not s.startswith("kioto"), s)):
            line = [subject] + [cell(results.get(row, subject, m)) for _, m in metrics]
            if floor:
                line.append(ratio_cell(results.ratio(row, subject, floor, floor_metric)))
            body.append(line)
        lines += table(["server"] + [label for label, _ in metrics]
                       + ([f"{dict((m, n) for n, m in metrics)[floor_metric]}, to {floor}"] if floor else []), body)


def _title_of(row):
    found = re.fullmatch(r"echo/(\d+)x(\d+)", row)
    if found:
        return f"{found.group(1)} bytes, {found.group(2)} connection{'s' if found.group(2) != '1' else ''}"
    found = re.fullmatch(r"stream/(\d+)", row)
    if found:
        return f"Writes of {int(found.group(1)) // 1024} KiB"
    found = re.fullmatch(r"tail/(\w+)/([\d.]+)", row)
    if found:
        beside = ", beside a task that blocks its worker for 2 ms every 20 ms" if found.group(1) == "blocker" else ""
        return f"{float(found.group(2)) * 100:.0f} % of capacity{beside}"
    found = re.fullmatch(r"(\w+)/(\d+)", row)
    return f"{found.group(2)} at a time" if found.group(1) == "churn" else f"{found.group(2)} connections"


def _echo_plots(results, lines):
    row = "echo/64x50"
    rated = [(s, results.ratio(row, s, "raw epoll", "cpu_us")) for s in results.subjects(row)]
    rated = sorted(((s, r.median, r.least, r.most, None) for s, r in rated if r), key=lambda r: r[1])
    if plots.bars(os.path.join(PLOTS, "echo_cpu.svg"), "TCP echo, 64 bytes, 50 connections: server CPU per request",
                  rated, "ratio to raw epoll on one thread; less is better"):
        lines += ["![CPU per request](benchmarks/echo_cpu.svg)", ""]
    exact = [(s, results.get("instructions/echo", s, "instructions")) for s in results.subjects("instructions/echo")]
    if exact:
        lines += ["User-space instructions per request, 64 bytes, 50 connections:", ""]
        lines += table(["server", "instructions"],
                       [[s, figure(e.median)] for s, e in sorted(exact, key=lambda x: x[1].median)])


def _tail_plot(results, lines):
    for mode, title in (("echo", "Tail latency by load"), ("blocker", "Tail latency by load, beside a task that blocks")):
        names = sorted({s for row in results.rows(f"tail/{mode}/") for s in results.subjects(row)})
        series = {}
        for s in names:
            series[s] = _points(results, rf"tail/{mode}/([\d.]+)", s, "p999_us")
        if plots.lines(os.path.join(PLOTS, f"tail_{mode}.svg"), title, series, "share of capacity", "p99.9, µs"):
            lines += [f"![{title}](benchmarks/tail_{mode}.svg)", ""]


def render(results):
    """The text of docs/benchmarks.md; draws the plots beside it."""
    os.makedirs(PLOTS, exist_ok=True)
    about = results.about
    lines = ["# Benchmarks", "",
             f"Made by `{about['command']}` in {about['rounds']} rounds, {about['seconds'] / 60:.0f} minutes. "
             f"Machine: {about['machine']}. kioto: {about['compiler']}, -O2. Peers: {about['peers']}.", "",
             HOW_TO_READ]
    lines += ["## What was reached", ""]
    lines += table(["figure", "ours", "peer", "ratio", "bar", "reached"], bar_table(results))
    if os.path.exists(NOTES):
        with open(NOTES) as f:
            lines += [f.read()]
    _micro(results, lines)
    _special(results, lines)
    _growth(results, lines)
    latency = (("p50 µs", "p50_us"), ("p99 µs", "p99_us"), ("p99.9 µs", "p999_us"))
    lines += ["## TCP echo", ""]
    _echo_plots(results, lines)
    echo = []
    _servers(results, echo, "echo/", "TCP echo",
             (("requests/s", "per_s"), ("CPU µs per request", "cpu_us")) + latency, "raw epoll", "cpu_us")
    lines += echo[2:]
    _servers(results, lines, "stream/", "Streaming, both directions, 4 connections",
             (("MB/s", "mb_per_s"), ("CPU ms per GB", "cpu_ms_per_gb")), "raw epoll", "cpu_ms_per_gb")
    _servers(results, lines, "churn/", "Connecting, one byte each way, reset",
             (("connections/s", "per_s"), ("CPU µs each", "cpu_us"), ("p50 µs", "p50_us"), ("p99 µs", "p99_us")),
             "raw epoll", "cpu_us")
    _servers(results, lines, "idle/", "Idle connections, each with a suspended reader",
             (("user-space bytes each", "bytes"), ("CPU %", "idle_cpu_percent"), ("first byte p50 µs", "p50_us"),
              ("first byte p99 µs", "p99_us")), None, None)
    _servers(results, lines, "tail/", "Latency under an open-loop load, 64 connections, two threads",
             (("requests/s", "rate"),) + latency
             + (("max µs", "max_us"), ("could not keep up, share of rounds", "overloaded")), None, None)
    _tail_plot(results, lines)
    lines += ["## The machine", "", "What it costs by itself, before each round:", ""]
    names = (("getppid, ns", "getppid_ns"), ("futex, there and back, ns", "futex_round_trip_ns"),
             ("pipe, there and back, ns", "pipe_round_trip_ns"), ("time stolen by its host, %", "stolen_percent"))
    lines += table(["what", "median (minimum–maximum)"],
                   [[label, cell(results.get("calibration", "machine", metric))] for label, metric in names])
    if about["skipped"]:
        lines += ["Left out: " + "; ".join(about["skipped"]) + ".", ""]
    if results.failures:
        lines += ["**Wrong results:** " + "; ".join(results.failures) + ".", ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def write(results):
    text = render(results)
    with open(os.path.join(DOCS, "benchmarks.md"), "w") as f:
        f.write(text)


def summary(results):
    """For the terminal: every row and metric, with the ratio to its peer."""
    out = []
    for row in results.rows():
        for subject in results.subjects(row):
            for metric in results.metrics(row, subject):
                line = f"{row:38} {subject:18} {metric:20} {cell(results.get(row, subject, metric)):>30}"
                for peer in ("Tokio", "raw epoll"):
                    ratio = results.ratio(row, subject, peer, metric) if subject.startswith("kioto") else None
                    if ratio:
                        line += f"   {ratio_cell(ratio)} × {peer}"
                out.append(line)
    return "\n".join(out)
