"""Shards and networks to scores, tables, figures and reports.

``--help`` after any command explains it. Presets are in evaluation/presets; one file holds
the settings of all commands:

    python -m evaluation score --config evaluation/presets/quick.yaml --run RUN --scoring.batch 4
    python -m evaluation detect --run RUN VIDEO... --out OUT
    python -m evaluation compare RUN... --out OUT
    python -m evaluation tables DATASET... --which table1 --runs RUNS --out OUT

Exit status: 0 done, 1 failed in part, 2 a wrong setting, 3 wrong data, 4 the machine,
130 stopped by Ctrl-C. ``--debug`` shows tracebacks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pipeline.base.errors import run_main
from pipeline.base.presets import by_name

LISTS = {"detect": "--videos", "compare": "--runs", "tables": "--datasets"}
"""Commands that take a list, and the option that arguments without a name are for."""


def named(arguments: Sequence[str]) -> list[str]:
    """Give the arguments without a name the option that they are for.

    >>> named(["detect", "--run", "r", "a.mp4", "b.mp4", "--out", "o"])
    ['detect', '--run', 'r', '--out', 'o', '--videos', '["a.mp4", "b.mp4"]']
    """
    if not arguments or arguments[0] not in LISTS:
        return list(arguments)
    kept, free = [arguments[0]], []
    rest = iter(arguments[1:])
    for argument in rest:
        if not argument.startswith("-"):
            free.append(argument)
            continue
        kept.append(argument)
        if argument.startswith("--") and "=" not in argument and argument != "--help":
            value = None if argument.startswith("--print_") else next(rest, None)
            kept += [] if value is None else [value]
    return kept + ([LISTS[arguments[0]], json.dumps(free)] if free else [])


def main() -> int | None:
    """Parse the command line and run the chosen command."""
    from jsonargparse import auto_cli, set_parsing_settings

    from evaluation import commands, commands_diagnoses, commands_over_runs
    from pipeline.base.cli import Parser

    class ListParser(Parser):
        free = LISTS

    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    status: int | None = auto_cli(
        {
            "score": commands.score,
            "fuse": commands.fuse,
            "report": commands.report,
            "local": commands_diagnoses.local,
            "tables": commands_over_runs.tables,
            "compare": commands_over_runs.compare,
            "epochs": commands_diagnoses.epochs,
            "videos": commands_diagnoses.videos,
            "detect": commands.detect,
        },
        args=named(by_name(sys.argv[1:], Path(__file__).parent)),
        as_positional=False,
        parser_class=ListParser,
        config_help="A preset (YAML); options win over it.",
        prog="python -m evaluation",
        description=__doc__,
    )
    return status


def script() -> NoReturn:
    """Run as a console script."""
    run_main(main)


if __name__ == "__main__":
    script()
