"""``python -m pipeline``: videos to shards. ``--help`` after any command explains it."""

from __future__ import annotations

import sys
from typing import NoReturn

from jsonargparse import ArgumentParser, auto_cli, set_parsing_settings

from pipeline.errors import ConfigurationError, run_main


class Parser(ArgumentParser):
    """Says in one line what is wrong with a command line, without the list of all options."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:  # type: ignore[override]
        """Print the message and where help is, and exit as for any wrong setting."""
        program = self.prog.replace(" [options]", "")
        print(f"error: {message}\n{program} --help explains every option", file=sys.stderr)
        sys.exit(ConfigurationError.exit_status)


def main() -> int | None:
    """Parse the command line and run the chosen command."""
    from pipeline import commands, tools
    from pipeline.fetch import fetch
    from pipeline.new import new

    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    status: int | None = auto_cli(
        {
            "run": commands.run,
            "plan": commands.plan,
            "status": commands.status,
            "why": commands.why,
            "verify": commands.verify,
            "gc": commands.gc,
            "models": tools.models,
            "demo": tools.demo,
            "new": new,
            "fetch": fetch,
        },
        as_positional=True,
        parser_class=Parser,
        prog="python -m pipeline",
        description=__doc__,
    )
    return status


if __name__ == "__main__":
    run_main(main)
