"""What training and evaluation read: the shards of one data set, named by a ``shards.json``.

``shards.json`` is written by ``python -m pipeline run``. It says which videos there are,
and for every stage its key, the folder of its shards and the arrays in them, so that a
reader needs neither the manifest nor the source videos.

Examples
--------
>>> dataset = open_dataset("runs/demo/demo/shards.json")              # doctest: +SKIP
>>> clip = dataset.arrays("frames", "train/01")["image"][0:16]        # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.base.files import read_json
from pipeline.shards.shard import FrameArray

FORMAT = 1


@dataclass(frozen=True)
class VideoInfo:
    """A video as training and evaluation see it.

    Attributes
    ----------
    name
        With its split, ``train/01``.
    frames
        Its number of frames.
    labelled
        Whether the stage ``labels`` holds its ground truth.
    holdout
        True for a normal training video that is kept out of training: scores are
        calibrated and fused on these.
    fps
        Frames a second on average; None where nobody said.
    times
        Seconds of each frame since the first, by its time stamps; empty where frames are
        ``1 / fps`` apart.
    """

    name: str
    split: str
    frames: int
    scene: str
    labelled: bool
    holdout: bool
    fps: float | None
    times: tuple[float, ...] = ()

    def seconds(self) -> np.ndarray | None:
        """Return when each frame is seen, (frames,) float64 from 0; None where nobody said."""
        if self.times:
            return np.array(self.times, np.float64)
        return np.arange(self.frames) / self.fps if self.fps else None

    @property
    def duration(self) -> float | None:
        """Seconds from the first frame to the end of the last; None where nobody said."""
        seconds = self.seconds()
        if seconds is None or not self.fps:
            return None
        return float(seconds[-1] + 1 / self.fps)


class VideoArrays(Mapping[str, FrameArray]):
    """The arrays that one stage wrote for one video, by name."""

    def __init__(self, arrays: Mapping[str, FrameArray]):
        self._arrays = dict(arrays)

    def __getitem__(self, name: str) -> FrameArray:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def video_arrays(
    folder: Path, arrays: Mapping[str, Mapping[str, Any]], frames: int, shard_frames: int
) -> VideoArrays:
    """Return the arrays of a video whose shards lie in ``folder``.

    Parameters
    ----------
    arrays
        For each name its ``dtype`` and the ``shape`` of one frame.
    frames
        How many frames the stage wrote for this video.
    """
    return VideoArrays(
        {
            name: FrameArray(
                folder, name, (frames, *entry["shape"]), str(entry["dtype"]), shard_frames
            )
            for name, entry in arrays.items()
        }
    )


@dataclass(frozen=True)
class Dataset:
    """The shards of one data set under one set of pipeline settings."""

    path: Path
    name: str
    evaluate: str
    settings: dict[str, Any]
    keys: dict[str, str]
    videos: tuple[VideoInfo, ...]
    shard_frames: int
    stages: dict[str, dict[str, Any]]

    def select(self, split: str | None = None, holdout: bool | None = None) -> list[VideoInfo]:
        """Return the videos of a split (all), and of those the held-out, the others, or both."""
        return [
            video
            for video in self.videos
            if split in (None, video.split) and holdout in (None, video.holdout)
        ]

    def contents(self) -> dict[str, str]:
        """Return, by video, the name that its frames' shards have by what is in the video.

        A video that was replaced under its own name has another; new ground truth changes none.
        """
        frames = self.stages["frames"]["videos"] if "frames" in self.stages else {}
        return {
            video.name: Path(frames[video.name]["folder"]).name if video.name in frames else ""
            for video in self.videos
        }

    def arrays(self, stage: str, video: str) -> VideoArrays:
        """Return the lazily read arrays of a stage for a video.

        Raises
        ------
        ConfigurationError
            If the stage was not run, or not for this video.
        """
        if stage not in self.stages:
            raise ConfigurationError(
                f"{self.path}: stage {stage} is not in it; run `make {self.name}.{stage}` with the "
                "same PRESET, CACHE and RUNS"
            )
        entry = self.stages[stage]
        if video not in entry["videos"]:
            raise ConfigurationError(
                f"{self.path}: stage {stage} has no shards of {video}; "
                f"it has {len(entry['videos'])} videos of the splits that it is run on"
            )
        where = entry["videos"][video]
        return video_arrays(
            Path(entry["folder"]) / where["folder"],
            entry["arrays"] if "arrays" not in where else where["arrays"],
            where["frames"],
            self.shard_frames,
        )


def read_video(entry: Mapping[str, Any]) -> VideoInfo:
    """Return a video as JSON holds it."""
    return VideoInfo(**{**entry, "times": tuple(entry.get("times", ()))})


def open_dataset(path: str | Path) -> Dataset:
    """Open a ``shards.json``.

    Raises
    ------
    ConfigurationError
        If there is none.
    DataError
        If it is not one that this version wrote.
    """
    path = Path(path)
    hint = "; `make DATASET.shards` or `python -m pipeline run` writes it"
    content = read_json(path, hint, "run the pipeline again")
    if content.get("format") != FORMAT:
        raise DataError(f"{path}: is not of format {FORMAT}; run the pipeline again to write it")
    return Dataset(
        path=path,
        name=content["name"],
        evaluate=content["evaluate"],
        settings=content["settings"],
        keys={name: stage["key"] for name, stage in content["stages"].items()},
        videos=tuple(read_video(video) for video in content["videos"]),
        shard_frames=content["shard_frames"],
        stages=content["stages"],
    )
