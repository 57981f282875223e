"""The commands of ``python -m pipeline``, each a function whose parameters are its options."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline import engine, maintenance
from pipeline.catalogue import catalogue
from pipeline.cluster import Cluster
from pipeline.errors import ConfigurationError, DataError
from pipeline.manifest import load_manifest
from pipeline.plan import Plan, plan_stages
from pipeline.stages import Stages


@dataclass(frozen=True, kw_only=True)
class Source:
    """Which videos, and how they are cut into shards."""

    manifest: str
    """A data set's name (ped2, avenue, shanghaitech, ubnormal, demo) or a manifest's path."""
    data: Path
    """The folder of the data set as downloaded."""
    cache: Path = Path("cache")
    """Where shards are kept; shared by all runs and all data sets."""
    only: tuple[str, ...] = ()
    """Stages to run, with all that they read; none named: every stage."""
    holdout: float = 0.125
    """Share of the normal training videos kept out of training, for label-free choices."""
    shard_frames: int = 512
    """Frames a shard, at most."""

    def __post_init__(self) -> None:
        if self.shard_frames < 1:
            raise ConfigurationError(f"shard_frames: {self.shard_frames} is below 1")
        if not 0 <= self.holdout < 1:
            raise ConfigurationError(f"holdout: {self.holdout} is not in [0, 1)")


@dataclass(frozen=True)
class Planned:
    """A plan and what of its manifest goes on to training and evaluation."""

    plan: Plan
    evaluate: str
    settings: dict[str, Any] = field(default_factory=dict)


def make_plan(source: Source, stages: Stages, workers: int = 0) -> Planned:
    """Read the manifest, probe its videos and work out every key."""
    from pipeline.digests import Digests

    manifest = load_manifest(source.manifest, source.data)
    videos = catalogue(
        manifest, source.cache, source.holdout, workers or len(os.sched_getaffinity(0))
    )
    by_name = stages.by_name()
    with Digests(source.cache / "digests.json") as digests:
        planned = plan_stages(
            manifest.name,
            source.cache,
            by_name,
            source.only or tuple(_needed(by_name)),
            source.shard_frames,
            digests.of,
        )
    plan = Plan(manifest.name, source.cache, source.shard_frames, planned, videos)
    return Planned(plan, manifest.evaluate, dict(manifest.settings))


def _needed(stages: dict[str, Any]) -> list[str]:
    """Return every stage but those that exist only to be read and that nothing reads."""
    read = {name for stage in stages.values() for name in stage.inputs()}
    return [name for name in stages if name != "instances" or name in read]


def run(
    source: Source,
    out: Path,
    stages: Stages = Stages(),  # noqa: B008 - frozen
    cluster: Cluster = Cluster(),  # noqa: B008
    engine_settings: engine.Settings = engine.Settings(),  # noqa: B008
) -> int:
    """Compute every missing shard of a data set, and write OUT/shards.json for the trainers.

    Interrupted or failed, the same command goes on where it stopped. Exit status: 0 all
    shards are there; 1 some failed (listed); 2 a wrong setting; 3 wrong data; 4 the machine.

    Args:
        source: Which videos.
        out: Folder of the run; logs go below it.
        stages: Settings of each stage.
        cluster: Where to compute.
        engine_settings: Compression, retries, time limits.
    """
    planned = make_plan(source, stages, cluster.workers)
    summary = engine.run(planned.plan, cluster, engine_settings, out / "logs")
    computed = sum(summary.computed.values())
    if not computed and not summary.failures:
        print(
            f"{planned.plan.dataset}: nothing to do, all {sum(summary.cached.values())} shards are "
            f"cached in {source.cache} ({summary.wall_seconds:.2f} s)"
        )
    else:
        print(summary.table())
        print(f"{computed} shards in {summary.wall_seconds:.1f} s, cache {source.cache}")
    if summary.failures:
        return _report_failures(summary)
    if not source.only:
        path = out / "shards.json"
        changed = engine.write_shards_json(planned.plan, path, planned.evaluate, planned.settings)
        print(f"{path} {'written' if changed else 'is up to date'}")
    return 0


def _report_failures(summary: engine.Summary) -> int:
    direct = [result for result in summary.failures if not result.skipped]
    skipped = len(summary.failures) - len(direct)
    print(f"{len(direct)} tasks failed, {skipped} more read what they make:", file=sys.stderr)
    for result in direct[:20]:
        print(f"  {result.name}: {result.error}", file=sys.stderr)
        if result.log:
            print(f"    log: {result.log}", file=sys.stderr)
    if len(direct) > 20:
        print(f"  ... and {len(direct) - 20} more", file=sys.stderr)
    print(
        "the other shards are committed; the same command tries the failed again", file=sys.stderr
    )
    return 1


def status(source: Source, stages: Stages = Stages(), as_json: bool = False) -> None:  # noqa: B008
    """Show, stage by stage, what is cached and what is missing.

    Args:
        source: Which videos.
        stages: Settings of each stage.
        as_json: Print JSON for programs.
    """
    rows = maintenance.status_of_plan(make_plan(source, stages).plan)
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'stage':<14}{'key':<14}{'videos':>7}{'shards':>14}{'MB':>12}{'core s':>10}")
    for row in rows:
        shards = f"{row['done']}/{row['shards']}"
        print(
            f"{row['stage']:<14}{row['key']:<14}{row['videos']:>7}{shards:>14}"
            f"{row['bytes'] / 1e6:>12.1f}{row['core_seconds']:>10.1f}"
        )


def why(
    stage: str,
    source: Source,
    stages: Stages = Stages(),  # noqa: B008
    as_json: bool = False,
) -> None:
    """Show which part of a stage's recipe differs from what is cached under other keys.

    Args:
        stage: The stage's name.
        source: Which videos.
        stages: Settings of each stage.
        as_json: Print JSON for programs.
    """
    found = maintenance.why(make_plan(source, stages).plan, stage)
    if as_json:
        print(json.dumps(found, indent=1))
        return
    print(f"{stage} {found['key']}: {'is cached' if found['cached'] else 'is not cached'}")
    for key, parts in found["others"].items():
        print(f"  {key} differs in:")
        for part, (cached, wanted) in parts.items():
            print(f"    {part}: cached {cached!r}, wanted {wanted!r}")


def verify(cache: Path = Path("cache"), repair: bool = False, as_json: bool = False) -> int:
    """Read every byte of every shard and compare it with its record.

    Args:
        cache: The cache to verify.
        repair: Remove what is damaged, so that the next run computes just that again.
        as_json: Print JSON for programs.
    """
    if not cache.is_dir():
        raise ConfigurationError(f"cache: {cache} is not a folder")
    bad = maintenance.verify(cache, len(os.sched_getaffinity(0)))
    if repair:
        maintenance.discard([path for path, _ in bad])
    if as_json:
        print(json.dumps([{"shard": str(path), "error": error} for path, error in bad], indent=1))
    else:
        for _, error in bad:
            print(error)
        removed = " removed; run the pipeline again" if repair and bad else ""
        print(f"{len(bad)} damaged shards{removed}")
    return DataError.exit_status if bad and not repair else 0


def gc(
    cache: Path = Path("cache"),
    runs: Path | None = None,
    delete: bool = False,
    as_json: bool = False,
) -> None:
    """List, or remove, what nothing needs.

    Args:
        cache: The cache to look through.
        runs: With it, also every key that no shards.json below this folder names.
        delete: Remove what is listed.
        as_json: Print JSON for programs.
    """
    import shutil

    if not cache.is_dir():
        raise ConfigurationError(f"cache: {cache} is not a folder")
    found = maintenance.strays(cache, runs)
    if delete:
        for stray in found:
            if stray.path.is_dir():
                shutil.rmtree(stray.path)
            else:
                stray.path.unlink(missing_ok=True)
    if as_json:
        print(json.dumps([vars(s) | {"path": str(s.path)} for s in found], indent=1))
        return
    for stray in found:
        print(f"{stray.bytes / 1e6:>10.2f} MB  {stray.path}: {stray.reason}")
    total = sum(stray.bytes for stray in found) / 1e6
    print(
        f"{len(found)} strays, {total:.2f} MB {'removed' if delete else '(--delete removes them)'}"
    )
