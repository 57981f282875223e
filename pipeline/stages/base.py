"""What a stage is: a frozen dataclass of settings with one function from arrays to arrays.

A stage knows nothing of files, Dask or HDF5. Its dataclass fields are its settings and,
with its name, its ``VERSION`` and the keys of the stages that it reads, its key
(:mod:`pipeline.execution.plan`). To add one, write a file in ``pipeline/stages`` and name it in
the registry there.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np

from pipeline.models.source import ModelUse

if TYPE_CHECKING:
    from pipeline.data.truth.truth import Truth


@dataclass(frozen=True)
class Array:
    """One array that a stage writes: the dtype and the shape of a single frame."""

    dtype: str
    shape: tuple[int, ...]


class FrameSource(Protocol):
    """A video, or frames in memory that are read as one."""

    def frames(self, wanted: range, /) -> Iterator[np.ndarray]:
        """Yield frames one by one, each (H, W, 3) uint8 RGB."""
        ...


class TruthSource(Hashable, Protocol):
    """A video whose ground truth can be read."""

    def signature(self) -> str:
        """Return what changes when the truth's files do."""
        ...

    def truth(self) -> Truth:
        """Read labels and masks."""
        ...


class FramesRead(Protocol):
    """One array of a whole video, read by slice: of shards or, in a stream, of memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole, frames first."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any:
        """Return frame ``[i]`` or consecutive frames ``[a:b]``."""
        ...


#: For each stage read, its arrays by name.
Inputs = Mapping[str, Mapping[str, FramesRead]]


def frame_seed(key: str, video: str, frame: int) -> int:
    """Return the 63-bit seed of a frame, from the stage's key, the video and the frame alone.

    >>> frame_seed("k", "train/01", 0) == frame_seed("k", "train/01", 0)
    True
    """
    digest = hashlib.sha256(f"{key}\n{video}\n{frame}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a stage is asked to compute: some consecutive frames of one video.

    Attributes
    ----------
    video
        Name with its split, ``train/01``.
    frames
        The frames to write.
    inputs
        For each stage it reads, the arrays of the whole video, read lazily by slice:
        ``job.inputs["frames"]["image"][a:b]``.
    source
        The video itself, for stages that read no other stage.
    truth
        The video's ground truth, for stages that say ``READS_TRUTH``.
    key
        The stage's key: the root of all its randomness.
    """

    video: str
    frames: range
    inputs: Inputs = field(default_factory=dict)
    source: FrameSource | None = None
    truth: TruthSource | None = None
    key: str = ""

    def seed(self, frame: int) -> int:
        """Return the frame's seed, the same in whatever order shards are computed."""
        return frame_seed(self.key, self.video, frame)

    def rng(self, frame: int) -> np.random.Generator:
        """Return a generator of the frame's own."""
        return np.random.default_rng(self.seed(frame))


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Base of all stages; its fields are the settings, checked in ``__post_init__``.

    What planning and execution must know of a stage, its class says: none of them knows a
    stage by name.
    """

    NAME: ClassVar[str] = ""
    VERSION: ClassVar[int] = 1
    #: Which videos: all, the normal training videos, or those with ground truth.
    SPLITS: ClassVar[Literal["all", "train", "test"]] = "all"
    #: True where frames must be read in order: one task a video instead of one a shard.
    SEQUENTIAL: ClassVar[bool] = False
    #: True where ground truth is read: its digest then counts as the video's does.
    READS_TRUTH: ClassVar[bool] = False
    #: True where it is of use only to other stages, and is left out where none reads it.
    OPTIONAL: ClassVar[bool] = False
    #: Arrays that are written for videos with pixel truth alone.
    OF_PIXEL_TRUTH: ClassVar[frozenset[str]] = frozenset()
    #: What the setting ``model`` must name, by engine.
    NEEDS: ClassVar[Mapping[str, str]] = {}

    def models(self) -> tuple[ModelUse, ...]:
        """Return the models in use."""
        return ()

    def wants_gpu(self) -> bool:
        """Tell whether a GPU speeds it up, as it does every network."""
        return bool(self.models())

    def inputs(self) -> tuple[str, ...]:
        """Return the names of the stages that this one reads."""
        return ()

    def arrays(self, inputs: Mapping[str, Mapping[str, Array]]) -> dict[str, Array]:
        """Return the arrays written, given those of the stages read."""
        raise NotImplementedError

    def length(self, frames: int) -> int:
        """Return how many frames are written for a video of ``frames`` frames."""
        return frames

    def identity(self, digest: Callable[[Path], str]) -> dict[str, str]:
        """Return what else the output depends on, such as the digest of a model's weights."""
        return {}

    def compute(self, job: Job) -> dict[str, np.ndarray]:
        """Return the arrays of ``job.frames``, in order."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """Return the settings as plain values, for the key and the record."""
        return dataclasses.asdict(self)
