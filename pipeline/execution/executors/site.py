"""A site's YAML: how a cluster wants its jobs, and where its TLS certificates lie.

Written once for a cluster and given as ``SITE=site.yaml`` or ``--cluster.site``; it
changes where shards are computed, never what is computed. docs/clusters.md shows one.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.base.errors import ConfigurationError
from pipeline.stages.base import Stage


def walltime_seconds(walltime: str) -> int:
    """Return the seconds of SLURM's ``[DAYS-]HH:MM:SS``.

    >>> walltime_seconds("1-02:00:30")
    93630
    """
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", walltime)
    if not found:
        raise ConfigurationError(f"site: walltime: {walltime!r} is not [DAYS-]HH:MM:SS")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """One kind of SLURM job: as many worker processes as it has cores, each of one thread."""

    partition: str = ""
    """``#SBATCH -p``; empty for the cluster's default."""
    account: str = ""
    """``#SBATCH -A``; empty for the user's default."""
    walltime: str = "01:00:00"
    """``[DAYS-]HH:MM:SS`` that a job may take. Its workers leave before."""
    cores: int = 1
    """Worker processes a job, each on its own core. GPU jobs: worker processes that share the
    job's GPUs, usually 1."""
    cpus: int = 0
    """Cores that SLURM reserves, where that is more than the worker processes; 0: the same."""
    memory: str = "4GB"
    """Memory of the whole job."""
    gpus: int = 0
    """``#SBATCH --gres=gpu:N``."""
    minimum: int = 0
    """Jobs that are kept even while nothing waits for them."""
    maximum: int = 4
    """Jobs at most."""
    directives: tuple[str, ...] = ()
    """``#SBATCH`` lines to add, such as ``--qos=long``."""
    skip_directives: tuple[str, ...] = ()
    """Lines that contain one of these are left out, such as ``--mem`` where a site forbids it."""
    prologue: tuple[str, ...] = ()
    """Shell lines before the worker starts, such as ``module load ffmpeg``."""
    stages: tuple[str, ...] = ()
    """GPU jobs only: the stages that run there, all others in CPU jobs; none named: those that
    run a network."""

    def __post_init__(self) -> None:
        for name, low in (("cores", 1), ("cpus", 0), ("gpus", 0), ("minimum", 0), ("maximum", 1)):
            if getattr(self, name) < low:
                raise ConfigurationError(f"site: {name}: {getattr(self, name)} is below {low}")
        if self.minimum > self.maximum:
            raise ConfigurationError(f"site: minimum {self.minimum} is above maximum")
        if not re.fullmatch(r"\d+(\.\d+)?\s*[KMGT]i?B", self.memory):
            raise ConfigurationError(f"site: memory: {self.memory!r} is not such as 16GB")
        self.lifetime()

    def slurm_memory(self) -> str:
        """Return the memory as ``--mem`` takes it: a whole number and a letter.

        >>> Jobs(memory="16 GB").slurm_memory(), Jobs(memory="1.5GiB").slurm_memory()
        ('16G', '1536M')
        """
        found = re.fullmatch(r"(\d+)(\.\d+)?\s*([KMGT])i?B", self.memory)
        assert found  # as __post_init__ checked
        if not found[2]:
            return found[1] + found[3]
        smaller = {"T": "G", "G": "M", "M": "K"}
        if found[3] not in smaller:
            raise ConfigurationError(f"site: memory: {self.memory!r} is no whole number of KB")
        return f"{round(float(found[1] + found[2]) * 1024)}{smaller[found[3]]}"

    def lifetime(self) -> int:
        """Return the seconds after which workers leave, so that none is cut off in a shard.

        A tenth of the walltime remains, 10 minutes at most, for the shards under way.

        >>> Jobs(walltime="1-00:00:00").lifetime()
        85800
        """
        seconds = walltime_seconds(self.walltime)
        return seconds - min(600, seconds // 10)


@dataclass(frozen=True, kw_only=True)
class Tls:
    """Paths of PEM files; every scheduler, worker and client of the run uses them."""

    ca: str
    """The authority that signed the certificate."""
    certificate: str
    """This run's certificate."""
    key: str
    """Its private key, readable for its owner alone."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """What a cluster is like."""

    cpu: Jobs = Jobs()
    """Jobs for the stages that need no GPU."""
    gpu: Jobs | None = None
    """Jobs for the stages that a GPU speeds up; without it all run in CPU jobs."""
    host: str = ""
    """Address on which the scheduler listens; 127.0.0.1 where neither this nor interface is set,
    which only workers on the same machine can reach."""
    interface: str = ""
    """Network interface instead, such as ib0: of the scheduler and of the workers."""
    dashboard: str = "127.0.0.1:0"
    """Address of Dask's dashboard (package bokeh); port 0 takes a free one."""
    logs: str = "slurm-logs"
    """Folder for the jobs' own output."""
    scratch: str = ""
    """Folder on a node's own disk for workers' temporary files; empty: /tmp."""
    remote: str = ""
    """A store of shards (docs/sharing.md) that runs take from what the cache lacks."""
    tls: Tls | None = None
    """With it, Dask speaks TLS and refuses who has no certificate of this authority."""
    interval: float = 10.0
    """Seconds between looks at the queue: scaling up, scaling down, replacing lost jobs."""
    idle: float = 60.0
    """Seconds without work after which a job above the floor is given back."""

    def __post_init__(self) -> None:
        if self.host and self.interface:
            raise ConfigurationError("site: host and interface are set; choose one")
        if self.interval <= 0 or self.idle < 0:
            raise ConfigurationError(
                f"site: interval {self.interval}, idle {self.idle}: must be above 0 and at least 0"
            )

    def is_loopback(self) -> bool:
        """Tell whether only this machine can reach the scheduler."""
        return not self.interface and self.host in ("", "127.0.0.1", "localhost", "::1")

    def on_gpu(self, stage: Stage) -> bool:
        """Tell whether a stage goes to GPU workers, where there are any."""
        named = self.gpu.stages if self.gpu else ()
        return stage.NAME in named if named else stage.wants_gpu()

    def security(self) -> Any:
        """Return Dask's TLS settings, or None where this site names no certificates.

        Raises
        ------
        ConfigurationError
            If a file is missing.
        """
        if self.tls is None:
            return None
        from distributed import Security

        for name in ("ca", "certificate", "key"):
            if not Path(getattr(self.tls, name)).is_file():
                raise ConfigurationError(f"site: tls.{name}: {getattr(self.tls, name)} not found")
        files: dict[str, Any] = {"tls_ca_file": self.tls.ca, "require_encryption": True}
        for role in ("scheduler", "worker", "client"):
            files[f"tls_{role}_cert"] = self.tls.certificate
            files[f"tls_{role}_key"] = self.tls.key
        return Security(**files)


def load_site(path: str | Path) -> Site:
    """Read a site's YAML.

    Raises
    ------
    ConfigurationError
        If it cannot be read, or names the field that is unknown or of a wrong type.
    """
    import yaml

    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path}: not found; docs/clusters.md shows a site's YAML to start from"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: is no YAML ({error})") from None
    try:
        parts = dict(_mapping(content, "the file"))
        for name, kind in (("cpu", Jobs), ("gpu", Jobs), ("tls", Tls)):
            if parts.get(name) is not None:
                parts[name] = _build(kind, _mapping(parts[name], name), f"{name}.")
        return _build(Site, parts, "")
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{name}: is {value!r}, not fields with values")
    return value


def _build(kind: type, values: dict[str, Any], prefix: str) -> Any:
    """Make a dataclass from YAML values, each held against the type of the field's default."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    checked = {}
    for name, value in values.items():
        if name not in fields:
            raise ConfigurationError(f"{prefix}{name}: unknown; known are {', '.join(fields)}")
        default = fields[name].default
        if isinstance(value, list):
            value = tuple(value)
        if default is not dataclasses.MISSING and not _fits(value, default):
            raise ConfigurationError(
                f"{prefix}{name}: {value!r} should be like {default!r}; quote what YAML would "
                "read as a number, such as a walltime"
            )
        checked[name] = value
    missing = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and name not in checked
    ]
    if missing:
        raise ConfigurationError(f"{prefix}{missing[0]}: is missing")
    return kind(**checked)


def _fits(value: Any, default: Any) -> bool:
    if default is None or dataclasses.is_dataclass(default):
        return value is None or dataclasses.is_dataclass(value)
    if isinstance(default, tuple):
        return isinstance(value, tuple) and all(isinstance(item, str) for item in value)
    if isinstance(default, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is type(default)
