# SPDX-License-Identifier: MIT
"""The command line of benches/peers/run, which is ./dev peers."""
import argparse
import subprocess

from . import build, callgrind


def instructions(peers, only):
    """Prints the instructions per operation of the micro set, and per request of the echo servers."""
    def names(binary):
        listed = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True).stdout
        return listed.split()
    theirs = set(names(peers.tokio_micro)) if peers.tokio_micro else set()
    for name in names(peers.kioto_micro):
        if not name.startswith("ct/") or only not in name or name in callgrind.TOO_LONG:
            continue
        ours = callgrind.micro(peers.kioto_micro, name)
        if name in theirs:
            other = callgrind.micro(peers.tokio_micro, name)
            print(f"{name:30} kioto {ours:9.1f}  Tokio {other:9.1f}  ratio {ours / other:5.2f}", flush=True)
        else:
            print(f"{name:30} kioto {ours:9.1f}", flush=True)
    for server in peers.servers:
        if server.threads > 1 or only not in f"echo {server.name}":
            continue
        print(f"echo {server.name:25} {callgrind.per_request(server):9.1f} instructions per request", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="./dev peers", description="Measures kioto beside its peers.")
    parser.add_argument("--instructions", action="store_true",
                        help="instructions per operation and per request, counted by callgrind")
    parser.add_argument("--only", default="", metavar="TEXT", help="only what has this text in its name")
    args = parser.parse_args()
    peers = build.build_all()
    for reason in peers.skipped:
        print(f"left out: {reason}")
    if args.instructions:
        instructions(peers, args.only)
    return 0
