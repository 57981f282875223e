"""The training of D (docs/method.md, 7): normal frames against inpainted ones.

Features are small: those of all training frames are read once and kept in memory.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.base.progress import progress_bar
from pipeline.shards.reader import Dataset, VideoInfo, open_dataset
from training.feed.clips import training_videos
from training.feed.order import ORDER
from training.loops.plan import TrainingError
from training.networks.autoencoder import load_weights
from training.networks.discriminator import DiscriminatorSettings, build_discriminator
from training.record.folder import RunFolder
from training.record.processes import join_processes
from training.record.recipe import make_recipe
from training.record.reuse import adopt
from training.record.stopping import Stopper
from training.record.tracking import Tracker
from training.settings.base import DiscriminatorTraining, RunSettings

STAGES = ("features", "pa_features")

#: An epoch over small data takes less than writing a checkpoint: not one after each.
CHECKPOINT_SECONDS = 10.0


@dataclass(frozen=True)
class Examples:
    """Feature vectors (n, D) float32 and what they are (n,) float32: 0 normal, 1 inpainted."""

    features: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Examples:
        """Return the same examples on a device."""
        return Examples(self.features.to(device), self.labels.to(device))


def train_discriminator(
    shards: str | Path,
    out: str | Path,
    settings: DiscriminatorTraining | None = None,
    run: RunSettings | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Train D, or go on with a training that was interrupted.

    Parameters and errors are those of ``train_autoencoder``. It runs on one process: 20
    epochs over Ped2's features take seconds.
    """
    settings, run = settings or DiscriminatorTraining(), run or RunSettings()
    dataset = open_dataset(shards)
    videos = training_videos(dataset, holdout=False)
    holdout = training_videos(dataset, holdout=True)
    architecture = DiscriminatorSettings(
        features=feature_length(dataset, videos[0]),
        hidden=settings.hidden,
        normalise=settings.normalise,
    )
    recipe = make_recipe("discriminator", settings, architecture, dataset, STAGES, videos, holdout)
    folder = RunFolder(out)
    with ExitStack() as stack:
        group = stack.enter_context(join_processes(run.device))
        if group.processes > 1:
            raise ConfigurationError("training discriminator runs on one process, without torchrun")
        stack.enter_context(folder.claimed())
        if overwrite:
            folder.clear()
        elif run.reuse:
            adopt(folder, run.reuse, recipe)
        if folder.finished(recipe):
            print(f"{folder.path}: trained already, with these settings; nothing to do")
            return folder.path
        state = folder.load(recipe)
        if state is None and resume:
            raise ConfigurationError(f"{folder.checkpoint}: there is no checkpoint to resume from")
        tracker = Tracker(folder, recipe, run.tracker)
        stack.callback(tracker.close)
        examples = read_examples(dataset, videos).to(group.device)
        held = read_examples(dataset, holdout).to(group.device) if holdout else None
        _train(examples, held, architecture, settings, recipe, folder, state, tracker, run)
    return folder.path


def _train(
    examples: Examples,
    held: Examples | None,
    architecture: DiscriminatorSettings,
    settings: DiscriminatorTraining,
    recipe: dict[str, Any],
    folder: RunFolder,
    state: dict[str, Any] | None,
    tracker: Tracker,
    run: RunSettings,
) -> None:
    torch.manual_seed(settings.seed)
    network = build_discriminator(architecture).to(examples.labels.device)
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    done, spent, last = 0, 0.0, {}
    if state is not None:
        load_weights(network, state["model"], str(folder.checkpoint))
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["generator"])
        done, spent, last = (state["position"][name] for name in ("epoch", "seconds", "last"))
    steps = -(-len(examples) // settings.batch)
    folder.keep_metrics(done * steps)
    began, saved = time.monotonic() - spent, time.monotonic()
    bar = progress_bar(settings.epochs, "train discriminator", done=done)
    with Stopper(run.max_minutes) as stopper, bar:
        for epoch in range(done, settings.epochs):
            order = np.random.default_rng((ORDER, settings.seed, epoch)).permutation(len(examples))
            summed = torch.zeros((), dtype=torch.float64)
            for at in range(0, len(order), settings.batch):
                chosen = torch.from_numpy(order[at : at + settings.batch])
                labels = examples.labels[chosen]
                logits = network(examples.features[chosen])
                loss = F.binary_cross_entropy_with_logits(logits, labels)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                summed += loss.detach().cpu() * len(labels)
            loss_of_epoch = float(summed) / len(examples)
            if loss_of_epoch - loss_of_epoch != 0:
                raise TrainingError(
                    f"{folder.path}: the loss is {loss_of_epoch} in epoch {epoch}; try a "
                    f"learning_rate below {settings.learning_rate:g} (with --overwrite), and "
                    "`python -m pipeline verify` if the shards may be damaged"
                )
            seconds = round(time.monotonic() - began, 3)
            last = {"epoch": epoch, "loss": loss_of_epoch, **evaluate(network, held)}
            tracker.write("epoch", (epoch + 1) * steps, **last, seconds=seconds)
            bar.set_postfix(loss=f"{loss_of_epoch:.5f}", refresh=False)
            bar.update()
            if run.snapshots and (epoch + 1) % run.snapshots == 0:
                folder.snapshot(network, epoch + 1)
            ends = epoch + 1 == settings.epochs
            if not ends and (stopper.wanted or time.monotonic() - saved >= CHECKPOINT_SECONDS):
                folder.save(
                    {
                        "recipe": recipe,
                        "model": network.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "position": {"epoch": epoch + 1, "seconds": seconds, "last": last},
                        "generator": torch.get_rng_state(),
                    }
                )
                saved = time.monotonic()
            if stopper.wanted and not ends:
                print(f"{folder.path}: stopped; epoch {epoch + 1} of {settings.epochs} is saved")
                raise KeyboardInterrupt
    folder.finish(network, recipe, {"steps": settings.epochs * steps, **last, "seconds": seconds})
    auc = last["holdout_auc"]
    print(
        f"{folder.path}: trained on {len(examples)} frames, {seconds:.0f} s; loss "
        f"{last['loss']:.4f}, AUC on held-out videos {'(none)' if auc is None else f'{auc:.4f}'}"
    )


def feature_length(dataset: Dataset, video: VideoInfo) -> int:
    """Return D, the length of the feature vectors of a data set.

    Raises
    ------
    ConfigurationError
        If the stages of the features were not run.
    DataError
        If normal and inpainted frames have features of different length.
    """
    lengths = {stage: dataset.arrays(stage, video.name)["feature"].shape[1] for stage in STAGES}
    if len(set(lengths.values())) != 1:
        raise DataError(
            f"{dataset.path}: features have {lengths['features']} numbers, pa_features "
            f"{lengths['pa_features']}; run both stages with the same model"
        )
    return int(lengths["features"])


def read_examples(dataset: Dataset, videos: list[VideoInfo]) -> Examples:
    """Read the features of all frames of some videos, normal and inpainted.

    Raises
    ------
    DataError
        If a feature is not finite.
    """
    features, labels = [], []
    for label, stage in enumerate(STAGES):
        for video in videos:
            found = dataset.arrays(stage, video.name)["feature"][:]
            if not np.isfinite(found).all():
                bad = int(np.flatnonzero(~np.isfinite(found).all(1))[0])
                raise DataError(
                    f"{dataset.path}: {stage} of {video.name}, frame {bad}: is not finite; run "
                    "`python -m pipeline verify --repair`"
                )
            features.append(torch.from_numpy(found))
            labels.append(torch.full((len(found),), float(label)))
    return Examples(torch.cat(features), torch.cat(labels))


@torch.no_grad()
def evaluate(network: nn.Module, held: Examples | None) -> dict[str, float | None]:
    """Return loss and AUC on held-out frames and their inpainted versions; None without any."""
    if held is None:
        return {"holdout_loss": None, "holdout_auc": None}
    from sklearn.metrics import roc_auc_score

    network.eval()
    logits = network(held.features)
    network.train()
    loss = F.binary_cross_entropy_with_logits(logits, held.labels)
    auc = roc_auc_score(held.labels.cpu().numpy(), logits.cpu().numpy())
    return {"holdout_loss": float(loss), "holdout_auc": float(auc)}
