"""Workers as SLURM jobs, by dask-jobqueue: CPU jobs and GPU jobs under one scheduler.

The scheduler runs in this process. Every few seconds it looks at what waits for each kind
of job and at the queue: jobs are added up to the ceiling, idle ones given back down to the
floor, and those that left (their lifetime was over, they were cancelled, their node died)
are replaced while there is work.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipeline.base.errors import ConfigurationError, MachineError
from pipeline.execution.executors.base import WORKER_ENVIRONMENT
from pipeline.execution.executors.site import Jobs, Site
from pipeline.execution.executors.slurm_scaling import keep_scaled

if TYPE_CHECKING:
    from distributed import Client


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
            keep_scaled(first.scheduler, clusters, site), first.loop.asyncio_loop
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
            *(f"export {name}={value}" for name, value in WORKER_ENVIRONMENT.items()),
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
