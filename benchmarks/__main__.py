"""``python -m benchmarks``: every claim about speed beside its peer, in one table.

Prints the table and writes ``build/bench.json``: versions, processor and ``rows``. Name
topics to run only those: ``python -m benchmarks flow scoring``.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import platform
import sys
import time
from pathlib import Path

import benchmarks
from benchmarks.common import Row
from pipeline.base.environment import cores
from pipeline.base.errors import ConfigurationError, run_main
from pipeline.execution.task import library_versions


def topics() -> list[str]:
    """Return the names of all modules here that have rows."""
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]
    return [
        name
        for name in sorted(names)
        if not name.startswith("_")
        and "\ndef rows(" in Path(benchmarks.__path__[0], f"{name}.py").read_text(encoding="utf-8")
    ]


def processor() -> str:
    """Return the processor's name, as far as the system tells."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def line(row: Row) -> str:
    """Return a row for people."""
    goal = "" if row.goal is None else f"{row.goal:g}"
    return (
        f"{row.name:<26}{row.ours:>12.5g}{row.peer:>12.5g}{row.ratio:>9.3g}{goal:>8}  "
        f"{row.unit:<16}{row.note}"
    )


def main() -> None:
    """Run the named topics, or all, one after the other."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(f"{__doc__}\nTopics: {', '.join(topics())}.")
        return
    wanted = sys.argv[1:] or topics()
    unknown = [name for name in wanted if name not in topics()]
    if unknown:
        raise ConfigurationError(f"topic {unknown[0]!r} is none of {', '.join(topics())}")
    print(f"{'row':<26}{'ours':>12}{'peer':>12}{'ratio':>9}{'goal':>8}  {'unit':<16}note")
    rows: list[Row] = []
    for name in wanted:
        for row in importlib.import_module(f"benchmarks.{name}").rows():
            print(line(row), flush=True)
            rows.append(row)
    out = Path("build/bench.json")
    out.parent.mkdir(exist_ok=True)
    content = {
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processor": processor(),
        "cores": cores(),
        "python": platform.python_version(),
        "versions": library_versions(),
        "rows": [row.as_dict() for row in rows],
    }
    out.write_text(json.dumps(content, indent=1) + "\n")
    print(out)


if __name__ == "__main__":
    run_main(main)
