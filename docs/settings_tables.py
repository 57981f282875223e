"""Write the tables of settings.md from the command lines themselves, whenever the site is built.

What is shown is what ``--help`` shows: the parsers are asked, nothing is kept by hand.
"""

from __future__ import annotations

import importlib
import sys
from argparse import SUPPRESS, Action
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, capture_parser

from pipeline.base.cli import value_text

ROOT = Path(__file__).parents[1]
PROGRAMS = ("pipeline", "training", "evaluation")
MARK = "*The tables are written from the code when the site is built: `make docs`.*"
HIDDEN = {"help", "config", "print_config"}


@dataclass(frozen=True)
class Group:
    """Options that belong together, such as one dataclass of settings."""

    title: str
    prefix: str
    rows: tuple[tuple[str, str, str], ...]

    @property
    def name(self) -> str:
        """What the options are called together; the stages' groups are one."""
        if not self.prefix:
            return f"*{self.title}*"
        return "`stages`" if self.prefix.startswith("stages") else f"`{self.prefix}`"


def parsers(program: str) -> dict[str, ArgumentParser]:
    """Return the parsers of a program's commands by the command's name."""
    module = importlib.import_module(f"{program}.__main__")
    arguments, sys.argv = sys.argv, [program]
    try:
        parser = capture_parser(module.main)
    finally:
        sys.argv = arguments
    return dict(parser._subcommands_action._name_parser_map)


def groups(parser: ArgumentParser) -> Iterator[Group]:
    """Yield a command's groups of options; the first holds those that are the command's own."""
    own: list[tuple[str, str, str]] = []
    rest = []
    for group in parser._action_groups:
        rows = tuple(_row(action) for action in group._group_actions if _shown(action))
        if group.title in ("positional arguments", "options"):
            own += rows
        elif rows:
            first = next(a for a in group._group_actions if _shown(a))
            rest.append(Group(str(group.title), first.dest.rpartition(".")[0], rows))
    yield Group("", "", tuple(own))
    yield from rest


def markdown() -> str:
    """Return the tables of all commands of all programs."""
    parts = []
    for program in PROGRAMS:
        parts.append(f"## python -m {program}")
        shared: dict[Group, list[str]] = {}
        for command, parser in parsers(program).items():
            own, *rest = groups(parser)
            parts.append(f"### {program} {command}")
            parts += [_table(own.rows)] if own.rows else []
            if rest:
                names = dict.fromkeys(group.name for group in rest)
                parts.append(f"And the groups {', '.join(names)}.")
            for group in rest:
                shared.setdefault(group, []).append(command)
        for group, commands in shared.items():
            title = _cell(group.title)
            parts.append(f"### {f'`{group.prefix}`' if group.prefix else title}")
            parts.append(f"{f'{title}. ' if group.prefix else ''}For {', '.join(commands)}.")
            parts.append(_table(group.rows))
    return "\n\n".join(parts)


def _shown(action: Action) -> bool:
    kind = type(action).__name__
    hidden = action.dest in HIDDEN or action.help == SUPPRESS
    return not hidden and kind != "_ActionHelpClassPath"


def _row(action: Action) -> tuple[str, str, str]:
    name = action.option_strings[-1] if action.option_strings else action.dest
    required = action.required or not action.option_strings
    default = "*must be given*" if required else f"`{_default(action.default)}`"
    return f"`{name}`", default, _cell(str(action.help or ""))


def _default(value: Any) -> str:
    if isinstance(value, Path) and value.is_relative_to(ROOT):
        value = value.relative_to(ROOT)
    return _cell(value_text(value))


def _cell(text: str) -> str:
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())


def _table(rows: tuple[tuple[str, str, str], ...]) -> str:
    lines = ["| setting | default | |", "|---|---|---|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def fill(app: Any, docname: str, source: list[str]) -> None:
    """Put the tables into settings.md."""
    if MARK in source[0]:
        source[0] = source[0].replace(MARK, markdown())


def setup(app: Any) -> dict[str, Any]:
    """Connect :func:`fill` to Sphinx."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True}
