"""Run a command beside a small memory cgroup, which its exhausting workers enter themselves.

``python -m tests.torture.memory COMMAND...``. The kernel's own killer then meets that worker.
Where no cgroup can be made, the command runs under an address-space limit instead, and what
is exhausted says so by MemoryError.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from pathlib import Path

LIMIT = 600_000_000


def make_group() -> Path | None:
    """Make a memory cgroup of either version; None where that is not allowed."""
    for base, limit in (
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        ("/sys/fs/cgroup", "memory.max"),
    ):
        group = Path(base) / f"torture-{os.getpid()}"
        try:
            group.mkdir()
            (group / limit).write_text(str(LIMIT))
            return group
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()
    return None


def main(command: list[str]) -> int:
    """Make the group, run the command, remove the group."""
    group = make_group()
    if group is None:
        resource.setrlimit(resource.RLIMIT_AS, (6 * LIMIT, 6 * LIMIT))
        return subprocess.run(command, check=False).returncode
    done = subprocess.run(command, check=False, env=os.environ | {"TORTURE_CGROUP": str(group)})
    with contextlib.suppress(OSError):
        group.rmdir()
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
