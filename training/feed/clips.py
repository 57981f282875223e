"""Clips from shards: read in sequence, pseudo-anomalies drawn in, ready for a network.

Reading is lazy and by index: what clip i is, and whether its input is a pseudo-anomaly,
follows from (seed, epoch, video, first frame) alone, never from which worker reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from pipeline.base.errors import DataError, MachineError, ProjectError
from pipeline.shards.reader import Dataset, VideoInfo
from training.feed import pseudo_anomalies
from training.feed.order import Schedule, Step, clip_rng
from training.feed.reading import area_resize, read_flow, read_frames
from training.networks.autoencoder import CLIP_LENGTH
from training.settings.base import AutoencoderTraining


@dataclass
class Batch:
    """The clips of a step as they are stored: uint8 frames or float32 flow, (n, T, H, W, C).

    ``pseudo`` says which of the n inputs are pseudo-anomalies; ``replaced`` holds those,
    in order. ``target`` is what must be reconstructed.
    """

    step: Step
    target: Tensor
    pseudo: Tensor
    replaced: Tensor

    def pin_memory(self) -> Batch:
        """Move to page-locked memory, from which a GPU copies faster."""
        return Batch(
            self.step,
            self.target.pin_memory(),
            self.pseudo.pin_memory(),
            self.replaced.pin_memory(),
        )


class TrainingClips(TorchDataset):
    """The clips of a step, by :class:`training.feed.order.Step`; picklable, opens files lazily.

    Parameters
    ----------
    dataset
        The shards.
    settings
        Which network, which pseudo-anomalies.
    videos
        The training videos, in the order that steps refer to.
    intruders
        For ``patch``: images (h, w, 3) uint8.
    """

    def __init__(
        self,
        dataset: Dataset,
        settings: AutoencoderTraining,
        videos: list[VideoInfo],
        intruders: list[np.ndarray] | None = None,
    ) -> None:
        self.dataset = dataset
        self.settings = settings
        self.videos = videos
        self.intruders = intruders or []

    def __getitem__(self, step: Step) -> Batch | ProjectError:
        """Read a step's clips; a ProjectError is returned, for the loop to raise it whole."""
        try:
            pairs = [self.pair(step.epoch, int(v), int(s)) for v, s in step.clips]
        except ProjectError as error:
            return error
        replaced = [pseudo for _, pseudo in pairs if pseudo is not None]
        return Batch(
            step=step,
            target=torch.from_numpy(np.stack([target for target, _ in pairs])),
            pseudo=torch.tensor([pseudo is not None for _, pseudo in pairs]),
            replaced=torch.from_numpy(np.stack(replaced)) if replaced else torch.empty(0),
        )

    def pair(self, epoch: int, video: int, start: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Return a clip and, where one was drawn, the pseudo-anomaly that is fed instead.

        Each is (T, H, W, C); the first is the target.
        """
        name = self.videos[video].name
        if self.settings.pseudo_anomaly == "patch":
            return self._patched(epoch, video, start)
        normal, other = self.choose(epoch, video, start)
        clip = self.read(name, int(normal[0]))
        if other is None:
            return clip, None
        stage, numbers = other
        if (np.diff(numbers) == 1).all():
            return clip, self.read(name, int(numbers[0]), stage)
        frames = self.dataset.arrays(stage, name)["image"]
        skipped = np.stack([frames[int(number)] for number in numbers])
        return clip, area_resize(skipped, self.settings.size)

    def choose(
        self, epoch: int, video: int, start: int
    ) -> tuple[np.ndarray, tuple[str, np.ndarray] | None]:
        """Return the numbers (T,) of a clip's frames and, where a pseudo-anomaly was drawn, its.

        The latter with the stage that they are of. ``patch`` makes its own from the clip.
        """
        settings = self.settings
        rng = clip_rng(settings.seed, epoch, video, start)
        numbers = np.arange(start, start + CLIP_LENGTH)
        if rng.random() >= settings.p:
            return numbers, None
        if settings.pseudo_anomaly == "shards":
            return numbers, (settings.stages[1], numbers)
        frames = self.videos[video].frames
        start, picked = pseudo_anomalies.skip_frames(frames, start, rng, settings.skip)
        return np.arange(start, start + CLIP_LENGTH), (settings.stages[0], np.asarray(picked))

    def _patched(self, epoch: int, video: int, start: int) -> tuple[np.ndarray, np.ndarray | None]:
        settings = self.settings
        rng = clip_rng(settings.seed, epoch, video, start)
        drawn = rng.random() < settings.p
        clip = self.read(self.videos[video].name, start)
        if not drawn:
            return clip, None
        intruder = self.intruders[rng.integers(len(self.intruders))]
        return clip, pseudo_anomalies.add_patch(
            clip, intruder, rng, side=settings.patch_side, move=settings.patch_move
        )

    def read(self, video: str, start: int, stage: str | None = None) -> np.ndarray:
        """Return a clip (T, H, W, C) of a stage, the normal one by default."""
        stage = stage or self.settings.stages[0]
        return self.frames_of(stage, video, start, start + CLIP_LENGTH)

    def frames_of(self, stage: str, video: str, start: int, stop: int) -> np.ndarray:
        """Return consecutive frames or flow (n, H, W, C) of a stage, of the network's size."""
        read = read_frames if self.settings.network == "spatial" else read_flow
        return read(self.dataset, video, start, stop, size=self.settings.size, stage=stage)


def training_videos(dataset: Dataset, *, holdout: bool) -> list[VideoInfo]:
    """Return the normal videos to train on, or those held out of training.

    Raises
    ------
    DataError
        If there are none to train on, or one is shorter than a clip.
    """
    videos = dataset.select(split="train", holdout=holdout)
    if not videos and not holdout:
        raise DataError(f"{dataset.path}: there is no training video; check the manifest's splits")
    for video in videos:
        if video.frames < CLIP_LENGTH:
            raise DataError(
                f"{dataset.path}: {video.name} has {video.frames} frames, a clip needs "
                f"{CLIP_LENGTH}; leave the video out of the manifest"
            )
    return videos


def load_steps(
    clips: TrainingClips,
    schedule: Schedule,
    epoch: int,
    done: int,
    *,
    rank: int,
    processes: int,
    workers: int,
    pin: bool,
) -> Generator[Batch]:
    """Yield the batches of every step that is left, read ahead by worker processes.

    Raises
    ------
    ProjectError
        What reading met, from whichever worker.
    MachineError
        If a worker died.
    """
    loader: DataLoader[Any] = DataLoader(
        clips,
        sampler=schedule.remaining(epoch, done, rank, processes),
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=workers,
        worker_init_fn=_start_worker,
        pin_memory=pin,
        generator=torch.Generator(),  # keeps the global generator, which a checkpoint holds, still
    )
    batches = _without_opencv_threads(lambda: iter(loader))
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise MachineError(
                f"a process that reads clips died ({str(error).splitlines()[0]}): out of memory "
                "or of /dev/shm; lower batch, or set workers to 0; the same command goes on"
            ) from error
        if isinstance(batch, ProjectError):
            raise batch
        yield batch


def _as_it_is(batch: Any) -> Any:
    return batch


def _without_opencv_threads(fork: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """Call what forks workers while OpenCV has one thread.

    A pool of threads does not survive a fork: a worker that inherits one waits for ever in
    its first ``cv2.resize``.
    """
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return fork()
    finally:
        cv2.setNumThreads(threads)


def _start_worker(worker: int) -> None:
    """Leave Ctrl-C and SIGTERM to the main process, which writes a checkpoint and ends its workers.

    Both go to all processes of a job. A second SIGTERM ends the worker: that is how PyTorch and
    Python take down a worker that is left over.
    """
    import signal

    def end_at_the_next(number: int, frame: Any) -> None:
        signal.signal(number, signal.SIG_DFL)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end_at_the_next)
