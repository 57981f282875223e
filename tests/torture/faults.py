"""The faults, each a function that tries one some times and returns its row."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from pipeline.execution import run as execution
from pipeline.execution.audit import discard, verify
from pipeline.execution.executors.cluster import Cluster
from pipeline.execution.todo import Settings, lying_at
from tests.torture.common import (
    FRAMES,
    ROOT,
    Row,
    committed,
    contents,
    finish,
    kill_group,
    let_work,
    problems,
    start,
    undisturbed,
    victim,
)

#: Shards of the toy plan: 14 of its first stage, 6 of its second.
SHARDS = 20
UNSHARE = ["unshare", *(["--user", "--map-root-user"] if os.getuid() else []), "--mount"]


def killed(
    folder: Path, times: int, draw: random.Random, kinds: tuple[str, ...] = ("processes", "share")
) -> Row:
    """Kill the whole process group at random moments; resume; compare at the end."""
    stage = {"sleep": 0.15, "size": 32}
    _, wanted = undisturbed(folder, **stage)
    kills = survived = rounds = 0
    while kills < times:
        cache = folder / f"killed-{rounds}"
        options = {"cache": str(cache), "logs": str(folder / "logs"), "frames": FRAMES}
        here = 0
        while kills < times and here < 6:
            kind = kinds[kills % len(kinds)]
            process = start(victim(**options, stage=stage, kind=kind))
            alive = let_work(process, cache, 0.25, draw)
            kill_group(process)
            if not alive:
                break
            kills += 1
            here += 1
        status, out = finish(start(victim(**options, stage=stage, kind=kinds[-1])))
        wrong = f"exit {status}: {out[-300:]}" if status else problems(cache, wanted)
        survived += here if not wrong else 0
        if wrong:
            return Row("kill -9 of the process group", kills, survived, wrong)
        rounds += 1
        shutil.rmtree(cache)
    return Row("kill -9 of the process group", kills, survived, f"{rounds} caches")


def worker_faults(folder: Path, fault: str, timeout: float, times: int) -> Row:
    """A worker that the kernel kills, or that hangs: the rest goes on, the shard is listed."""
    names = {"exhaust_on": "worker out of memory", "hang_on": "task hangs"}
    survived, note = 0, ""
    for number in range(times):
        cache = folder / f"{fault}-{number}"
        options = {"cache": str(cache), "logs": str(folder / "logs"), "frames": FRAMES}
        options |= {"stage": {fault: "train/02"}, "settings": {"retries": 1, "timeout": timeout}}
        kind = "processes" if number % 2 == 0 else "share"
        command = victim(**options, kind=kind)
        if fault == "exhaust_on":
            command = [sys.executable, "-m", "tests.torture.memory", *command]
        status, out = finish(start(command), 600)  # restarts are slow on a busy machine
        try:
            told = json.loads(out.strip().splitlines()[-1])
        except (ValueError, IndexError):
            note = out[-300:]
            continue
        direct = [name for name, _, skipped in told["failures"] if not skipped]
        others = committed(cache)
        good = status == 1 and {name.rsplit("/", 1)[0] for name in direct} == {"noise/train/02"}
        if good and others == SHARDS - 5:
            survived += 1
        else:
            note = f"{status}, {direct}, {others} committed"
    return Row(names[fault], times, survived, note)


def disk_full(folder: Path, step: int) -> Row:
    """A tmpfs that fills at every possible write, one page more each time; then room again."""
    command = [sys.executable, "-m", "tests.torture.disk", str(folder / "disk"), str(step)]
    command = [*UNSHARE, *command]
    status, out = finish(start(command), 900)
    try:
        tried, survived, note = json.loads(out.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return Row("disk full at every write", 1, 0, f"exit {status}: {out[-300:]}")
    return Row("disk full at every write", tried, survived, note)


def folder_removed(folder: Path, times: int, draw: random.Random) -> Row:
    """Remove a directory under a run; the same command once more makes the cache whole."""
    stage = {"sleep": 0.1, "size": 16}
    _, wanted = undisturbed(folder / "removed", **stage)
    survived, note = 0, ""
    for number in range(times):
        cache = folder / "removed" / str(number)
        options = {"cache": str(cache), "logs": str(folder / "logs"), "frames": FRAMES}
        options |= {"stage": stage, "settings": {"patience": 1.0}}
        process = start(victim(**options, kind="serial"))
        let_work(process, cache, 0.5, draw)
        there = [path for path in cache.rglob("*") if path.is_dir()]
        shutil.rmtree(draw.choice(there), ignore_errors=True)
        first, _ = finish(process)
        second, out = finish(start(victim(**options, kind="serial")))
        wrong = "" if first in (0, 1) and not second else f"exit {first}, {second}: {out[-300:]}"
        wrong = wrong or problems(cache, wanted)
        survived += not wrong
        note = wrong or note
    return Row("directory removed under a run", times, survived, note)


def bit_flips(folder: Path, times: int, draw: random.Random) -> Row:
    """Flip one bit in each of ``times`` files; verify names all, the repair computes just those."""
    frames = (16 * 10,) * max(2, times // 12)
    from tests.pipeline.toys import make_plan

    cache, calls = folder / "flipped", folder / "flips-calls"
    plan = make_plan(cache, frames=frames, log_calls=str(calls))
    threads = Cluster(kind="threads", workers=2)
    execution.run(plan, threads, Settings(), folder / "logs")
    wanted = contents(cache)
    calls.unlink()
    shards = sorted(cache.rglob("*.h5"))
    chosen = draw.sample(shards, min(times, len(shards)))
    for path in chosen:
        file = path if draw.random() < 0.7 else path.with_suffix(".json")
        data = bytearray(file.read_bytes())
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        file.write_bytes(data)
    named = {path for path, _ in verify(cache)}
    found = len(named & set(chosen))
    discard(sorted(named))
    summary = execution.run(plan, threads, Settings(), folder / "logs", lying_at(plan, named))
    wrong = problems(cache, wanted)
    noise = sum(path.parts[-5] == "noise" for path in named)
    lines = len(calls.read_text().splitlines())
    if named != set(chosen) or sum(summary.computed.values()) != len(chosen) or lines != noise:
        wrong = wrong or f"named {len(named)}, computed {sum(summary.computed.values())}"
    return Row("bit flips", len(chosen), 0 if wrong else found, wrong)


def together(folder: Path, runs: int, times: int, same: bool) -> Row:
    """Several runs at once on one cache: each shard is computed once, whoever wins."""
    stage = {"sleep": 0.05, "size": 16}
    kind = "same settings" if same else "different settings"
    name = f"{runs} runs at once, {kind}"
    survived, note = 0, ""
    for number in range(times):
        base = folder / f"together-{runs}-{same}-{number}"
        cache = base / "cache"
        base.mkdir()
        processes, calls = [], base / "calls"
        for index in range(runs):
            own = dict(stage) | {"size": 16 if same else 16 + index}
            if same:
                own["log_calls"] = str(calls)
            options = {"cache": str(cache), "logs": str(base / f"logs{index}"), "frames": FRAMES}
            kinds = ("processes", "share")
            processes.append(start(victim(**options, stage=own, kind=kinds[index % 2])))
        ends = [finish(process) for process in processes]
        wrong = next((out[-300:] for status, out in ends if status), "")
        bad = verify(cache)
        wrong = wrong or (bad[0][1] if bad else "")
        if same and not wrong:
            lines = [tuple(line.split()[:2]) for line in calls.read_text().splitlines()]
            wrong = "" if len(lines) == len(set(lines)) else f"{len(lines)} computed"
        records = SHARDS * (1 if same else runs)
        if not wrong and committed(cache) != records:
            wrong = f"{committed(cache)} of {records} committed"
        survived += not wrong
        note = wrong or note
    return Row(name, times, survived, note)


def network_file_system(folder: Path, times: int) -> Row:
    """Two runs with late names, torn renames and clocks two hours apart."""
    stage = {"sleep": 0.02, "size": 16}
    _, wanted = undisturbed(folder / "network", **stage)
    survived, note = 0, ""
    for number in range(times):
        cache = folder / "network" / str(number)
        ends = []
        for index, skew in enumerate((-3600.0, 3600.0)):
            options = {"cache": str(cache), "logs": str(folder / f"n{index}"), "frames": FRAMES}
            options |= {"stage": stage, "kind": "serial"}
            options |= {"network": {"seed": 2 * number + index, "skew": skew}}
            ends.append(start(victim(**options), HDF5_USE_FILE_LOCKING="TRUE"))
        told = [finish(process) for process in ends]
        wrong = next((out[-300:] for status, out in told if status), "")
        wrong = wrong or problems(cache, wanted)
        survived += not wrong
        note = wrong or note
    return Row("network file system and clock skew", times, survived, note)


def read_only(folder: Path) -> Row:
    """A cache that cannot be written: a finished one serves, an unfinished one is an error."""
    program = [sys.executable, "-m", "tests.torture.disk", str(folder / "read-only"), "read-only"]
    done = subprocess.run(
        [*UNSHARE, *program],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    try:
        tried, survived, note = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return Row("read-only cache", 1, 0, (done.stdout + done.stderr)[-300:])
    return Row("read-only cache", tried, survived, note)


def training_killed(folder: Path, times: int, draw: random.Random) -> Row:
    """Kill a training at random moments; resumed weights equal undisturbed ones bit for bit."""
    from tests.training.toys import write_dataset

    shards = write_dataset(folder / "data", {"train/01": 60, "train/02": 45}, size=32)
    command = [
        *(sys.executable, "-m", "training", "autoencoder", "--shards", str(shards)),
        *("--network", "spatial", "--architecture.channels", "[4,4,8,8]", "--batch", "2"),
        *("--epochs", "4"),
    ]
    status, out = finish(start([*command, "--out", str(folder / "peace")]))
    if status:
        return Row("training killed", 1, 0, out[-300:])
    wanted = (folder / "peace/weights.safetensors").read_bytes()
    kills = survived = rounds = 0
    while kills < times:
        run = folder / f"training-{rounds}"
        here = 0
        while kills < times and here < 5:
            process = start([*command, "--out", str(run)])
            give_up = time.monotonic() + draw.uniform(4.0, 12.0)
            while process.poll() is None and time.monotonic() < give_up:
                time.sleep(0.01)
            ended = process.poll() is not None
            kill_group(process)
            if ended:
                break
            kills += 1
            here += 1
        status, out = finish(start([*command, "--out", str(run)]))
        if status or (run / "weights.safetensors").read_bytes() != wanted:
            return Row("training killed", kills, survived, out[-300:] or "weights differ")
        survived += here
        rounds += 1
    return Row("training killed", kills, survived, f"{rounds} trainings")
