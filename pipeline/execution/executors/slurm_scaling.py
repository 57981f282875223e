"""How many SLURM jobs there are to be: by the tasks that wait, and by the jobs that left."""

from __future__ import annotations

import asyncio
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from pipeline.execution.executors.site import Jobs, Site

#: A job that was just submitted may not be listed yet.
UNLISTED_SECONDS = 20.0


def demand(tasks: Iterable[Any]) -> Counter[str]:
    """Count the tasks that could run now, by the kind of worker that they ask for."""
    waiting: Counter[str] = Counter()
    for task in tasks:
        if task.state in ("processing", "queued", "no-worker"):
            gpu = bool(task.resource_restrictions) and "GPU" in task.resource_restrictions
            waiting["GPU" if gpu else "CPU"] += 1
    return waiting


def wanted_jobs(waiting: int, jobs: Jobs) -> int:
    """Return how many jobs a demand is worth, between floor and ceiling.

    >>> [wanted_jobs(n, Jobs(cores=4, minimum=1, maximum=3)) for n in (0, 4, 5, 99)]
    [1, 1, 2, 3]
    """
    return min(max(math.ceil(waiting / jobs.cores), jobs.minimum), jobs.maximum)


async def keep_scaled(scheduler: Any, clusters: dict[str, Any], site: Site) -> None:
    """Look at tasks and queue every few seconds, without end, and submit or give back jobs."""
    submitted: dict[str, float] = {}
    worked: dict[str, float] = {}
    while True:
        waiting = demand(scheduler.tasks.values())
        try:
            listed = await _listed_jobs()
        except (RuntimeError, OSError) as error:
            print(f"warning: squeue: {error}; trying again", file=sys.stderr)
            listed = None
        for kind, jobs in (("CPU", site.cpu), ("GPU", site.gpu)):
            if jobs is None:
                continue
            if listed is not None:
                _forget_lost(clusters[kind], listed, submitted)
            try:
                wanted = wanted_jobs(waiting[kind], jobs)
                await _scale(scheduler, clusters[kind], wanted, worked, site.idle)
            except RuntimeError as error:
                print(f"warning: sbatch: {error}; trying again", file=sys.stderr)
        await asyncio.sleep(site.interval)


async def _listed_jobs() -> set[str]:
    """Return the ids of this user's jobs that wait or run."""
    process = await asyncio.create_subprocess_exec(
        *("squeue", "--noheader", "--user", str(os.getuid()), "--format", "%A"),
        *("--states", "PENDING,CONFIGURING,RUNNING,SUSPENDED,REQUEUED"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    if process.returncode:
        raise RuntimeError(error.decode().strip())
    return set(out.decode().split())


def _forget_lost(cluster: Any, listed: set[str], submitted: dict[str, float]) -> None:
    """Forget jobs that are in the queue no more, so that scaling replaces them."""
    for name, job in list(cluster.workers.items()):
        if job.job_id is None:
            continue
        since = submitted.setdefault(job.job_id, time.monotonic())
        if job.job_id not in listed and time.monotonic() - since > UNLISTED_SECONDS:
            cluster.workers.pop(name)
            cluster.worker_spec.pop(name, None)


async def _scale(
    scheduler: Any, cluster: Any, wanted: int, worked: dict[str, float], idle: float
) -> None:
    """Submit the jobs that are wanted; give back those above it that were idle long enough.

    An idle job's results move to other workers first. Where there is none to take them, the
    job stays: without it they would have to be computed again.
    """
    now = time.monotonic()
    workers = {name: _workers_of(scheduler, name) for name in cluster.worker_spec}
    for name, members in workers.items():
        if name not in worked or any(worker.processing for worker in members):
            worked[name] = now
    rested = [name for name in workers if now - worked[name] > idle]
    changed = False
    for name in rested[: max(0, len(workers) - wanted)]:
        addresses = [worker.address for worker in workers[name]]
        if addresses and len(await _retire(scheduler, addresses)) < len(addresses):
            continue
        cluster.worker_spec.pop(name)
        worked.pop(name)
        changed = True
    while len(cluster.worker_spec) < wanted:
        cluster.worker_spec.update(cluster.new_worker_spec())
        changed = True
    if changed:
        await cluster._correct_state()


async def _retire(scheduler: Any, addresses: list[str]) -> Any:
    return await scheduler.retire_workers(
        workers=addresses, close_workers=True, remove=True, stimulus_id=f"idle-{time.time()}"
    )


def _workers_of(scheduler: Any, name: str) -> list[Any]:
    """Return the worker processes of a job, as the scheduler knows them."""
    return [
        worker
        for worker in scheduler.workers.values()
        if worker.name == name or str(worker.name).startswith(f"{name}-")
    ]
