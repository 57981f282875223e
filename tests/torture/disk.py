"""A full and a read-only file system; run in a mount namespace of its own, which ends with it.

``unshare --mount python -m tests.torture.disk FOLDER STEP`` or ``... FOLDER read-only``.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

from pipeline.base.errors import MachineError
from pipeline.execution.audit import verify
from pipeline.execution.task import run_task
from pipeline.execution.todo import Settings, Summary, missing_shards, video_tasks
from tests.pipeline.toys import make_plan
from tests.torture.common import contents, problems

PAGE = 4096


def mount(folder: Path, *options: str) -> None:
    """Mount a tmpfs, or change one."""
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    subprocess.run(command, check=True, capture_output=True)


def run_all(cache: Path, logs: Path) -> int:
    """Run the toy plan task after task; return how many met the machine's failure."""
    from pipeline.execution.outputs import write_recipes

    plan = make_plan(cache, frames=(40, 17), size=32)
    failed = 0
    try:
        write_recipes(plan)
    except OSError:
        failed += 1
    for video, left in missing_shards(plan, Summary()):
        for tasks in video_tasks(plan, video, left, Settings(patience=0), logs).values():
            for task in tasks:
                try:
                    failed += bool(run_task(task).error)
                except (MachineError, OSError):
                    failed += 1
    return failed


def full(folder: Path, step: int) -> tuple[int, int, str]:
    """Fill a disk that is one step larger each time, then give it room and resume."""
    peace, logs, disk = folder / "peace", folder / "logs", folder / "full"
    disk.mkdir(parents=True)
    run_all(peace, logs)
    wanted = contents(peace)
    tried = survived = 0
    note = ""
    for pages in range(1, 10_000, step):
        mount(disk, f"size={pages * PAGE}")
        failed = run_all(disk / "cache", logs)
        wrong = ""
        found = contents(disk / "cache")
        if any(wanted.get(name) != data for name, data in found.items() if name.endswith(".json")):
            wrong = f"{pages} pages: a record that is not right"
        bad = verify(disk / "cache")
        if bad:
            wrong = f"{pages} pages: {bad[0][1]}"
        mount(disk, "remount", "size=64m")
        wrong = wrong or ("fails with room again" if run_all(disk / "cache", logs) else "")
        wrong = wrong or problems(disk / "cache", wanted)
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
        tried += 1
        survived += not wrong
        note = wrong or note
        if not failed:
            break
    return tried, survived, note or f"until {pages} pages of {PAGE} bytes sufficed"


def read_only(folder: Path) -> tuple[int, int, str]:
    """Read a finished read-only cache, and try to write into an unfinished one."""
    disk, logs = folder / "disk", folder / "logs"
    disk.mkdir(parents=True)
    mount(disk, "size=64m")
    run_all(disk / "cache", logs)
    before = contents(disk / "cache")
    mount(disk, "remount", "ro")
    with contextlib.redirect_stderr(io.StringIO()):
        served = run_all(disk / "cache", logs) == 0 and not verify(disk / "cache")
        plan = make_plan(disk / "cache", frames=(40, 17), size=33)
        said = 0
        for video, left in missing_shards(plan, Summary()):
            for task in video_tasks(plan, video, left, Settings(), logs)["noise"]:
                try:
                    run_task(task)
                except MachineError as error:
                    said += "read-only" in str(error)
    unchanged = contents(disk / "cache") == before
    return 2, int(served and unchanged) + int(said == 5), f"{said} of 5 said so"


if __name__ == "__main__":
    where, what = Path(sys.argv[1]), sys.argv[2]
    where.mkdir(parents=True)
    print(json.dumps(read_only(where) if what == "read-only" else full(where, int(what))))
