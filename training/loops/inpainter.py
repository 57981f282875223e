"""The project's own latent diffusion inpainter: its VQ model is trained, then its UNet.

>>> train_inpainter("runs/demo/demo/shards.json", "runs/inpainter", InpainterTraining())
...                                                                         # doctest: +SKIP

The result is ``OUT/model``, a folder for ``LatentInpaintingPipeline.from_pretrained`` and
the setting ``inpaint.model``. What a step sees follows from the seed and the step's number
alone, so that a resumed training is the uninterrupted one.
"""

from __future__ import annotations

import math
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.base.files import write_json
from pipeline.models.source import digest_of
from pipeline.shards.reader import open_dataset
from training.feed.clips import training_videos
from training.feed.crops import Crops, crops_of
from training.loops.inpainter_networks import (
    Networks,
    evaluate,
    first_quantised,
    loss_of_step,
    scale_latents,
    take_codes,
)
from training.loops.session import Session, alone, open_session
from training.record.folder import RunFolder, read_recipe
from training.record.processes import join_processes
from training.record.recipe import make_recipe
from training.settings.base import RunSettings
from training.settings.inpainter import InpainterTraining


class InpainterFolder(RunFolder):
    """A training's folder whose result is a pipeline's folder, ``model``."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.model = self.path / "model"

    @property
    def contents(self) -> tuple[Path, ...]:
        """All that a training leaves."""
        return (*super().contents, self.model)

    def finished(self, recipe: dict[str, Any]) -> bool:
        """Whether this very recipe was trained to its end here; errors as :class:`RunFolder`'s."""
        if not self.recipe.exists():
            return False
        found = read_recipe(self.path)
        self.compare(recipe, found, self.recipe)
        if not self.model.is_dir() or digest_of(self.model) != found["weights_sha256"]:
            raise DataError(
                f"{self.model}: is not what recipe.json was written for; train with --overwrite"
            )
        return True

    def commit(self, pipe: Any, recipe: dict[str, Any], result: dict[str, Any]) -> None:
        """Write the model, then recipe.json, and drop the checkpoint."""
        part = self.path / ".model.part"
        shutil.rmtree(part, ignore_errors=True)
        pipe.save_pretrained(part)
        shutil.rmtree(self.model, ignore_errors=True)
        part.rename(self.model)
        whole = recipe | {"result": result, "weights_sha256": digest_of(self.model)}
        write_json(self.recipe, whole)
        self.checkpoint.unlink(missing_ok=True)


def train_inpainter(
    shards: str | Path,
    out: str | Path,
    settings: InpainterTraining | None = None,
    run: RunSettings | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Train an inpainter on the normal frames of a data set, or go on with it.

    Parameters and errors are those of ``train_autoencoder``; it runs on one process.

    Returns
    -------
    Path
        The folder of the pipeline, ``out/model``.
    """
    settings, run = settings or InpainterTraining(), run or RunSettings()
    dataset = open_dataset(shards)
    videos = training_videos(dataset, holdout=False)
    holdout = training_videos(dataset, holdout=True)
    if settings.start and not Path(settings.start).is_dir():
        raise ConfigurationError(
            f"start: {settings.start} is not there; name an inpainter's folder"
        )
    if run.reuse:
        raise ConfigurationError("reuse: is for A^s, A^t and D; an inpainter takes start")
    start = {"start_sha256": digest_of(Path(settings.start))} if settings.start else {}
    recipe = make_recipe(
        "inpainter", settings, settings.architecture, dataset, ("frames",), videos, holdout, **start
    )
    folder = InpainterFolder(out)
    with join_processes(run.device) as group:
        alone(group, "inpainter")
        with open_session(
            folder, recipe, run, group, resume=resume, overwrite=overwrite
        ) as session:
            if session is not None:
                held = crops_of(dataset, holdout) if holdout else None
                _train(crops_of(dataset, videos), held, settings, folder, session)
    return folder.model


def _train(
    crops: Crops,
    held: Crops | None,
    settings: InpainterTraining,
    folder: InpainterFolder,
    session: Session,
) -> None:
    device, total = session.group.device, settings.vq_steps + settings.unet_steps
    networks, optimizer, step, seconds = _start(settings, session)
    with session.steps(total, done=step, seconds=seconds):
        while step < total:
            # The second model begins where the first is done.
            if step == settings.vq_steps and settings.vq_steps:
                scale_latents(networks, crops, settings)
                optimizer = make_optimizer(networks, settings, step)
            if step == first_quantised(settings) and not settings.start:
                take_codes(networks, crops, settings)

            # Forward, backward, update.
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(settings, step)
            with torch.autocast(device.type, torch.bfloat16, settings.precision == "bf16"):
                loss = loss_of_step(networks, crops, settings, step, device)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
            optimizer.step()
            if step >= settings.vq_steps:
                networks.average_in(settings.ema, step - settings.vq_steps)
            step += 1

            # Tell, save, stop.
            value = float(loss.detach())
            session.check_finite(value, f"step {step}", "lower learning rates")
            phase = "vq" if step <= settings.vq_steps else "unet"
            session.advance(f"{phase} {value:.4f}")
            position = {"step": step, "seconds": round(session.seconds, 3)}
            if step % session.run.log_steps == 0:
                seconds = position["seconds"]
                session.tracker.write("step", step, phase=phase, loss=value, seconds=seconds)
            due = session.save_due(60 * session.run.checkpoint_minutes)
            session.keep(
                partial(checkpoint, networks, optimizer, settings, position),
                save=due or step == settings.vq_steps,
                stop=session.stopper.wanted,
            )
    result = {"steps": total, "seconds": round(session.seconds, 3)}
    result |= evaluate(networks, held, settings)
    dtype = torch.float16 if settings.weights == "fp16" else torch.float32
    folder.commit(networks.pipeline(dtype), session.recipe, result)
    print(f"{folder.model}: trained in {result['seconds']:.0f} s; {result}")


def _start(
    settings: InpainterTraining, session: Session
) -> tuple[Networks, torch.optim.Optimizer, int, float]:
    """Make both models from their seed, or as a checkpoint has them; its step and seconds."""
    networks = Networks(settings).to(session.group.device)
    networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if session.state is None:
        return networks, make_optimizer(networks, settings, 0), 0, 0.0
    networks.load_state_dict(session.state["model"])
    position = session.state["position"]
    optimizer = make_optimizer(networks, settings, position["step"])
    if session.state["optimizer"] is not None:
        optimizer.load_state_dict(session.state["optimizer"])
    return networks, optimizer, position["step"], position["seconds"]


def make_optimizer(
    networks: Networks, settings: InpainterTraining, step: int
) -> torch.optim.Optimizer:
    """Return the optimizer of the model that is trained at ``step``."""
    model: Any = networks.vqvae if step < settings.vq_steps else networks.unet
    return torch.optim.AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=1e-4)


def checkpoint(
    networks: Networks, optimizer: Any, settings: InpainterTraining, position: dict[str, Any]
) -> dict[str, Any]:
    """Return what the next step depends on; at the models' boundary no optimizer."""
    boundary = position["step"] == settings.vq_steps
    return {
        "model": networks.state_dict(),
        "optimizer": None if boundary else optimizer.state_dict(),
        "position": position,
    }


def learning_rate(settings: InpainterTraining, step: int) -> float:
    """Return the learning rate at a step: a linear rise, then half a cosine down to 2 %."""
    first = step < settings.vq_steps
    at = step if first else step - settings.vq_steps
    steps = settings.vq_steps if first else settings.unet_steps
    height = settings.vq_learning_rate if first else settings.unet_learning_rate
    rise = max(1.0, settings.warmup * steps)
    if at < rise:
        return height * (at + 1) / rise
    share = (at - rise) / max(1.0, steps - rise)
    return height * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))
