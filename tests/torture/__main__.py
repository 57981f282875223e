"""``make torture``: every fault, many times; a table, and build/torture.json."""

from __future__ import annotations

import contextlib
import io
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tests.torture import faults
from tests.torture.common import ROOT, Row


def plans(folder: Path, seed: int) -> list[Callable[[], Row]]:
    """Return the faults of the long form."""
    draw = random.Random(seed)
    return [
        lambda: faults.killed(folder / "a", 50, draw),
        lambda: faults.worker_faults(folder / "b", "exhaust_on", 60.0, 4),
        lambda: faults.worker_faults(folder / "c", "hang_on", 1.0, 4),
        lambda: faults.disk_full(folder / "d", 1),
        lambda: faults.read_only(folder / "e"),
        lambda: faults.folder_removed(folder / "f", 10, draw),
        lambda: faults.bit_flips(folder / "g", 100, draw),
        lambda: faults.together(folder / "h", 2, 4, True),
        lambda: faults.together(folder / "i", 4, 3, True),
        lambda: faults.together(folder / "j", 2, 2, False),
        lambda: faults.together(folder / "k", 4, 2, False),
        lambda: faults.network_file_system(folder / "l", 10),
        lambda: faults.training_killed(folder / "m", 15, draw),
    ]


def main() -> int:
    """Run all faults; exit status 1 where one was not survived."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else int(time.time())
    print(f"seed {seed}")
    rows = []
    with tempfile.TemporaryDirectory(prefix="torture-", ignore_cleanup_errors=True) as temporary:
        for number, plan in enumerate(plans(Path(temporary), seed)):
            (Path(temporary) / "abcdefghijklm"[number]).mkdir()
            begun = time.monotonic()
            with contextlib.redirect_stderr(io.StringIO()):  # progress of each verify
                row = plan()
            rows.append(asdict(row) | {"seconds": round(time.monotonic() - begun)})
            print(
                f"{row.name:<40}{row.survived:>5} of {row.tried:<5}"
                f"{rows[-1]['seconds']:>6} s  {row.note}",
                flush=True,
            )
    path = ROOT / "build" / "torture.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"seed": seed, "rows": rows}, indent=1) + "\n")
    print(path)
    return int(any(row["tried"] != row["survived"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
