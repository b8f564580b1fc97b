# SPDX-License-Identifier: MIT
"""What the machine is, and what it costs by itself."""
import json
import os
import platform
import resource
import subprocess
import time

from .build import CALIBRATE


def describe():
    model, memory = "unknown processor", 0
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo") as f:
        memory = int(f.readline().split()[1])
    release = ".".join(platform.release().split(".")[:2])
    return f"{os.cpu_count()} × {model}, {memory / 2**20:.0f} GiB, Linux {release}"


def calibrate():
    """Nanoseconds of a system call, and of a round trip to another thread, by futex and by pipe."""
    done = subprocess.run([CALIBRATE, "0.1"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def raise_descriptor_limit():
    """Everything that is started from here inherits it. Returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, 65536), max(hard, 65536)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Busy:
    """Watches how busy the machine is with other things: time stolen by its host, in percent."""

    def __init__(self):
        self.before = self._read()

    @staticmethod
    def _read():
        with open("/proc/stat") as f:
            return [int(x) for x in f.readline().split()[1:9]]

    def stolen_percent(self):
        spent = [b - a for a, b in zip(self.before, self._read())]
        return 100 * spent[7] / max(1, sum(spent))


def load_average():
    return os.getloadavg()[0]


def wait_for_connection_tracking(limit=100000, seconds=15):
    """Where connections are tracked, the ended ones stay for a while and the table has an end."""
    path = "/proc/sys/net/netfilter/nf_conntrack_count"
    for _ in range(seconds * 10):
        try:
            with open(path) as f:
                if int(f.read()) < limit:
                    return
        except OSError:
            return
        time.sleep(0.1)
