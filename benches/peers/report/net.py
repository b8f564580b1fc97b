# SPDX-License-Identifier: MIT
"""The echo servers: one server and one load at a time, on loopback, for a bounded time."""
import json
import os
import random
import select
import socket
import subprocess
import time

from . import machine
from .build import LOAD
from .plan import Case, Wrong

# Who is measured where. All is too much for every row; the first of the families goes everywhere.
CORE = ("kioto ct", "kioto 2", "raw epoll", "raw epoll 2", "raw io_uring", "Tokio ct", "Tokio 2", "Go 2",
        "kioto io_uring ct")
ALL = CORE[:2] + ("kioto 1", "kioto io_uring ct", "kioto io_uring 2", "raw epoll", "raw epoll 2",
                  "raw io_uring", "Tokio ct", "Tokio 1", "Tokio 2", "Go 1", "Go 2", "libuv", "libevent",
                  "Asio 1", "Asio 2", "Boost.Asio 1", "monoio", "compio")
CONNECTIONS = ("kioto ct", "raw epoll", "Tokio ct")
TWO_WORKERS = ("kioto 2", "raw epoll 2", "Tokio 2", "Go 2")
IDLE = ("kioto ct", "kioto 2", "raw epoll", "Tokio ct", "Tokio 2", "Go 2")


def free_port():
    """Below the range from which clients get theirs, so that no connection sits on it."""
    for _ in range(1000):
        port = random.randrange(20000, 32000)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Wrong("no port is free")


class Running:
    """A server that runs as long as the `with` block does. It is ended by its process, never by name."""

    def __init__(self, server, mode="echo", prefix=()):
        self.server, self.mode, self.prefix = server, mode, list(prefix)
        self.port = free_port()

    def __enter__(self):
        environment = {**os.environ, **(self.server.environment or {})}
        self.process = subprocess.Popen(self.prefix + self.server.command(self.port, self.mode),
                                        env=environment, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def wait_until_it_listens(self, seconds=10):
        for _ in range(seconds * 50):
            if self.process.poll() is not None:
                raise Wrong(f"the server ended with status {self.process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise Wrong(f"the server does not listen after {seconds} s")

    def load(self, kind, timeout=60, **options):
        command = [LOAD, kind, "--port", str(self.port), "--server-pid", str(self.process.pid)]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise Wrong(f"the load did not end within {timeout} s") from None
        if done.returncode != 0:
            raise Wrong(done.stderr.strip()[-200:] or f"the load ended with status {done.returncode}")
        return json.loads(done.stdout)

    def anonymous_bytes(self):
        with open(f"/proc/{self.process.pid}/smaps_rollup") as f:
            for line in f:
                if line.startswith("Anonymous:"):
                    return int(line.split()[1]) * 1024
        return 0

    def cpu_seconds(self):
        """Of all threads, those that have ended included."""
        return time.clock_gettime((~self.process.pid << 3) | 2)


def loaded(server, kind, mode="echo", **options):
    """One load on a server of its own."""
    machine.wait_for_connection_tracking()
    with Running(server, mode) as running:
        running.wait_until_it_listens()
        return running.load(kind, **options)


def idle(server, connections):
    """Memory per idle connection, what the server does meanwhile, and how soon it is there again."""
    with Running(server, "idle") as running:
        running.wait_until_it_listens()
        before = running.anonymous_bytes()
        load = subprocess.Popen([LOAD, "idle", "--port", str(running.port), "--connections", str(connections)],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            answer(load)
            time.sleep(0.2)
            memory = running.anonymous_bytes() - before
            cpu, begin = running.cpu_seconds(), time.monotonic()
            time.sleep(0.5)
            percent = 100 * (running.cpu_seconds() - cpu) / (time.monotonic() - begin)
            load.stdin.write("\n")
            load.stdin.flush()
            latency = json.loads(answer(load))
            return {"bytes": memory / connections, "idle_cpu_percent": percent,
                    "p50_us": latency["p50_us"], "p99_us": latency["p99_us"]}
        finally:
            load.kill()
            load.communicate()


def answer(load, seconds=60):
    if not select.select([load.stdout], [], [], seconds)[0]:
        raise Wrong(f"no answer of the load within {seconds} s")
    line = load.stdout.readline()
    if not line:
        raise Wrong(load.stderr.read().strip()[-200:] or "the load has ended")
    return line


class Capacity:
    """Requests per second that all servers with two workers can do on 64 connections: the least of
    their best. Measured when it is first asked for."""

    def __init__(self, servers):
        self.servers, self.value = servers, None

    def __call__(self):
        if self.value is None:
            self.value = min(max(loaded(s, "echo", connections=64, bytes=64, seconds=0.5)["per_s"]
                                 for _ in range(3)) for s in self.servers)
        return self.value


def tail(server, mode, capacity, share, seconds):
    found = loaded(server, "open", mode, connections=64, bytes=64, seconds=seconds,
                   rate=round(capacity() * share))
    # Not to keep up is slow, not wrong.
    return {**found, "overloaded": float(found.get("overloaded", 0)), "rate": round(capacity() * share)}


def cases(peers, quick, descriptors):
    out = []

    def add(row, names, run, mode="echo"):
        for server in peers.named(names):
            if mode in server.modes:
                out.append(Case(row, server.name, lambda s=server: run(s)))

    for size in (64,) if quick else (64, 1024):
        for connections in (1, 50, 1000):
            who = ALL if (size, connections) == (64, 50) else CORE
            add(f"echo/{size}x{connections}", who,
                lambda s, c=connections, b=size: loaded(s, "echo", connections=c, bytes=b, seconds=0.5))
    for connections in (10, 100, 10000):
        if connections < descriptors - 100 and not quick:
            add(f"connections/{connections}", CONNECTIONS,
                lambda s, c=connections: loaded(s, "echo", connections=c, bytes=64, seconds=0.5))
    for size in (65536, 1048576):
        add(f"stream/{size}", CORE,
            lambda s, b=size: loaded(s, "stream", connections=4, bytes=b, seconds=0.4))
    add("churn/16", CORE, lambda s: loaded(s, "churn", connections=16, seconds=0.4))
    count = min(10000, descriptors - 100)
    add(f"idle/{count}", IDLE[1:5] if quick else IDLE, lambda s: idle(s, count), "idle")
    capacity = Capacity(peers.named(TWO_WORKERS))
    length = 0.5 if quick else 0.8
    for share in (0.5,) if quick else (0.25, 0.5, 0.75):
        for mode in ("echo", "blocker"):
            add(f"tail/{mode}/{share:.2f}", TWO_WORKERS,
                lambda s, m=mode, x=share: tail(s, m, capacity, x, length), mode)
    return out
