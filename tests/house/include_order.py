# SPDX-License-Identifier: MIT
"""include_order.py [<root of the source tree>]

Checks that the includes of include/ and src/ go one way, as CONTRIBUTING.md ("Rooms") describes it.
First it plants a mistake of each kind in a copy in memory, and fails if one is not found.
"""

import os
import re
import sys

# The rooms of include/kioto, lowest first: a public folder and the folder of detail/ with its name
# are one room. Each may include itself and the rooms behind its name, all of which are listed above
# it: so there is no circle.
PUBLIC = {
    "base": set(),
    "task": {"base"},
    "time": {"task", "base"},
    "sync": {"time", "task", "base"},
    "net": {"task", "base"},
    "stream": {"sync", "time", "task", "base"},
    "testing": {"stream", "net", "sync", "time", "task", "base"},
    "everything": {"stream", "net", "sync", "time", "task", "base"},
}
# Headers that lie in another folder than that of their room. Those directly in include/kioto that
# are not listed belong to `task`.
ROOM_OF = {
    "kioto/backend.hpp": "base",
    "kioto/buffer.hpp": "base",
    "kioto/config.hpp": "base",
    "kioto/frame_pool.hpp": "base",
    "kioto/metrics.hpp": "base",
    "kioto/parallelism.hpp": "base",
    "kioto/result.hpp": "base",
    "kioto/task_id.hpp": "base",
    "kioto/version.hpp": "base",
    "kioto/time/clock.hpp": "base",  # reads a clock, and needs nothing of the timers
    "kioto/timeout.hpp": "time",
    "kioto/kioto.hpp": "everything",
    "kioto/streams.hpp": "everything",
}

# The rooms of src/, lowest first: each may include itself and those of the lines above its own.
PRIVATE = [
    {"base"},
    {"blocking", "driver"},
    {"scheduler"},
    {"task"},
    {"net", "sync", "time"},
    {"runtime"},
    {"testing"},
]
# What src/<room> includes of include/kioto: a room that has a public side, what that may include.
# The engine implements all of them, and therefore knows all of them.
ENGINE = {"blocking", "driver", "scheduler", "runtime"}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def read_tree(root):
    """Path from the root -> text, of every source file below include/ and src/."""
    files = {}
    for top in ("include", "src"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in names:
                if name.endswith((".hpp", ".cpp")):
                    path = os.path.join(folder, name)
                    with open(path, encoding="utf-8") as file:
                        files[os.path.relpath(path, root).replace(os.sep, "/")] = file.read()
    return files


def public_room(header):
    """The room of kioto/….hpp, or None if its folder is not listed."""
    if header in ROOM_OF:
        return ROOM_OF[header]
    parts = header.split("/")[1:]
    if parts[0] == "detail":
        parts = parts[1:]
        if len(parts) == 1:
            return None
    room = parts[0] if len(parts) > 1 else "task"
    return room if room in PUBLIC and room != "everything" else None


def private_rank(room):
    for rank, rooms in enumerate(PRIVATE):
        if room in rooms:
            return rank
    return None


def stem(path):
    return os.path.splitext(os.path.basename(path))[0]


def check(files):
    """The mistakes, as texts."""
    found = []

    def wrong(path, line, what, remedy):
        found.append(f"{path}:{line}: {what}\n    {remedy}")

    includes = {}  # path -> [(line, quoted as private, name)]
    for path, text in files.items():
        includes[path] = [
            (text.count("\n", 0, m.start()) + 1, m[1] == '"', m[2]) for m in INCLUDE.finditer(text)
        ]

    for path in sorted(files):
        if path.startswith("include/"):
            check_public(path, includes[path], files, wrong)
        else:
            check_private(path, includes[path], files, wrong)

    check_reached(includes, files, wrong)
    return found


def check_public(path, lines, files, wrong):
    header = path.removeprefix("include/")
    room = public_room(header)
    if room is None:
        wrong(path, 1, "lies in no known room",
              "list its folder in PUBLIC of tests/house/include_order.py, with what it may include")
        return
    for line, quoted, name in lines:
        if quoted or f"src/{name}" in files:
            wrong(path, line, f'an installed header includes "{name}", which is private',
                  "install what users need of it below include/kioto/detail, or declare it instead")
        elif name.startswith("kioto/"):
            if f"include/{name}" not in files:
                wrong(path, line, f"there is no <{name}>", "remove or correct the include")
                continue
            target = public_room(name)
            if target is not None and target != room and target not in PUBLIC[room]:
                wrong(path, line, f"<{name}> is of the room {target}, which {room} must not know",
                      one_way(room, PUBLIC[room]))


def check_private(path, lines, files, wrong):
    parts = path.split("/")
    room = parts[1] if len(parts) > 2 else "base"  # directly in src/: result.cpp, version.cpp
    rank = private_rank(room)
    if rank is None:
        wrong(path, 1, "lies in no known room",
              "list its folder in PRIVATE of tests/house/include_order.py, at its height")
        return
    below = set().union(*PRIVATE[:rank])
    public = None if room in ENGINE else PUBLIC[room] | {room}
    for line, quoted, name in lines:
        if name.startswith("kioto/"):
            if f"include/{name}" not in files:
                wrong(path, line, f"there is no <{name}>", "remove or correct the include")
                continue
            target = public_room(name)
            if target == "everything":
                wrong(path, line, f"<{name}> includes everything", "include what is needed")
            elif public is None and target == "testing":
                wrong(path, line, f"<{name}> is for tests", "the library must do without it")
            elif public is not None and target is not None and target not in public:
                wrong(path, line, f"<{name}> is of the room {target}, which {room} must not know",
                      one_way(room, PUBLIC[room]))
        elif quoted:
            if f"src/{name}" not in files:
                wrong(path, line, f'there is no src/{name}',
                      'write private includes as "room/name.hpp", from src/')
                continue
            target = name.split("/")[0]
            if target != room and target not in below:
                wrong(path, line, f'"{name}" is of the room {target}, which {room} must not know',
                      one_way(room, below))

    if path.endswith(".cpp"):
        own = [f for f in files if f.endswith(".hpp") and stem(f) == stem(path)]
        own = [f.split("/", 1)[1] for f in own]
        line, _, first = lines[0] if lines else (1, False, "nothing")
        if own and first not in own:
            wrong(path, line, f"includes {first} first, and not {' or '.join(own)}",
                  "what X.hpp declares, X.cpp defines, and includes first")
        elif not own and not first.startswith("kioto/") and f"src/{first}" not in files:
            wrong(path, line, f"includes {first} first",
                  "no header has its name: it has to begin with the one whose functions it defines")


def one_way(room, allowed):
    names = ", ".join(sorted(allowed)) or "nothing else"
    return (f"{room} may include {names}. Move what both need down into one of those, or declare it "
            "and define it above.")


def check_reached(includes, files, wrong):
    def closure(paths):
        seen, todo = set(), list(paths)
        while todo:
            path = todo.pop()
            if path in seen or path not in files:
                continue
            seen.add(path)
            for _, _, name in includes[path]:
                todo += [f"include/{name}", f"src/{name}"]
        return seen

    public = [f for f in files if f.startswith("include/") and "/detail/" not in f]
    reached = closure(public)
    for path in sorted(files):
        if path.startswith("include/") and path not in reached:
            wrong(path, 1, "is installed, but no public header reaches it",
                  "move it into src/, or delete it")
    used = closure(f for f in files if f.endswith(".cpp"))
    for path in sorted(files):
        if path.startswith("src/") and path.endswith(".hpp") and path not in used:
            wrong(path, 1, "is included by no source of the library", "delete it")
    umbrella = closure(["include/kioto/kioto.hpp"])
    for path in sorted(public):
        if path not in umbrella and public_room(path.removeprefix("include/")) != "testing":
            wrong(path, 1, "is public, but <kioto/kioto.hpp> does not include it",
                  "add it there, or move it into detail/")


# Each plants one mistake: the file, an include that is put in front of its own ones (or None for a
# new file), and what has to be found.
PLANTED = [
    ("include/kioto/detail/base/spinlock.hpp", "<kioto/detail/task/strand.hpp>", "must not know"),
    ("include/kioto/result.hpp", "<kioto/task.hpp>", "must not know"),
    ("include/kioto/detail/task/strand.hpp", "<kioto/time/sleep.hpp>", "must not know"),
    ("include/kioto/task.hpp", "<kioto/sync/mutex.hpp>", "must not know"),
    ("include/kioto/time/sleep.hpp", "<kioto/sync/mutex.hpp>", "must not know"),
    ("include/kioto/net/tcp_stream.hpp", "<kioto/stream/map.hpp>", "must not know"),
    ("include/kioto/task.hpp", "<kioto/kioto.hpp>", "must not know"),
    ("include/kioto/task.hpp", '"scheduler/core.hpp"', "is private"),
    ("include/kioto/task.hpp", "<scheduler/core.hpp>", "is private"),
    ("include/kioto/task.hpp", "<kioto/no_such.hpp>", "there is no"),
    ("include/kioto/detail/base/planted.hpp", None, "no public header reaches it"),
    ("include/kioto/detail/planted.hpp", None, "no known room"),
    ("include/kioto/planted/new.hpp", None, "no known room"),
    ("include/kioto/planted.hpp", None, "does not include it"),
    ("src/base/parker.hpp", '"driver/driver.hpp"', "must not know"),
    ("src/base/parker.hpp", "<kioto/task.hpp>", "must not know"),
    ("src/driver/driver.hpp", '"scheduler/core.hpp"', "must not know"),
    ("src/driver/driver.hpp", '"blocking/brief_wait.hpp"', "must not know"),
    ("src/blocking/brief_wait.hpp", '"scheduler/scheduler.hpp"', "must not know"),
    ("src/scheduler/scheduler.hpp", '"task/blocked_thread.hpp"', "must not know"),
    ("src/scheduler/scheduler.hpp", '"scheduler.hpp"', "there is no"),
    ("src/scheduler/scheduler.hpp", "<kioto/testing/driven.hpp>", "is for tests"),
    ("src/sync/notify.cpp", '"net/lookup.hpp"', "must not know"),
    ("src/task/scope.cpp", "<kioto/net/tcp_stream.hpp>", "must not know"),
    ("src/task/scope.cpp", "<kioto/kioto.hpp>", "includes everything"),
    ("src/task/scope.cpp", "<cstdio>", "first"),
    ("src/driver/epoll.cpp", "<sys/epoll.h>", "first"),
    ("src/base/planted.hpp", None, "included by no source"),
    ("src/planted/new.cpp", None, "no known room"),
]


def self_test(files):
    above = set()
    for room, allowed in PUBLIC.items():
        if not allowed <= above:
            sys.exit(f"PUBLIC lets {room} include {allowed - above}, which is not listed above it")
        above.add(room)
    for path, include, expected in PLANTED:
        bad = dict(files)
        if include is None:
            bad[path] = "#pragma once\n"
        else:
            bad[path] = f"#include {include}\n" + bad[path]
        hits = [text for text in check(bad) if text.startswith(path) and expected in text]
        if not hits:
            sys.exit(f"include_order.py does not find what it must: {path} with {include}")


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "../..")
    files = read_tree(root)
    if not files:
        sys.exit(f"no sources below {root}")
    self_test(files)
    found = check(files)
    for text in found:
        print(text)
    if found:
        sys.exit(f"{len(found)} wrong includes")
    print(f"{len(files)} files include one way; {len(PLANTED)} planted mistakes were found")


main()
