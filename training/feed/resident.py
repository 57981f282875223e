"""A data set kept on the device: clips are picked there, and no frame is copied twice.

Frames that overlapping clips share lie there once. What is picked is what
:class:`training.feed.clips.TrainingClips` reads, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pipeline.base.errors import ConfigurationError
from training.feed.clips import Batch, TrainingClips
from training.feed.order import Schedule

#: The part of a GPU's free memory that a data set may take; the rest is the network's.
SHARE = 0.5
#: Frames read at once.
READ = 256


def is_resident(setting: str, clips: TrainingClips, device: torch.device) -> bool:
    """Decide whether a data set is kept on the device.

    Parameters
    ----------
    setting
        ``on``, ``off``, or ``auto``: on a GPU where it fits into half of the free memory.

    Raises
    ------
    ConfigurationError
        For ``on`` with pseudo-anomalies that are drawn anew for each clip.
    """
    if clips.settings.pseudo_anomaly == "patch" and clips.settings.p > 0:
        if setting == "on":
            raise ConfigurationError(
                "resident: on: patches are drawn anew for each clip while it is read; set it to "
                "auto or off"
            )
        return False
    if setting != "auto":
        return setting == "on"
    if device.type != "cuda":
        return False
    return bytes_needed(clips) <= SHARE * torch.cuda.mem_get_info(device)[0]


def bytes_needed(clips: TrainingClips) -> int:
    """Return the bytes of all frames that a training reads, as they are kept."""
    (first, *_), total = clips.videos, sum(video.frames for video in clips.videos)
    return sum(
        total * clips.frames_of(stage, first.name, 0, 1).nbytes for stage in clips.settings.stages
    )


def resident_steps(
    clips: TrainingClips,
    schedule: Schedule,
    epoch: int,
    done: int,
    *,
    rank: int,
    processes: int,
    device: torch.device,
) -> Iterator[Batch]:
    """Yield the batches of every step that is left, their frames on the device."""
    kept = {stage: _read(clips, stage).to(device) for stage in clips.settings.stages}
    starts = np.cumsum([0, *(video.frames for video in clips.videos)])

    def pick(stage: str, places: list[np.ndarray]) -> Tensor:
        numbers = torch.from_numpy(np.stack(places))
        if device.type == "cuda":
            numbers = numbers.pin_memory()
        return kept[stage][numbers.to(device, non_blocking=True)]

    for step in schedule.remaining(epoch, done, rank, processes):
        targets, replaced, stage = [], [], clips.settings.stages[0]
        pseudo = np.zeros(len(step.clips), bool)
        for at, (video, start) in enumerate(step.clips.tolist()):
            normal, other = clips.choose(step.epoch, video, start)
            targets.append(starts[video] + normal)
            if other is not None:
                stage, numbers = other
                pseudo[at] = True
                replaced.append(starts[video] + numbers)
        yield Batch(
            step=step,
            target=pick(clips.settings.stages[0], targets),
            pseudo=torch.from_numpy(pseudo),
            replaced=pick(stage, replaced) if replaced else torch.empty(0),
        )


def _read(clips: TrainingClips, stage: str) -> Tensor:
    """Read all frames of all training videos, one after the other."""
    parts = [
        clips.frames_of(stage, video.name, start, min(start + READ, video.frames))
        for video in clips.videos
        for start in range(0, video.frames, READ)
    ]
    return torch.from_numpy(np.concatenate(parts))
