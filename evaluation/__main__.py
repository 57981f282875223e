"""``python -m evaluation``: shards and networks to scores, tables, figures and reports.

``--help`` after any command explains it. Presets are in evaluation/presets; one file holds
the settings of all commands:

    python -m evaluation score --config evaluation/presets/quick.yaml --run RUN --scoring.batch 4

Exit status: 0 done, 1 failed in part, 2 a wrong setting, 3 wrong data, 4 the machine.
"""

from __future__ import annotations

from pipeline.errors import run_main


def main() -> int | None:
    """Parse the command line and run the chosen command."""
    from jsonargparse import auto_cli, set_parsing_settings

    from evaluation import commands

    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    status: int | None = auto_cli(
        {
            "score": commands.score,
            "fuse": commands.fuse,
            "report": commands.report,
            "tables": commands.tables,
            "compare": commands.compare,
            "detect": commands.detect,
        },
        as_positional=False,
        prog="python -m evaluation",
        description=__doc__,
    )
    return status


if __name__ == "__main__":
    run_main(main)
