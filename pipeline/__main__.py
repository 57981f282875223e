"""``python -m pipeline``: videos to shards. ``--help`` after any command explains it."""

from __future__ import annotations

from pipeline.errors import run_main


def main() -> int | None:
    """Parse the command line and run the chosen command."""
    from jsonargparse import auto_cli, set_parsing_settings

    from pipeline import commands, tools

    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    status: int | None = auto_cli(
        {
            "run": commands.run,
            "status": commands.status,
            "why": commands.why,
            "verify": commands.verify,
            "gc": commands.gc,
            "models": tools.models,
            "demo": tools.demo,
        },
        as_positional=True,
        prog="python -m pipeline",
        description=__doc__,
    )
    return status


if __name__ == "__main__":
    run_main(main)
