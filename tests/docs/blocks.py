#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The C++ in the documentation, as programs.

  blocks.py extract PAGE.md OUT.cpp    writes the blocks of a page as one translation unit
  blocks.py check PAGE.md PROGRAM      runs the program of the page, compares what it prints
  blocks.py links PAGE.md...           every relative link leads to a file
  blocks.py names PAGE.md...           every file and function in backticks exists, and quoted code is that
                                       of its file

How to write a block (everything else is ordinary Markdown):

- Each block that begins with ```cpp is compiled, in a namespace of its own, with kioto/kioto.hpp
  included, and `using kioto::task;` and std::chrono_literals in force. #include lines are moved
  to the front.
- What a block needs and the reader does not stands in a comment in front of it:

      <!-- cpp
      task<> example(net::tcp_stream& socket) {
      -->

  It is compiled as if the block began with it. Braces that it leaves open are closed after the
  block. So the block can be a few statements: open a function for it, as above.
- A page has at most one block with `int main(`, which comes last in its block. It makes the page a
  program, which is linked. After ```cpp run it is run by the tests, too; a ```text block that
  follows is what it prints.
- A block that must not be compiled is one of another language, ```c++. If the line in front of it is
  <!-- from FILE -->, it is a part of that file, word for word.
"""

import re
import subprocess
import sys
from pathlib import Path

PROLOGUE = """\
#include <kioto/kioto.hpp>
using kioto::task;
using namespace std::chrono_literals;
"""
SECONDS = 60  # that a program may take


class Mistake(Exception):
    pass


class Block:
    def __init__(self, line, words):
        self.line = line  # of the first line inside, counted from 1
        self.words = words  # "cpp", "run"
        self.hidden = []  # (line, text)
        self.text = []


def parse(page):
    """The blocks of a page in order; hidden code belongs to the block behind it."""
    blocks, hidden, inside = [], [], None
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if inside is None:
            if line.startswith("```"):
                inside = Block(number + 1, line[3:].split())
            elif line.strip() == "<!-- cpp":
                inside = "hidden"
            elif hidden and line.strip():
                raise Mistake(f"{page}:{number}: hidden code, but no ```cpp block behind it")
        elif inside == "hidden":
            if line.strip() == "-->":
                inside = None
            else:
                hidden.append((number, line))
        elif line.startswith("```"):
            if inside.words[:1] == ["cpp"]:
                if inside.words not in (["cpp"], ["cpp", "run"]):
                    raise Mistake(f"{page}:{inside.line - 1}: after ```cpp comes `run` or nothing")
                inside.hidden, hidden = hidden, []
            elif hidden:
                raise Mistake(f"{page}:{number}: hidden code, but no ```cpp block behind it")
            blocks.append(inside)
            inside = None
        else:
            inside.text.append(line)
    if inside is not None or hidden:
        raise Mistake(f"{page}: the last block does not end")
    return blocks


def code_of(blocks):
    return [block for block in blocks if block.words[:1] == ["cpp"]]


def extract(page, out):
    includes, body, program = [], [], []
    for index, block in enumerate(code_of(parse(page)), 1):
        body.append(f"namespace block_{index} {{")
        where, last = body, 0
        for number, text in block.hidden + list(enumerate(block.text, block.line)):
            if text.startswith("#include"):
                includes.append(text)
                continue
            if text.startswith("int main("):
                if program:
                    raise Mistake(f"{page}:{number}: a second main()")
                where = program
                where.append(f"using namespace block_{index};")
                last = 0
            if number != last + 1:
                where.append(f'#line {number} "{page}"')
            where.append(text)
            last = number
        depth = sum(text.count("{") - text.count("}") for _, text in block.hidden)
        body.append("}" * depth + f"}}  // block_{index}")
    lines = list(dict.fromkeys(includes)) + [PROLOGUE] + body + (program or ["int main() {}"])
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def check(page, program):
    blocks = parse(page)
    expected = None
    for block, after in zip(blocks, blocks[1:] + [None]):
        if block.words == ["cpp", "run"] and after is not None and after.words == ["text"]:
            expected = "".join(line + "\n" for line in after.text)
    done = subprocess.run([program], capture_output=True, text=True, timeout=SECONDS, check=False)
    sys.stderr.write(done.stderr)
    if done.returncode != 0:
        raise Mistake(f"{page}: its program ended with status {done.returncode}\n{done.stdout}")
    if expected is not None and done.stdout != expected:
        raise Mistake(f"{page}: its program prints\n{done.stdout}instead of\n{expected}")


def links(pages):
    for page in pages:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target and not (page.parent / target).exists():
                raise Mistake(f"{page}: no such file: {target}")


SOURCES = ("include", "src", "tests", "examples", "benches", "cmake", ".ci")
FOLDERS = "include|src|tests|docs|detail|examples|benches|cmake"
FILE = rf"<?[\w./-]+\.(hpp|cpp|py|md|dot|cmake)>?|({FOLDERS})/[\w./-]*"
NAME = r"(~?\w+::)*~?\w+(\(\))?"
# Where a file may be that a page names: pages say detail/… for include/kioto/detail/….
ROOTS = ("", "include", "include/kioto", "src", "tests", "docs", "docs/design")


def all_words():
    words = set()
    for folder in SOURCES:
        for file in Path(folder).rglob("*"):
            words.add(file.stem)
            if file.suffix in {".hpp", ".cpp", ".py", ".cmake", ".txt", ".sh"}:
                words.update(re.findall(r"\w+", file.read_text(encoding="utf-8", errors="replace")))
    return words


def names(pages):
    words = all_words()
    files = {file.name for folder in SOURCES for file in Path(folder).rglob("*.?pp")}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for file, code in re.findall(r"<!-- from (\S+) -->\n```c\+\+\n(.*?)```", text, flags=re.S):
            if code not in Path(file).read_text(encoding="utf-8"):
                raise Mistake(f"{page}: this is not in {file}:\n{code}")
        text = re.sub(r"```.*?```", "", text, flags=re.S)
        for name in re.findall(r"`([^`\n]+)`", text):
            if re.fullmatch(FILE, name):
                file = name.strip("<>")
                there = any((Path(root) / file).exists() for root in ROOTS)
                if not there and ("/" in file or file not in files):
                    raise Mistake(f"{page}: no such file: {name}")
            elif re.fullmatch(NAME, name) and re.search(r"\(\)|::|\w_\w", name):
                for part in re.findall(r"\w+", name):
                    if part not in words:
                        raise Mistake(f"{page}: no such name: {name}")


def main(arguments):
    try:
        match arguments:
            case ["extract", page, out]:
                extract(Path(page), Path(out))
            case ["check", page, program]:
                check(Path(page), program)
            case ["links", *pages]:
                links([Path(page) for page in pages])
            case ["names", *pages]:
                names([Path(page) for page in pages])
            case _:
                sys.exit(__doc__)
    except Mistake as mistake:
        sys.exit(f"blocks.py: {mistake}")


main(sys.argv[1:])
