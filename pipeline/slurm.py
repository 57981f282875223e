"""Workers as SLURM jobs, by dask-jobqueue: CPU jobs and GPU jobs under one scheduler.

The scheduler runs in this process. Every few seconds it looks at what waits for each kind
of job and at the queue: jobs are added up to the ceiling, idle ones given back down to the
floor, and those that left (their lifetime was over, they were cancelled, their node died)
are replaced while there is work.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pipeline.cluster import ONE_THREAD
from pipeline.errors import ConfigurationError, MachineError
from pipeline.site import Jobs, Site
from pipeline.task import WORKER_MARK

if TYPE_CHECKING:
    from distributed import Client

#: A job that was just submitted may not be listed yet.
UNLISTED_SECONDS = 20.0


@contextlib.contextmanager
def slurm_client(site: Site) -> Iterator[Client]:
    """Give a client whose workers are SLURM jobs, scaled by what waits for them.

    Raises
    ------
    ConfigurationError
        If SLURM or dask-jobqueue is not installed here, or SLURM refuses such a job.
    """
    SLURMCluster = _cluster_class()
    if shutil.which("sbatch") is None:
        raise ConfigurationError(
            "cluster.kind: slurm, but there is no sbatch here; run on a login node of the cluster"
        )
    from distributed import Client

    security = site.security()
    if not site.is_loopback() and security is None:
        print(
            "warning: the scheduler listens on the network without TLS, so whoever reaches it can "
            "run code as you; docs/clusters.md shows how to set tls",
            file=sys.stderr,
        )
    warnings.filterwarnings("ignore", "Scheduler already contains a plugin", UserWarning)
    clusters: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        first: Any = SLURMCluster(
            scheduler_options=scheduler_options(site), **job_options("CPU", site.cpu, site)
        )
        clusters["CPU"] = stack.enter_context(first)
        if site.gpu:
            joined: Any = SLURMCluster(
                scheduler_cls=joined_scheduler(first.scheduler.address, security),
                loop=first.loop,
                **job_options("GPU", site.gpu, site),
            )
            # Closing it must not end the scheduler that the other still needs.
            joined.shutdown_scheduler = False
            clusters["GPU"] = stack.enter_context(joined)
        for cluster in clusters.values():
            check_script(cluster.job_script())
        client = stack.enter_context(Client(first, security=security))
        print(f"scheduler {first.scheduler.address}, dashboard {first.dashboard_link}", flush=True)
        scaler = asyncio.run_coroutine_threadsafe(
            _keep_scaled(first.scheduler, clusters, site), first.loop.asyncio_loop
        )
        stack.callback(scaler.cancel)
        yield client


def _cluster_class() -> Any:
    """Import dask-jobqueue, and take back Ctrl-C, for which its import sets a handler."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        import bokeh  # noqa: F401
        from dask_jobqueue import SLURMCluster
    except ImportError as error:
        raise ConfigurationError(
            f"cluster.kind: slurm needs the package {error.name}: "
            "pip install -c constraints.txt -e '.[slurm]'"
        ) from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)
    return SLURMCluster


def scheduler_options(site: Site) -> dict[str, Any]:
    """Return where the scheduler listens: on loopback unless the site says otherwise."""
    options: dict[str, Any] = {"dashboard_address": site.dashboard}
    if site.interface:
        return options | {"interface": site.interface}
    return options | {"host": site.host or "127.0.0.1"}


def job_options(kind: str, jobs: Jobs, site: Site) -> dict[str, Any]:
    """Return dask-jobqueue's parameters for one kind of job."""
    environment = {**ONE_THREAD, WORKER_MARK: "1"}
    options: dict[str, Any] = {
        "name": kind.lower(),
        "job_name": f"pipeline-{kind.lower()}",
        "queue": jobs.partition or None,
        "account": jobs.account or None,
        "walltime": jobs.walltime,
        "cores": jobs.cores,
        "processes": jobs.cores,
        "job_cpu": jobs.cpus or jobs.cores,
        "memory": jobs.memory,
        "python": sys.executable,
        "local_directory": site.scratch or "/tmp",
        "log_directory": site.logs,
        "death_timeout": 120,
        "job_directives_skip": list(jobs.skip_directives),
        "job_extra_directives": [
            *([f"--gres=gpu:{jobs.gpus}"] if jobs.gpus else []),
            *jobs.directives,
        ],
        "job_script_prologue": [
            *(f"export {name}={value}" for name, value in environment.items()),
            *jobs.prologue,
        ],
        "worker_extra_args": [
            "--resources",
            f"{kind}=1",
            "--lifetime",
            f"{jobs.lifetime()}s",
            "--lifetime-stagger",
            f"{jobs.lifetime() // 50}s",
        ],
        "security": site.security(),
    }
    if site.interface:
        options["interface"] = site.interface
    elif site.is_loopback():
        options["worker_extra_args"] += ["--host", "127.0.0.1"]
    return options


def joined_scheduler(address: str, security: Any) -> type:
    """Return what dask-jobqueue takes for a scheduler, and is the one at ``address``."""
    from distributed.core import Status
    from distributed.deploy.spec import ProcessInterface

    class Joined(ProcessInterface):
        def __init__(self, **ignored: Any):
            super().__init__()
            self.address = address
            self.status = Status.running
            self.security = security

    return Joined


def check_script(script: str) -> None:
    """Ask SLURM whether it would take a job, without submitting it.

    Raises
    ------
    ConfigurationError
        With SLURM's own words.
    """
    try:
        asked = subprocess.run(
            ["sbatch", "--test-only"],
            input=script,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MachineError("sbatch does not answer within a minute; is SLURM up?") from None
    if asked.returncode:
        raise ConfigurationError(f"SLURM refuses the site's jobs: {asked.stderr.strip()}")


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


async def _keep_scaled(scheduler: Any, clusters: dict[str, Any], site: Site) -> None:
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
