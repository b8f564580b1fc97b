#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""graceful_shutdown_demo.py DIRECTORY: requests come to their end, or are aborted at the deadline."""

import sys

from demo import Client, Program, check, check_options

program = sys.argv[1] + "/graceful_shutdown"


def begin(server, requests):
    clients = [Client(server.address()) for _ in range(requests)]
    for client in clients:
        client.send("work\n")
    return clients


def drain():
    with Program(program, "--listen", "127.0.0.1:0", "--work", "1000", "--drain", "50000") as server:
        idle = Client(server.address())
        idle.send("work\n")
        check(idle.line() == "done\n", "a request is served")
        busy = begin(server, 3)
        server.wait_for("request 4 begins")
        server.interrupt()
        check(idle.line() == "", "a connection that waits for nothing is closed")
        for client in busy:
            check(client.line() == "done\n", "a request under way comes to its end")
            check(client.line() == "", "and its connection, too")
        said = server.end()
        check(said[-1] == "4 requests served, 0 aborted", f"the sums: {said}")


def deadline():
    with Program(program, "--listen", "127.0.0.1:0", "--work", "3600000", "--drain", "100") as server:
        busy = begin(server, 2)
        server.wait_for("request 2 begins")
        server.interrupt()
        for client in busy:
            check(client.line() == "", "a request that takes too long is aborted")
        said = server.end()
        check("2 connections are left" in said, f"the deadline: {said}")
        check(said[-1] == "0 requests served, 2 aborted", f"the sums: {said}")


def second_signal():
    with Program(program, "--listen", "127.0.0.1:0", "--work", "3600000", "--drain", "3600000") as server:
        begin(server, 1)
        server.wait_for("request 1 begins")
        server.interrupt()
        server.wait_for("draining 1 connections")
        server.interrupt()
        server.end(-2)


drain()
deadline()
second_signal()
check_options(program)
print("ok")
