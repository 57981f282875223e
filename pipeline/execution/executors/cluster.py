"""Where the graph runs: worker processes or threads here, SLURM, or a running scheduler."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.base.device import gpu_ids
from pipeline.base.environment import cores
from pipeline.base.errors import ConfigurationError, MachineError
from pipeline.execution.executors.base import ONE_THREAD, WORKER_ENVIRONMENT
from pipeline.execution.executors.site import Site, load_site
from pipeline.execution.executors.slurm import slurm_client

# Clients are `Any` here: jsonargparse would import Dask to look at their type.
#: How often to look for workers that are gone for good.
KEEP_SECONDS = 2.0
#: How long a scheduler may take to answer.
CONNECT_SECONDS = 15
#: How long a local cluster may take to close before its processes are killed.
CLOSE_SECONDS = 15
#: Kinds of clusters that are no scheduler's address; ``local`` is another name of the first.
KINDS = ("processes", "local", "threads", "serial", "slurm")
DASK = {
    # A shard that kills its workers is given up by its claim, which blames that shard alone;
    # Dask's own limit would also blame every task that waits on the same worker.
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


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where shards are computed."""

    kind: str = "processes"
    """``processes`` (or ``local``: worker processes on this machine), ``threads`` (in this
    process), ``serial`` (in this process one after the other, for a debugger), ``slurm``
    (dask-jobqueue), or a scheduler's address such as ``tcp://10.0.0.1:8786``."""
    workers: int = 0
    """Number of workers; 0 for one a core (``slurm``: the site's YAML says how many)."""
    gpus: int = -1
    """processes: GPUs of this machine to use, each by a worker process of its own that sees no
    other, for the stages that run a network; -1: all that are visible, 0: none."""
    gpu_workers: int = 1
    """processes: worker processes that share one GPU."""
    site: str = ""
    """A cluster's YAML (docs/clusters.md): needed by ``slurm``, and by an address for TLS."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS and "://" not in self.kind:
            raise ConfigurationError(
                f"cluster.kind: {self.kind!r} is none of {', '.join(KINDS)}, "
                "nor an address such as tcp://HOST:8786"
            )
        for name, low in (("workers", 0), ("gpus", -1), ("gpu_workers", 1)):
            if getattr(self, name) < low:
                raise ConfigurationError(f"cluster.{name}: {getattr(self, name)} is below {low}")
        if self.kind == "slurm" and not self.site:
            raise ConfigurationError(
                "cluster.site: slurm needs the cluster's YAML, SITE=site.yaml; "
                "docs/clusters.md shows one to start from"
            )

    def read_site(self) -> Site:
        """Return the site's YAML as read, or its defaults where none is named."""
        return load_site(self.site) if self.site else Site()

    def gpu_ids(self) -> list[str]:
        """Return the GPUs that workers of this machine use, as CUDA_VISIBLE_DEVICES names them.

        Raises
        ------
        ConfigurationError
            If fewer are visible than were asked for.
        """
        visible = gpu_ids() if self.gpus else []
        if self.gpus > len(visible):
            raise ConfigurationError(
                f"cluster.gpus: {self.gpus} were asked for, PyTorch sees {len(visible)}; lower it, "
                "or set -1 for those that are there"
            )
        return visible if self.gpus < 0 else visible[: self.gpus]


@contextlib.contextmanager
def connect(settings: Cluster) -> Iterator[Any]:
    """Give a Dask client of the chosen cluster, and take down what was started for it.

    What is started listens on this machine alone, unless a site's YAML says otherwise. The
    environment, Dask's configuration and its loggers are afterwards what they were.
    """
    import dask
    import distributed  # noqa: F401 - before: it adds its defaults to Dask's configuration

    with dask.config.set(DASK), _environment_kept():
        if settings.kind == "slurm":
            with slurm_client(settings.read_site()) as client:
                yield client
        elif "://" in settings.kind:
            with _client_of(settings) as client:
                yield client
        else:
            with _local_client(settings) as client:
                yield client


@contextlib.contextmanager
def _environment_kept() -> Iterator[None]:
    """Take back what Dask sets in this process's environment for the workers that it starts."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in {*os.environ, *before}:
            if name not in before:
                os.environ.pop(name, None)
            elif os.environ.get(name) != before[name]:
                os.environ[name] = before[name]


def _client_of(settings: Cluster) -> Any:
    """Return a client of the scheduler at an address."""
    from distributed import Client

    failure = ""
    try:
        security = settings.read_site().security()
        return Client(settings.kind, timeout=CONNECT_SECONDS, security=security)
    except (OSError, TypeError) as error:
        failure = str(error) or type(error).__name__
    # The client that failed closes itself when it is collected, which waits for ever
    # if that happens while the next one starts: collect it now.
    gc.collect()
    raise MachineError(
        f"cluster.kind: no scheduler answers at {settings.kind} ({failure}); "
        "start one with `dask scheduler`, or choose processes; a tls:// address needs "
        "the certificates of a site's YAML"
    )


@contextlib.contextmanager
def _local_client(settings: Cluster) -> Iterator[Any]:
    """Give a client of worker processes or threads that are started for it."""
    from distributed import Client

    cluster = _local_cluster(settings)
    keeper = asyncio.run_coroutine_threadsafe(_keep_workers(cluster), cluster.loop.asyncio_loop)
    log = logging.getLogger("distributed.scheduler")
    level = log.level
    try:
        with Client(cluster) as client:
            try:
                yield client
            finally:
                # Of an interrupted run the scheduler would report every task to nobody.
                log.setLevel(logging.CRITICAL + 1)
    finally:
        keeper.cancel()
        _close(cluster)
        log.setLevel(level)


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
    """Start workers on this machine: one a core, and one a GPU where there are any."""
    from distributed import LocalCluster, Nanny, Scheduler, SpecCluster
    from distributed.system import MEMORY_LIMIT

    count = settings.workers or cores()
    if settings.kind == "threads":
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Port 8787 is already in use", UserWarning)
            return LocalCluster(
                n_workers=1,
                threads_per_worker=count,
                processes=False,
                dashboard_address=None,
                memory_limit=0,
            )
    os.environ.update(ONE_THREAD)  # before a worker starts: NumPy looks when it is loaded
    gpus = [gpu for gpu in settings.gpu_ids() for _ in range(settings.gpu_workers)]
    shared: dict[str, Any] = {
        "nthreads": 1,
        "host": "127.0.0.1",
        "dashboard": False,
        "silence_logs": "CRITICAL",
        "memory_limit": MEMORY_LIMIT // (count + len(gpus)),
    }

    def worker(kind: str, visible: dict[str, str]) -> dict[str, Any]:
        own = {"env": WORKER_ENVIRONMENT | visible, "resources": {kind: 1} if gpus else None}
        return {"cls": Nanny, "options": shared | own}

    hidden = {"CUDA_VISIBLE_DEVICES": ""} if gpus else {}
    workers: dict[Any, Any] = {number: worker("CPU", hidden) for number in range(count)}
    for number, gpu in enumerate(gpus):
        workers[f"gpu-{number}"] = worker("GPU", {"CUDA_VISIBLE_DEVICES": gpu})
    scheduler = {"host": "127.0.0.1", "port": 0, "dashboard": False}
    return SpecCluster(
        workers=workers,
        scheduler={"cls": Scheduler, "options": scheduler},
        silence_logs="CRITICAL",
    )


def offered_resources(settings: Cluster, client: Any) -> set[str]:
    """Return what workers offer: ``CPU``, ``GPU``, or neither: then tasks run anywhere."""
    if settings.kind == "slurm":  # whose workers are still to come
        return {"CPU", "GPU"} if settings.read_site().gpu else {"CPU"}
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return {name for worker in workers for name in worker.get("resources", {})}
