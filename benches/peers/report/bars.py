# SPDX-License-Identifier: MIT
"""What kioto wants to reach; and which ratios the gate watches."""
import re


class Bar:
    """`subject` to `other` in `metric` shall be at most `limit`; without `other`, the figure itself."""

    def __init__(self, rows, limit, subject="kioto", other="Tokio", metric="ns_per_op"):
        self.rows, self.limit = re.compile(rows + "$"), limit
        self.subject, self.other, self.metric = subject, other, metric

    def summary(self, results, row):
        if self.other is None:
            return results.get(row, self.subject, self.metric)
        return results.ratio(row, self.subject, self.other, self.metric)


def absolute(rows, limit, subject="kioto", metric="ns_per_op"):
    return Bar(rows, limit, subject, None, metric)


BARS = [
    Bar("micro/(ct|mt)/(spawn_join|spawn_many_join|chained_spawn|ping_pong)", 0.3),
    Bar("micro/(ct|mt)/spawn_remote.*", 0.4),
    Bar("micro/(ct|mt)/yield", 0.4),
    Bar("micro/mt1?/request_reply|micro/(ct|mt)/(mpsc_.*|oneshot|request_reply|broadcast_.*|watch_.*)", 0.6),
    Bar("micro/(ct|mt)/(mutex_.*|rwlock_.*|semaphore_.*|notify_.*)", 0.6),
    Bar("micro/(ct|mt)/(timeout_.*|sleep_insert_cancel_100k)", 0.5),
    Bar("micro/(ct|mt)/sleep_1e6", 0.5, metric="cpu_ns_per_op"),
    Bar("micro/(ct|mt)/spawn_blocking", 0.8),
    Bar("micro/(ct|mt1)/(fib.*|skynet.*)", 0.15),
    Bar("micro/mt/(fib.*|skynet.*)", 0.3),
    absolute("micro/ct/fib30_spawn", 35),
    absolute("micro/(ct|mt)/mem_sleeping_task", 256, metric="bytes"),
    absolute("instructions/echo", 300, "kioto ct", "instructions"),
    absolute("instructions/echo", 400, "kioto 1", "instructions"),
    Bar("echo/64x(1|50|1000)", 1.03, "kioto ct", "raw epoll", "cpu_us"),
    Bar("echo/64x(1|50|1000)", 1.08, "kioto 2", "raw epoll", "cpu_us"),
    Bar("echo/64x50", 0.8, "kioto 2", "Tokio 2", "per_s"),
    Bar("echo/64x1000", 1.3, "kioto 2", "raw epoll", "p999_us"),
    Bar("echo/64x1000", 0.4, "kioto 2", "Tokio 2", "p999_us"),
    Bar("echo/64x(1|50|1000)", 1.05, "kioto io_uring ct", "raw io_uring", "cpu_us"),
    absolute("idle/.*", 512, "kioto (ct|2)", "bytes"),
]


def reached(results):
    """(row, bar, summary) of every bar that this run has figures for."""
    for bar in BARS:
        for row in results.rows():
            if not bar.rows.match(row):
                continue
            for subject in results.subjects(row):
                if re.fullmatch(bar.subject, subject):
                    concrete = Bar(bar.rows.pattern, bar.limit, subject, bar.other, bar.metric)
                    summary = concrete.summary(results, row)
                    if summary is not None:
                        yield row, concrete, summary


def limit_of(row):
    """The bar of the ratio to Tokio of a micro-benchmark, if there is one."""
    for bar in BARS:
        if bar.other == "Tokio" and bar.rows.match(row):
            return bar.limit
    return None


def watched(results):
    """(row, subject, other, metric) of all that the gate compares."""
    for row in results.rows():
        section = row.split("/", 1)[0]
        for subject in results.subjects(row):
            if not subject.startswith("kioto"):
                continue
            if section in ("micro", "growth"):
                metrics = results.metrics(row, subject)
                timed = "cpu_ns_per_op" if section == "growth" or "sleep_1e6" in row else "ns_per_op"
                yield row, subject, "Tokio", "bytes" if "mem_" in row else timed
                if "p99_us" in metrics:
                    yield row, subject, "Tokio", "p50_us"
            elif section == "instructions" and "spawn_blocking" not in row:
                yield row, subject, None, "instructions"
            elif section in ("echo", "connections", "churn"):
                yield row, subject, "raw epoll", "cpu_us"
            elif section == "stream":
                yield row, subject, "raw epoll", "cpu_ms_per_gb"
            elif section == "idle":
                yield row, subject, None, "bytes"
            elif section == "tail":
                yield row, subject, "Tokio 2", "p50_us"
