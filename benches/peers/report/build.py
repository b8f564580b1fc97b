# SPDX-License-Identifier: MIT
"""Builds the peers that there are tools for, in build/peers, and says which it leaves out and why."""
import glob
import os
import re
import shutil
import subprocess

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
PEERS = os.path.join(ROOT, "benches", "peers")
OUT = os.path.join(ROOT, "build", "peers")
KIOTO = os.path.join(ROOT, "build", "release", "benches")
LOAD = os.path.join(OUT, "load")
CALIBRATE = os.path.join(OUT, "calibrate")

ALL_MODES = ("echo", "idle", "blocker")


class Server:
    """A TCP echo server: `PORT THREADS [MODE]`, for all of them alike. Threads 0: one, on a scheduler
    that is not made for several."""

    def __init__(self, name, binary, threads, modes=("echo",), environment=None):
        self.name, self.binary, self.threads, self.modes = name, binary, threads, modes
        self.environment = environment

    def command(self, port, mode="echo"):
        return [self.binary, str(port), str(self.threads), mode]


class Peers:
    """What has been built."""

    def __init__(self):
        self.servers = []
        self.skipped = []  # sentences
        self.versions = []
        self.kioto_micro = os.path.join(KIOTO, "kioto_bench_micro")
        self.tokio_micro = None

    def skip(self, name, reason):
        self.skipped.append(f"{name}: {reason}")

    def serve(self, *args, **kwargs):
        self.servers.append(Server(*args, **kwargs))

    def named(self, names):
        """Those of these servers that there are, in this order."""
        by_name = {s.name: s for s in self.servers}
        return [by_name[n] for n in names if n in by_name]


def _run(command, cwd=PEERS):
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def _reason(done):
    lines = (done.stderr or done.stdout).strip().splitlines()
    errors = [line for line in lines if "error" in line]
    return "does not build: " + (errors or lines or ["no message"])[0].strip()


def _compiled(peers, name, sources, output, flags, hint, compiler="gcc"):
    """True if the program is there and newer than its sources, or was compiled now."""
    output = os.path.join(OUT, output)
    newest = max(os.path.getmtime(os.path.join(PEERS, s)) for s in sources)
    if os.path.exists(output) and newest <= os.path.getmtime(output):
        return True
    if shutil.which(compiler) is None:
        peers.skip(name, f"there is no {compiler}")
        return False
    done = _run([compiler, "-O2", "-DNDEBUG"] + sources + ["-o", output] + flags)
    if done.returncode != 0:
        peers.skip(name, f"{_reason(done)} ({hint})")
    return done.returncode == 0


def _cargo(peers, name, crate):
    """The directory of the programs of a crate, or None. The newest release of the registry that
    Cargo.toml allows is taken at the first build; `rm benches/peers/*/Cargo.lock` takes it anew."""
    if shutil.which("cargo") is None:
        peers.skip(name, "there is no cargo (https://rustup.rs)")
        return None
    directory, target = os.path.join(PEERS, crate), os.path.join(OUT, "cargo_" + crate)
    done = _run(["cargo", "build", "--release", "--quiet", "--target-dir", target], directory)
    if done.returncode != 0:
        peers.skip(name, _reason(done))
        return None
    with open(os.path.join(directory, "Cargo.lock")) as f:
        found = re.search(rf'name = "{crate}"\nversion = "([^"]+)"', f.read())
    peers.versions.append(f"{name} {found.group(1) if found else '?'}")
    return os.path.join(target, "release")


def _package(peers, name, package):
    done = _run(["dpkg-query", "-W", "-f", "${Version}", package]) if shutil.which("dpkg-query") else None
    peers.versions.append(f"{name} {done.stdout}" if done and done.returncode == 0 else name)


def _tools(peers):
    load = sorted(os.path.relpath(p, PEERS) for p in glob.glob(os.path.join(PEERS, "load", "*.c")))
    if not _compiled(peers, "the load generator", load, "load", ["-lm"], "gcc is needed") or \
       not _compiled(peers, "the calibration", ["raw/calibrate.c"], "calibrate", ["-pthread"], "gcc is needed"):
        raise SystemExit("benches/peers/run: " + peers.skipped[-1])


def _kioto(peers):
    binary = os.path.join(KIOTO, "kioto_bench_echo")
    if not os.path.exists(binary):
        raise SystemExit(f"benches/peers/run: {binary} is not there; ./dev peers builds it")
    epoll = {"KIOTO_BACKEND": "epoll"}
    for name, threads in (("kioto ct", 0), ("kioto 1", 1), ("kioto 2", 2)):
        peers.serve(name, binary, threads, ALL_MODES, epoll)
    uring = {"KIOTO_BACKEND": "io_uring"}
    probe = subprocess.run([binary, "0", "0", "probe"], env={**os.environ, **uring}, capture_output=True,
                           text=True)
    if probe.returncode == 0:
        for name, threads in (("kioto io_uring ct", 0), ("kioto io_uring 2", 2)):
            peers.serve(name, binary, threads, ALL_MODES, uring)
    else:
        peers.skip("kioto io_uring", probe.stderr.strip() or "does not start")


def _raw(peers):
    if _compiled(peers, "raw epoll", ["raw/epoll_echo.c"], "epoll", ["-pthread"], "gcc is needed"):
        peers.serve("raw epoll", os.path.join(OUT, "epoll"), 1, ("echo", "idle"))
        peers.serve("raw epoll 2", os.path.join(OUT, "epoll"), 2, ("echo", "idle"))
    if _compiled(peers, "raw io_uring", ["raw/uring_echo.c"], "uring", ["-luring", "-pthread"],
                 "Debian: liburing-dev"):
        peers.serve("raw io_uring", os.path.join(OUT, "uring"), 1, ("echo", "idle"))


def _tokio(peers):
    directory = _cargo(peers, "Tokio", "tokio")
    if directory is None:
        return
    for name, threads in (("Tokio ct", 0), ("Tokio 1", 1), ("Tokio 2", 2)):
        peers.serve(name, os.path.join(directory, "tokio_echo"), threads, ALL_MODES)
    peers.tokio_micro = os.path.join(directory, "tokio_micro")


def _go(peers):
    if shutil.which("go") is None:
        peers.skip("Go", "there is no go (Debian: golang-go)")
        return
    output = os.path.join(OUT, "go_echo")
    done = _run(["go", "build", "-o", output, "echo.go"], os.path.join(PEERS, "go"))
    if done.returncode != 0:
        peers.skip("Go", _reason(done))
        return
    peers.versions.append("Go " + _run(["go", "env", "GOVERSION"]).stdout.strip().removeprefix("go"))
    peers.serve("Go 1", output, 1, ALL_MODES)
    peers.serve("Go 2", output, 2, ALL_MODES)


def _asio(peers):
    flags = ["-std=c++20", "-pthread"]
    if _compiled(peers, "Asio", ["asio/echo.cpp"], "asio", flags, "Debian: libasio-dev", "g++"):
        peers.serve("Asio 1", os.path.join(OUT, "asio"), 1, ALL_MODES)
        peers.serve("Asio 2", os.path.join(OUT, "asio"), 2, ALL_MODES)
        _package(peers, "Asio", "libasio-dev")
    # Its package displaces another version of Boost, so it is measured where it is there already.
    if _compiled(peers, "Boost.Asio", ["asio/echo.cpp"], "boost", flags + ["-DPEER_BOOST"],
                 "Debian: libboost1.81-dev", "g++"):
        peers.serve("Boost.Asio 1", os.path.join(OUT, "boost"), 1, ALL_MODES)
        version = _run(["g++", "-E", "-P", "-include", "boost/version.hpp", "-x", "c++", "-"]
                       + ["-dM"], PEERS)
        found = re.search(r'BOOST_LIB_VERSION "([0-9_]+)"', version.stdout)
        peers.versions.append("Boost.Asio" + (" " + found.group(1).replace("_", ".") if found else ""))


def _c_libraries(peers):
    if _compiled(peers, "libuv", ["uv/echo.c"], "uv", ["-luv", "-pthread"], "Debian: libuv1-dev"):
        peers.serve("libuv", os.path.join(OUT, "uv"), 1, ("echo", "idle"))
        _package(peers, "libuv", "libuv1-dev")
    if _compiled(peers, "libevent", ["event/echo.c"], "event", ["-levent"], "Debian: libevent-dev"):
        peers.serve("libevent", os.path.join(OUT, "event"), 1, ("echo", "idle"))
        _package(peers, "libevent", "libevent-dev")


def _rust_rings(peers):
    for name in ("monoio", "compio"):
        directory = _cargo(peers, name, name)
        if directory is not None:
            peers.serve(name, os.path.join(directory, name + "_echo"), 1)


def build_all():
    os.makedirs(OUT, exist_ok=True)
    peers = Peers()
    for part in (_tools, _kioto, _raw, _tokio, _go, _asio, _c_libraries, _rust_rings):
        part(peers)
    return peers
