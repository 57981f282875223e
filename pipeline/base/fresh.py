"""Run a command unless the very same one made what is there: how ``make`` decides here.

::

    python pipeline/base/fresh.py MADE... [--from FILE...] [--quiet] -- COMMAND...

What was made is fresh if the same words, with the same content in every file among them and
among ``FILE``, made it, and nobody changed it since. Time stamps play no part. Beside the
first of ``MADE`` a file ``.made`` holds what that was. The command itself knows best: where
anything differs it is called, and it says what it does, or refuses.

Run as a file and without site packages this takes 30 ms; it may import nothing but the
standard library.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: What was made is compared by content up to so many bytes, beyond it by being there.
LARGE = 4_000_000


def run(
    made: Sequence[str], files: Sequence[str], command: Sequence[str], quiet: bool = False
) -> int:
    """Run a command unless it made what is there, and return its exit status.

    Parameters
    ----------
    made
        Files that the command writes; the first stands for them in messages.
    files
        Files that it reads beside those that its words name.
    quiet
        Say nothing where nothing is to be done.
    """
    record = Path(f"{made[0]}.made")
    asked = request(files, command)
    before = _read(record)
    if before.get("from") == asked and before.get("made") == contents(made, LARGE):
        if not quiet:
            print(f"{made[0]}: up to date")
        return 0
    if Path(made[0]).exists() and before:
        print(f"{made[0]}: {'; '.join(reasons(before, asked))}", flush=True)
    status = _call(command)
    found = contents(made, LARGE)
    if status == 0 and None not in found.values():
        _write(record, {"from": asked, "made": found})
    return status


def request(files: Sequence[str], command: Sequence[str]) -> dict[str, Any]:
    """Return what is asked for: the words after the program's name, and the content of files.

    >>> request([], ["python", "-m", "training", "--p=0.9"])
    {'words': ['-m', 'training', '--p=0.9'], 'files': {}}
    """
    words = list(command[1:])
    named = [word.partition("=")[2] if word.startswith("--") else word for word in words]
    found = [name for name in named if name and _is_file(name)]
    return {"words": words, "files": contents([*files, *found])}


def contents(files: Sequence[str], most: float = float("inf")) -> dict[str, str | None]:
    """Return each file's SHA-256, ``large`` if it has more bytes than ``most``, None if missing."""
    return {str(file): _content(Path(file), most) for file in files}


def _content(path: Path, most: float) -> str | None:
    try:
        if path.stat().st_size > most:
            return "large"
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False


def reasons(before: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """Say in what two requests differ.

    >>> reasons({"from": {"words": ["--p", "0.4"], "files": {"a": "1"}}},
    ...         {"words": ["--p", "0.9"], "files": {"a": "2"}})
    ['a is another now', 'asked for now: 0.9', 'no longer: 0.4']
    """
    then = before.get("from", {"words": [], "files": {}})
    names = [n for n in asked["files"] if asked["files"][n] != then["files"].get(n)]
    new = [word for word in asked["words"] if word not in then["words"]]
    gone = [word for word in then["words"] if word not in asked["words"]]
    found = [f"{name} is another now" for name in names]
    found += [f"asked for now: {' '.join(new)}"] if new else []
    found += [f"no longer: {' '.join(gone)}"] if gone else []
    return found or ["it was changed since it was made"]


def _read(record: Path) -> dict[str, Any]:
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        return content if isinstance(content["from"]["files"], dict) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write(record: Path, content: dict[str, Any]) -> None:
    temporary = record.with_name(f".{record.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    temporary.replace(record)


def _call(command: Sequence[str]) -> int:
    """Run a command to its end; signals are its own business, so that it may end in order."""
    signal.signal(signal.SIGINT, lambda number, frame: None)  # a terminal's reaches the command too
    child = subprocess.Popen(list(command))
    signal.signal(signal.SIGTERM, lambda number, frame: child.send_signal(number))
    status = child.wait()
    return status if status >= 0 else 128 - status


def main(arguments: list[str]) -> int:
    """Take the command line apart and run it."""
    at = arguments.index("--")
    own, command = arguments[:at], arguments[at + 1 :]
    quiet = "--quiet" in own
    own = [word for word in own if word != "--quiet"]
    split = own.index("--from") if "--from" in own else len(own)
    return run(own[:split], own[split + 1 :], command, quiet)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
