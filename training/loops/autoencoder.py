"""One training loop, read top to bottom, for A^s, A^t and the peers (docs/method.md, 6 and 9).

>>> train_autoencoder("runs/demo/demo/shards.json", "runs/demo/demo/unified-seed0/spatial",
...                   AutoencoderTraining(network="spatial"))                 # doctest: +SKIP
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from pipeline.base.errors import ConfigurationError
from pipeline.base.progress import progress_bar
from pipeline.shards.reader import open_dataset
from training.feed.clips import load_steps
from training.feed.order import Step
from training.loops.plan import TrainingPlan, check_finite, holdout_loss, plan_training, prepare
from training.networks.allocator import keep_freed_memory
from training.networks.autoencoder import build_autoencoder, load_weights, reconstruction_loss
from training.record.folder import RunFolder
from training.record.precision import warn_if_emulated
from training.record.processes import Group, join_processes
from training.record.reuse import adopt
from training.record.stopping import Stopper
from training.record.tracking import Tracker
from training.settings.base import AutoencoderTraining, RunSettings


@dataclass
class Position:
    """How far a training is; with the weights and the optimizer, all that the next step needs.

    ``normal_loss`` and ``pseudo_loss`` add up this epoch's losses of ``normal`` and
    ``pseudo`` clips; ``last`` is the last finished epoch's line of metrics.jsonl.
    """

    epoch: int = 0
    done: int = 0
    step: int = 0
    clips: int = 0
    seconds: float = 0.0
    normal_loss: float = 0.0
    normal: float = 0.0
    pseudo_loss: float = 0.0
    pseudo: float = 0.0
    last: dict[str, Any] = field(default_factory=dict)

    def add(self, step: Step, sums: tuple[float, float, float, float], seconds: float) -> None:
        """Count a step that was taken; the first of an epoch starts new sums."""
        if step.number == 0:
            self.normal_loss = self.normal = self.pseudo_loss = self.pseudo = 0.0
        self.epoch, self.done = step.epoch, step.number + 1
        self.step, self.clips, self.seconds = self.step + 1, self.clips + step.total, seconds
        self.normal_loss += sums[0]
        self.normal += sums[1]
        self.pseudo_loss += sums[2]
        self.pseudo += sums[3]

    def close_epoch(self, holdout: float | None) -> None:
        """Write the epoch's line; losses are None where there were no such clips."""
        self.last = {
            "epoch": self.epoch,
            "clips": self.clips,
            "loss": self.normal_loss / self.normal if self.normal else None,
            "pseudo_loss": self.pseudo_loss / self.pseudo if self.pseudo else None,
            "holdout_loss": holdout,
            "seconds": round(self.seconds, 3),
        }


def train_autoencoder(
    shards: str | Path,
    out: str | Path,
    settings: AutoencoderTraining,
    run: RunSettings | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Train A^s, A^t or a peer's autoencoder, or go on with a training that was interrupted.

    Parameters
    ----------
    shards
        ``shards.json`` of a pipeline run.
    out
        The training's folder. If this very training was finished there, nothing is done; if
        it was begun, it goes on, bit for bit as if it had not stopped (on one machine, with
        as many threads and processes).
    settings, run
        What decides the weights, and how the work is carried out.
    resume
        Insist on going on: an error if there is nothing to go on from.
    overwrite
        Begin again, whatever is in ``out``.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ConfigurationError
        For a missing stage, a folder that holds another training, a setting that does not fit.
    DataError
        For damaged shards or checkpoints.
    TrainingError
        If the loss is not finite.
    KeyboardInterrupt
        After Ctrl-C, SIGTERM or ``max_minutes``; a checkpoint was written.
    """
    run = run or RunSettings()
    folder = RunFolder(out)
    with ExitStack() as stack:
        group = stack.enter_context(join_processes(run.device))
        if group.processes > 1 and run.engine == "fast":
            raise ConfigurationError(
                f"engine: fast takes BatchNorm over one process's clips, there are "
                f"{group.processes} processes; set engine: plain, or start one process"
            )
        plan = plan_training(open_dataset(shards), settings, group)
        if group.first:
            stack.enter_context(folder.claimed())
            if overwrite:
                folder.clear()
            elif run.reuse:
                adopt(folder, run.reuse, plan.recipe)
        group.wait()
        if folder.finished(plan.recipe):
            if group.first:
                print(f"{folder.path}: trained already, with these settings; nothing to do")
            return folder.path
        state = folder.load(plan.recipe)
        if state is None and resume:
            raise ConfigurationError(f"{folder.checkpoint}: there is no checkpoint to resume from")
        tracker = Tracker(folder, plan.recipe, run.tracker, active=group.first)
        stack.callback(tracker.close)
        _train(plan, folder, state, tracker, group, run)
    return folder.path


def _train(
    plan: TrainingPlan,
    folder: RunFolder,
    state: dict[str, Any] | None,
    tracker: Tracker,
    group: Group,
    run: RunSettings,
) -> None:
    settings, schedule, device = plan.settings, plan.schedule, group.device

    # The network, from its seed or from where it stood.
    keep_freed_memory()
    torch.manual_seed(settings.seed)
    torch.backends.cudnn.deterministic = run.deterministic
    warn_if_emulated(settings.precision, device.type)
    network = build_autoencoder(settings.architecture, run.engine).to(device)
    if settings.channels_last:
        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    model = group.share(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    position = Position()
    if state is not None:
        load_weights(network, state["model"], str(folder.checkpoint))
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["generator"])
        position = Position(**state["position"])
    if group.first:
        folder.keep_metrics(position.step)

    # What is left to do.
    steps_of = [schedule.steps(epoch) for epoch in range(schedule.last_epoch + 1)]
    total = sum(steps_of)
    batches = load_steps(
        plan.clips,
        schedule,
        position.epoch,
        position.done,
        rank=group.rank,
        processes=group.processes,
        workers=run.workers,
        pin=device.type == "cuda",
    )
    bar = (
        progress_bar(total, f"train {settings.network}", done=position.step)
        if group.first
        else tqdm(disable=True)
    )
    began = time.monotonic() - position.seconds
    saved = time.monotonic()
    model.train()
    with Stopper(run.max_minutes) as stopper, bar:
        for batch in batches:
            # Forward, backward, update.
            clips, target, signs = prepare(batch, plan, device)
            with torch.autocast(device.type, torch.bfloat16, settings.precision == "bf16"):
                output, penalty = model(clips, penalty=True)
            losses = reconstruction_loss(output.float(), target) * signs
            # DDP takes the mean over processes: this makes it the mean over the step's clips.
            share = group.processes / batch.step.total
            loss = (losses.sum() + penalty * len(losses)) * share
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

            # All processes agree on the losses, and on whether to stop or to save.
            found, pseudo = losses.detach().cpu(), batch.pseudo
            due = group.first and time.monotonic() - saved >= 60 * run.checkpoint_minutes
            *sums, stop, save = group.sums(
                [
                    float(found[~pseudo].sum()),
                    float((~pseudo).sum()),
                    float(found[pseudo].sum()),
                    float(pseudo.sum()),
                    float(stopper.wanted),
                    float(due),
                ]
            )
            mean = (sums[0] + sums[2]) / batch.step.total
            check_finite(mean, batch.step, folder.path, settings)
            position.add(batch.step, (sums[0], sums[1], sums[2], sums[3]), time.monotonic() - began)
            bar.set_postfix(loss=f"{mean:.5f}", refresh=False)
            bar.update()
            if position.step % run.log_steps == 0:
                tracker.write(
                    "step",
                    position.step,
                    epoch=position.epoch,
                    clips=position.clips,
                    loss=mean,
                    seconds=round(position.seconds, 3),
                )

            # The end of an epoch, or of the time given.
            epoch_ends = position.done == steps_of[position.epoch]
            if epoch_ends:
                position.close_epoch(holdout_loss(network, plan, group, run.holdout_stride))
                tracker.write("epoch", position.step, **position.last)
                if group.first and run.snapshots and (position.epoch + 1) % run.snapshots == 0:
                    folder.snapshot(network, position.epoch + 1)
            if (epoch_ends or save or stop) and position.step < total:
                if group.first:
                    folder.save(
                        {
                            "recipe": plan.recipe,
                            "model": network.state_dict(),
                            "optimizer": optimizer.state_dict(),
                            "position": asdict(position),
                            "generator": torch.get_rng_state(),
                        }
                    )
                group.wait()
                saved = time.monotonic()
            if stop and position.step < total:
                _say_stopped(folder, position, total, group, stopper.signalled)
                raise KeyboardInterrupt

    if group.first:
        result = {"steps": position.step, "processes": group.processes, "engine": run.engine}
        result |= position.last
        folder.finish(network, plan.recipe, result)
        print(
            f"{folder.path}: trained on {position.clips} clips in {position.step} steps, "
            f"{position.seconds:.0f} s; loss {_shown(position.last['loss'])}, on held-out videos "
            f"{_shown(position.last['holdout_loss'])}"
        )
    group.wait()


def _say_stopped(
    folder: RunFolder, position: Position, total: int, group: Group, signalled: bool
) -> None:
    if group.first:
        why = "asked to stop" if signalled else "the time given by max_minutes is over"
        print(f"{folder.path}: {why}; step {position.step} of {total} is saved")


def _shown(value: float | None) -> str:
    return "(none)" if value is None else f"{value:.6f}"
