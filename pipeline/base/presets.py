"""Presets by name: ``--config demo`` in place of a path, also where only a wheel is installed."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from pipeline.base.errors import ConfigurationError

FOLDERS = ("presets", "methods", "variants")
"""Where a package keeps its YAML files."""


def shipped(package: Path) -> dict[str, Path]:
    """Return the presets, methods and variants of a package by name."""
    return {path.stem: path for name in FOLDERS for path in sorted((package / name).glob("*.yaml"))}


def by_name(arguments: Sequence[str], package: Path) -> list[str]:
    """Replace names after ``--config`` by the paths of the package's own files.

    A file of that name comes first; what looks like a path is left as it is.

    Raises
    ------
    ConfigurationError
        If a name is neither; it lists which there are.

    >>> by_name(["run", "--config", "my/own.yaml"], Path("pipeline"))
    ['run', '--config', 'my/own.yaml']
    """
    done: list[str] = []
    for at, argument in enumerate(arguments):
        if argument.startswith("--config="):
            argument = f"--config={_path(argument.partition('=')[2], package)}"
        elif at and arguments[at - 1] == "--config":
            argument = _path(argument, package)
        done.append(argument)
    return done


def _path(name: str, package: Path) -> str:
    path = Path(name)
    if path.exists() or path.suffix or path.name != name or not name:
        return name
    known = shipped(package)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigurationError(
            f"config: {name!r} is no file and none of {', '.join(known)}{hint}"
        )
    return str(known[name])
