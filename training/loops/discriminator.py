"""The training of D (docs/method.md, 7): normal frames against inpainted ones.

Features are small: those of all training frames are read once and kept in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.base.errors import DataError
from pipeline.shards.reader import Dataset, VideoInfo, open_dataset
from training.feed.clips import training_videos
from training.feed.order import ORDER
from training.loops.session import Session, alone, open_session
from training.networks.autoencoder import load_weights
from training.networks.discriminator import DiscriminatorSettings, build_discriminator
from training.record.folder import RunFolder
from training.record.processes import join_processes
from training.record.recipe import make_recipe
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
    with join_processes(run.device) as group:
        alone(group, "discriminator")
        with open_session(
            folder, recipe, run, group, resume=resume, overwrite=overwrite, unit="epoch"
        ) as session:
            if session is not None:
                examples = read_examples(dataset, videos).to(group.device)
                held = read_examples(dataset, holdout).to(group.device) if holdout else None
                _train(examples, held, architecture, settings, session)
    return folder.path


def _train(
    examples: Examples,
    held: Examples | None,
    architecture: DiscriminatorSettings,
    settings: DiscriminatorTraining,
    session: Session,
) -> None:
    torch.manual_seed(settings.seed)
    network = build_discriminator(architecture).to(examples.labels.device)
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    position: dict[str, Any] = {"epoch": 0, "seconds": 0.0, "last": {}}
    if session.state is not None:
        load_weights(network, session.state["model"], str(session.folder.checkpoint))
        optimizer.load_state_dict(session.state["optimizer"])
        torch.set_rng_state(session.state["generator"])
        position = session.state["position"]
    done, steps = position["epoch"], -(-len(examples) // settings.batch)

    def state() -> dict[str, Any]:
        networks = {"model": network.state_dict(), "optimizer": optimizer.state_dict()}
        return networks | {"position": position}

    with session.steps(
        settings.epochs, done=done, logged=done * steps, seconds=position["seconds"]
    ):
        for epoch in range(done, settings.epochs):
            loss = _epoch(network, optimizer, examples, settings, epoch)
            advice = f"a learning_rate below {settings.learning_rate:g}"
            session.check_finite(loss, f"epoch {epoch}", advice)
            last = {"epoch": epoch, "loss": loss, **evaluate(network, held)}
            position = {"epoch": epoch + 1, "seconds": round(session.seconds, 3), "last": last}
            session.tracker.write("epoch", (epoch + 1) * steps, **last, seconds=position["seconds"])
            session.advance(f"{loss:.5f}")
            if session.run.snapshots and (epoch + 1) % session.run.snapshots == 0:
                session.folder.snapshot(network, epoch + 1)
            session.keep(
                state, save=session.save_due(CHECKPOINT_SECONDS), stop=session.stopper.wanted
            )
    last, seconds = position["last"], position["seconds"]
    result = {"steps": settings.epochs * steps, **last, "seconds": seconds}
    session.folder.finish(network, session.recipe, result)
    auc = last["holdout_auc"]
    print(
        f"{session.folder.path}: trained on {len(examples)} frames, {seconds:.0f} s; loss "
        f"{last['loss']:.4f}, AUC on held-out videos {'(none)' if auc is None else f'{auc:.4f}'}"
    )


def _epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    examples: Examples,
    settings: DiscriminatorTraining,
    epoch: int,
) -> float:
    """Take an epoch's steps and return its mean loss, which is looked at once."""
    device = examples.labels.device
    rng = np.random.default_rng((ORDER, settings.seed, epoch))
    order = torch.from_numpy(rng.permutation(len(examples))).to(device)
    summed = torch.zeros((), dtype=torch.float64, device=device)
    for chosen in order.split(settings.batch):
        logits = network(examples.features[chosen])
        loss = F.binary_cross_entropy_with_logits(logits, examples.labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        summed += loss.detach() * len(chosen)
    return float(summed) / len(examples)


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
