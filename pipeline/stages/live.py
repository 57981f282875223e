"""The stages of a run on frames that come one after the other: what a stream needs of them.

The settings are those that ``shards.json`` records, so a stream is prepared exactly as the
shards were that the networks were trained on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from pipeline.base.environment import cores
from pipeline.base.errors import ConfigurationError
from pipeline.shards.reader import Dataset
from pipeline.stages.base import Job, Stage
from pipeline.stages.features import Features
from pipeline.stages.flow import Flow
from pipeline.stages.frames import Frames
from pipeline.stages.patches import Patches

Kind = TypeVar("Kind", bound=Stage)


@dataclass(frozen=True)
class _Given:
    """Frames in memory, read as a video is."""

    images: list[np.ndarray]

    def frames(self, wanted: range) -> Iterator[np.ndarray]:
        """Yield the wanted frames."""
        return (self.images[number] for number in wanted)


class Live:
    """Frames, flow, features and patches by a data set's own settings.

    Parameters
    ----------
    dataset
        Its ``shards.json`` records the settings of each stage.
    features_model
        For ``features.engine`` vifi-clip or clip: where the model lies; a recipe keeps its
        digest alone.
    """

    def __init__(self, dataset: Dataset, features_model: str = "") -> None:
        self._dataset = dataset
        self._frames = self._stage(Frames)
        self._flow = self._stage(Flow)
        self._features_model = features_model
        self._features: Stage | None = None
        self._patches: Patches | None = None
        self._shown = np.zeros(0, np.float16)

    def frames(self, images: list[np.ndarray]) -> np.ndarray:
        """Resize frames (H, W, 3) uint8 RGB: (n, S, S, 3) uint8."""
        job = Job(video="", frames=range(len(images)), source=_Given(images))
        return self._frames.compute(job)["image"]

    def flow(self, images: np.ndarray) -> np.ndarray:
        """Return the flow of each frame (n, S, S, 3) to the next: (n - 1, S, S, 2) float16.

        Pairs of frames do not depend on each other, and are shared out over the cores.
        """
        pairs = range(len(images) - 1)
        with ThreadPoolExecutor(cores()) as pool:
            return np.concatenate(list(pool.map(lambda t: self._pair(images[t : t + 2]), pairs)))

    def _pair(self, images: np.ndarray) -> np.ndarray:
        """Return the flow from one frame to another, (1, S, S, 2) float16."""
        job = Job(video="", frames=range(1), inputs={"frames": {"image": images}})
        return self._flow.compute(job)["flow"]

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return the feature vector of each frame (n, S, S, 3): (n, D) float32."""
        if self._features is None:
            extra = {"model": self._features_model} if self._features_model else {}
            self._features = self._stage(Features, **extra)
        job = Job(video="", frames=range(len(images)), inputs={"frames": {"image": images}})
        return self._features.compute(job)["feature"]

    def patches(self, images: np.ndarray, first: int) -> np.ndarray:
        """Return the descriptors of the places of frames (n, S, S, 3): (n, h, w, C) float16.

        Parameters
        ----------
        first
            The number of the first one in its stream, from 0: not every frame is looked at, and
            the last that was stands for those behind it.
        """
        if self._patches is None:
            self._patches = self._stage(Patches)
        every = self._patches.every
        new = images[-first % every :: every]
        if len(new):
            job = Job(video="", frames=range(len(new)), inputs={"frames": {"image": new}})
            found = dataclasses.replace(self._patches, every=1).compute(job)["patch"]
            self._shown = found if first % every == 0 else np.concatenate([self._shown, found])
        places = (first % every + np.arange(len(images))) // every
        result = self._shown[places]
        self._shown = self._shown[-1:]
        return result

    def _stage(self, kind: type[Kind], **extra: Any) -> Kind:
        """Make a stage with the settings that the shards were made with."""
        if kind.NAME not in self._dataset.stages:
            raise ConfigurationError(
                f"{self._dataset.path}: stage {kind.NAME} is not in it; run "
                f"`make {self._dataset.name}.{kind.NAME}` with the same PRESET, CACHE and RUNS"
            )
        recipe = self._dataset.stages[kind.NAME]["recipe"]
        version = recipe.get("version", kind.VERSION)
        if version != kind.VERSION:
            raise ConfigurationError(
                f"{self._dataset.path}: stage {kind.NAME} was made by version {version} of it, "
                f"this is version {kind.VERSION}; run the pipeline and the training again"
            )
        return kind(**recipe["settings"], **extra)
