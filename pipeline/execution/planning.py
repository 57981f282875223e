"""What a user asks of the pipeline, and the plan that comes of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.base.environment import cores
from pipeline.base.errors import ConfigurationError
from pipeline.data.discover import load_manifest
from pipeline.execution.catalogue import catalogue
from pipeline.execution.plan import Plan, plan_stages
from pipeline.models.digests import Digests
from pipeline.stages.base import Stage
from pipeline.stages.registry import Stages


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
    manifest = load_manifest(source.manifest, source.data)
    print(f"{manifest.name}: {'; '.join(manifest.notes)}", file=sys.stderr)
    videos = catalogue(manifest, source.cache, source.holdout, workers or cores())
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


def _needed(stages: Mapping[str, Stage]) -> list[str]:
    """Return every stage but the optional ones that nothing reads."""
    read = {name for stage in stages.values() for name in stage.inputs()}
    return [name for name in stages if not stages[name].OPTIONAL or name in read]
