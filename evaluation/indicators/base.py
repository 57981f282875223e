"""What an indicator is: an object that says what it reads and how it judges a stream of frames.

A stream defines the numbers, and a whole video is a stream that ended (:func:`run_through`).
Adding an indicator is a file with a subclass of :class:`Indicator` and a line in
:mod:`evaluation.indicators.registry` (docs/adding-an-indicator.md).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

if TYPE_CHECKING:
    from evaluation.indicators.settings import Scoring
    from evaluation.record.material import Material
    from evaluation.record.run import Run


@dataclass(frozen=True)
class Part:
    """What is known of the next m frames.

    Attributes
    ----------
    values
        (m,) float64, higher = more anomalous; None of an indicator that has maps alone.
    maps
        (m, h, w) of an error, or (m, h, w, C) of a vector; None where there are none.
    """

    values: np.ndarray | None = None
    maps: np.ndarray | None = None


def joined(parts: Sequence[Part]) -> Part:
    """Return parts that follow each other as one."""
    values = [part.values for part in parts if part.values is not None]
    maps = [part.maps for part in parts if part.maps is not None]
    return Part(np.concatenate(values) if values else None, np.concatenate(maps) if maps else None)


class Stream(Protocol):
    """Frames in, numbers out, in memory that does not grow with the stream."""

    chunk: int
    """How many frames of a whole video are best pushed at once."""

    def leave_out(self, video: str) -> None:
        """Judge as if nothing had been learnt from a video, the one that the frames are of."""
        return None

    def push(self, *stored: np.ndarray) -> Part:
        """Take the next n frames; return what is now known.

        Parameters
        ----------
        *stored
            An array for each stage that the indicator reads, in that order, n entries each:
            ``frames`` (n, S, S, 3) uint8 RGB, ``flow`` (n, S, S, 2) float32 in px a frame (of
            the last frame that of the one before it), ``features`` (n, D) float32, ``patches``
            (n, h, w, C) float16.
        """

    def finish(self) -> Part:
        """Say that no frame comes any more; return what is left."""


class FrameByFrame(Stream):
    """A stream that judges every frame by itself.

    Parameters
    ----------
    judge
        From the stored arrays of n frames to their :class:`Part`.
    """

    def __init__(self, judge: Callable[..., Part], chunk: int = 64) -> None:
        self._judge, self.chunk = judge, chunk

    def push(self, *stored: np.ndarray) -> Part:
        """Judge the next frames."""
        return self._judge(*stored)

    def finish(self) -> Part:
        """Nothing is left."""
        return Part()


class ValueStream:
    """From saved values to unscaled ω, value by value; this one leaves them as they are."""

    delay = 0
    """Values after a value that must come before it is known."""

    def push(self, values: np.ndarray) -> np.ndarray:
        """Take the next values (n,); return what is now known, (m,) float64."""
        return np.asarray(values, np.float64)

    def finish(self) -> np.ndarray:
        """Say that no value comes any more; return what is left."""
        return np.zeros(0)


class Indicator(ABC):
    """One way to tell how unusual a frame is; class variables say what it is and needs."""

    NAME: ClassVar[str]
    """In files and settings; of a network also its folder in the run."""

    SYMBOL: ClassVar[str]
    """In tables, such as ``A^s``."""

    OMEGA: ClassVar[str] = ""
    """Of the paper's three: ω1, ω2, ω3."""

    COLOR: ClassVar[str]
    """Of its line in a timeline, ``#rrggbb``; to be read on white and on black."""

    READS: ClassVar[tuple[str, ...]]
    """The stages whose arrays its stream is pushed: of frames, flow, features and patches."""

    VERSION: ClassVar[int] = 1
    """To be raised when its values change; of a network its weights count as well."""

    NETWORK: ClassVar[bool] = False
    """Whether it needs a network that was trained into the run's folder ``NAME``."""

    VALUE: ClassVar[bool] = True
    """Whether it has a number a frame, which ``lntra`` and ``dense`` need."""

    MAP: ClassVar[int] = 0
    """Channels of its map, which ``local`` needs: 1 of an error, 2 of a velocity, 0 for none."""

    PLACE: ClassVar[bool] = True
    """Whether ``local`` holds its map against what is normal at the same place, or anywhere."""

    SAVED: ClassVar[bool] = True
    """Whether its numbers are saved; if not, they are made again from the shards when needed."""

    SCALED: ClassVar[bool] = True
    """Whether ``lntra`` and ``dense`` scale it; a probability has a scale already."""

    DELAY: ClassVar[int] = 0
    """Frames after a frame that must have come before its numbers are known."""

    CHOSEN: ClassVar[bool] = False
    """Whether ``detect`` takes it under ``local`` unless told otherwise."""

    def ready(self, run: Run) -> bool:
        """Whether a run has what it needs: its network, or else its stages."""
        if self.NETWORK:
            return (run.folder / self.NAME / "recipe.json").exists()
        return all(stage in run.dataset.stages for stage in self.READS)

    def fingerprint(self, run: Run) -> str:
        """Return what its saved numbers depend on beside the shards; empty if none are saved."""
        return f"version {self.VERSION}" if self.SAVED else ""

    @abstractmethod
    def load(self, run: Run, settings: Scoring) -> Callable[[], Stream]:
        """Load or fit what is needed, and return a function that begins a stream.

        Raises
        ------
        ConfigurationError, DataError
            If something is missing or does not fit together.
        """

    def measure(self, architecture: dict[str, Any]) -> str:
        """Return how a network of this architecture judges: ``frame``, or ``clip`` (MemAE's)."""
        return "frame"

    def omega(self, measure: str = "frame") -> ValueStream:
        """Begin a stream from saved values to unscaled ω, higher = more anomalous."""
        return ValueStream()

    @property
    def label(self) -> str:
        """For a legend, such as ``ω1 (A^s)``."""
        return f"{self.OMEGA} ({self.SYMBOL})" if self.OMEGA else self.SYMBOL

    @property
    def column(self) -> str:
        """In the files that ``detect`` writes: ``w1``, or its name."""
        return self.OMEGA.replace("ω", "w") or self.NAME


def run_through(streams: Sequence[Stream], material: Material, reads: Sequence[str]) -> list[Part]:
    """Return the numbers of a whole video or stretch by each of some streams.

    Each frame is read once, in order, and shown to all of them.
    """
    parts: list[list[Part]] = [[] for _ in streams]
    chunk = max(stream.chunk for stream in streams)
    for stream in streams:
        stream.leave_out(material.video_name)
    for start in range(0, material.frames, chunk):
        stop = min(start + chunk, material.frames)
        stored = [material.read(stage, start, stop) for stage in reads]
        for stream, found in zip(streams, parts, strict=True):
            found.append(stream.push(*stored))
    return [joined([*found, stream.finish()]) for stream, found in zip(streams, parts, strict=True)]


def whole_omega(indicator: Indicator, values: np.ndarray, measure: str = "frame") -> np.ndarray:
    """Return the unscaled ω (N,) float64 of all saved values (N,) of a video."""
    stream = indicator.omega(measure)
    return np.concatenate([stream.push(values), stream.finish()])
