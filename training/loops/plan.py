"""What one step of the loop is made of: the plan, the tensors of a step, the held-out loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.shards.reader import Dataset, VideoInfo
from training.feed.clips import Batch, TrainingClips, training_videos
from training.feed.order import Schedule, clip_starts
from training.feed.pseudo_anomalies import intruders_digest, load_intruders
from training.feed.reading import flow_scale, to_network
from training.networks.autoencoder import reconstruction_loss
from training.record.processes import Group
from training.record.recipe import make_recipe
from training.settings.base import AutoencoderTraining


@dataclass(frozen=True)
class TrainingPlan:
    """What will be read and in which order, before anything is."""

    settings: AutoencoderTraining
    clips: TrainingClips
    holdout: list[VideoInfo]
    schedule: Schedule
    scale: float | None
    recipe: dict[str, Any]

    def shown(self, stored: Tensor) -> Tensor:
        """Return stored clips (n, T, H, W, C) as the network sees them."""
        settings = self.settings
        channels = settings.architecture.channels_in
        return to_network(stored, self.scale, settings.display, channels)


def plan_training(dataset: Dataset, settings: AutoencoderTraining, group: Group) -> TrainingPlan:
    """Choose videos, order and recipe, and check that all of it can be done."""
    videos = training_videos(dataset, holdout=False)
    holdout = training_videos(dataset, holdout=True)
    scale = flow_scale(dataset) if settings.network == "temporal" else None
    data: dict[str, Any] = {} if scale is None else {"flow_scale": scale}
    intruders = None
    if settings.pseudo_anomaly == "patch" and settings.p > 0:
        intruders = load_intruders(settings.intruders)
        data["intruders_sha256"] = intruders_digest(intruders)
    recipe = make_recipe(
        settings.network,
        settings,
        settings.architecture,
        dataset,
        settings.stages,
        videos,
        holdout,
        **data,
    )
    schedule = Schedule(
        tuple(video.frames for video in videos),
        settings.stride,
        settings.batch,
        settings.epochs,
        settings.seed,
        settings.max_clips,
        settings.block,
        settings.buffer,
        settings.drop_last,
    )
    schedule.check(group.processes)
    clips = TrainingClips(dataset, settings, videos, intruders)
    return TrainingPlan(settings, clips, holdout, schedule, scale, recipe)


def prepare(
    batch: Batch, plan: TrainingPlan, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what the network is fed, what it must give back, and the sign of each clip's loss.

    Inputs and targets are (n, 3, T, H, W) float32 in [-1, 1]. STEAL pushes the
    reconstruction of a pseudo-anomaly away from the pseudo-anomaly itself (sign -1); all
    others pull it to the normal clip.
    """
    layout = torch.channels_last_3d if plan.settings.channels_last else torch.contiguous_format

    def shown(stored: Tensor) -> Tensor:
        clips = plan.shown(stored.to(device, non_blocking=True))
        return clips.contiguous(memory_format=layout)

    target = shown(batch.target)
    signs = torch.ones(len(target))
    if not batch.pseudo.any():
        return target, target, signs.to(device, non_blocking=True)
    # What depends on the clips' kinds is worked out here: a GPU asked for it would have to wait.
    where = batch.pseudo.nonzero().flatten().to(device, non_blocking=True)
    clips = target.clone(memory_format=torch.preserve_format)
    clips.index_copy_(0, where, shown(batch.replaced))
    if plan.settings.negative:
        signs[batch.pseudo] = -1
        target = clips
    return clips, target, signs.to(device, non_blocking=True)


@torch.no_grad()
def holdout_loss(network: nn.Module, plan: TrainingPlan, group: Group, stride: int) -> float | None:
    """Return the mean loss on normal clips of held-out videos; None without any.

    Clips start at every ``stride``-th frame; the processes share them. The network computes
    in evaluation mode, in fp32.
    """
    where = [
        (video, start) for video in plan.holdout for start in clip_starts(video.frames, stride)
    ]
    total = 0.0
    network.eval()
    for video, start in where[group.rank :: group.processes]:
        stored = torch.from_numpy(plan.clips.read(video.name, start))[None]
        clip = plan.shown(stored.to(group.device))
        total += float(reconstruction_loss(network(clip), clip).sum())
    network.train()
    total = group.sums([total])[0]
    return total / len(where) if where else None
