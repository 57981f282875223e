"""A share of a plan's shards: element I of N of a job array.

Shards are divided by video and position, the same for every stage, so that a share reads
mostly what it wrote itself. The division depends on the plan alone, never on what is
cached, so all elements agree. An element begins with its own shards. It then waits for what it
reads of another's share while a living one computes it, and computes it itself otherwise: any
one element, run alone, ends with its share complete, in whatever order a queue starts them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.base.errors import ConfigurationError
from pipeline.execution.catalogue import PlannedVideo
from pipeline.execution.plan import Plan
from pipeline.execution.todo import Wanted


@dataclass(frozen=True)
class Share:
    """Element ``index`` of ``count``, counted from 1 as SLURM's arrays are here."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Share:
        """Read ``I/N``.

        Raises
        ------
        ConfigurationError
            If it is not two whole numbers with 1 <= I <= N.

        Examples
        --------
        >>> Share.parse("3/8")
        Share(index=3, count=8)
        """
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
            raise ConfigurationError(f"shards: {text!r} is not I/N with 1 <= I <= N, such as 3/8")
        return cls(int(index), int(count))

    def owned(self, plan: Plan) -> Wanted:
        """Return which shards belong to this share."""
        starts, total = {}, 0
        for video in plan.videos:
            starts[video.info.name] = total
            total += units(plan, video)

        def owns(unit: int) -> bool:
            return unit * self.count // total == self.index - 1

        def numbers(stage: str, video: PlannedVideo) -> Sequence[int]:
            if not plan.runs_on(stage, video):
                return ()
            start, shards = starts[video.info.name], range(plan.shard_count(stage, video))
            if plan.stages[stage].stage.SEQUENTIAL:
                return shards if owns(start) else ()
            return tuple(number for number in shards if owns(start + number))

        return numbers

    def wanted(self, plan: Plan) -> Wanted:
        """Return this share's shards, then all that they read, in the order of computing."""
        owned = self.owned(plan)
        readers = _readers(plan)

        def numbers(stage: str, video: PlannedVideo) -> Sequence[int]:
            own = owned(stage, video)
            if not any(owned(reader, video) for reader in readers[stage]):
                return own
            count = plan.shard_count(stage, video)
            after = own[-1] + 1 if own else 0
            mine = set(own)
            others = (number % count for number in range(after, after + count))
            return (*own, *(number for number in others if number not in mine))

        return numbers


def units(plan: Plan, video: PlannedVideo) -> int:
    """Return how many parts a video is divided into: its longest stage's shards."""
    return max(
        (plan.shard_count(name, video) for name in plan.stages if plan.runs_on(name, video)),
        default=0,
    )


def _readers(plan: Plan) -> dict[str, set[str]]:
    """Return, for each stage, those that read it, directly or not."""
    found: dict[str, set[str]] = {name: set() for name in plan.stages}
    for name in reversed(plan.stages):
        for source in plan.stages[name].stage.inputs():
            found[source] |= {name} | found[name]
    return found


def shard_ids(plan: Plan) -> Iterator[str]:
    """Yield ``stage/split/video/number`` of every shard, stage after stage."""
    for name in plan.stages:
        for video in plan.videos_of(name):
            folder = plan.video_folder(name, video)
            yield from (
                f"{name}/{folder}/{number:05d}" for number in range(plan.shard_count(name, video))
            )
