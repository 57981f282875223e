"""The commands of ``python -m pipeline`` by which shards travel: push and pull."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.base.errors import ConfigurationError
from pipeline.base.files import read_json
from pipeline.execution.store import open_store
from pipeline.execution.travel import Choice, Travelled
from pipeline.execution.travel import pull as pull_shards
from pipeline.execution.travel import push as push_shards


def push(
    remote: str,
    cache: Path = Path("cache"),
    stages: tuple[str, ...] = (),
    dataset: str = "",
    run: Path | None = None,
    jobs: int = 8,
) -> int:
    """Take to a store every shard of the cache that is not there; docs/sharing.md.

        python -m pipeline push s3://lab/shards --cache cache --dataset ped2 --stages '[inpaint]'

    Interrupted, the same command goes on. Exit status 1 if some shards failed.

    Args:
        remote: Any address that fsspec opens: s3://, gs://, ssh://, hf://, a folder.
        cache: The cache.
        stages: Only these stages.
        dataset: Only the shards of this data set.
        run: Only the shards that this run's shards.json names.
        jobs: How many shards travel at once.
    """
    choice = _choice(stages, dataset, run, cache)
    return _report("pushed", remote, push_shards(_cache(cache), open_store(remote), choice, jobs))


def pull(
    remote: str,
    cache: Path = Path("cache"),
    stages: tuple[str, ...] = (),
    dataset: str = "",
    run: Path | None = None,
    jobs: int = 8,
) -> int:
    """Take from a store every shard that the cache lacks; docs/sharing.md.

    Every byte is held against its record. What the cache has stays as it is. Exit status 1 if
    some shards failed; the others are there.

    Args:
        remote: Any address that fsspec opens: s3://, gs://, ssh://, hf://, a folder.
        cache: The cache; made where there is none.
        stages: Only these stages.
        dataset: Only the shards of this data set.
        run: Only the shards that this run's shards.json names.
        jobs: How many shards travel at once.
    """
    choice = _choice(stages, dataset, run, cache)
    return _report("pulled", remote, pull_shards(open_store(remote), cache, choice, jobs))


def _cache(cache: Path) -> Path:
    if not cache.is_dir():
        raise ConfigurationError(f"cache: {cache} is not a folder")
    return cache


def _choice(stages: tuple[str, ...], dataset: str, run: Path | None, cache: Path) -> Choice:
    if run is None:
        return Choice(stages, dataset)
    content = read_json(run / "shards.json", "; `make NAME.shards` writes it", "run it again")
    root = cache.resolve()
    folders = [Path(stage["folder"]).resolve() for stage in content["stages"].values()]
    outside = [folder for folder in folders if not folder.is_relative_to(root)]
    if outside:
        raise ConfigurationError(f"run: {run} reads {outside[0]}, which is not below {cache}")
    return Choice(stages, dataset, {folder.relative_to(root).as_posix() for folder in folders})


def _report(done: str, remote: str, travelled: Travelled) -> int:
    for failure in travelled.failures[:20]:
        print(f"  {failure}", file=sys.stderr)
    if len(travelled.failures) > 20:
        print(f"  ... and {len(travelled.failures) - 20} more", file=sys.stderr)
    failed = f", {len(travelled.failures)} failed" if travelled.failures else ""
    print(
        f"{travelled.shards} shards {done} ({travelled.bytes / 1e6:.1f} MB), "
        f"{travelled.there} were there{failed}: {remote}"
    )
    return 1 if travelled.failures else 0
