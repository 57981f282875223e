"""Run a command in a memory cgroup, so that the kernel's own killer meets its workers.

``python -m tests.torture.memory COMMAND...``. Where no cgroup can be made, the command runs
under an address-space limit instead, and what is exhausted says so by MemoryError.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from pathlib import Path

LIMIT = 1_200_000_000


def main(command: list[str]) -> int:
    """Make the group, run the command in it, remove the group."""
    group = Path("/sys/fs/cgroup/memory") / f"torture-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(LIMIT))
    except OSError:
        with contextlib.suppress(OSError):
            group.rmdir()
        group = Path("/sys/fs/cgroup") / f"torture-{os.getpid()}"
        try:
            group.mkdir()
            (group / "memory.max").write_text(str(LIMIT))
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()
            resource.setrlimit(resource.RLIMIT_AS, (3 * LIMIT, 3 * LIMIT))
            return subprocess.run(command, check=False).returncode

    def enter() -> None:
        (group / "cgroup.procs").write_text("0")

    done = subprocess.run(command, check=False, preexec_fn=enter)
    with contextlib.suppress(OSError):
        group.rmdir()
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
