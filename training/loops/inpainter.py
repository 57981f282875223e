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
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.base.files import write_json
from pipeline.base.progress import progress_bar
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
from training.loops.plan import TrainingError
from training.record.folder import RunFolder, read_recipe
from training.record.processes import join_processes
from training.record.recipe import make_recipe
from training.record.stopping import Stopper
from training.record.tracking import Tracker
from training.settings.base import RunSettings
from training.settings.inpainter import InpainterTraining


class InpainterFolder(RunFolder):
    """A training's folder whose result is a pipeline's folder, ``model``."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.model = self.path / "model"

    def clear(self) -> None:
        """Remove what an earlier training left."""
        super().clear()
        shutil.rmtree(self.model, ignore_errors=True)

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
    with ExitStack() as stack:
        group = stack.enter_context(join_processes(run.device))
        if group.processes > 1:
            raise ConfigurationError("training inpainter runs on one process, without torchrun")
        stack.enter_context(folder.claimed())
        if overwrite:
            folder.clear()
        if folder.finished(recipe):
            print(f"{folder.path}: trained already, with these settings; nothing to do")
            return folder.model
        state = folder.load(recipe)
        if state is None and resume:
            raise ConfigurationError(f"{folder.checkpoint}: there is no checkpoint to resume from")
        tracker = Tracker(folder, recipe, run.tracker)
        stack.callback(tracker.close)
        held = crops_of(dataset, holdout) if holdout else None
        crops = crops_of(dataset, videos)
        _train(crops, held, settings, recipe, folder, state, tracker, run, group.device)
    return folder.model


def _train(
    crops: Crops,
    held: Crops | None,
    settings: InpainterTraining,
    recipe: dict[str, Any],
    folder: InpainterFolder,
    state: dict[str, Any] | None,
    tracker: Tracker,
    run: RunSettings,
    device: torch.device,
) -> None:
    networks = Networks(settings).to(device)
    networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    step, spent = 0, 0.0
    if state is not None:
        networks.load_state_dict(state["model"])
        step, spent = state["position"]["step"], state["position"]["seconds"]
    optimizer = make_optimizer(networks, settings, step)
    if state is not None and state["optimizer"] is not None:
        optimizer.load_state_dict(state["optimizer"])
    folder.keep_metrics(step)
    began, saved = time.monotonic() - spent, time.monotonic()
    total = settings.vq_steps + settings.unet_steps
    bar = progress_bar(total, "train inpainter", done=step)
    with Stopper(run.max_minutes) as stopper, bar:
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
            if not math.isfinite(value):
                raise TrainingError(
                    f"{folder.path}: the loss is {value} in step {step}; the last checkpoint is "
                    "kept. Try lower learning rates (with --overwrite)"
                )
            phase = "vq" if step <= settings.vq_steps else "unet"
            bar.set_postfix(loss=f"{phase} {value:.4f}", refresh=False)
            bar.update()
            seconds = round(time.monotonic() - began, 3)
            if step % run.log_steps == 0:
                tracker.write("step", step, phase=phase, loss=value, seconds=seconds)
            stop = stopper.wanted
            due = time.monotonic() - saved >= 60 * run.checkpoint_minutes
            if step < total and (due or stop or step == settings.vq_steps):
                position = {"step": step, "seconds": seconds}
                folder.save(checkpoint(networks, optimizer, recipe, position))
                saved = time.monotonic()
            if stop and step < total:
                print(f"{folder.path}: stopped; step {step} of {total} is saved")
                raise KeyboardInterrupt
    result = {"steps": total, "seconds": seconds, **evaluate(networks, held, settings)}
    dtype = torch.float16 if settings.weights == "fp16" else torch.float32
    folder.commit(networks.pipeline(dtype), recipe, result)
    print(f"{folder.model}: trained in {seconds:.0f} s; {result}")


def make_optimizer(
    networks: Networks, settings: InpainterTraining, step: int
) -> torch.optim.Optimizer:
    """Return the optimizer of the model that is trained at ``step``."""
    model: Any = networks.vqvae if step < settings.vq_steps else networks.unet
    return torch.optim.AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=1e-4)


def checkpoint(
    networks: Networks, optimizer: Any, recipe: dict[str, Any], position: dict[str, Any]
) -> dict[str, Any]:
    """Return what :meth:`RunFolder.load` gives back; at the models' boundary no optimizer."""
    boundary = position["step"] == recipe["settings"]["vq_steps"]
    return {
        "recipe": recipe,
        "model": networks.state_dict(),
        "optimizer": None if boundary else optimizer.state_dict(),
        "position": position,
        "generator": torch.get_rng_state(),
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
