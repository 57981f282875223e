r"""Videos to shards. ``--help`` after any command explains it.

    python -m pipeline demo data/demo
    python -m pipeline run --config demo --source.manifest demo \
        --source.data data/demo --out runs/demo

Settings come from presets (``--config``) and options; the later one wins. ``--print_config``
prints what would be used.

Exit status: 0 done, 1 some shards failed, 2 a wrong setting, 3 wrong data, 4 the machine,
130 stopped by Ctrl-C: the same command goes on. ``--debug`` shows tracebacks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import auto_cli, set_parsing_settings

from pipeline.base.cli import Parser
from pipeline.base.errors import run_main
from pipeline.base.presets import by_name


def main() -> int | None:
    """Parse the command line and run the chosen command."""
    from pipeline import commands, commands_store, tools
    from pipeline.data.fetch import fetch
    from pipeline.data.own import new

    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    known: dict[str, Callable[..., Any]] = {
        "run": commands.run,
        "plan": commands.plan,
        "status": commands.status,
        "why": commands.why,
        "verify": commands.verify,
        "gc": commands.gc,
        "push": commands_store.push,
        "pull": commands_store.pull,
        "models": tools.models,
        "demo": tools.demo,
        "new": new,
        "fetch": fetch,
    }
    # The options of all commands take two seconds to make, those of one a third of one.
    named = [name for name in sys.argv[1:2] if name in known]
    status: int | None = auto_cli(
        {name: known[name] for name in named or known},
        args=by_name(sys.argv[1:], Path(__file__).parent),
        as_positional=True,
        parser_class=Parser,
        config_help="A preset (YAML); options win over it.",
        prog="python -m pipeline",
        description=__doc__,
    )
    return status


def script() -> NoReturn:
    """Run as a console script."""
    run_main(main)


if __name__ == "__main__":
    script()
