"""The videos of a manifest with their facts: digests, lengths, and who is held out.

Reading every byte of a data set to hash it takes minutes, so facts are remembered in
``CACHE/<data set>/videos.json`` under each video's signature (names, sizes and
modification times), and read again only where that changed.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.base.errors import ConfigurationError, ProjectError
from pipeline.base.files import write_json
from pipeline.base.progress import progress_bar
from pipeline.data.video.frame import Gap
from pipeline.data.video.video import VideoFacts
from pipeline.shards.reader import VideoInfo
from pipeline.stages.base import Stage

if TYPE_CHECKING:
    from pipeline.data.manifest import Manifest
    from pipeline.data.video.video import Video


@dataclass(frozen=True)
class PlannedVideo:
    """A video with what planning must know of it."""

    info: VideoInfo
    source: Video
    digest: str
    truth_digest: str
    pixel_truth: bool

    def digest_for(self, stage: Stage) -> str:
        """Return the digest that a stage's shards depend on: ground truth counts where read."""
        if not stage.READS_TRUTH:
            return self.digest
        return hashlib.sha256(f"{self.digest}\n{self.truth_digest}".encode()).hexdigest()


def catalogue(
    manifest: Manifest, cache: Path, holdout: float, workers: int
) -> tuple[PlannedVideo, ...]:
    """Probe every video of a manifest, those known already from memory.

    Parameters
    ----------
    holdout
        Share of the normal training videos that is kept out of training, in [0, 1).

    Raises
    ------
    DataError
        If a video cannot be read; the message names the first and counts the others.
    """
    memory_file = cache / manifest.name / "videos.json"
    memory = _remembered(memory_file)
    facts: dict[str, dict[str, Any]] = {}
    missing = []
    for video in manifest.videos:
        entry = memory.get(video.name)
        if entry is not None and entry["signature"] == video.signature():
            facts[video.name] = entry
        else:
            missing.append(video)
    if missing:
        failures = _probe(missing, facts, workers)
        kept = {name: entry for name, entry in memory.items() if name not in facts}
        write_json(memory_file, kept | facts)
        if failures:
            first = failures[0]
            more = f" (and {len(failures) - 1} more videos fail)" if len(failures) > 1 else ""
            raise type(first)(f"{first}{more}") from first
    _tell(manifest.videos, facts)
    manifest.check_counts(
        {name: entry["frames"] for name, entry in facts.items()},
        {name: entry["anomalous"] for name, entry in facts.items()},
    )
    held = held_out([video.name for video in manifest.videos if video.split == "train"], holdout)
    return tuple(
        PlannedVideo(
            info=VideoInfo(
                name=video.name,
                split=video.split,
                frames=facts[video.name]["frames"],
                scene=video.scene,
                labelled=video.labelled,
                holdout=video.name in held,
                fps=facts[video.name]["fps"],
                times=tuple(facts[video.name]["times"]),
            ),
            source=_with_keys(video, facts[video.name]),
            digest=facts[video.name]["digest"],
            truth_digest=facts[video.name]["truth_digest"],
            pixel_truth=video.pixel_truth,
        )
        for video in manifest.videos
    )


def _tell(videos: Sequence[Video], facts: dict[str, Any]) -> None:
    """Say on the console what is wrong with videos, at each run: a log is not read."""
    told = set()
    for video in videos:
        entry = facts[video.name]
        known = {field.name: entry[field.name] for field in fields(VideoFacts)}
        known["gaps"] = tuple(Gap(**gap) for gap in entry["gaps"])
        for remark in VideoFacts(**known).remarks():
            if (video.path, remark) not in told:
                print(f"warning: {video.path}: {remark}", file=sys.stderr)
            told.add((video.path, remark))


def _with_keys(video: Video, entry: dict[str, Any]) -> Video:
    keys = tuple((number, stamp) for number, stamp in entry["keys"])
    return replace(video, whole=entry["whole"], keys=keys)


def _probe(videos: Sequence[Video], facts: dict[str, Any], workers: int) -> list[ProjectError]:
    failures: list[ProjectError] = []
    bar = progress_bar(len(videos), "probe")

    def probe(video: Video) -> None:
        try:
            signature = video.signature()
            found = json.loads(json.dumps(asdict(video.probe())))
            facts[video.name] = found | {
                "signature": signature,
                "truth_digest": video.truth_digest(),
            }
        except ProjectError as error:
            failures.append(error)
        bar.update()

    with bar, ThreadPoolExecutor(workers) as pool:
        list(pool.map(probe, videos))
    return sorted(failures, key=str)


def held_out(names: Sequence[str], share: float) -> set[str]:
    """Choose the held-out videos, evenly spaced in the order of names.

    At least one is held out where ``share`` is above 0 and there are two videos or more.

    >>> sorted(held_out(["train/01", "train/02", "train/03", "train/04"], 0.25))
    ['train/03']
    """
    if not 0 <= share < 1:
        raise ConfigurationError(f"holdout: {share} is not in [0, 1)")
    ordered = sorted(names)
    if share == 0 or len(ordered) < 2:
        return set()
    count = min(max(1, round(share * len(ordered))), len(ordered) - 1)
    return {ordered[int((index + 0.5) * len(ordered) / count)] for index in range(count)}


def _remembered(path: Path) -> dict[str, Any]:
    """Return what is remembered; a damaged memory is only a lost memory, and probed again."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    needed = {field.name for field in fields(VideoFacts)} | {"signature", "truth_digest"}
    if not isinstance(content, dict):
        return {}
    return {
        name: entry
        for name, entry in content.items()
        if isinstance(entry, dict) and needed <= entry.keys()
    }
