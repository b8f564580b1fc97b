#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""chat_demo.py DIRECTORY: three clients talk, one falls behind, and the server ends."""

import re
import sys

from demo import Client, Program, check, check_options

chat = sys.argv[1] + "/chat"


def join(server, name, **options):
    client = Client(server.address(), **options)
    check(client.read_until("? ") == "your name? ", "the greeting")
    client.send(name + "\r\n")
    client.expect(f"* {name} is here\n", f"{name} is told of itself")
    return client


def talk():
    with Program(chat, "--listen", "127.0.0.1:0") as server:
        with join(server, "ada") as ada, join(server, "bob") as bob:
            ada.expect("* bob is here\n", "ada hears of bob")
            ada.send("hello\nwho is there?\n")
            bob.expect("ada: hello\n", "bob hears ada")
            bob.expect("ada: who is there?\n", "bob hears all of it")
            with join(server, "eve") as eve:
                eve.send("I am\n")
                for other in (ada, bob):
                    other.expect("* eve is here\n", "the others hear of eve")
                    other.expect("eve: I am\n", "the others hear eve")
            for other in (ada, bob):
                other.expect("* eve has left\n", "the others hear that eve has left")
            with Client(server.address()) as mute:  # nobody waits for it
                mute.read_until("? ")
                server.interrupt()
                for other in (ada, bob):
                    other.expect("* the server ends\n", "all hear of the end")
                for client in (ada, bob, mute):
                    client.expect("", "the connection ends")
        check("3 clients said 3 lines" in server.end(), "the sums")


def fall_behind():
    lines, backlog, patient = 6000, 64, ("--patience", "600")
    with Program(chat, "--listen", "127.0.0.1:0", "--backlog", str(backlog), *patient) as server:
        with join(server, "slow", receive_buffer=4096) as slow, join(server, "fast") as fast:
            slow.expect("* fast is here\n", "slow hears of fast")
            with join(server, "witness") as witness:
                fast.line(), slow.line()
                text = "x" * 950
                for _ in range(lines // 100):
                    fast.send((text + "\n") * 100)
                # Nobody waits for the slow one: all was said before it reads anything.
                fast.send("the last one\n")
                missed = 0
                while True:
                    line = witness.line()
                    missed += int((re.match(r"\* you missed (\d+)", line) or [0, 0])[1])
                    if line == "fast: the last one\n":
                        break
                heard = told = 0
                while True:
                    line = slow.line()
                    behind = re.fullmatch(r"\* you missed (\d+) lines\n", line)
                    if behind:
                        told += int(behind[1])
                    elif line == "fast: the last one\n":
                        break
                    else:
                        check(line == f"fast: {text}\n", f"a whole line, not {line}")
                        heard += 1
                check(told > 0, "the slow client has missed lines")
                check(heard + told == lines, f"{heard} heard and {told} missed of {lines}")
        server.interrupt()
        server.end()


def mistakes():
    check_options(chat)
    with Program(chat, "--backlog", "0") as server:
        check("from 1 to 65536, not '0'" in server.end(2)[0], "a backlog of 0 is refused")
    with Program(chat, "--listen", "nonsense") as server:
        check("nonsense" in server.end(1)[0], "an address that is none is refused")


talk()
fall_behind()
mistakes()
print("ok")
