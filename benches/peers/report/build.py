# SPDX-License-Identifier: MIT
"""Builds the peers that there are tools for, in build/peers, and says which it leaves out and why."""
import glob
import os
import shutil
import subprocess

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
PEERS = os.path.join(ROOT, "benches", "peers")
OUT = os.path.join(ROOT, "build", "peers")
KIOTO = os.path.join(ROOT, "build", "release", "benches")
LOAD = os.path.join(OUT, "load")
FLOOR = "raw epoll"


class Server:
    """A TCP echo server: `PORT THREADS [MODE]`, for all of them alike. Threads 0: one, without a
    scheduler for several."""

    def __init__(self, family, label, binary, threads, modes=("echo",), environment=None):
        self.family, self.label, self.binary, self.threads = family, label, binary, threads
        self.modes, self.environment = modes, environment

    @property
    def name(self):
        return f"{self.family} {self.label}".strip()

    def command(self, port, mode="echo"):
        return [self.binary, str(port), str(self.threads), mode]


class Peers:
    """What has been built."""

    def __init__(self):
        self.servers = []
        self.skipped = []  # sentences
        self.kioto_micro = os.path.join(KIOTO, "kioto_bench_micro")
        self.tokio_micro = None
        self.versions = {}

    def server(self, name):
        return next((s for s in self.servers if s.name == name), None)


ALL_MODES = ("echo", "idle", "blocker")


def _compile(peers, name, tool, sources, output, command, hint, cwd=PEERS):
    """True if `output` is there and newer than its sources, or the command made it."""
    output = os.path.join(OUT, output)
    sources = [os.path.join(PEERS, s) for s in sources]
    if os.path.exists(output) and all(os.path.getmtime(s) <= os.path.getmtime(output) for s in sources):
        return True
    if shutil.which(tool) is None:
        peers.skipped.append(f"{name}: there is no {tool} here ({hint})")
        return False
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
        why = errors[0].strip() if errors else "no message"
        peers.skipped.append(f"{name}: does not build: {why} ({hint})")
        return False
    return True


def _compiled(peers, name, sources, output, flags, hint, compiler="gcc"):
    """A peer of C or C++ sources."""
    command = [compiler, "-O2", "-DNDEBUG"] + sources + ["-o", os.path.join(OUT, output)] + flags
    return _compile(peers, name, compiler, sources, output, command, hint)


def build_load(peers):
    sources = sorted(os.path.relpath(p, PEERS) for p in glob.glob(os.path.join(PEERS, "load", "*.c")))
    if not _compiled(peers, "the load generator", sources, "load", ["-pthread"], "gcc is needed"):
        raise SystemExit("benches/peers/run: " + peers.skipped[-1])


def build_tokio(peers):
    target = os.path.join(OUT, "cargo")
    directory = os.path.join(PEERS, "tokio")
    if shutil.which("cargo") is None:
        peers.skipped.append("Tokio: there is no cargo here (https://rustup.rs)")
        return
    done = subprocess.run(["cargo", "build", "--release", "--quiet", "--target-dir", target],
                          cwd=directory, capture_output=True, text=True)
    if done.returncode != 0:
        peers.skipped.append(f"Tokio: does not build: {(done.stderr.strip().splitlines() or ['no message'])[0]}")
        return
    binary = os.path.join(target, "release", "tokio_echo")
    for label, threads in (("ct", 0), ("1", 1), ("2", 2)):
        peers.servers.append(Server("Tokio", label, binary, threads, ALL_MODES))
    peers.tokio_micro = os.path.join(target, "release", "tokio_micro")


def build_kioto(peers):
    for label, threads in (("ct", 0), ("1", 1), ("2", 2)):
        peers.servers.append(Server("kioto", label, os.path.join(KIOTO, "kioto_bench_echo"), threads, ALL_MODES))


def build_raw(peers):
    if _compiled(peers, FLOOR, ["raw/epoll_echo.c"], "epoll", ["-pthread"], "gcc is needed"):
        for threads in (1, 2):
            label = "" if threads == 1 else "2"
            peers.servers.append(Server("raw epoll", label, os.path.join(OUT, "epoll"), threads, ("echo", "idle")))


def build_all():
    os.makedirs(OUT, exist_ok=True)
    peers = Peers()
    build_load(peers)
    for part in (build_kioto, build_raw, build_tokio):
        part(peers)
    return peers
