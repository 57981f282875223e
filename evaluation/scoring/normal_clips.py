"""Parts of normal training videos, against which the protocol ``local`` holds others."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluation.report.pictures import spread
from evaluation.scoring.run import Run
from evaluation.scoring.scores import is_saved, save_video
from pipeline.shards.reader import Dataset, VideoInfo

if TYPE_CHECKING:
    from evaluation.scoring.networks import Scoring, Trained

CLIP = 128
"""Frames of a clip, at most."""

NORMAL_FRAMES = 4096
"""Frames of all clips, at most, or as many as are tested if those are more."""


@dataclass(frozen=True)
class Clip:
    """Consecutive frames of a video.

    Attributes
    ----------
    name
        Of its scores: the video's own, or ``normal/train/01@128``.
    video
        Whose frames they are.
    start, stop
        First frame, and the one after the last.
    """

    name: str
    video: VideoInfo
    start: int
    stop: int

    @property
    def info(self) -> VideoInfo:
        """The clip as a video of its own."""
        return dataclasses.replace(self.video, name=self.name, frames=self.stop - self.start)


def whole(video: VideoInfo) -> Clip:
    """Return a video as a clip."""
    return Clip(video.name, video, 0, video.frames)


def normal_clips(dataset: Dataset) -> list[Clip]:
    """Return clips of the normal training videos that are not held out, evenly spread.

    Videos are cut into equal parts of at most 128 frames. So many are taken that they are no
    more than 4096 frames, or than those that are tested: the cost is at most that of the test.
    """
    tested = sum(video.frames for video in dataset.select(split=dataset.evaluate))
    found = []
    for video in dataset.select(split="train", holdout=False):
        ends = np.linspace(0, video.frames, -(-video.frames // CLIP) + 1).round().astype(int)
        found += [
            Clip(f"normal/{video.name}@{start}", video, int(start), int(stop))
            for start, stop in itertools.pairwise(ends)
        ]
    return [found[i] for i in spread(len(found), max(NORMAL_FRAMES, tested) // CLIP)]


def score_clips(
    run: Run,
    settings: Scoring,
    fingerprint: str,
    networks: dict[str, Trained],
    progress: Callable[[str], object],
) -> list[Clip]:
    """Save the error maps of clips of normal training videos, for the protocol ``local``."""
    from evaluation.scoring.networks import STAGES, load_networks, reader, reconstruction_errors

    clips = normal_clips(run.dataset)
    folder = run.out / "scores"
    missing = [clip for clip in clips if not is_saved(folder, clip.name, fingerprint)]
    if missing:
        progress(f"scores: {len(missing)} clips of normal training videos")
        networks = networks or load_networks(run, settings)
    for clip in missing:
        values = {}
        for name, trained in networks.items():
            if name == "discriminator" or not settings.maps:
                continue
            read = reader(run.dataset, clip.video, STAGES[name][0], trained)

            def part(start: int, stop: int, read=read, clip=clip) -> np.ndarray:  # type: ignore[no-untyped-def]
                return read(start + clip.start, stop + clip.start)

            length = clip.stop - clip.start
            _, maps = reconstruction_errors(part, length, trained, settings)
            if maps is not None:
                values[f"{name}_map"] = maps
        save_video(folder, clip.name, values, fingerprint)
    return clips
