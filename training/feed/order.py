"""Which clips each step of a training sees: pure functions of the settings, no files.

The order of an epoch is computed as integers before anything is read. Blocks of
consecutive clips are visited in shuffled order and mixed by a seeded shuffle buffer, so
that clips arrive well mixed while the disk is read in pieces. Since nothing depends on
workers, processes or time, a training can go on at any step exactly where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.base.errors import ConfigurationError
from training.networks.autoencoder import CLIP_LENGTH

# First word of every seed: a SeedSequence pads with zeros, so (seed, epoch) alone would
# give the numbers of (seed, epoch, 0, 0).
ORDER, CLIP = 1, 2


class Step(NamedTuple):
    """The clips of one optimizer step on one process.

    ``clips`` is (n, 2) int64, each (video's index, first frame); ``total`` counts the clips
    of this step on all processes.
    """

    epoch: int
    number: int
    total: int
    clips: np.ndarray


@dataclass(frozen=True)
class Schedule:
    """The whole training as steps.

    Attributes
    ----------
    frames
        Frames of each training video.
    stride, batch, epochs, max_clips, seed, block, buffer, drop_last
        As in :class:`training.settings.base.AutoencoderTraining`.
    """

    frames: tuple[int, ...]
    stride: int
    batch: int
    epochs: int
    seed: int
    max_clips: int | None = None
    block: int = 256
    buffer: int = 2048
    drop_last: bool = False

    def clips(self, epoch: int) -> int:
        """Clips of an epoch: all, but for what ``max_clips`` and ``drop_last`` leave out."""
        left = self._available(epoch)
        if self.max_clips is not None:
            left = min(left, self.max_clips - sum(self._available(e) for e in range(epoch)))
        if self.drop_last and left >= self.batch:
            left -= left % self.batch
        return max(left, 0)

    def steps(self, epoch: int) -> int:
        """Optimizer steps of an epoch."""
        return -(-self.clips(epoch) // self.batch)

    @property
    def last_epoch(self) -> int:
        """The last epoch that has clips."""
        return max(e for e in range(self.epochs) if e == 0 or self.clips(e) > 0)

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole training."""
        return sum(self.steps(epoch) for epoch in range(self.last_epoch + 1))

    def epoch(self, epoch: int) -> list[np.ndarray]:
        """Return the clips of each step of an epoch: arrays (n, 2) of (video, first frame).

        The clips are cut into ceil(clips / batch) parts whose sizes differ by at most one,
        so that no step is taken on the handful of clips that is left over.
        """
        order = clip_order(
            self.frames, self.seed, epoch, stride=self.stride, block=self.block, buffer=self.buffer
        )[: self.clips(epoch)]
        return np.array_split(order, max(self.steps(epoch), 1)) if len(order) else []

    def remaining(self, epoch: int, done: int, rank: int = 0, processes: int = 1) -> Iterator[Step]:
        """Yield every step after ``done`` steps of ``epoch``, as one of several processes sees it.

        Process ``rank`` takes every ``processes``-th clip of each step: together they take
        all, none twice.
        """
        for later in range(epoch, self.last_epoch + 1):
            for number, clips in enumerate(self.epoch(later)):
                if later > epoch or number >= done:
                    yield Step(later, number, len(clips), clips[rank::processes])

    def check(self, processes: int = 1) -> None:
        """Raise ConfigurationError unless every process has a clip in every step."""
        for epoch in range(self.last_epoch + 1):
            clips, steps = self.clips(epoch), self.steps(epoch)
            if not clips:
                raise ConfigurationError(
                    f"epoch {epoch} has no clips: stride {self.stride} is too large for "
                    f"{len(self.frames)} videos"
                )
            if clips // steps < processes:
                raise ConfigurationError(
                    f"batch: {self.batch}: some steps have {clips // steps} clips, fewer than "
                    f"the {processes} processes that share them; raise batch or use fewer"
                )

    def _available(self, epoch: int) -> int:
        return sum(len(clip_starts(n, self.stride, epoch)) for n in self.frames)


def clip_starts(frames: int, stride: int, epoch: int = 0) -> range:
    """Return the first frames of a video's clips in an epoch.

    They lie ``stride`` apart, and the first moves on by one each epoch.

    >>> clip_starts(20, 2, epoch=0), clip_starts(20, 2, epoch=1)
    (range(0, 5, 2), range(1, 5, 2))
    """
    starts = frames - CLIP_LENGTH + 1
    return range(epoch % max(min(stride, starts), 1), max(starts, 0), stride)


def clip_order(
    frames: Sequence[int], seed: int, epoch: int, *, stride: int, block: int, buffer: int
) -> np.ndarray:
    """Return all clips of an epoch in the order of training, (n, 2) int64 (video, first frame)."""
    rng = np.random.default_rng((ORDER, seed, epoch))
    blocks = [
        np.array([(video, start) for start in starts[at : at + block]], np.int64)
        for video, starts in ((v, clip_starts(n, stride, epoch)) for v, n in enumerate(frames))
        for at in range(0, len(starts), block)
    ]
    if not blocks:
        return np.empty((0, 2), np.int64)
    rows = np.concatenate([blocks[i] for i in rng.permutation(len(blocks))])
    return rows[shuffle_buffer(len(rows), buffer, rng)]


def shuffle_buffer(count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return the order in which a shuffle buffer gives out 0 ... count-1.

    The buffer holds ``size`` items; each step gives out a random one and takes in the next,
    and at the end the rest leaves in random order.
    """
    held = list(range(min(size, count)))
    order = []
    for incoming, slot in enumerate(rng.integers(len(held), size=count - len(held)), len(held)):
        order.append(held[slot])
        held[slot] = incoming
    return np.array(order + [held[i] for i in rng.permutation(len(held))], np.int64)


def clip_rng(seed: int, epoch: int, video: int, start: int) -> np.random.Generator:
    """Return the generator of all that is random about one clip in one epoch."""
    return np.random.default_rng((CLIP, seed, epoch, video, start))
