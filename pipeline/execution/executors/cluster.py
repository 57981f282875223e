"""Where the graph runs: worker processes or threads here, SLURM, or a running scheduler."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.base.environment import cores
from pipeline.base.errors import ConfigurationError, MachineError
from pipeline.execution.executors.site import Site, load_site
from pipeline.execution.task import WORKER_MARK
from pipeline.stages.base import Stage

# Clients are `Any` here: jsonargparse would import Dask to look at their type.
#: How often to look for workers that are gone for good.
KEEP_SECONDS = 2.0
#: How long a scheduler may take to answer.
CONNECT_SECONDS = 15
#: How long a local cluster may take to close before its processes are killed.
CLOSE_SECONDS = 15
#: One thread a worker for everything that would start its own: workers share the cores.
ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "OPENCV_FFMPEG_THREADS",
    ),
    "1",
)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where shards are computed."""

    kind: str = "processes"
    """``processes`` (or ``local``: worker processes on this machine), ``threads`` (in this
    process), ``slurm`` (dask-jobqueue), or a scheduler's address such as
    ``tcp://10.0.0.1:8786``."""
    workers: int = 0
    """Number of workers; 0 for one a core (``slurm``: the site's YAML says how many)."""
    site: str = ""
    """A cluster's YAML (docs/clusters.md): needed by ``slurm``, and by an address for TLS."""

    def __post_init__(self) -> None:
        if self.kind not in ("processes", "local", "threads", "slurm") and "://" not in self.kind:
            raise ConfigurationError(
                f"cluster.kind: {self.kind!r} is none of processes, local, threads, slurm, "
                "nor an address such as tcp://HOST:8786"
            )
        if self.workers < 0:
            raise ConfigurationError(f"cluster.workers: {self.workers} is negative")
        if self.kind == "slurm" and not self.site:
            raise ConfigurationError(
                "cluster.site: slurm needs the cluster's YAML, SITE=site.yaml; "
                "docs/clusters.md shows one to start from"
            )

    def read_site(self) -> Site:
        """Return the site's YAML as read, or its defaults where none is named."""
        return load_site(self.site) if self.site else Site()


@contextlib.contextmanager
def connect(settings: Cluster) -> Iterator[Any]:
    """Give a Dask client of the chosen cluster, and take down what was started for it.

    What is started listens on this machine alone, unless a site's YAML says otherwise.
    """
    import dask
    from distributed import Client

    # A shard that kills its workers is given up by its claim, which blames that shard alone;
    # Dask's own limit would also blame every task that waits on the same worker.
    dask.config.set(
        {
            "distributed.scheduler.allowed-failures": 1000,
            "distributed.worker.daemon": True,
            # An overloaded machine may keep a process from answering for longer than 30 s.
            "distributed.comm.timeouts.tcp": "300s",
            # Dask would close a worker for good that takes longer than 15 s to start again.
            "distributed.deploy.lost-worker-timeout": "1h",
            "distributed.admin.large-graph-warning-threshold": "1GB",
            # Samples of every worker's stack a hundred times a second, for a dashboard.
            "distributed.worker.profile.enabled": False,
        }
    )
    site = settings.read_site()
    if settings.kind == "slurm":
        from pipeline.execution.executors.slurm import slurm_client

        with slurm_client(site) as client:
            yield client
    elif "://" in settings.kind:
        failure = ""
        try:
            client = Client(settings.kind, timeout=CONNECT_SECONDS, security=site.security())
        except (OSError, TypeError) as error:
            failure = str(error) or type(error).__name__
        if failure:
            # The client that failed closes itself when it is collected, which waits for ever
            # if that happens while the next one starts: collect it now.
            gc.collect()
            raise MachineError(
                f"cluster.kind: no scheduler answers at {settings.kind} ({failure}); "
                "start one with `dask scheduler`, or choose processes; a tls:// address needs "
                "the certificates of a site's YAML"
            )
        with client:
            yield client
    else:
        cluster = _local_cluster(settings)
        keeper = asyncio.run_coroutine_threadsafe(_keep_workers(cluster), cluster.loop.asyncio_loop)
        try:
            with Client(cluster) as client:
                try:
                    yield client
                finally:
                    # Of an interrupted run the scheduler would report every task to nobody.
                    logging.getLogger("distributed.scheduler").setLevel(logging.CRITICAL + 1)
        finally:
            keeper.cancel()
            _close(cluster)


async def _keep_workers(cluster: Any) -> None:
    """Start a worker anew whose nanny gave up, such as one that died while it was starting."""
    from distributed.core import Status

    while True:
        await asyncio.sleep(KEEP_SECONDS)
        gone = [
            name
            for name, worker in cluster.workers.items()
            if worker.status in (Status.closed, Status.failed)
        ]
        for name in gone:
            del cluster.workers[name]
        if gone:
            await cluster._correct_state()


def _close(cluster: Any) -> None:
    """Close a local cluster; end its worker processes by force where that takes too long.

    A nanny whose worker is just being started again waits for it without end.
    """
    with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
        cluster.close(timeout=CLOSE_SECONDS)
        return
    for nanny in cluster.workers.values():
        process: Any = getattr(getattr(nanny, "process", None), "process", None)
        with contextlib.suppress(OSError, AttributeError, TypeError, ValueError):
            os.kill(process.pid, signal.SIGKILL)


def _local_cluster(settings: Cluster) -> Any:
    from distributed import LocalCluster

    workers = settings.workers or cores()
    warnings.filterwarnings("ignore", "Port 8787 is already in use", UserWarning)
    if settings.kind == "threads":
        return LocalCluster(
            n_workers=1,
            threads_per_worker=workers,
            processes=False,
            dashboard_address=None,
            memory_limit=0,
        )
    os.environ.update({name: "1" for name in ONE_THREAD if name not in os.environ})
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        env={**ONE_THREAD, WORKER_MARK: "1"},
        silence_logs="CRITICAL",
    )


def stage_resources(
    settings: Cluster, workers: Mapping[str, Mapping[str, Any]], stage: Stage
) -> dict[str, float] | None:
    """Return what a stage's tasks ask of a worker, so that CPU and GPU stages part company.

    Parameters
    ----------
    workers
        The scheduler's workers, each with its ``resources``. Where they declare neither
        ``CPU`` nor ``GPU``, tasks ask for nothing and run anywhere.
    """
    site = settings.read_site()
    if settings.kind == "slurm":
        offered = {"CPU", "GPU"} if site.gpu else {"CPU"}
    else:
        offered = {name for worker in workers.values() for name in worker.get("resources", {})}
    kind = "GPU" if "GPU" in offered and site.on_gpu(stage) else "CPU"
    return {kind: 1} if kind in offered else None
