"""What the pages say to type, and the parsers and targets that know what can be typed."""

from __future__ import annotations

import functools
import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jsonargparse import ArgumentParser, capture_parser

from tests.documents import ROOT

#: All pages; those of docs that only include another file are that file.
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "data_manifests/README.md")
    if path.name != "CHANGELOG.md" and "```{include}" not in path.read_text(encoding="utf-8")
)
PROGRAMS = ("pipeline", "training", "evaluation")
FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
ENDS = re.compile(r"^(&&|\|\|?|;|>|>>|2>|<|done|do)$")
#: What a page leaves for the reader to fill in.
OPEN = re.compile(r"\.\.\.|<Tab>")
#: Names that a page makes, or that stand for any.
NOT_HERE = re.compile(r"NAME|FILE|STAGE|edges|campus|gate\.yaml|<|\{")


@dataclass(frozen=True)
class Command:
    """One call of a program on a page.

    Attributes
    ----------
    page, line
        Where it stands.
    words
        The program and its arguments, as a shell would split them.
    whole
        Whether it stands in a block, to be typed as it is, and not in a sentence.
    """

    page: str
    line: int
    words: tuple[str, ...]
    whole: bool

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {shlex.join(self.words)}"


@functools.cache
def text(page: str) -> str:
    """Return a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, *languages: str) -> list[tuple[int, str]]:
    """Return (line, code) of a page's fenced blocks in one of some languages."""
    return [
        (_line(page, found.start()) + 1, found[2])
        for found in FENCE.finditer(text(page))
        if found[1] in languages
    ]


def spans(page: str) -> list[tuple[int, str]]:
    """Return (line, code) of what stands in single backquotes."""
    prose = FENCE.sub(lambda found: "\n" * found[0].count("\n"), text(page))
    return [
        (prose.count("\n", 0, found.start()) + 1, " ".join(found[1].split()))
        for found in CODE.finditer(prose)
    ]


def commands(page: str) -> list[Command]:
    """Return all calls of make, of Python's modules and of pytest on a page."""
    found = []
    for line, code in blocks(page, "sh", "console", ""):
        console = re.search(r"^\$ ", code, re.MULTILINE)
        for number, entry in _lines(code):
            if not console or entry.startswith("$ "):
                found += typed(page, line + number, entry.removeprefix("$ "), True)
    for line, code in spans(page):
        if re.match(r"(make|pytest|\S*python\d?) ", code):
            found += typed(page, line, code, False)
    return found


def missing(checked: Iterable[tuple[object, str]]) -> list[str]:
    """Return what is wrong with a page, a line each."""
    return [f"{where}: {what}" for where, what in checked]


def _line(page: str, position: int) -> int:
    return text(page).count("\n", 0, position) + 1


def _lines(code: str) -> Iterator[tuple[int, str]]:
    """Yield (number, line), lines that end in a backslash joined with the next."""
    begun, first = "", 0
    for number, line in enumerate(code.splitlines()):
        first = number if not begun else first
        begun += line.removesuffix("\\")
        if not line.endswith("\\"):
            yield first, begun
            begun = ""


def typed(page: str, line: int, text: str, whole: bool) -> Iterator[Command]:
    """Yield the calls in a line that a shell would run."""
    try:
        words = shlex.split(text.replace(";", " ; "), comments=True)
    except ValueError:  # prose in a block
        return
    while words:
        end = next((n for n, word in enumerate(words) if ENDS.match(word)), len(words))
        one, words = words[:end], words[end + 1 :]
        while one and re.fullmatch(r"[A-Z_]+=.*", one[0]):
            one = one[1:]
        for start, word in enumerate(one):
            if word.startswith("make ") and start:  # a command inside a command
                yield from typed(page, line, word, whole)
        if one and (one[0] in ("make", "pytest") or re.fullmatch(r"(\S*/)?python", one[0])):
            yield Command(page, line, tuple(one), whole)


# ---------------------------------------------------------------- what there is


@functools.cache
def targets() -> frozenset[str]:
    """Return the targets that make knows."""
    done = subprocess.run(
        ["make", "-pRrq", "VENV=nowhere", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    return frozenset(
        name
        for before, line in zip(["", *lines], lines, strict=False)
        if before != "# Not a target:"
        for name in re.findall(r"^([\w.%/-]+):(?!=)", line)
    )


@functools.cache
def variables() -> frozenset[str]:
    """Return the names of make's variables that the Makefile reads."""
    made = "".join((ROOT / name).read_text() for name in ("Makefile", "tables.mk", ".ci/bare"))
    given = " ".join(re.findall(r"^GIVEN *:= *((?:.*\\\n)*.*)", made, re.MULTILINE))
    read = re.findall(r"\$\$?[({](?:call \w+,|or \$\()?(\w+)", made)
    return frozenset(read) | frozenset(re.findall(r"\b[A-Z]\w+", given))


@functools.cache
def parsers(program: str, network: str = "") -> dict[str, ArgumentParser]:
    """Return the parsers of a program's commands by the command's name.

    The sections that ``training autoencoder`` takes of a preset depend on the network.
    """
    main = importlib.import_module(f"{program}.__main__").main
    words, sys.argv = (
        sys.argv,
        [program, *(["autoencoder", "--network", network] if network else [])],
    )
    try:
        return dict(capture_parser(main)._subcommands_action._name_parser_map)
    finally:
        sys.argv = words


@functools.cache
def options() -> frozenset[str]:
    """Return the names of all options of the three programs."""
    return frozenset(
        name
        for program in PROGRAMS
        for parser in parsers(program).values()
        for name in parser._option_string_actions
    )


def source(module: str) -> Path | None:
    """Return the file that ``python -m MODULE`` runs, if there is one."""
    path = ROOT / module.replace(".", "/")
    found = (path / "__main__.py", path.with_suffix(".py"))
    return next((file for file in found if file.is_file()), None)
