# SPDX-License-Identifier: MIT
"""What the tests of the example programs have in common."""

import re
import signal
import socket
import subprocess
import sys
import threading

PATIENCE = 60  # seconds for anything that should come at once


class Program:
    """An example that runs. At the end of the `with` block it does not any more."""

    def __init__(self, *command):
        self.name = " ".join(command)
        self.lines = []
        self._news = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()

    def _read(self):
        for line in self._process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait_for(self, pattern):
        """The match of the first line that the pattern fits."""
        with self._news:
            seen = 0
            while True:
                for line in self.lines[seen:]:
                    match = re.fullmatch(pattern, line)
                    if match:
                        return match
                seen = len(self.lines)
                if self._ended or not self._news.wait(PATIENCE):
                    fail(f"{self.name}: no line '{pattern}' in {self.lines}")

    def address(self):
        host, port = self.wait_for(r"listening on (.*):(\d+)").groups()
        return host, int(port)

    def interrupt(self):
        self._process.send_signal(signal.SIGINT)

    def end(self, status=0):
        """Waits for its end; returns what it has printed."""
        try:
            ended = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            fail(f"{self.name}: does not end; it said {self.lines}")
        self._reader.join()
        check(ended == status, f"{self.name}: status {ended}; it said {self.lines}")
        return self.lines


class Client:
    """A connection that speaks lines."""

    def __init__(self, address, receive_buffer=None):
        self._socket = socket.socket()
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(address)
        self._pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def send(self, text):
        self._socket.sendall(text.encode())

    def read_until(self, end):
        """What comes up to and with `end`; all that is left if the connection ends before."""
        mark = end.encode()
        while mark not in self._pending:
            got = self._socket.recv(65536)
            if not got:
                rest, self._pending = self._pending, b""
                return rest.decode()
            self._pending += got
        text, self._pending = self._pending.split(mark, 1)
        return (text + mark).decode()

    def line(self):
        return self.read_until("\n")


def fail(what):
    sys.exit(f"failed: {what}")


def check(condition, what):
    if not condition:
        fail(what)


def check_options(program):
    """--help helps, and mistakes are named."""
    with Program(program, "--help") as helped:
        check(helped.end()[0].startswith("usage: "), f"{program} --help")
    for wrong, complaint in ((["--nonsense"], "--nonsense"), (["--listen"], "--listen")):
        with Program(program, *wrong) as refused:
            check(complaint in refused.end(2)[0], f"{program} {wrong}")
